"""How many distinct actors: a small bitmap for tens and hundreds, a HyperLogLog beyond.

Actors are given by their stable 64-bit hashes, so the sketches of two processes agree and can be merged.
"""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING

import numpy as np

from detectors.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITMAP_BITS = 256
SMALL_BITS = 64
REGISTERS = 256


@compiled
def popcount(word: np.uint64) -> int:
    """Return how many bits are set."""
    left = np.uint64(word)
    found = 0
    while left != np.uint64(0):
        left &= left - np.uint64(1)
        found += 1
    return found


@compiled
def mark_seen(bitmap: NDArray[np.uint64], actor: np.uint64) -> None:
    """Enter an actor into a bitmap of four words."""
    place = np.uint64(actor) & np.uint64(255)
    bitmap[np.int64(place >> np.uint64(6))] |= np.uint64(1) << (place & np.uint64(63))


@compiled
def small_bit(actor: np.uint64) -> np.uint64:
    """Return the bit of an actor in a bitmap of one word."""
    return np.uint64(1) << ((np.uint64(actor) >> np.uint64(8)) & np.uint64(63))


@compiled
def distinct(bits_set: int, bits: int) -> float:
    """Estimate distinct entries from a bitmap: linear counting (Whang et al. 1990); inf where it is full."""
    if bits_set >= bits:
        return inf
    return -bits * log(1.0 - bits_set / bits)


@compiled
def distinct_seen(bitmap: NDArray[np.uint64]) -> float:
    """Estimate the distinct actors in a bitmap of four words: 5% off at 400, inf where it is full."""
    held = 0
    for word in bitmap:
        held += popcount(word)
    return distinct(held, BITMAP_BITS)


@compiled
def register(registers: NDArray[np.uint8], actor: np.uint64) -> None:
    """Enter an actor into a HyperLogLog (Flajolet et al. 2007) of 256 registers."""
    place = np.int64((np.uint64(actor) >> np.uint64(16)) & np.uint64(REGISTERS - 1))
    rest = np.uint64(actor) >> np.uint64(24)
    rank = 1
    while rank < 41 and rest & np.uint64(1) == np.uint64(0):
        rank += 1
        rest >>= np.uint64(1)
    registers[place] = max(int(registers[place]), rank)


@compiled
def distinct_registered(registers: NDArray[np.uint8]) -> float:
    """Estimate the distinct actors in a HyperLogLog: 6.5% off, linear counting where registers are empty."""
    size = len(registers)
    total = 0.0
    empty = 0
    for value in registers:
        total += 2.0 ** -float(value)
        if value == 0:
            empty += 1
    estimate = 0.7213 / (1.0 + 1.079 / size) * size * size / total
    if empty > 0 and estimate <= 2.5 * size:
        return size * log(size / empty)
    return estimate
