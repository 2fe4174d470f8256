"""A stable 64-bit identity for every id: the same in every process, on every machine, after every restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from xxhash import xxh3_64_digest, xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def hash_id(text: str) -> int:
    """Hash an id (its UTF-8 bytes) to an unsigned 64-bit integer that is never 0, which means absent.

    >>> hash_id("u81") == hash_id("u81")
    True
    >>> 0 < hash_id("") < 2**64
    True
    """
    return xxh3_64_intdigest(text.encode()) or 1


def hash_bytes(data: bytes | memoryview) -> int:
    """Hash bytes to an unsigned 64-bit integer, to see later whether they are still the same."""
    return xxh3_64_intdigest(data)


def hash_ids(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Hash n ids to an array of shape (n,), each as `hash_id` would.

    >>> hash_ids(["u81", "u7"])[1] == hash_id("u7")
    np.True_
    """
    # Encoding all ids as one string halves the cost of an id; one that holds the separator spoils the count.
    encoded = "\0".join(texts).encode().split(b"\0")
    if len(encoded) != len(texts):
        encoded = [text.encode() for text in texts]
    hashes = np.frombuffer(b"".join(map(xxh3_64_digest, encoded)), ">u8").astype(np.uint64)
    hashes[hashes == 0] = 1
    return hashes


def hash_optional(texts: Sequence[str | None]) -> NDArray[np.uint64]:
    """Hash n ids of which some are absent: 0 stands for None.

    >>> hash_optional([None, "u7"]).tolist() == [0, hash_id("u7")]
    True
    """
    absent = texts.count(None)
    if absent == len(texts):
        return np.zeros(len(texts), np.uint64)
    hashes = hash_ids(["" if text is None else text for text in texts])
    if absent:
        hashes[[text is None for text in texts]] = 0
    return hashes
