"""A column of strings that are made only when somebody asks for one: most never are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Texts(Sequence[Any]):
    """n strings, as pieces of one buffer of UTF-8; None stands where there is none.

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
    def of(cls, texts: Sequence[str | None]) -> Texts:
        """Keep strings that exist already."""
        encoded = [None if text is None else text.encode() for text in texts]
        sizes = np.array([-1 if text is None else len(text) for text in encoded], np.int32)
        starts = np.zeros(len(texts), np.int64)
        np.cumsum(np.maximum(sizes, 0)[:-1], out=starts[1:])
        return cls(b"".join(filter(None, encoded)), starts, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, np.ndarray)):
            return Texts(self.buffer, self.starts[index], self.sizes[index])
        raw = self.raw(index)
        return None if raw is None else raw.decode()

    def raw(self, index: int) -> bytes | None:
        """Return one string as UTF-8."""
        size = int(self.sizes[index])
        start = int(self.starts[index])
        return None if size < 0 else self.buffer[start : start + size]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, (str, bytes)) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Texts.of({list(self)!r})"

    def followed_by(self, other: Texts) -> Texts:
        """Return these strings and then the other ones."""
        return Texts(
            self.buffer + other.buffer,
            np.concatenate([self.starts, other.starts + len(self.buffer)]),
            np.concatenate([self.sizes, other.sizes]),
        )


def differing(texts: Sequence[str | None], others: Sequence[bytes | None]) -> int:
    """Count the rows in which n other strings, as UTF-8, are not those of a column."""
    column = texts if isinstance(texts, Texts) else Texts.of(texts)
    sizes = np.array([-1 if other is None else len(other) for other in others], np.int32)
    joined = np.frombuffer(b"".join(filter(None, others)), np.uint8)
    return int(_differing(np.frombuffer(column.buffer, np.uint8), column.starts, column.sizes, joined, sizes))


@compiled
def _differing(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int32],
    others: NDArray[np.uint8],
    other_sizes: NDArray[np.int32],
) -> int:
    count = at = 0
    for row in range(len(sizes)):
        same = sizes[row] == other_sizes[row]
        if same:
            for place in range(sizes[row]):
                if data[starts[row] + place] != others[at + place]:
                    same = False
                    break
        count += not same
        at += max(other_sizes[row], 0)
    return count
