"""Columns of strings that are made only when somebody asks for one: most never are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from schemas.compiled import compiled
from schemas.words import PAD_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pieces(Sequence[Any]):
    """n byte strings, as pieces of one buffer; None stands where there is none.

    A slice, or an array of rows, gives the same for those rows, on the same buffer.
    """

    __slots__ = ("buffer", "sizes", "starts")
    __hash__ = None  # type: ignore[assignment]  # it equals lists

    def __init__(self, buffer: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int32]) -> None:
        """Take the buffer, and where in it each string begins and how many bytes it has, shape (n,); -1 is None."""
        self.buffer = buffer
        self.starts = starts
        self.sizes = sizes

    @classmethod
    def of(cls, strings: Sequence[Any]) -> Self:
        """Keep strings that exist already."""
        sizes = np.array([-1 if string is None else len(string) for string in strings], np.int32)
        starts = np.zeros(len(strings), np.int64)
        np.cumsum(np.maximum(sizes, 0)[:-1], out=starts[1:])
        return cls(b"".join(filter(None, strings)), starts, sizes)

    @classmethod
    def over(cls, strings: Sequence[Any]) -> Self:
        """Return strings as such a column, which they may be already."""
        return strings if isinstance(strings, cls) else cls.of(strings)

    @property
    def size_bytes(self) -> int:
        """Bytes of all strings together."""
        return int(np.maximum(self.sizes, 0).sum(dtype=np.int64))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, np.ndarray)):
            return type(self)(self.buffer, self.starts[index], self.sizes[index])
        return self.raw(index)

    def raw(self, index: int) -> bytes | None:
        """Return one string as bytes."""
        size = int(self.sizes[index])
        start = int(self.starts[index])
        return None if size < 0 else self.buffer[start : start + size]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, (str, bytes)) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({list(self)!r})"

    @classmethod
    def joined(cls, columns: Sequence[Self]) -> Self:
        """Return the strings of several columns, one after the other; of each buffer only what they lie in is kept."""
        parts: list[bytes] = []
        starts: list[NDArray[np.int64]] = []
        at = 0
        for column in columns:
            first = int(column.starts.min(initial=len(column.buffer)))
            end = int((column.starts + np.maximum(column.sizes, 0)).max(initial=first))
            parts.append(column.buffer[first:end])
            starts.append(column.starts + (at - first))
            at += end - first
        # Loads of eight bytes at the last one stay inside of the buffer.
        buffer = b"".join([*parts, bytes(PAD_BYTES)])
        return cls(buffer, np.concatenate(starts), np.concatenate([column.sizes for column in columns]))

    def followed_by(self, other: Self) -> Self:
        """Return these strings and then the other ones."""
        return type(self)(
            self.buffer + other.buffer,
            np.concatenate([self.starts, other.starts + len(self.buffer)]),
            np.concatenate([self.sizes, other.sizes]),
        )


class Texts(Pieces):
    """n strings, as pieces of one buffer of UTF-8."""

    __slots__ = ()
    __hash__ = None

    @classmethod
    def of(cls, strings: Sequence[Any]) -> Self:
        """Keep strings that exist already."""
        return super().of([None if string is None else string.encode() for string in strings])

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found.decode() if isinstance(found, bytes) else found


def differing(texts: Sequence[str | None], others: Sequence[bytes | None]) -> int:
    """Count the rows in which n other strings, as UTF-8, are not those of a column."""
    column, other = Texts.over(texts), Pieces.over(others)
    data, others_data = np.frombuffer(column.buffer, np.uint8), np.frombuffer(other.buffer, np.uint8)
    return int(_differing(data, column.starts, column.sizes, others_data, other.starts, other.sizes))


@compiled
def _differing(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int32],
    others: NDArray[np.uint8],
    other_starts: NDArray[np.int64],
    other_sizes: NDArray[np.int32],
) -> int:
    count = 0
    for row in range(len(sizes)):
        size = sizes[row]
        same = size == other_sizes[row]
        if same:
            start, other = starts[row], other_starts[row]
            for place in range(size):
                if data[start + place] != others[other + place]:
                    same = False
                    break
        count += not same
    return count
