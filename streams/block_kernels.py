"""The compiled loops of packed blocks: columns to as few bytes as they need, and back.

A column is told as a base and what is over it, in 0, 1, 2, 4 or 8 bytes a row; of one that never falls each
row's step from the one before. Subjects, owners and items are told as places in a table of keys, and with a
batch spread over hundreds of partitions the blocks are small: what a block costs whatever its rows is what
counts, so all blocks of a batch are written in one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.compiled import allocating, compiled, inlined
from detectors.onward import ONWARD

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMED_ONE_IN = 4
"""A power of two. Groups are made of accounts of which none looks bought: after some meetings each has been named."""

SUBJECT, OWNER, ITEM, ACTOR, OFFSET, TS, WATERMARK, POSITION, DEVICE, TRAITS, MARK, VERB = range(12)
"""The rows of a matrix of columns."""

COLUMNS = 12
KEYED = 3
"""The first of them are keys in the matrix and places in the table of keys in a block."""

NO_COLUMN = -1
"""The column of a key that no event of its row names: what an actor goes on from was hit by an event of before."""

ENTRY_BYTES = 9
TABLE_BYTES = COLUMNS * ENTRY_BYTES
"""Before the columns: for each its base, 8 bytes, and its width in bytes, one."""

ROW_BYTES_MAX = COLUMNS * 8

_SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4)."""


@inlined
def _put(out: NDArray[np.uint8], at: int, value: np.int64, width: int) -> None:
    for byte in range(width):
        out[at + byte] = (value >> (8 * byte)) & 0xFF


@inlined
def _get(raw: NDArray[np.uint8], at: int, width: np.int64) -> np.int64:
    value = np.int64(0)
    for byte in range(width):
        value |= np.int64(raw[at + byte]) << np.int64(8 * byte)
    return value


@inlined
def _width(span: np.int64) -> int:
    if span < 0:  # wider than 63 bits
        return 8
    if span == 0:
        return 0
    if span <= 0xFF:
        return 1
    if span <= 0xFFFF:
        return 2
    return 4 if span <= 0xFFFFFFFF else 8


@inlined
def _rises(column: int) -> bool:
    return column in (OFFSET, WATERMARK)


class KeyTables(NamedTuple):
    """What the keys of blocks are found by and put into; room for as many keys as there are keyed cells."""

    keys: NDArray[np.uint64]  # (k,) the tables of all blocks, one after another
    places: NDArray[np.int64]  # (k, 2) the column, or `NO_COLUMN`, and row where each key first occurs
    slots: NDArray[np.int32]  # 2^(64 - shift), at least twice k: places in `keys`, -1 where empty
    slot_of: NDArray[np.int32]  # (k,) the slot of each key
    seed: np.uint64  # which keys collide depends on it, so no stranger knows
    shift: np.uint64


def key_tables(rows: int, seed: int) -> KeyTables:
    """Make room for the keys of `rows` rows, actors included."""
    most = (KEYED + 1) * rows
    bits = max(3, (2 * most).bit_length())
    return KeyTables(
        keys=np.empty(most, np.uint64),
        places=np.empty((most, 2), np.int64),
        slots=np.full(1 << bits, -1, np.int32),
        slot_of=np.empty(most, np.int32),
        seed=np.uint64(seed),
        shift=np.uint64(64 - bits),
    )


@inlined
def _in_turn(actor: int, offset: int) -> bool:
    """Return whether an actor is named at this action whatever its mark: by what is the same when it is sent again."""
    return (actor ^ offset) & (NAMED_ONE_IN - 1) == 0


@compiled
def index_keys(
    matrix: NDArray[np.int64], start: int, end: int, named_from: int, tables: KeyTables, first_key: int
) -> int:
    """Replace the keyed columns of rows `start` to `end` by places in a table of keys; return where the table ends.

    The table begins at `tables.keys[first_key]`, in the order in which keys first occur. Actors with a mark of at
    least `named_from` are in it too, so that they are named, and any other at one in `NAMED_ONE_IN` of its actions.
    What actors go on from (`detectors.onward`) comes last, so that it has its name where another row has it.
    """
    end_key = first_key
    for column in range(KEYED + 1):
        for row in range(start, end):
            if matrix[VERB, row] >= ONWARD or (
                column == ACTOR
                and matrix[MARK, row] < named_from
                and not _in_turn(matrix[ACTOR, row], matrix[OFFSET, row])
            ):
                continue
            end_key = _index(matrix, column, row, tables, first_key, end_key, column)
    for row in range(start, end):
        if matrix[VERB, row] >= ONWARD:
            for column in range(KEYED):
                end_key = _index(matrix, column, row, tables, first_key, end_key, NO_COLUMN)
    for place in range(first_key, end_key):
        tables.slots[tables.slot_of[place]] = -1
    return end_key


