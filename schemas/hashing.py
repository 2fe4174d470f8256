"""A stable 64-bit identity for every id: the same in every process, on every machine, after every restart."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest


def hash_id(text: str) -> int:
    """Hash an id (its UTF-8 bytes) to an unsigned 64-bit integer that is never 0, which means absent.

    >>> hash_id("u81") == hash_id("u81")
    True
    >>> 0 < hash_id("") < 2**64
    True
    """
    return xxh3_64_intdigest(text) or 1
