"""Find the row of a 64-bit key: open addressing with linear probing, for use inside compiled loops.

A slot is one word: the low half of the mixed key, which also says where the key wants to be, and the row number
plus one (0: empty). The key itself is compared in its row, which is read next anyway. Deletion shifts the
followers back (Knuth, TAOCP vol. 3, 6.4, algorithm R), so there are no tombstones and a table never wears out.

Whoever chooses ids can choose keys that collide, so keys are mixed with a seed that is not a secret but
changes: a probe that runs past `PROBE_MAX` asks for a new seed, under which the old collisions are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.compiled import allocating, compiled, inlined
from schemas.words import prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOAD_MAX = 0.6
"""Filled share of the slots; Knuth's estimate of a miss at 0.6 is 3.6 probes."""

PROBE_MAX = 512
"""Slots looked at before the seed is changed. At a load of 0.6 chance alone needs this many about once in
1e21 insertions."""

ASKED_SLOTS = 8
"""Slots looked at for a row to ask for: one cache line's."""

LINE_BYTES = 64
"""Of a cache line, on all processors that servers have."""

NO_ROOM = -1
"""`find`: the key is not there. `find_or_insert`: call `Arena.make_room` and come again."""

FREE, SEED, CROWDED = 0, 1, 2
"""Places in `View.counters`: rows on the free list, the seed, whether a probe ran too long."""


class View(NamedTuple):
    """The arrays of an arena, as compiled loops take them. Valid until the arena makes room or restores."""

    rows: NDArray[Any]  # (capacity,) records: "key" (0 where free), "touched" (ms), then the caller's fields
    dirty: NDArray[np.uint8]  # (capacity,) 1 where changed since `Arena.take_dirty`
    free: NDArray[np.int32]  # (capacity,) a stack of free rows
    slots: NDArray[np.uint64]  # (slots,) low half of the mixed key, then row + 1; 0 where empty
    counters: NDArray[np.int64]  # (3,)


@inlined
def mix(key: np.uint64, seed: np.int64) -> np.uint64:
    """Spread a key over all 64 bits (the finaliser of MurmurHash3, a bijection)."""
    mixed = key ^ (np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15))
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ (mixed >> np.uint64(33))


@inlined
def _half(key: np.uint64, seed: np.int64) -> np.uint64:
    """Return the low half of the mixed key, in the upper half of a word."""
    return mix(key, seed) << np.uint64(32)


@inlined
def _home(slot_word: np.uint64, mask: int) -> int:
    """Return the slot where the key behind a slot's word wants to be."""
    return int(np.int64(slot_word >> np.uint64(32))) & mask


@inlined
def _row(slot_word: np.uint64) -> int:
    return int(np.int64(slot_word & np.uint64(0xFFFFFFFF))) - 1


@inlined
def find(view: View, key: np.uint64) -> int:
    """Return the row of `key`, or `NO_ROOM` (-1) where it has none. Changes nothing."""
    mask = len(view.slots) - 1
    half = _half(key, view.counters[SEED])
    slot = _home(half, mask)
    for _ in range(PROBE_MAX):
        word = view.slots[slot]
        if word == np.uint64(0):
            return NO_ROOM
        if (word ^ half) >> np.uint64(32) == np.uint64(0) and view.rows[_row(word)]["key"] == key:
            return _row(word)
        slot = (slot + 1) & mask
    return NO_ROOM


@inlined
def ask_slot(view: View, key: np.uint64) -> None:
    """Ask for the memory where a search for `key` will begin, some actions before it does.

    Tables are larger than the processor's caches, and a loop over actions would wait for each of them in turn.
    """
    slot = _home(_half(key, view.counters[SEED]), len(view.slots) - 1)
    prefetch(view.slots.ctypes.data + 8 * slot)


@inlined
def ask_row(view: View, key: np.uint64, size: int) -> None:
    """Ask for the first `size` bytes of the row of `key`, whose slot was asked for some actions ago."""
    mask = len(view.slots) - 1
    half = _half(key, view.counters[SEED])
    slot = _home(half, mask)
    for _ in range(ASKED_SLOTS):
        word = view.slots[slot]
        if word == np.uint64(0):
            return
        if (word ^ half) >> np.uint64(32) == np.uint64(0):
            begin = view.rows.ctypes.data + _row(word) * view.rows.itemsize
            for at in range(0, size, LINE_BYTES):
                prefetch(begin + at)
            prefetch(begin + size - 1)
            return
        slot = (slot + 1) & mask


