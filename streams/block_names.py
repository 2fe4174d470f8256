"""The table of names of a block: for each hash the id or query behind it, read only when somebody asks."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from streams.block_columns import ColumnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAME_BYTES_MAX = 0xFFFF
"""A longer name is left out; ids have at most 128 bytes and queries 256 characters before they are normalised."""

_BLOB = struct.Struct("<I")


class NameTable:
    """Hashes in rising order, shape (n,), and the UTF-8 of their names. It is `detectors.actions.Names`.

    A hash without a name has an empty one.
    """

    __slots__ = ("_ends", "_lengths", "_text", "keys")

    def __init__(self, keys: NDArray[np.uint64], lengths: NDArray[np.int64], text: memoryview) -> None:
        """Take the hashes, the lengths of their names in bytes, both of shape (n,), and all names in a row."""
        self.keys = keys
        self._lengths = lengths
        self._ends = np.cumsum(lengths)
        self._text = text

    @classmethod
    def of(cls, keys: NDArray[np.uint64], names: Sequence[str | None]) -> NameTable:
        """Make the table of some hashes and the names behind them."""
        encoded = [name.encode("utf-8", "surrogatepass") if name else b"" for name in names]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        if len(lengths) and int(lengths.max()) > NAME_BYTES_MAX:
            encoded = [text if len(text) <= NAME_BYTES_MAX else b"" for text in encoded]
            lengths[lengths > NAME_BYTES_MAX] = 0
        return cls(keys, lengths, memoryview(b"".join(encoded)))

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: int) -> str | None:
        """Return the name behind a hash, or None where the block does not carry it."""
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        if at >= len(self.keys) or int(self.keys[at]) != key or not self._lengths[at]:
            return None
        end = int(self._ends[at])
        return str(self._text[end - int(self._lengths[at]) : end], "utf-8", "surrogatepass")

    def to_bytes(self) -> bytes:
        """Write the table; its length in rows is the block header's business."""
        return b"".join(
            [_BLOB.pack(len(self._text)), self.keys.tobytes(), self._lengths.astype(np.uint16).tobytes(), self._text]
        )

    @classmethod
    def from_bytes(cls, raw: memoryview, count: int) -> NameTable:
        """Read a table of `count` rows that fills `raw`. Raises ColumnError where it does not."""
        if len(raw) < _BLOB.size:
            raise ColumnError("the table of names is missing")
        (text_bytes,) = _BLOB.unpack_from(raw)
        if len(raw) != _BLOB.size + 10 * count + text_bytes:
            raise ColumnError(f"{len(raw)} bytes are not a table of {count} names in {text_bytes} bytes")
        keys_end = _BLOB.size + 8 * count
        keys = np.frombuffer(raw[_BLOB.size : keys_end], np.uint64).copy()
        lengths = np.frombuffer(raw[keys_end : keys_end + 2 * count], np.uint16).astype(np.int64)
        if int(lengths.sum()) != text_bytes:
            raise ColumnError("the lengths of the names do not add up")
        return cls(keys, lengths, raw[keys_end + 2 * count :])
