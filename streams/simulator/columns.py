"""The simulator's rows: one NumPy record per event or planned visit, and the small integers in them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000


class Verb(IntEnum):
    """What an event does."""

    LIKE = 0
    UNLIKE = 1
    FOLLOW = 2
    UNFOLLOW = 3
    SEARCH = 4


class Surface(IntEnum):
    """Where in the product it happened; the order is that of `SURFACE_NAMES`."""

    FEED = 0
    SEARCH = 1
    PROFILE = 2
    NOTE = 3
    EXTERNAL = 4


class Goal(IntEnum):
    """Why somebody opens the product: to browse, or for something in particular."""

    BROWSE = 0
    LIKE = 1
    FOLLOW = 2
    SEARCH = 3
    JOIN = 4


SURFACE_NAMES: Final = (b"feed", b"search", b"profile", b"note", b"external")
TOPICS: Final = ("likes", "follows", "searches")
VERB_TOPIC: Final = np.array([0, 0, 1, 1, 2], dtype=np.int8)

NOBODY: Final = -1

EVENT: Final = np.dtype(
    [
        ("ts", "i8"),
        ("arrival", "i8"),
        ("serial", "u8"),
        ("actor", "i4"),
        ("note", "i4"),
        ("account", "i4"),
        ("keyword", "i4"),
        ("attack", "i4"),
        ("visit", "u4"),
        ("position", "i2"),
        ("verb", "i1"),
        ("surface", "i1"),
    ]
)
"""One event. `account` is the author liked, the account followed, or the owner of the note clicked;
`attack` indexes the attack that paid for it (-1: none); `visit` is a random word that events of one
visit share, from which device and network are picked; `position` is 0 when nothing was clicked."""

VISIT: Final = np.dtype(
    [
        ("at", "i8"),
        ("actor", "i4"),
        ("note", "i4"),
        ("account", "i4"),
        ("keyword", "i4"),
        ("more", "f4"),
        ("extra", "f4"),
        ("goal", "i1"),
        ("surface", "i1"),
    ]
)
"""One visit to the product, to be expanded into events. `more` scales how long it goes on after its
goal; `extra` is the chance of the goal's natural companion (follow the author just liked, ...)."""


def rows(dtype: np.dtype[Any], count: int, **values: Any) -> Rows:
    """`count` records with references set to nobody and the given fields filled.

    >>> int(rows(VISIT, 2, at=5)["note"][1])
    -1
    """
    made = np.zeros(count, dtype=dtype)
    for name in ("note", "account", "keyword"):
        made[name] = NOBODY
    if "attack" in (dtype.names or ()):
        made["attack"] = NOBODY
    for name, value in values.items():
        made[name] = value
    return made


def join(parts: list[Rows], dtype: np.dtype[Any]) -> Rows:
    """Put the parts one after another; an empty array of `dtype` when there are none."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
