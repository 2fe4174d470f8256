"""Rows of fixed size under 64-bit keys: where every stage keeps what it knows of an account, note or keyword.

One structured array and one open-addressing index instead of a Python object a key: at a million keys a
dict is the largest cost of all. A stage's compiled loop works on `Arena.view()` and comes back when it needs
room (`hash_index.find_or_insert`); then `make_room` grows the arena or, at its bound, evicts the coldest rows.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.hash_index import (
    CROWDED,
    FREE,
    LOAD_MAX,
    SEED,
    View,
    fill_slots,
    find,
    find_all,
    held_columns,
    remove_rows,
    rows_for,
)
from schemas.hashing import hash_bytes, hash_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Field = tuple[Any, ...]  # name, type and perhaps shape, as for np.dtype

CAPACITY_FIRST = 1024
"""Rows of a new arena; it grows by half from there, so a quiet partition stays small."""

EVICTED_SHARE = 1 / 16
"""Share of the rows that go at once at the bound: choosing them costs a pass over all rows."""

SEEDS_MAX = 64
"""Seeds tried in one rebuild. An id that collides under two given seeds costs 2^(2 log2 slots) hashes to find."""

_HEADER = struct.Struct("<4sHHQQQQ")
_MAGIC, _FORMAT = b"BWAR", 1


class SnapshotMismatchError(ValueError):
    """A snapshot was taken with another row type or version: start without it, or run the version that took it."""


class Arena:
    """A bounded map from 64-bit keys (never 0) to records.

    Args:
        fields: the record's fields, as for `np.dtype`. "key" (uint64) and "touched" (int64, greatest event time in
            ms at which the row was wanted) come before them: what a lookup reads lies beside what it is for.
        capacity_max: most rows held; the coldest make way for new ones.
        version: of the meaning of the record's fields; a snapshot of another version is refused.

    """

    def __init__(self, fields: Sequence[Field], capacity_max: int, version: int = 1) -> None:
        if capacity_max < 1:
            message = f"capacity_max is {capacity_max}: it must be at least 1 row"
            raise ValueError(message)
        self._dtype = np.dtype([("key", np.uint64), ("touched", np.int64), *fields], align=True)
        self._capacity_max = capacity_max
        self._version = version
        self._fingerprint = hash_id(repr(self._dtype.descr))
        self._evicted = 0
        self._view = self._empty(min(CAPACITY_FIRST, capacity_max))
        self._kept = np.zeros(self.capacity, np.bool_)
        self._removed: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return len(self._view.rows) - int(self._view.counters[FREE])

    @property
    def capacity(self) -> int:
        """Rows that fit without growing."""
        return len(self._view.rows)

    @property
    def evicted(self) -> int:
        """Rows evicted since this arena was made."""
        return self._evicted

    @property
    def bytes_resident(self) -> int:
        """Bytes of all arrays, free rows included."""
        return sum(array.nbytes for array in (*self._view, self._kept, *self._removed))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each row is held and was taken by `take_dirty`, shape (capacity,): right after it, what is held."""
        return self._kept

    def view(self) -> View:
        """Return the arrays for a compiled loop; ask again after `make_room`, `reserve` or `restore`."""
        return self._view

    def find(self, key: int) -> int:
        """Return the row of `key`, -1 where it has none."""
        return find(self._view, np.uint64(key))

    def live_rows(self) -> NDArray[np.int32]:
        """Return the held row numbers by ascending key: an order that a restore keeps, as it does not row numbers."""
        held, keys, _ = held_columns(self._view)
        return held[np.argsort(keys)]

    def make_room(self, leave: Callable[[NDArray[Any]], None] | None = None) -> int:
        """Make `find_or_insert` able to insert: grow, or at the bound evict. Return how many rows were evicted.

        `leave` is given the records that go, shape (n,), before they do.
        """
        if self._view.counters[CROWDED]:
            self._reindex(len(self._view.slots), int(self._view.counters[SEED]) + 1)
        if self._view.counters[FREE]:
            return 0
        if self.capacity < self._capacity_max:
            self._grow(self.capacity + max(self.capacity // 2, 1))
            return 0
        coldest = self.coldest(max(1, int(len(self) * EVICTED_SHARE)))
        if leave is not None:
            leave(self._view.rows[coldest])
        self.remove(coldest)
        self._evicted += len(coldest)
        return len(coldest)

    def reserve(self, rows: int) -> None:
        """Grow ahead so that `rows` more fit, as far as the bound allows. Never evicts, so decisions stay the same."""
        wanted = len(self) + rows
        if wanted > self.capacity < self._capacity_max:
            self._grow(wanted)

    def rows_of(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the row of each of these keys, each given once and together no more than may be held.

        Rows are made for those that have none, and the coldest make way where there is no room for all.
        """
        keys = np.ascontiguousarray(keys, np.uint64)
        wanted = int(np.count_nonzero(find_all(self._view, keys) < 0))
        self.reserve(wanted)
        # Beforehand: a row that was just made is the coldest of all until it is written.
        while (room := int(self._view.counters[FREE])) < wanted:
            going = self.coldest(max(wanted - room, int(len(self) * EVICTED_SHARE)))
            self.remove(going)
            self._evicted += len(going)
            wanted = int(np.count_nonzero(find_all(self._view, keys) < 0))
        rows = np.empty(len(keys), np.int32)
        at = 0
        while (at := rows_for(self._view, keys, at, rows)) < len(keys):
            self.make_room()
        return rows

    def coldest(self, count: int) -> NDArray[np.int32]:
        """Return the `count` rows touched longest ago, coldest first; equal times by key, so the choice is stable."""
        held, keys, touched = held_columns(self._view)
        if count < len(held):
            candidates = touched <= np.partition(touched, count - 1)[count - 1]
            held, keys, touched = held[candidates], keys[candidates], touched[candidates]
        return held[np.lexsort((keys, touched))][:count]

    def remove(self, rows: NDArray[np.int32]) -> None:
        """Forget the given rows, each of which must be held."""
        keys = self._view.rows["key"][rows]
        removed = remove_rows(self._view, rows, np.zeros(1, self._dtype))
        if removed < len(rows):
            message = f"row {rows[removed]} is not held, or was given twice"
            raise ValueError(message)
        # Only what is kept elsewhere must be taken out there, which bounds these by the rows that were ever kept.
        kept = keys[self._kept[rows]]
        self._kept[rows] = False
        if len(kept):
            self._removed.append(kept)

    def take_dirty(self) -> NDArray[np.int64]:
        """Return the rows that changed since the last call, ascending, and count them as kept from here."""
        rows = np.flatnonzero(self._view.dirty)
        self._view.dirty[rows] = 0
        self._kept[rows] = True
        return rows

    def take_removed(self) -> NDArray[np.uint64]:
        """Return the keys of kept rows that went since the last call and are not held now, as they went."""
        # A key goes as a kept one once between two calls, so none is here twice.
        keys = np.concatenate([np.empty(0, np.uint64), *self._removed])
        self._removed = []
        return np.asarray(keys[find_all(self._view, keys) < 0])

    def mark_kept(self) -> None:
        """Count everything as it is now as kept: nothing is dirty, nothing was removed."""
        self._view.dirty[:] = 0
        self._kept[:] = self._view.rows["key"] != 0
        self._removed = []

    def forget(self, keys: NDArray[np.uint64]) -> None:
        """Remove the rows of these keys, each given once; keys that are not held are passed over."""
        rows = find_all(self._view, np.ascontiguousarray(keys, np.uint64))
        self.remove(rows[rows >= 0])

    def snapshot(self, rows: NDArray[np.integer] | None = None) -> bytes:
        """Return the given rows (default all) as bytes. Equal contents give equal bytes, wherever rows lie."""
        chosen = self.live_rows() if rows is None else rows[np.argsort(self._view.rows["key"][rows])]
        records = self._raw()[chosen].tobytes()
        layout = (self._fingerprint, self._dtype.itemsize)
        return _HEADER.pack(_MAGIC, _FORMAT, self._version, *layout, len(chosen), hash_bytes(records)) + records

    def restore(self, snapshot: bytes) -> NDArray[np.int32]:
        """Put a snapshot's rows in place of those with the same keys; restored rows are clean and kept.

        The arena grows with what is restored, so a large state may come in many snapshots at no more cost.

        Returns:
            The row number of each row, in the order of the snapshot.

        Raises:
            SnapshotMismatchError: another row type, version or format, cut short, or more rows than may be held.

        """
        records = self._read(snapshot)
        keys = np.ascontiguousarray(records["key"])
        if len(self) + len(keys) > self._capacity_max:  # seldom, so it is looked at closely only then
            rows_after = len(self) + int(np.count_nonzero(find_all(self._view, keys) < 0))
            if rows_after > self._capacity_max:
                message = (
                    f"snapshot makes {rows_after} rows:"
                    f" raise capacity_max, which is {self._capacity_max}, to restore it"
                )
                raise SnapshotMismatchError(message)
        rows = self.rows_of(keys)
        self._raw()[rows] = records.view(self._raw().dtype)
        self._view.dirty[rows] = 0
        self._kept[rows] = True
        return rows

    def _read(self, snapshot: bytes) -> NDArray[Any]:
        if len(snapshot) < _HEADER.size:
            message = f"snapshot of {len(snapshot)} bytes is shorter than its header"
            raise SnapshotMismatchError(message)
        magic, form, version, fingerprint, itemsize, count, digest = _HEADER.unpack_from(snapshot)
        if (magic, form, version, fingerprint) != (_MAGIC, _FORMAT, self._version, self._fingerprint):
            message = (
                f"snapshot is of rows version {version} of {itemsize} bytes,"
                f" this program has version {self._version} of {self._dtype.itemsize} bytes with other fields"
            )
            raise SnapshotMismatchError(message)
        if len(snapshot) != _HEADER.size + count * itemsize:
            message = f"snapshot of {count} rows has {len(snapshot)} bytes, not {_HEADER.size + count * itemsize}"
            raise SnapshotMismatchError(message)
        records = np.frombuffer(snapshot, self._dtype, count, _HEADER.size)
        keys = records["key"]
        ascending = count == 0 or bool(keys[0] > 0 and (keys[1:] > keys[:-1]).all())
        if not ascending or hash_bytes(memoryview(snapshot)[_HEADER.size :]) != digest:
            message = f"snapshot of {count} rows was changed since it was taken: start without it"
            raise SnapshotMismatchError(message)
        return records

    def _raw(self) -> NDArray[np.void]:
        """Return the rows as bytes: copied field by field, the padding between fields would be anything."""
        return self._view.rows.view(np.dtype((np.void, self._dtype.itemsize)))

    def _empty(self, capacity: int) -> View:
        slots = 1 << int(np.ceil(np.log2(max(capacity, 1) / LOAD_MAX)))
        return View(
            rows=np.zeros(capacity, self._dtype),
            dirty=np.zeros(capacity, np.uint8),
            free=np.arange(capacity - 1, -1, -1, dtype=np.int32),
            slots=np.zeros(slots, np.uint64),
            counters=np.array([capacity, 0, 0], np.int64),
        )

    def _grow(self, capacity: int) -> None:
        before, held = self._view, self.capacity
        grown = self._empty(min(max(capacity, held + held // 2), self._capacity_max))
        # As bytes: a copy of records goes field by field.
        for name in ("rows", "dirty"):
            old = getattr(before, name).view(np.uint8)
            getattr(grown, name).view(np.uint8)[: len(old)] = old
        left, added = int(before.counters[FREE]), len(grown.rows) - held
        grown.free[:added] = np.arange(held + added - 1, held - 1, -1)
        grown.free[added : added + left] = before.free[:left]
        grown.counters[FREE] = added + left
        self._view = grown
        self._kept = np.concatenate([self._kept, np.zeros(added, np.bool_)])
        if len(grown.slots) > len(before.slots):
            self._reindex(len(grown.slots), int(before.counters[SEED]))
        else:
            grown.counters[SEED] = before.counters[SEED]
            self._view = grown._replace(slots=before.slots)

    def _reindex(self, slots: int, seed: int) -> None:
        for attempt in range(SEEDS_MAX):
            view = self._view._replace(slots=np.zeros(slots, np.uint64))
            view.counters[SEED], view.counters[CROWDED] = seed + attempt, 0
            if fill_slots(view):
                self._view = view
                return
        message = f"{len(self)} keys collide under {SEEDS_MAX} seeds: they are not hashes of ids"
        raise ValueError(message)
