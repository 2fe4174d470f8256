"""Files of learned numbers as JSON for people: what fits on a line stands on one, anything longer an entry a line."""

from __future__ import annotations

from typing import Any, Final

import msgspec

WIDTH: Final = 140
"""Columns of a line. A single name or number that is longer has a longer one."""


def write_readable(value: Any) -> bytes:
    """Return a value of any type that msgspec encodes, as JSON to be read and compared by people.

    Numbers of a list that is too long for a line are filled into several.

    >>> mixes = {name: {"marks": [0.5] * 10, "tempo": [0.25] * 4} for name in ("usual", "viral")}
    >>> print(write_readable({"asked": [6.5, 7.0], "organic": mixes}).decode(), end="")
    {
     "asked": [6.5, 7.0],
     "organic": {
      "usual": {"marks": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], "tempo": [0.25, 0.25, 0.25, 0.25]},
      "viral": {"marks": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], "tempo": [0.25, 0.25, 0.25, 0.25]}
     }
    }
    """
    return "\n".join(_lines("", msgspec.to_builtins(value, str_keys=True), 0)).encode() + b"\n"


def _lines(name: str, value: Any, depth: int) -> list[str]:
    """Return the lines of a value at a depth, led by its name where it has one."""
    short = " " * depth + name + _on_one(value)
    if len(short) < WIDTH or not isinstance(value, dict | list | tuple) or not value:  # a comma may follow
        return [short]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, dict):
        entries = [_lines(f"{_on_one(key)}: ", one, depth + 1) for key, one in value.items()]
    elif any(isinstance(one, dict) for one in value):
        entries = [_lines("", one, depth + 1) for one in value]
    else:
        entries = [[line] for line in _filled([_on_one(one) for one in value], depth + 1)]
    for entry in entries[:-1]:
        entry[-1] += ","
    body = [line for entry in entries for line in entry]
    return [" " * depth + name + opening, *body, " " * depth + closing]


def _filled(texts: list[str], depth: int) -> list[str]:
    """Put as many texts on each line as there is room for."""
    lines = [" " * depth + texts[0]]
    for text in texts[1:]:
        if len(lines[-1]) + len(text) + 3 > WIDTH:
            lines.append(" " * depth + text)
        else:
            lines[-1] += f", {text}"
    return lines


def _on_one(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
