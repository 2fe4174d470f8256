"""XXH3, 64 bits, seed 0, of 1 to 128 bytes, for compiled loops: bit for bit what the xxhash library gives.

Source: the XXH3 algorithm in the xxHash specification (Yann Collet, https://github.com/Cyan4973/xxHash,
doc/xxhash_spec.md), from which the primes and the secret are.
"""

from __future__ import annotations

import numpy as np

from schemas.compiled import compiled, inlined
from schemas.words import fold_product, load8, load32, load64, swap_bytes

HASHED_BYTES_MAX = 128
"""Longer inputs are hashed in another way, which nothing here needs: ids have at most 128 bytes."""

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
)


def _secret(at: int) -> int:
    return int.from_bytes(_SECRET[at : at + 8], "little")


_PRIME64_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME64_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME64_3 = np.uint64(0x165667B19E3779F9)
_PRIME_MX1 = np.uint64(0x165667919E3779F9)
_PRIME_MX2 = np.uint64(0x9FB21C651E98DF25)

_FLIP_3 = np.uint64((_secret(0) & 0xFFFFFFFF) ^ (_secret(0) >> 32))
_FLIP_8 = np.uint64(_secret(8) ^ _secret(16))
_FLIP_16_LOW = np.uint64(_secret(24) ^ _secret(32))
_FLIP_16_HIGH = np.uint64(_secret(40) ^ _secret(48))
_SECRETS = tuple(np.uint64(_secret(at)) for at in range(0, HASHED_BYTES_MAX, 8))

_8, _15, _16, _24, _28, _29, _32, _33, _35, _37, _40, _49 = (
    np.uint64(bits) for bits in (8, 15, 16, 24, 28, 29, 32, 33, 35, 37, 40, 49)
)


@inlined
def _mixed(base: int, at: int, secret: int) -> np.uint64:
    low, high = load64(base, at), load64(base, at + 8)
    return fold_product(low ^ _SECRETS[secret], high ^ _SECRETS[secret + 1])  # type: ignore[no-any-return]


@inlined
def _avalanche(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> _37)) * _PRIME_MX1
    return word ^ (word >> _32)


@inlined
def _to_3(base: int, at: int, size: int) -> np.uint64:
    first, middle = np.uint64(load8(base, at)), np.uint64(load8(base, at + (size >> 1)))
    last = np.uint64(load8(base, at + size - 1))
    word = ((first << _16) | (middle << _24) | last | (np.uint64(size) << _8)) ^ _FLIP_3
    word = (word ^ (word >> _33)) * _PRIME64_2
    word = (word ^ (word >> _29)) * _PRIME64_3
    return word ^ (word >> _32)


@inlined
def _to_8(base: int, at: int, size: int) -> np.uint64:
    word = (load32(base, at + size - 4) + (load32(base, at) << _32)) ^ _FLIP_8
    word ^= ((word << _49) | (word >> _15)) ^ ((word << _24) | (word >> _40))
    word *= _PRIME_MX2
    word = (word ^ ((word >> _35) + np.uint64(size))) * _PRIME_MX2
    return word ^ (word >> _28)  # type: ignore[no-any-return]


@inlined
def _to_16(base: int, at: int, size: int) -> np.uint64:
    low, high = load64(base, at) ^ _FLIP_16_LOW, load64(base, at + size - 8) ^ _FLIP_16_HIGH
    return _avalanche(np.uint64(size) + swap_bytes(low) + high + fold_product(low, high))


@compiled
def _to_128(base: int, at: int, size: int) -> np.uint64:
    end = at + size
    word = np.uint64(size) * _PRIME64_1
    if size > 32:
        if size > 64:
            if size > 96:
                word += _mixed(base, at + 48, 12) + _mixed(base, end - 64, 14)
            word += _mixed(base, at + 32, 8) + _mixed(base, end - 48, 10)
        word += _mixed(base, at + 16, 4) + _mixed(base, end - 32, 6)
    return _avalanche(word + _mixed(base, at, 0) + _mixed(base, end - 16, 2))


@inlined
def hash_bytes(base: int, at: int, size: int) -> np.uint64:
    """Hash the 1 to 128 bytes from `at` on, counted from the address `base`, as `schemas.hashing.hash_id` would."""
    if size > 16:
        word = _to_128(base, at, size)
    elif size > 8:
        word = _to_16(base, at, size)
    elif size > 3:
        word = _to_8(base, at, size)
    else:
        word = _to_3(base, at, size)
    return np.uint64(1) if word == np.uint64(0) else word
