from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.texts import Texts, differing

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
columns = st.lists(st.none() | strings, max_size=12)


@given(columns)
def test_what_goes_in_comes_out(column: list[str | None]) -> None:
    texts = Texts.of(column)
    assert texts == column
    assert [texts.raw(row) for row in range(len(texts))] == [None if text is None else text.encode() for text in column]


@given(columns, st.data())
def test_rows_and_slices_are_those_of_the_list(column: list[str | None], data: st.DataObject) -> None:
    texts = Texts.of(column)
    start, end = data.draw(st.integers(-13, 13)), data.draw(st.integers(-13, 13))
    assert texts[start:end] == column[start:end]
    rows = data.draw(st.lists(st.integers(0, len(column) - 1))) if column else []
    assert texts[np.array(rows, np.int64)] == [column[row] for row in rows]


@given(columns, columns)
def test_columns_are_put_one_after_the_other(first: list[str | None], second: list[str | None]) -> None:
    assert Texts.of(first).followed_by(Texts.of(second)) == first + second


@settings(deadline=None)
@given(st.lists(strings, max_size=8), st.data())
def test_differing_rows_are_counted_and_nothing_else(column: list[str], data: st.DataObject) -> None:
    others = [data.draw(st.sampled_from([text.encode(), None]) | st.binary(max_size=3)) for text in column]
    expected = sum(text.encode() != other for text, other in zip(column, others, strict=True))
    assert differing(Texts.of(column), others) == expected


def test_the_same_bytes_cut_elsewhere_differ() -> None:
    assert differing(["ab", "c"], [b"a", b"bc"]) == 2
