"""The compiled loop over the records of one record batch: from their bytes to where each key and value lies in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.compiled import compiled, inlined
from schemas.words import load8

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD_BYTES_MIN = 7
"""The least that a record takes: its length, attributes, two deltas, two sizes and the count of its headers."""

VARINT_BYTES_MAX = 10
BAD = -1
"""What `_varint_end` returns instead of a place."""


class RecordColumns(NamedTuple):
    """n records; a key or value of `sizes` -1 is none, and `headers_at` is -1 where there are no headers."""

    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]  # ms
    key_starts: NDArray[np.int64]
    key_sizes: NDArray[np.int32]
    value_starts: NDArray[np.int64]
    value_sizes: NDArray[np.int32]
    headers_at: NDArray[np.int64]


class Span(NamedTuple):
    """Where the records of a batch lie, from `begin` to before `end`, how many they are, what deltas are added to."""

    begin: int
    end: int
    records: int
    base_offset: int
    offset_first: int  # those before are left out
    offset_next: int  # of the batch, by its header
    base_ms: int
    all_alike: bool  # the broker's time stands for that of every record


def room(n: int) -> RecordColumns:
    """Return columns for n records."""
    return RecordColumns(
        offsets=np.empty(n, np.int64),
        timestamps=np.empty(n, np.int64),
        key_starts=np.empty(n, np.int64),
        key_sizes=np.empty(n, np.int32),
        value_starts=np.empty(n, np.int64),
        value_sizes=np.empty(n, np.int32),
        headers_at=np.empty(n, np.int64),
    )


@inlined
def _varint(base: int, at: int, end: int) -> tuple[int, int]:
    """Return a number (zigzag, seven bits a byte, the lowest first) and where it ends, `BAD` where it does not.

    From `BAD` on there is nothing, so that a caller looks once at the end.
    """
    if at == BAD:
        return 0, BAD
    byte = load8(base, at) if at < end else 0x80
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = shift = 0
    last = min(end, at + VARINT_BYTES_MAX)
    while at < last:
        byte = load8(base, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            # A logical shift: the highest bit is one of the number's.
            return np.int64(np.uint64(value) >> np.uint64(1)) ^ -(value & 1), at
        shift += 7
    return 0, BAD


@inlined
def _piece(base: int, at: int, end: int) -> tuple[int, int, int]:
    """Return where a piece of bytes begins, its size (-1: there is none) and where it ends, or `BAD`."""
    size, start = _varint(base, at, end)
    if start == BAD or size < -1 or size > end - start:
        return 0, 0, BAD
    return start, size, start + max(size, 0)


@inlined
def _headers_end(base: int, at: int, end: int) -> int:
    """Return where the headers that begin at `at` end, or `BAD`."""
    count, at = _varint(base, at, end)
    if at == BAD or count < 0 or count > end - at:
        return BAD
    for _ in range(2 * count):
        _, _, at = _piece(base, at, end)
    return at


@compiled
def read_records(data: NDArray[np.uint8], span: Span, done: int, out: RecordColumns) -> tuple[int, bool]:
    """Walk the records of one batch and put them behind the `done` ones that are there.

    `data` has `schemas.words.PAD_BYTES` behind its last record. Returns how many there are then, and False where a
    record was none: it and what follows in its batch are left out.
    """
    base, at = data.ctypes.data, span.begin
    following = span.offset_first
    for _ in range(span.records):
        size, start = _varint(base, at, span.end)
        if start == BAD or size < 0 or size > span.end - start:
            return done, False
        end = start + size
        delta_ms, at = _varint(base, start + 1, end)  # after the attributes, of which none is used
        delta, at = _varint(base, at, end)
        key_start, key_size, at = _piece(base, at, end)
        value_start, value_size, at = _piece(base, at, end)
        plain = at + 1 == end and load8(base, at) == 0
        offset = span.base_offset + delta
        if (not plain and (at == BAD or _headers_end(base, at, end) != end)) or offset >= span.offset_next:
            return done, False
        # A fetch from within a compressed batch brings the whole batch.
        if offset >= following:
            following = offset + 1
            out.offsets[done] = offset
            out.timestamps[done] = span.base_ms if span.all_alike else span.base_ms + delta_ms
            out.key_starts[done], out.key_sizes[done] = key_start, key_size
            out.value_starts[done], out.value_sizes[done] = value_start, value_size
            out.headers_at[done] = -1 if plain else at
            done += 1
        at = end
    return done, True