@inlined
def find_or_insert(view: View, key: np.uint64, ts: np.int64) -> tuple[int, bool]:
    """Return the row of `key` and whether it is new (all zero but for its key), touched at `ts` (ms) and dirty.

    Return `(NO_ROOM, False)` and change nothing where no row is free: the caller's loop hands control
    back at this very event, `Arena.make_room` is called, and the loop goes on with the same event. So what
    is evicted depends on the events alone and not on where a batch was cut. The key must not be 0.
    """
    mask = len(view.slots) - 1
    half = _half(key, view.counters[SEED])
    slot = _home(half, mask)
    for _ in range(PROBE_MAX):
        word = view.slots[slot]
        if word == np.uint64(0):
            if view.counters[FREE] == 0:
                return NO_ROOM, False
            view.counters[FREE] -= 1
            row = int(view.free[view.counters[FREE]])
            view.slots[slot] = half | np.uint64(row + 1)
            record = view.rows[row]
            record["key"] = key
            record["touched"] = ts
            view.dirty[row] = 1
            return row, True
        if (word ^ half) >> np.uint64(32) == np.uint64(0) and view.rows[_row(word)]["key"] == key:
            touch(view, _row(word), ts)
            return _row(word), False
        slot = (slot + 1) & mask
    view.counters[CROWDED] = 1
    return NO_ROOM, False


@inlined
def touch(view: View, row: int, ts: np.int64) -> None:
    """Note that the row changed and was wanted at event time `ts` (ms), which keeps it from eviction."""
    record = view.rows[row]
    record["touched"] = max(ts, record["touched"])
    view.dirty[row] = 1


@compiled
def remove_rows(view: View, rows: NDArray[np.int32], blank: NDArray[Any]) -> int:
    """Take rows out of the index, clear them (to `blank[0]`) and put them on the free list, the last one on top.

    Return how many were removed: it stops at a row that is not held.
    """
    removed = 0
    mask = len(view.slots) - 1
    seed = view.counters[SEED]
    for row in rows:
        record = view.rows[row]
        key = record["key"]
        if key == np.uint64(0):
            break
        hole = _home(_half(key, seed), mask)
        while _row(view.slots[hole]) != row:
            hole = (hole + 1) & mask
        slot = hole
        while True:
            slot = (slot + 1) & mask
            follower = view.slots[slot]
            if follower == np.uint64(0):
                break
            if ((slot - _home(follower, mask)) & mask) >= ((slot - hole) & mask):
                view.slots[hole] = follower
                hole = slot
        view.slots[hole] = np.uint64(0)
        view.rows[row] = blank[0]
        view.dirty[row] = 0
        view.free[view.counters[FREE]] = row
        view.counters[FREE] += 1
        removed += 1
    return removed


@compiled
def fill_slots(view: View) -> bool:
    """Enter every held row into the empty slots. False where a probe ran too long: empty them, change the seed."""
    mask = len(view.slots) - 1
    seed = view.counters[SEED]
    for row in range(len(view.rows)):
        record = view.rows[row]
        key = record["key"]
        if key == np.uint64(0):
            continue
        half = _half(key, seed)
        slot = _home(half, mask)
        probes = 0
        while view.slots[slot] != np.uint64(0):
            slot = (slot + 1) & mask
            probes += 1
            if probes == PROBE_MAX:
                return False
        view.slots[slot] = half | np.uint64(row + 1)
    return True


@allocating
def find_all(view: View, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the row of each key, -1 where it has none, shape (n,)."""
    rows = np.empty(len(keys), np.int32)
    for place in range(len(keys)):
        rows[place] = find(view, keys[place])
    return rows


@compiled
def rows_for(view: View, keys: NDArray[np.uint64], start: int, rows: NDArray[np.int32]) -> int:
    """Fill `rows[start:]` with the row of each key, a new one where it has none.

    Return how far it came: where that is not the end, make room and call again from there.
    """
    for place in range(start, len(keys)):
        row, _ = find_or_insert(view, keys[place], np.int64(0))
        if row == NO_ROOM:
            return place
        rows[place] = row
    return len(keys)


@allocating
def held_columns(view: View) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int64]]:
    """Return the held rows' numbers, keys and touched times (ms), each of shape (held,), in one pass."""
    held = len(view.rows) - view.counters[FREE]
    rows = np.empty(held, np.int32)
    keys = np.empty(held, np.uint64)
    touched = np.empty(held, np.int64)
    place = 0
    for row in range(len(view.rows)):
        record = view.rows[row]
        if record["key"] != np.uint64(0):
            rows[place], keys[place], touched[place] = row, record["key"], record["touched"]
            place += 1
    return rows, keys, touched
