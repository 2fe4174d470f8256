from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.hashing import hash_id, hash_ids, hash_optional
from tests.schemas.strategies import characters

texts = st.text(characters)


def test_hashes_are_those_that_stored_state_was_keyed_with() -> None:
    assert hash_id("u81") == 0xCE3204E5831D6FD5
    assert hash_id("ключ") == 0x9A137C08C1E55EDE
    assert hash_id("") == 0x2D06800538D394C2


@given(st.lists(texts))
def test_a_column_hashes_as_its_ids_do_one_by_one(ids: list[str]) -> None:
    assert hash_ids(ids).tolist() == [hash_id(text) for text in ids]


@given(st.lists(st.none() | texts))
def test_absent_ids_hash_to_zero_and_others_never_do(ids: list[str | None]) -> None:
    assert hash_optional(ids).tolist() == [0 if text is None else hash_id(text) for text in ids]


def test_ids_that_hold_the_separator_are_still_apart() -> None:
    ids = ["a\0b", "c", "", "\0"]
    assert hash_ids(ids).tolist() == [hash_id(text) for text in ids]


def test_columns_of_hashes_can_be_written_to() -> None:
    assert hash_ids(["a"]).flags.writeable
    assert hash_optional(["a", None]).flags.writeable
    assert len(hash_ids([])) == 0
