"""How memory is taken from the system: large arrays in mappings of their own, which go back when the arrays do.

glibc raises its limit for that to the size of whatever large was freed last, up to 32 MiB (M_MMAP_THRESHOLD in
mallopt(3)). From then on tables of event ids and the arrays of their rebuilding come out of the same heaps as each
batch's small ones, which leave them full of holes: a worker at half load had 880 MiB in such heaps, and they went on
growing.
"""

from __future__ import annotations

import ctypes
from typing import Final

APART_FROM_BYTES: Final = 2 << 20
"""Larger than what a batch makes, smaller than what tables of a million rows are rebuilt with."""

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h. A limit that was set is not raised any more."""


def keep_large_apart() -> bool:
    """Give arrays from `APART_FROM_BYTES` on mappings of their own, from here on; return whether that can be asked for.

    It can of glibc. Other C libraries hand large arrays back anyway, or have no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, APART_FROM_BYTES) == 1
