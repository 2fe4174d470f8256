from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from schemas.compiled import compiled
from schemas.xxh3 import HASHED_BYTES_MAX, hash_bytes


@compiled
def hash_piece(data: np.ndarray, at: int, size: int) -> np.uint64:
    return hash_bytes(data.ctypes.data, at, size)


@pytest.mark.parametrize("before", [0, 3])
def test_every_length_hashes_as_the_library_hashes_it(before: int) -> None:
    random = Random(before)
    for size in range(1, HASHED_BYTES_MAX + 1):
        text = random.randbytes(before + size)
        data = np.frombuffer(text + bytes(8), np.uint8)
        assert int(hash_piece(data, before, size)) == xxh3_64_intdigest(text[before:]), size


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=HASHED_BYTES_MAX))
def test_any_bytes_hash_as_the_library_hashes_them(text: bytes) -> None:
    assert int(hash_piece(np.frombuffer(text + bytes(8), np.uint8), 0, len(text))) == xxh3_64_intdigest(text)
