"""How memory is taken from the system, and given back to it.

Two ways of glibc's malloc let a worker's resident memory follow its worst minute for ever. Its limit from which on
arrays have mappings of their own rises to the size of whatever large was freed last, up to 32 MiB (M_MMAP_THRESHOLD in
mallopt(3)), so tables and what they are rebuilt with come out of the same heaps as each batch's small arrays, which
leave them full of holes. And of the heap of a thread only the end is given back: once a backlog of half a minute had
been fetched, a gigabyte that nobody used stayed resident.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

APART_FROM_BYTES: Final = 2 << 20
"""Larger than what a batch makes, smaller than what tables of a million rows are rebuilt with."""

GIVE_BACK_S: Final = 60.0
"""Between two times of giving back: what is free for shorter is about to be used again."""

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h. A limit that was set is not raised any more."""


def keep_large_apart() -> bool:
    """Give arrays from `APART_FROM_BYTES` on mappings of their own, from here on; return whether that can be asked for.

    It can of glibc. Other C libraries hand large arrays back anyway, or have no such setting.
    """
    mallopt = _of_the_c_library("mallopt")
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, APART_FROM_BYTES) == 1


def give_back() -> bool:
    """Return free pages of all heaps to the system, wherever in them they lie; return whether there were any."""
    trim = _of_the_c_library("malloc_trim")
    return trim is not None and trim(0) == 1


async def give_back_for_ever() -> None:
    """Give back now and then, beside the loop: it takes some milliseconds for each gigabyte."""
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        await asyncio.to_thread(give_back)


def _of_the_c_library(name: str) -> Callable[..., int] | None:
    """Return a function of the C library that this process runs on, None where there is no such function."""
    return None if sys.platform == "win32" else getattr(ctypes.CDLL(None), name, None)
