from __future__ import annotations

import sys
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.text import normalise_query
from tests.schemas.strategies import characters


@pytest.mark.parametrize(
    ("raw", "keyword"),
    [
        ("Red Shoes", "red shoes"),
        ("  red \t\n shoes\r ", "red shoes"),
        ("\uff32\uff45\uff44\u3000shoes", "red shoes"),  # full-width letters and space
        ("re\u0301d", "r\u00e9d"),  # a combining accent
        ("STRASSE", "strasse"),
        ("stra\u00dfe", "strasse"),
        ("\ufb01sh", "fish"),  # a ligature
        ("red\u00a0shoes", "red shoes"),  # a no-break space
        ("red\u2028shoes", "red shoes"),
        ("\u3000\u00a0 \t", ""),
        ("", ""),
        ("a\x00b", "a\x00b"),
        ("#Shoes!", "#shoes!"),
    ],
)
def test_spellings_of_one_keyword_are_one(raw: str, keyword: str) -> None:
    assert normalise_query(raw) == keyword


@given(st.text(characters))
def test_normalising_twice_is_normalising_once(raw: str) -> None:
    keyword = normalise_query(raw)
    assert normalise_query(keyword) == keyword
    assert keyword == " ".join(keyword.split())


def test_every_character_reaches_its_fixed_point() -> None:
    for code in range(sys.maxunicode + 1):
        if category(chr(code)) in {"Cn", "Co", "Cs"}:  # unassigned, private, surrogate: nothing is made of them
            continue
        keyword = normalise_query(f"a{chr(code)}\u0345b")
        assert normalise_query(keyword) == keyword, hex(code)


@given(st.text(characters, max_size=256))
def test_a_keyword_stays_within_the_growth_that_unicode_allows(raw: str) -> None:
    assert len(normalise_query(raw)) <= 18 * 3 * max(len(raw), 1)  # NFKC makes at most 18 of one, folding 3
