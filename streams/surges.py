"""Surges: how the visits at the targets of one subject partition cross the topic to where groups are found.

A record holds the visits of some consecutive records of the actions topic, each with the offset of the one that it
comes from, so that what is sent again after a crash is known again. The visits of one of those are never parted.
Columns, names of what the blocks named, one lz4 run under a checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
from xxhash import xxh3_64_intdigest

from detectors.visits import COLUMNS, Visits
from streams.block_names import NameTable, Some, join_names, write_names
from streams.blocks import BlockRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

PARTITION = 0
"""The one partition of the topic that is used: to find groups all visits must come together."""

MAGIC, VERSION = b"bwsu", 2
ROWS_AIM = 8_192
"""Visits in one record, about: half a megabyte at the most before compression, without the names."""

RAW_BYTES_MAX = 64 << 20
"""A record larger than this before compression is none of ours: 64 MiB is half a million visits."""

_PREFIX = struct.Struct("<4sBxHIII")
_CHECKSUM = struct.Struct("<Q")
_LZ4_WORST = 255
_TS_MAX = 2**43
"""Of event times, ms: the year 2248. What lies beyond is damage."""

_COLUMNS = (
    ("offsets", "<i8"), ("ts", "<i8"), ("target", "<u8"), ("owner", "<u8"), ("actor", "<u8"), ("actions", "<i8"),
    ("crowd", "<f4"),
)  # fmt: skip
_ROW_BYTES = sum(np.dtype(kind).itemsize for _, kind in _COLUMNS)

Visited = tuple[int, Visits]
"""The offset of a record of the actions topic, and the visits among its actions."""


@dataclass(frozen=True, slots=True)
class Surges:
    """One record, read: visits in a partition of the actions topic; `offsets`, shape (m,), never fall.

    `value` is the record as it came, also where this is some of it.
    """

    partition: int
    offsets: NDArray[np.int64]
    visits: Visits
    value: bytes

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, offset: int) -> Surges:
        """Return those that come from records after this offset."""
        start = int(np.searchsorted(self.offsets, offset, side="right"))
        return self.where(slice(start, None)) if start else self

    def where(self, rows: slice | NDArray[np.bool_]) -> Surges:
        """Return some of them."""
        return Surges(self.partition, self.offsets[rows], self.visits.where(rows), self.value)


def pack_all(partition: int, visited: Iterable[Visited]) -> list[bytes]:
    """Pack the visits of consecutive records of one partition into the values of as few records as is sensible."""
    return [_pack(partition, some) for some in _runs(visited)]


def _runs(visited: Iterable[Visited]) -> Iterator[list[Visited]]:
    run: list[Visited] = []
    rows = 0
    for offset, visits in visited:
        if not len(visits):
            continue
        run.append((offset, visits))
        rows += len(visits)
        if rows >= ROWS_AIM:
            yield run
            run, rows = [], 0
    if run:
        yield run


def _pack(partition: int, visited: Sequence[Visited]) -> bytes:
    columns = {name: np.concatenate([getattr(visits, name) for _, visits in visited]) for name in COLUMNS}
    columns["offsets"] = np.repeat([offset for offset, _ in visited], [len(visits) for _, visits in visited])
    names, named = join_names([names_of(visits) for _, visits in visited])
    raw = b"".join([*(columns[name].astype(kind).tobytes() for name, kind in _COLUMNS), names])
    body = _PREFIX.pack(MAGIC, VERSION, partition, len(columns["offsets"]), named, len(raw))
    body += bytes(lz4.block.compress(raw, store_size=False))
    return body + _CHECKSUM.pack(xxh3_64_intdigest(body))


def names_of(visits: Visits) -> Some:
    """Return the names of accounts and targets, as far as they are known."""
    wanted = np.concatenate([visits.actor, visits.target])
    names = visits.names
    if not isinstance(names, NameTable):
        wanted = np.unique(wanted)
        names = NameTable(memoryview(write_names(wanted, [names.find(key) for key in wanted.tolist()])), len(wanted))
    return names.some(wanted)


def unpack(value: bytes | None) -> Surges:
    """Read one record. Raises BlockRefused for what is none, damaged, or of another version."""
    if value is None or len(value) < _PREFIX.size + _CHECKSUM.size or value[:4] != MAGIC:
        raise BlockRefused("no record of visits: the first bytes are not its mark")
    if value[4] != VERSION:
        told = f"visits of version {value[4]}, and this worker reads version {VERSION}"
        raise BlockRefused(f"{told}: let a worker of the release that wrote them read what is left of them first")
    body, checksum = value[: -_CHECKSUM.size], value[-_CHECKSUM.size :]
    if _CHECKSUM.unpack(checksum)[0] != xxh3_64_intdigest(body):
        raise BlockRefused(f"visits in {len(value)} bytes are damaged: their checksum does not match")
    _, _, partition, rows, names, raw_bytes = _PREFIX.unpack_from(body)
    packed = body[_PREFIX.size :]
    fixed = rows * _ROW_BYTES
    if not fixed <= raw_bytes <= min(RAW_BYTES_MAX, _LZ4_WORST * (len(packed) + 16)):
        raise BlockRefused(f"{rows} visits cannot be in {raw_bytes} bytes")
    try:
        # Not as bytes: what cannot be written to would be compiled for once more.
        raw = lz4.block.decompress(packed, uncompressed_size=raw_bytes, return_bytearray=True)
        if len(raw) != raw_bytes:
            raise ValueError(f"{len(raw)} bytes came out where {raw_bytes} were told")  # noqa: TRY301
        return _read(partition, raw, rows, NameTable(memoryview(raw)[fixed:], names), bytes(value))
    except (ValueError, lz4.block.LZ4BlockError) as error:
        raise BlockRefused(f"visits in {len(value)} bytes do not add up: {error}") from None


def _read(partition: int, raw: bytearray, rows: int, names: NameTable, value: bytes) -> Surges:
    columns, at = {}, 0
    for name, kind in _COLUMNS:
        columns[name] = np.frombuffer(raw, kind, rows, at)
        at += columns[name].nbytes
    offsets, ts = columns.pop("offsets"), columns["ts"]
    if bool((np.diff(offsets) < 0).any()) or bool(((ts < 0) | (ts > _TS_MAX)).any()):
        raise ValueError("offsets fall, or times are none")
    if not (columns["actor"].all() and bool(np.isfinite(columns["crowd"]).all())):
        raise ValueError("an account or a crowd is none")
    return Surges(partition, offsets, Visits(**columns, rows=np.arange(rows), names=names), value)
