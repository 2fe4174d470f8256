"""Tokens of plain JSON in a buffer of bytes, for a compiled loop: strings without escapes, short integers.

"Plain" is a promise in one direction: what these functions take is what a JSON parser takes, and whatever they
are not sure about they decline. Buffers are told by their address, and have
`schemas.words.PAD_BYTES` behind their last byte.
"""

from __future__ import annotations

import numpy as np

from schemas.compiled import inlined
from schemas.words import load8, load64, trailing_zeros

DIGITS_MAX = 15
"""Digits of an integer that is read here: the last millisecond of the year 9999 has as many."""

DECLINED = -1
"""Stands for a place in the buffer where there is nothing plain."""

_NINE, _ZERO, _MINUS, _DOT, _QUOTE = ord("9"), ord("0"), ord("-"), ord("."), ord('"')
_SPACE, _TAB, _LINE_FEED, _RETURN = ord(" "), ord("\t"), ord("\n"), ord("\r")

_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x0101010101010101 * ord('"'))
_BACKSLASHES = np.uint64(0x0101010101010101 * ord("\\"))
_SPACES = np.uint64(0x0101010101010101 * ord(" "))
_TO_BYTES = np.uint64(3)
_NONE = np.uint64(0)


@inlined
def skip_space(base: int, at: int, end: int) -> int:
    """Return the first place from `at` on that holds no white space of JSON, or `end`."""
    while at < end and load8(base, at) <= _SPACE:
        byte = load8(base, at)
        if byte != _SPACE and byte != _LINE_FEED and byte != _RETURN and byte != _TAB:  # noqa: PLR1714
            break
        at += 1
    return at


@inlined
def string_end(base: int, at: int, end: int, wide: bool) -> int:  # noqa: FBT001
    """Return where the string whose first character is at `at` has its closing quote.

    `DECLINED` where an escape, a control character or, unless it may be `wide`, a byte beyond ASCII comes first, or
    nothing before `end`. Of wide text nobody has seen yet whether it is UTF-8.
    """
    beyond = _NONE if wide else _HIGHS
    while at < end:
        word = load64(base, at)
        quote, escape = word ^ _QUOTES, word ^ _BACKSLASHES
        # The high bit of each byte that is 0, of each below 0x20, of each above 0x7f. A borrow can spoil only
        # bytes above one that is marked rightly, and the lowest is the one that counts.
        marked = ((quote - _ONES) & ~quote) | ((escape - _ONES) & ~escape) | ((word - _SPACES) & ~word)
        marked = (marked & _HIGHS) | (word & beyond)
        if marked != _NONE:
            at += int(trailing_zeros(marked) >> _TO_BYTES)
            return at if at < end and load8(base, at) == _QUOTE else DECLINED
        at += 8
    return DECLINED


@inlined
def integer_end(base: int, at: int, end: int) -> int:
    """Return where the digits that begin at `at` end.

    `DECLINED` where there is none, a zero leads others, or there are more than `DIGITS_MAX`.
    """
    start = at
    while at < end and load8(base, at) >= _ZERO and load8(base, at) <= _NINE:
        at += 1
    digits = at - start
    if digits == 0 or digits > DIGITS_MAX or (digits > 1 and load8(base, start) == _ZERO):
        return DECLINED
    return at


@inlined
def integer(base: int, at: int, end: int) -> int:
    """Return the value of the digits from `at` to before `end`, of which there are at most `DIGITS_MAX`."""
    value = 0
    while at < end:
        value = value * 10 + load8(base, at) - _ZERO
        at += 1
    return value


@inlined
def number_end(base: int, at: int, end: int) -> int:
    """Return where a number without an exponent ends that nobody wants to know the value of, or `DECLINED`."""
    if load8(base, at) == _MINUS:
        at += 1
    at = integer_end(base, at, end)
    if at != DECLINED and at < end and load8(base, at) == _DOT:
        at += 1
        start = at
        while at < end and load8(base, at) >= _ZERO and load8(base, at) <= _NINE:
            at += 1
        if at == start or at - start > DIGITS_MAX:
            return DECLINED
    return at
