"""Learned numbers as files for people: the same values, on few lines."""

from __future__ import annotations

from importlib import resources

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.readable import WIDTH, write_readable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=60) | st.dictionaries(st.text(max_size=20), inner, max_size=8),
    max_leaves=80,
)


@given(VALUES)
def test_what_is_written_reads_as_the_same_value_in_the_same_order(value: object) -> None:
    again = msgspec.json.decode(write_readable(value))
    assert msgspec.json.encode(again) == msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(value)))


@given(st.lists(st.floats(allow_nan=False)))
def test_numbers_of_a_list_share_lines_that_are_not_too_long(numbers: list[float]) -> None:
    lines = write_readable({"numbers": numbers}).decode().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= 5 + len(numbers) // 4


@pytest.mark.parametrize("name", ["marks.json", "rhythm.json", "thresholds.json"])
def test_a_shipped_file_is_as_readable_as_its_command_writes_it(name: str) -> None:
    content = (resources.files("detectors") / "shipped" / name).read_bytes()
    assert content == write_readable(msgspec.json.decode(content))


@given(st.lists(st.floats(allow_nan=False)))
def test_a_tuple_is_written_as_a_list_is(numbers: list[float]) -> None:
    assert write_readable({"numbers": tuple(numbers)}) == write_readable({"numbers": numbers})
