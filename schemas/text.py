"""Search queries as keywords: one spelling for what a searcher means to be the same."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import normalize

_ROUNDS_MAX = 8
"""A second round changes a few dozen strings, a third none that is known; the bound only ends the loop."""

KEPT_MAX = 16_384
"""Queries beyond ASCII whose keyword is kept, since people search for the same: at most 256 characters each, 10 MB in
all where they are ordinary ones."""


def normalise_query(raw: str) -> str:
    """Return `raw` in NFKC, case-folded, stripped, with each inner run of white space as one space.

    Normalising twice is normalising once: folding can undo NFKC and the reverse, so both are repeated until
    nothing changes (Unicode Standard, section 3.13, "toNFKC_Casefold").

    >>> normalise_query("  Red   SHOES ")
    'red shoes'
    >>> normalise_query("STRASSE") == normalise_query("Straße")
    True
    """
    if raw.isascii():
        return " ".join(raw.lower().split())
    return _normalise(raw)


@lru_cache(KEPT_MAX)
def _normalise(text: str) -> str:
    for _ in range(_ROUNDS_MAX):
        folded = " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())
        if folded == text:
            break
        text = folded
    return text
