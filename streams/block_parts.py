"""The parts of a block: which of its rows come from which source, and the columns that rise from part to part."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from streams.block_kernels import OFFSET, WATERMARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_PART = struct.Struct("<HBxIIqqqqq")


def source_name(topic: str, partition: int) -> str:
    """Name a source of actions.

    >>> source_name("likes", 3)
    'likes/3'
    """
    return f"{topic}/{partition}"


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Where rows come from: offsets `offset_first` to `offset_last` of one source partition, inclusive.

    Without rows it only moves its source's watermark; `idle` says that the source is caught up and silent.
    """

    topic: str
    partition: int
    offset_first: int
    offset_last: int
    watermark_ms: int
    idle: bool = False

    @property
    def source(self) -> str:
        """The name by which the subject stage knows the source."""
        return source_name(self.topic, self.partition)


class Part(NamedTuple):
    """Rows `start` to before `end` of a block, all of one source; a source has one part of a block at the most."""

    header: BlockHeader
    start: int
    end: int


def tops_of(matrix: NDArray[np.int64], parts: Sequence[Part]) -> bytes:
    """Return what is told of each part before the columns."""
    told = bytearray()
    for header, start, end in parts:
        first, seen = (int(matrix[OFFSET, start]), int(matrix[WATERMARK, start])) if end > start else (0, 0)
        topic = header.topic.encode()
        told += _PART.pack(
            len(topic), header.idle, header.partition, end - start, header.offset_first, header.offset_last,
            header.watermark_ms, first, seen,
        )  # fmt: skip
        told += topic
    return bytes(told)


def level(matrix: NDArray[np.int64], parts: Sequence[Sequence[Part]]) -> None:
    """Let the columns that never fall within a part go on from part to part where the one before ended."""
    for some in parts:
        for before, part in pairwise(some):
            for column in (OFFSET, WATERMARK) if part.end > part.start else ():
                matrix[column, part.start : part.end] -= matrix[column, part.start] - matrix[column, before.end - 1]


def unlevel(matrix: NDArray[np.int64], parts: Sequence[Part], firsts: Sequence[tuple[int, int]]) -> None:
    """Undo `level`: each part begins with its own first offset and watermark again."""
    for part, first in zip(parts, firsts, strict=True):
        if part.end > part.start:
            for column, value in zip((OFFSET, WATERMARK), first, strict=True):
                matrix[column, part.start : part.end] += value - matrix[column, part.start]


def within(parts: Sequence[Part], start: int, end: int) -> list[Part]:
    """Return what lies between two rows."""
    cut = (Part(part.header, max(part.start, start), min(part.end, end)) for part in parts)
    return [part for part in cut if part.end > part.start]


def read_tops(raw: bytes | bytearray, parts: int) -> tuple[list[Part], list[tuple[int, int]], int]:
    """Return the parts, the first offset and watermark of each, and where they end."""
    told: list[Part] = []
    firsts: list[tuple[int, int]] = []
    at = row = 0
    for _ in range(parts):
        topic_bytes, idle, partition, rows, first, last, watermark, offset, seen = _PART.unpack_from(raw, at)
        at += _PART.size
        header = BlockHeader(raw[at : at + topic_bytes].decode(), partition, first, last, watermark, bool(idle))
        told.append(Part(header, row, row + rows))
        firsts.append((offset, seen))
        at, row = at + topic_bytes, row + rows
    return told, firsts, at
