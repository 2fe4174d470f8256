"""Surges: how the meetings at the targets of one subject partition cross the topic to where groups are found.

A record holds the meetings of some consecutive records of the actions topic, each with the offset of the one that it
comes from, so that what is sent again after a crash is known again. The meetings of one of those are never parted.
Columns with the others of each meeting end to end, names of what the blocks named, one lz4 run under a checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
from xxhash import xxh3_64_intdigest

from detectors.meetings import OTHERS, Meetings
from streams.block_names import NameTable, Some, join_names, write_names
from streams.blocks import BlockRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

PARTITION = 0
"""The one partition of the topic that is used: to find groups all meetings must come together."""

MAGIC, VERSION = b"bwsu", 1
ROWS_AIM = 4_096
"""Meetings in one record, about: half a megabyte at the most before compression."""

RAW_BYTES_MAX = 64 << 20
"""A record larger than this before compression is none of ours: 64 MiB is half a million meetings."""

_PREFIX = struct.Struct("<4sBxHIIII")
_CHECKSUM = struct.Struct("<Q")
_LZ4_WORST = 255
_TS_MAX = 2**43
"""Of event times, ms: the year 2248. What lies beyond is damage."""

_COLUMNS = (
    ("offsets", "<i8"), ("ts", "<i8"), ("target", "<u8"), ("owner", "<u8"), ("actor", "<u8"), ("actions", "<i8"),
    ("crowd", "<f4"), ("many", "u1"),
)  # fmt: skip
_ROW_BYTES = sum(np.dtype(kind).itemsize for _, kind in _COLUMNS)

Met = tuple[int, Meetings]
"""The offset of a record of the actions topic, and the meetings that its actions made."""


@dataclass(frozen=True, slots=True)
class Surges:
    """One record, read: meetings of a partition of the actions topic; `offsets`, shape (m,), never fall.

    `value` is the record as it came, also where this is some of it.
    """

    partition: int
    offsets: NDArray[np.int64]
    meetings: Meetings
    value: bytes

    def since(self, offset: int) -> Surges:
        """Return those that come from records after this offset."""
        start = int(np.searchsorted(self.offsets, offset, side="right"))
        return self.where(slice(start, None)) if start else self

    def where(self, rows: slice | NDArray[np.bool_]) -> Surges:
        """Return some of them."""
        kept = {name: getattr(self.meetings, name)[rows] for name in Meetings.__dataclass_fields__ if name != "names"}
        return Surges(self.partition, self.offsets[rows], Meetings(**kept, names=self.meetings.names), self.value)


def pack_all(partition: int, met: Iterable[Met]) -> list[bytes]:
    """Pack the meetings of consecutive records of one partition into the values of as few records as is sensible."""
    return [_pack(partition, some) for some in _runs(met)]


def _runs(met: Iterable[Met]) -> Iterator[list[Met]]:
    run: list[Met] = []
    rows = 0
    for offset, meetings in met:
        if not len(meetings):
            continue
        run.append((offset, meetings))
        rows += len(meetings)
        if rows >= ROWS_AIM:
            yield run
            run, rows = [], 0
    if run:
        yield run


def _pack(partition: int, met: Sequence[Met]) -> bytes:
    columns = {
        name: np.concatenate([getattr(meetings, name) for _, meetings in met])
        for name in ("ts", "target", "owner", "actor", "actions", "crowd")
    }
    columns["offsets"] = np.repeat([offset for offset, _ in met], [len(meetings) for _, meetings in met])
    others = np.concatenate([meetings.others for _, meetings in met])
    there = others != 0
    columns["many"] = there.sum(axis=1)
    names, named = join_names([names_of(meetings) for _, meetings in met])
    parts = [columns[name].astype(kind).tobytes() for name, kind in _COLUMNS]
    flat = others[there].astype("<u8")  # the others of a meeting are its first entries
    raw = b"".join([*parts, flat.tobytes(), names])
    body = _PREFIX.pack(MAGIC, VERSION, partition, len(others), len(flat), named, len(raw))
    body += bytes(lz4.block.compress(raw, store_size=False))
    return body + _CHECKSUM.pack(xxh3_64_intdigest(body))


def names_of(meetings: Meetings) -> Some:
    """Return the names of accounts and targets, as far as they are known."""
    wanted = np.concatenate([meetings.actor, meetings.target])
    names = meetings.names
    if not isinstance(names, NameTable):
        wanted = np.unique(wanted)
        names = NameTable(memoryview(write_names(wanted, [names.find(key) for key in wanted.tolist()])), len(wanted))
    return names.some(wanted)


def unpack(value: bytes | None) -> Surges:
    """Read one record. Raises BlockRefused for what is none, damaged, or of another version."""
    if value is None or len(value) < _PREFIX.size + _CHECKSUM.size or value[:4] != MAGIC:
        raise BlockRefused("no record of meetings: the first bytes are not its mark")
    if value[4] != VERSION:
        raise BlockRefused(f"meetings of version {value[4]}, and this worker reads version {VERSION}: upgrade it first")
    body, checksum = value[: -_CHECKSUM.size], value[-_CHECKSUM.size :]
    if _CHECKSUM.unpack(checksum)[0] != xxh3_64_intdigest(body):
        raise BlockRefused(f"meetings in {len(value)} bytes are damaged: their checksum does not match")
    _, _, partition, rows, others, names, raw_bytes = _PREFIX.unpack_from(body)
    packed = body[_PREFIX.size :]
    fixed = rows * _ROW_BYTES + others * 8
    if not fixed <= raw_bytes <= min(RAW_BYTES_MAX, _LZ4_WORST * (len(packed) + 16)):
        raise BlockRefused(f"{rows} meetings cannot be in {raw_bytes} bytes")
    try:
        # Not as bytes: what cannot be written to would be compiled for once more.
        raw = lz4.block.decompress(packed, uncompressed_size=raw_bytes, return_bytearray=True)
        if len(raw) != raw_bytes:
            raise ValueError(f"{len(raw)} bytes came out where {raw_bytes} were told")  # noqa: TRY301
        return _read(partition, raw, rows, others, NameTable(memoryview(raw)[fixed:], names), bytes(value))
    except (ValueError, lz4.block.LZ4BlockError) as error:
        raise BlockRefused(f"meetings in {len(value)} bytes do not add up: {error}") from None


def _read(partition: int, raw: bytearray, rows: int, others: int, names: NameTable, value: bytes) -> Surges:
    columns, at = {}, 0
    for name, kind in _COLUMNS:
        columns[name] = np.frombuffer(raw, kind, rows, at)
        at += columns[name].nbytes
    flat = np.frombuffer(raw, "<u8", others, at)
    many, offsets, ts = columns["many"], columns["offsets"], columns["ts"]
    if int(many.sum()) != others or bool((many > OTHERS).any()):
        raise ValueError(f"{others} others are not those of {rows} meetings")
    if bool((np.diff(offsets) < 0).any()) or bool(((ts < 0) | (ts > _TS_MAX)).any()):
        raise ValueError("offsets fall, or times are none")
    if not (columns["actor"].all() and flat.all() and bool(np.isfinite(columns["crowd"]).all())):
        raise ValueError("an account or a crowd is none")
    filled = np.zeros((rows, OTHERS), np.uint64)
    filled[np.arange(OTHERS) < many[:, None]] = flat
    meetings = Meetings(
        ts, columns["target"], columns["owner"], columns["actor"], filled, columns["crowd"], columns["actions"],
        np.arange(rows), names,
    )  # fmt: skip
    return Surges(partition, offsets, meetings, value)
