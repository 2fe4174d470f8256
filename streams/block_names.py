"""The table of names of a block: for each hash the id or query behind it, read only when somebody asks."""

from __future__ import annotations

import secrets
import struct
from array import array
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.actions import Names
from schemas.compiled import compiled
from schemas.texts import Texts
from schemas.words import load8
from streams.block_kernels import Index, index_of, row_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAME_BYTES_MAX = 0xFFFF
"""A longer name is left out; ids have at most 128 bytes and queries 256 characters before they are normalised."""

_SEED = secrets.randbits(64)
"""No stranger knows which keys collide."""

_NO_ENDS = np.empty(0, np.int64)
_TEXT_BYTES = struct.Struct("<I")


def write_names(keys: NDArray[np.uint64], names: Sequence[str | None]) -> bytes:
    """Write the table of n hashes and the names behind them; one without a name has an empty one."""
    encoded = [name.encode("utf-8", "surrogatepass") if name else b"" for name in names]
    lengths = list(map(len, encoded))
    if lengths and max(lengths) > NAME_BYTES_MAX:
        encoded = [text if len(text) <= NAME_BYTES_MAX else b"" for text in encoded]
        lengths = list(map(len, encoded))
    text = b"".join(encoded)
    return b"".join([_TEXT_BYTES.pack(len(text)), keys.tobytes(), array("H", lengths).tobytes(), text])


class Gathered(NamedTuple):
    """k names, end to end in the order of their keys: `ends[i]` is where name i ends in `text`, `ends[-1]` is 0."""

    lengths: NDArray[np.uint16]  # (k,) bytes, 0 where there is no name
    ends: NDArray[np.int64]  # (k + 1,)
    text: NDArray[np.uint8]

    def table(self, keys: NDArray[np.uint64], start: int, end: int) -> bytes:
        """Write the table of the names `start` to `end` as `write_names` does; `keys` are those of all k names."""
        first = int(self.ends[start - 1])
        text = self.text[first : first + int(self.lengths[start:end].sum(dtype=np.int64))]
        columns = (keys[start:end].tobytes(), self.lengths[start:end].tobytes(), text.tobytes())
        return b"".join([_TEXT_BYTES.pack(len(text)), *columns])


def gather(
    columns: Sequence[Sequence[Sequence[str | None]]], column: NDArray[np.int64], row: NDArray[np.integer]
) -> Gathered:
    """Put names together that stand in columns of equal length: name i in column `column[i]`, row `row[i]`.

    A column is given as pieces, one behind the other. In a column below 0 there is no name.
    """
    pieces = [Texts.over(piece) for each in columns for piece in each]
    buffers = [np.frombuffer(piece.buffer, np.uint8) for piece in pieces]
    place = column * (sum(map(len, pieces)) // len(columns)) + row
    sizes = np.concatenate([piece.sizes for piece in pieces])[place].astype(np.int64)
    sizes[(column < 0) | (sizes < 0) | (sizes > NAME_BYTES_MAX)] = 0
    ends = np.zeros(len(place) + 1, np.int64)
    np.cumsum(sizes, out=ends[:-1])
    starts = [piece.starts + buffer.ctypes.data for piece, buffer in zip(pieces, buffers, strict=True)]
    text = np.empty(int(ends[-2]) if len(place) else 0, np.uint8)
    _copy(np.concatenate(starts)[place], ends, text)
    del buffers  # the addresses hold until here
    return Gathered(sizes.astype(np.uint16), ends, text)


@compiled
def _copy(addresses: NDArray[np.int64], ends: NDArray[np.int64], text: NDArray[np.uint8]) -> None:
    """Copy the bytes from each address on to where they are to end."""
    at = 0
    for name in range(len(addresses)):
        offset = addresses[name] - at
        while at < ends[name]:
            text[at] = load8(offset, at)
            at += 1


class Some(NamedTuple):
    """Hashes, shape (k,), the bytes of each name, and the names end to end."""

    keys: NDArray[np.uint64]
    lengths: NDArray[np.uint16]
    text: bytes


def join_names(parts: Sequence[Some]) -> tuple[bytes, int]:
    """Write a table of the names in all parts, and say how many it has; one that comes twice stands in it twice."""
    keys, lengths, texts = zip(*parts, strict=True)
    text = b"".join(texts)
    columns = (np.concatenate(keys).tobytes(), np.concatenate(lengths).tobytes())
    return b"".join([_TEXT_BYTES.pack(len(text)), *columns, text]), sum(map(len, keys))


class NameTable(Names):
    """Hashes, shape (n,), and the UTF-8 of their names."""

    __slots__ = ("_ends", "_index", "_lengths", "_text", "keys")

    def __init__(self, raw: memoryview, count: int) -> None:
        """Read a table of `count` rows that fills `raw`. Raises ValueError where it does not."""
        if len(raw) < _TEXT_BYTES.size:
            raise ValueError("the table of names is missing")
        (text_bytes,) = _TEXT_BYTES.unpack_from(raw)
        keys_end = _TEXT_BYTES.size + 8 * count
        lengths_end = keys_end + 2 * count
        if len(raw) != lengths_end + text_bytes:
            raise ValueError(f"{len(raw)} bytes are not a table of {count} names in {text_bytes} bytes")
        # A copy is aligned and may be written to: loops are compiled for such arrays only.
        self.keys = np.frombuffer(raw[_TEXT_BYTES.size : keys_end], np.uint64).copy()
        self._lengths = np.frombuffer(raw[keys_end:lengths_end], np.uint16)
        self._text = raw[lengths_end:]
        self._index: Index | None = None
        self._ends = _NO_ENDS  # of the names, shape (n,), once there is an index

    def __len__(self) -> int:
        return len(self.keys)

    def some(self, wanted: NDArray[np.uint64]) -> Some:
        """Return what the block carries of some hashes, shape (k,), once each in the order of the table."""
        found = rows_of(self.keys, *self._indexed(), wanted)
        carried = np.zeros(len(self.keys), np.bool_)
        carried[found[found >= 0]] = True
        rows = np.flatnonzero(carried & (self._lengths > 0))
        if not len(rows):
            return Some(self.keys[:0], self._lengths[:0], b"")
        lengths, source = self._lengths[rows], np.frombuffer(self._text, np.uint8)
        ends = np.cumsum(lengths, dtype=np.int64)
        text = np.empty(int(ends[-1]), np.uint8)
        _copy(self._ends[rows] - lengths + source.ctypes.data, ends, text)
        return Some(self.keys[rows], lengths, text.tobytes())

    def find(self, key: int) -> str | None:
        """Return the name behind a hash, or None where the block does not carry it."""
        row = row_of(self.keys, *self._indexed(), np.uint64(key))
        if row < 0 or not self._lengths[row]:
            return None
        end = int(self._ends[row])
        return str(self._text[end - int(self._lengths[row]) : end], "utf-8", "surrogatepass")

    def find_all(self, keys: NDArray[np.uint64]) -> list[str | None]:
        """Return the names behind some hashes, shape (k,), None where the block does not carry one."""
        if not len(self):
            return [None] * len(keys)
        rows = rows_of(self.keys, *self._indexed(), keys)
        text, lengths = self._text, np.where(rows < 0, 0, self._lengths[rows])
        ends = self._ends[rows]
        return [
            str(text[end - length : end], "utf-8", "surrogatepass") if length else None
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]

    def _indexed(self) -> Index:
        if self._index is None:
            self._index = index_of(self.keys, _SEED)
            self._ends = np.cumsum(self._lengths, dtype=np.int64)
        return self._index
