"""Which event ids of a topic were seen within the last minutes of its arrival time.

Open addressing like the arena's index, with the arrival beside each key. An entry that is too old is as good as
an empty slot: a new one may take its place, and when the table is full it is rebuilt without them. At its
bound the oldest entries go early, which is counted, since a repeat of theirs would count twice.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.compiled import compiled, inlined
from detectors.hash_index import LOAD_MAX, PROBE_MAX, mix
from detectors.state import Increment, SnapshotMismatchError
from schemas.hashing import hash_bytes
from schemas.words import prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEN_MAX = 2_000_000
"""Ids held for one topic of one partition, 67 MB at most: ten minutes at 3,300 events a second. A
million a second over 256 partitions and three topics is 1,300."""

SLOTS_FIRST = 4096
CROWDED_SHARE = 0.75
"""A rebuild that leaves the table fuller than this share of its limit would come again too soon."""

REPEATED, TOO_FULL = -1, -2
"""What `seek` returns instead of a slot."""

_ENTRY = np.dtype([("key", np.uint64), ("arrival", np.int64)])
_USED, _LIMIT, _SEED = 0, 1, 2
_HEADER = struct.Struct("<4sQQ")
_MAGIC = b"BWS1"


class SeenView(NamedTuple):
    """The arrays for a compiled loop; valid until `SeenIds.make_room` or `restore`."""

    slots: NDArray[Any]  # (slots,) records: "key" (event hash, 0 where empty) and "arrival" (ms), side by side
    counters: NDArray[np.int64]  # slots in use, how many may be, the seed of the mix


@inlined
def _home(view: SeenView, key: np.uint64) -> int:
    """Return the slot where an id wants to be."""
    return int(np.int64(mix(key, view.counters[_SEED]) & np.uint64(len(view.slots) - 1)))


@inlined
def ask_seen(view: SeenView, key: np.uint64) -> None:
    """Ask for the memory where `seek` will begin, some events before it does (`hash_index.ask_slot`)."""
    prefetch(view.slots.ctypes.data + view.slots.itemsize * _home(view, key))


@inlined
def seek(view: SeenView, key: np.uint64, arrival: int, remembered_ms: int) -> int:
    """Return the slot in which to `note` this id, `REPEATED` where it was seen, or `TOO_FULL`. Changes nothing.

    An id is a repeat where it was accepted within `remembered_ms` of this arrival. Repeats do not prolong
    that, so an id that keeps coming counts once in that time, not once for ever. Ids that were chosen to
    collide make it `TOO_FULL`, and the rebuild scatters them under another seed (`detectors.hash_index`).
    """
    mask = len(view.slots) - 1
    slot = _home(view, key)
    reusable = -1
    for probes in range(mask + 2):
        if probes == PROBE_MAX:
            return TOO_FULL
        held = view.slots[slot]
        if held["key"] == np.uint64(0):
            break
        age = arrival - held["arrival"]
        if held["key"] == key:
            return REPEATED if abs(age) <= remembered_ms else slot
        if reusable < 0 and age > remembered_ms:
            reusable = slot
        slot = (slot + 1) & mask
    if reusable >= 0:
        return reusable
    return slot if view.counters[_USED] < view.counters[_LIMIT] else TOO_FULL


@inlined
def note(view: SeenView, slot: int, key: np.uint64, arrival: int) -> None:
    """Remember an id in the slot that `seek` gave."""
    held = view.slots[slot]
    if held["key"] == np.uint64(0):
        view.counters[_USED] += 1
    held["key"] = key
    held["arrival"] = arrival


@compiled
def _enter_all(view: SeenView, keys: NDArray[np.uint64], arrivals: NDArray[np.int64]) -> None:
    mask = len(view.slots) - 1
    for place in range(len(keys)):
        slot = _home(view, keys[place])
        while view.slots[slot]["key"] != np.uint64(0) and view.slots[slot]["key"] != keys[place]:
            slot = (slot + 1) & mask
        note(view, slot, keys[place], arrivals[place])


class SeenIds:
    """The ids of one topic. `seek` and `note` do the work inside a compiled loop.

    Args:
        remembered_ms: how long an id counts as seen, in arrival time.
        entries_max: most ids held, of 27 to 54 bytes each.

    """

    def __init__(self, remembered_ms: int, entries_max: int = SEEN_MAX) -> None:
        self.remembered_ms = remembered_ms
        self._entries_max = entries_max
        self._slots_max = max(SLOTS_FIRST, 1 << int(np.ceil(np.log2(entries_max / LOAD_MAX))))
        self._evicted = 0
        self._view = self._empty(SLOTS_FIRST, 0)
        # None: the next increment is everything, which is also so where nobody ever asks for one.
        self._journal: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] | None = None
        self._journaled = 0

    def __len__(self) -> int:
        """Ids held, those included that are too old and not yet overwritten."""
        return int(self._view.counters[_USED])

    @property
    def evicted(self) -> int:
        """Ids forgotten before their time since this was made."""
        return self._evicted

    @property
    def bytes_resident(self) -> int:
        """Bytes of the table."""
        return sum(array.nbytes for array in self._view)

    def view(self) -> SeenView:
        """Return the arrays for a compiled loop; ask again after `make_room` or `restore`."""
        return self._view

    def make_room(self, arrival: int) -> int:
        """Rebuild a table that is too full for the event that arrived at `arrival` (ms).

        Return how many ids had to be forgotten before their time.
        """
        return self._rebuild(arrival, 0)

    def _rebuild(self, arrival: int, more: int) -> int:
        """Rebuild without what is too old for `arrival` (ms), with room for `more`; return how many had to go early."""
        keys, arrivals = self._entries()
        fresh = arrival - arrivals <= self.remembered_ms
        keys, arrivals = keys[fresh], arrivals[fresh]
        slots = len(self._view.slots)
        while len(keys) + more > CROWDED_SHARE * LOAD_MAX * slots and slots < self._slots_max:
            slots *= 2
        kept_max = min(int(LOAD_MAX * slots), self._entries_max) - more
        if not more:
            kept_max = int(CROWDED_SHARE * min(LOAD_MAX * slots, self._entries_max))
        forgotten = max(0, len(keys) - kept_max)
        if forgotten:
            order = np.lexsort((keys, arrivals))[forgotten:]
            keys, arrivals = keys[order], arrivals[order]
            self._evicted += forgotten
        # Another seed only where ids collide: under the same one they lie in nearly the same order, which caches like.
        used, limit, seed = self._view.counters.tolist()
        self._view = self._empty(slots, seed if more or used >= limit else seed + 1)
        _enter_all(self._view, keys, arrivals)
        return forgotten

    def snapshot(self) -> bytes:
        """Return the entries as bytes, in an order that depends on them alone."""
        keys, arrivals = self._entries()
        order = np.argsort(keys)
        return _pack(keys[order], arrivals[order])

    def journal(self, keys: NDArray[np.uint64], arrivals: NDArray[np.int64], noted: NDArray[np.bool_]) -> None:
        """Say which ids of a batch of n the compiled loop has noted, shape (n,): they go into the next increment."""
        if self._journal is None:
            return
        self._journal.append((keys[noted], arrivals[noted]))
        self._journaled += len(self._journal[-1][0])
        if self._journaled > max(len(self), SLOTS_FIRST):
            self._journal = None  # the table itself is the smaller one by now

    def take_increment(self) -> Increment | None:
        """Return what was noted since the last call, None for nothing. The first one holds everything."""
        if self._journal is None:
            keys, arrivals = self._entries()
        else:
            none = (np.empty(0, np.uint64), np.empty(0, np.int64))
            keys, arrivals = (np.concatenate(columns) for columns in zip(none, *self._journal, strict=True))
        self._journal, self._journaled = [], 0
        if len(keys) == 0:
            return None
        # By the earliest arrival, not the latest: one wrong time must not make what is needed look old.
        needed_from_ms = int(arrivals.min()) - self.remembered_ms
        return Increment(_pack(keys, arrivals), int(arrivals.max()), needed_from_ms)

    def restore(self, data: bytes) -> None:
        """Add what an increment or a snapshot held; of an id that is there, the arrival given last stands.

        Raises:
            SnapshotMismatchError: it is neither, or cut short.

        """
        keys, arrivals = _unpack(data)
        most = min(int(LOAD_MAX * self._slots_max), self._entries_max)
        keys, arrivals = keys[-most:], arrivals[-most:]
        if len(self) + len(keys) > self._view.counters[_LIMIT]:
            self._rebuild(int(arrivals.min()), len(keys))
        _enter_all(self._view, keys, arrivals)
        self._journal, self._journaled = [], 0

    def _entries(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        slots = self._view.slots
        held = slots["key"] != 0
        return slots["key"][held], slots["arrival"][held]

    def _empty(self, slots: int, seed: int) -> SeenView:
        limit = min(int(LOAD_MAX * slots), self._entries_max)
        return SeenView(
            slots=np.zeros(slots, _ENTRY),
            counters=np.array([0, limit, seed], np.int64),
        )


def _pack(keys: NDArray[np.uint64], arrivals: NDArray[np.int64]) -> bytes:
    entries = keys.tobytes() + arrivals.tobytes()
    return _HEADER.pack(_MAGIC, len(keys), hash_bytes(entries)) + entries


def _unpack(data: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
        raise SnapshotMismatchError("these bytes are no snapshot of seen ids; start without it")
    _, count, digest = _HEADER.unpack_from(data)
    if len(data) != _HEADER.size + 16 * count:
        raise SnapshotMismatchError(f"snapshot of {count} seen ids is {len(data)} bytes long; start without it")
    keys = np.frombuffer(data, np.uint64, count, _HEADER.size).copy()
    arrivals = np.frombuffer(data, np.int64, count, _HEADER.size + 8 * count).copy()
    if not keys.all() or hash_bytes(memoryview(data)[_HEADER.size :]) != digest:
        raise SnapshotMismatchError(f"snapshot of {count} seen ids was changed since it was taken; start without it")
    return keys, arrivals