@inlined
def _index(
    matrix: NDArray[np.int64], column: int, row: int, tables: KeyTables, first_key: int, end_key: int, named: int
) -> int:
    """Put a cell's key into the table if it is not there, named by a column, and its place there into the cell."""
    mask = len(tables.slots) - 1
    key = np.uint64(matrix[column, row])
    slot = np.int64(((key ^ tables.seed) * _SCATTER) >> tables.shift)
    while tables.slots[slot] >= 0 and tables.keys[tables.slots[slot]] != key:
        slot = (slot + 1) & mask
    if tables.slots[slot] < 0:
        tables.slots[slot] = end_key
        tables.keys[end_key] = key
        tables.slot_of[end_key] = slot
        tables.places[end_key, 0] = named
        tables.places[end_key, 1] = row
        end_key += 1
    if column < KEYED:
        matrix[column, row] = tables.slots[slot] - first_key
    return end_key


@compiled
def write_columns(matrix: NDArray[np.int64], start: int, end: int, out: NDArray[np.uint8], at: int) -> int:
    """Write rows `start` to `end` of all columns from `out[at]` on; return where they end."""
    table = at
    at += TABLE_BYTES
    for column in range(COLUMNS):
        values = matrix[column]
        base = np.int64(0)
        span = np.int64(0)
        if column == ACTOR and end > start:
            span = np.int64(-1)  # hashes: nothing to narrow
        elif end > start:
            base = values[start]
            if _rises(column):
                for row in range(start + 1, end):
                    span = max(span, values[row] - values[row - 1])
            else:
                largest = base
                for row in range(start + 1, end):
                    base = min(base, values[row])
                    largest = max(largest, values[row])
                span = largest - base
        width = _width(span)
        _put(out, table, base, 8)
        out[table + 8] = width
        table += ENTRY_BYTES
        before = base
        for row in range(start, end):
            _put(out, at, values[row] - before, width)
            at += width
            if _rises(column):
                before = values[row]
    return at


@compiled
def write_blocks(
    matrix: NDArray[np.int64],
    starts: NDArray[np.int64],
    named_from: int,
    tables: KeyTables,
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Write the columns of blocks of rows, one after another; block b has rows `starts[b]` to `starts[b + 1]`.

    `ends[b]` is where block b ends, in `out` and in `tables.keys`, shape (blocks, 2).
    """
    at = 0
    key = 0
    for block in range(len(starts) - 1):
        key = index_keys(matrix, starts[block], starts[block + 1], named_from, tables, key)
        at = write_columns(matrix, starts[block], starts[block + 1], out, at)
        ends[block, 0] = at
        ends[block, 1] = key


@compiled
def read_columns(raw: NDArray[np.uint8], rows: int, keys: int, verb_max: int, matrix: NDArray[np.int64]) -> int:
    """Read `rows` rows of all columns from the start of `raw`; return where they end, or -1 where they do not fit.

    What is read is checked: places are in a table of `keys` keys, verbs are at most `verb_max`.
    """
    at = TABLE_BYTES
    if len(raw) < at:
        return -1
    for column in range(COLUMNS):
        base = _get(raw, column * ENTRY_BYTES, np.int64(8))
        width = np.int64(raw[column * ENTRY_BYTES + 8])
        if width not in (0, 1, 2, 4, 8) or len(raw) - at < rows * width:
            return -1
        before = base
        for row in range(rows):
            value = before + _get(raw, at, width)
            at += int(width)
            matrix[column, row] = value
            if _rises(column):
                before = value
            elif (column < KEYED and not 0 <= value < keys) or (column == VERB and not 0 <= value <= verb_max):
                return -1
    return at


class Index(NamedTuple):
    """Where keys are among n: found by `row_of`. Loops take its fields apart, for which a call takes a third."""

    slots: NDArray[np.int32]  # 2^(64 - shift), at least twice n: places, -1 where empty
    seed: np.uint64
    shift: np.uint64


def index_of(keys: NDArray[np.uint64], seed: int) -> Index:
    """Make the index of n keys; of equal ones the first is found."""
    bits = max(3, (2 * len(keys)).bit_length())
    index = Index(np.full(1 << bits, -1, np.int32), np.uint64(seed), np.uint64(64 - bits))
    _enter_all(keys, *index)
    return index


@inlined
def _seek(keys: NDArray[np.uint64], slots: NDArray[np.int32], seed: np.uint64, shift: np.uint64, key: np.uint64) -> int:
    """Return the slot of a key, or the empty one where it belongs."""
    slot = int(np.int64(((key ^ seed) * _SCATTER) >> shift))
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@compiled
def _enter_all(keys: NDArray[np.uint64], slots: NDArray[np.int32], seed: np.uint64, shift: np.uint64) -> None:
    for place in range(len(keys)):
        slot = _seek(keys, slots, seed, shift, keys[place])
        if slots[slot] < 0:
            slots[slot] = place


@compiled
def row_of(
    keys: NDArray[np.uint64], slots: NDArray[np.int32], seed: np.uint64, shift: np.uint64, key: np.uint64
) -> int:
    """Return the place of a key, -1 where it is none of them."""
    return int(slots[_seek(keys, slots, seed, shift, key)])


@allocating
def rows_of(
    keys: NDArray[np.uint64], slots: NDArray[np.int32], seed: np.uint64, shift: np.uint64, wanted: NDArray[np.uint64]
) -> NDArray[np.int32]:
    """Return the place of each wanted key, shape (k,), -1 where it is none of them."""
    rows = np.empty(len(wanted), np.int32)
    for place in range(len(wanted)):
        rows[place] = slots[_seek(keys, slots, seed, shift, wanted[place])]
    return rows
