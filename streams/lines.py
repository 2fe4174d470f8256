"""Lines of a large file, plain or gzipped, in bounded memory: read in blocks, each told by where its lines are."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schemas.decode import PAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 19
"""Read and unpacked at once: some thousand events, which is where the cost of a batch is spread thin."""

_LINE_FEED = ord("\n")

_GZIP = 31
"""zlib's `wbits` for the gzip format with a 32 KiB window."""


@dataclass(frozen=True, slots=True)
class Lines:
    """n whole lines: `data[begins[i] : ends[i]]`, without their ends.

    `first` is the number of the first one, counted from 1. Behind the last line `data` has `schemas.decode.PAD`.
    """

    first: int
    data: bytes
    begins: NDArray[np.int64]  # (n,)
    ends: NDArray[np.int64]  # (n,)
    position: int  # bytes of the file consumed so far


class DamagedError(Exception):
    """The rest of a gzipped file cannot be unpacked; what came before it was."""


def read_lines(path: Path, line_bytes_max: int, too_long: Callable[[int], None]) -> Iterator[Lines]:
    """Yield the lines of a file in order; a last line needs no end.

    A line longer than `line_bytes_max` is given to `too_long` by its number and skipped, so that memory stays
    bounded whatever the file is.

    Raises:
        DamagedError: the gzip data is damaged or cut off; every line before that was yielded.
        OSError: the file cannot be read.

    """
    first = 1
    rest = b""
    skipping = False  # inside a line that is too long
    position = 0
    damage: str | None = None
    for block in _blocks(path):
        data, position, damage = block
        if skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                continue
            skipping = False
            first += 1
        text = b"".join((rest, data, PAD))
        # PAD holds no line feed.
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_FEED)
        begins = np.zeros(len(ends) + 1, np.int64)
        begins[1:] = ends + 1
        rest = text[begins[-1] : -len(PAD)]
        if len(ends):
            yield Lines(first, text, begins[:-1], ends, position)
            first += len(ends)
        if len(rest) > line_bytes_max:
            too_long(first)
            rest = b""
            skipping = True
    if rest:
        yield Lines(first, rest + PAD, np.zeros(1, np.int64), np.array([len(rest)], np.int64), position)
    if damage is not None:
        raise DamagedError(damage)


def _blocks(path: Path) -> Iterator[tuple[bytes, int, str | None]]:
    """Yield the unpacked bytes, the file's position, and in the last block what is wrong with the file."""
    with path.open("rb", buffering=0) as file:
        if path.suffix != ".gz":
            while data := file.read(BLOCK_BYTES):
                yield data, file.tell(), None
            return
        unpack = zlib.decompressobj(_GZIP)
        packed = b""
        while True:
            packed = packed or file.read(BLOCK_BYTES)
            if not packed:
                if not unpack.eof:
                    yield b"", file.tell(), "it is cut off"
                return
            if unpack.eof:  # another member follows, or the zeros that pad the last one
                if not packed.strip(b"\0"):
                    packed = b""
                    continue
                unpack = zlib.decompressobj(_GZIP)
            try:
                data = unpack.decompress(packed, BLOCK_BYTES)
            except zlib.error as error:
                yield b"", file.tell(), f"it is damaged near byte {file.tell() - len(packed)} ({error})"
                return
            packed = unpack.unconsumed_tail or unpack.unused_data
            yield data, file.tell() - len(packed), None
