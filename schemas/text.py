"""Search queries as keywords: one spelling for what a searcher means to be the same."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import normalize

from schemas.events import QUERY_CHARACTERS_MAX
from schemas.hashing import hash_id

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
def keyword_of(query: bytes) -> tuple[bytes, int] | None:
    """Return the keyword of a query in UTF-8 and its hash, None where the query keeps the contract not.

    >>> keyword_of("CAFÉ  au lait".encode())[0].decode()
    'café au lait'
    """
    try:
        text = query.decode()
    except UnicodeDecodeError:
        return None
    keyword = normalise_query(text)
    return (keyword.encode(), hash_id(keyword)) if keyword and len(text) <= QUERY_CHARACTERS_MAX else None


def _normalise(text: str) -> str:
    for _ in range(_ROUNDS_MAX):
        folded = " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())
        if folded == text:
            break
        text = folded
    return text
