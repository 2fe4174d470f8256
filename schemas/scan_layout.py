"""What the scanner looks for in the records of each topic: names of fields and of choices, as words to compare."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from schemas.columns import Surface, Topic, Verb
from schemas.events import Event, Follow, Like, Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAME_BYTES_MAX = 17
"""Of the name of a field: its first and last eight bytes and the one between tell it from any other."""

CHOICE_BYTES_MAX = 8
"""Of an action or a surface: one word tells it."""


class Slot(IntEnum):
    """Where the scanner puts a field, whatever the topic calls it."""

    EVENT = 0
    ACTOR = 1
    SUBJECT = 2
    OWNER = 3
    ITEM = 4
    DEVICE = 5
    IP_PREFIX = 6
    ACTION = 7
    SURFACE = 8
    TS = 9
    CREATED_AT = 10
    POSITION = 11


class Layout(NamedTuple):
    """One topic's records. A range is the first of some entries of the table of names, and how many."""

    fields: tuple[int, int]
    actions: tuple[int, int]
    surfaces: tuple[int, int]
    required: int  # bits of the slots that a record must have
    click: int  # bits of the slots that come together or not at all
    query: int  # the slot of a query, -1 where there is none
    verb: int  # of a record without an action


_SLOTS = {
    "event_id": Slot.EVENT,
    "ts": Slot.TS,
    "actor_id": Slot.ACTOR,
    "action": Slot.ACTION,
    "note_id": Slot.SUBJECT,
    "author_id": Slot.OWNER,
    "target_id": Slot.SUBJECT,
    "query": Slot.SUBJECT,
    "clicked_note_id": Slot.ITEM,
    "clicked_author_id": Slot.OWNER,
    "position": Slot.POSITION,
    "actor_created_at": Slot.CREATED_AT,
    "device_id": Slot.DEVICE,
    "ip_prefix": Slot.IP_PREFIX,
    "surface": Slot.SURFACE,
}
_SURFACES = [surface for surface in Surface if surface is not Surface.ABSENT]


def _bits(slots: Sequence[Slot]) -> int:
    return sum(1 << slot for slot in slots)


def _append(table: list[tuple[bytes, int]], names: Sequence[str], codes: Sequence[int]) -> tuple[int, int]:
    table += [(name.encode(), int(code)) for name, code in zip(names, codes, strict=True)]
    return len(table) - len(names), len(names)


def _layout(
    table: list[tuple[bytes, int]], struct: type[Event], verbs: Sequence[Verb], query: int, click: Sequence[Slot]
) -> Layout:
    fields = msgspec.structs.fields(struct)
    return Layout(
        fields=_append(table, [field.name for field in fields], [_SLOTS[field.name] for field in fields]),
        actions=_append(table, [verb.name.lower() for verb in verbs], verbs),
        surfaces=_append(table, [surface.name.lower() for surface in _SURFACES], _SURFACES),
        required=_bits([_SLOTS[field.name] for field in fields if field.required]),
        click=_bits(click),
        query=query,
        verb=int(Verb.SEARCH),
    )


_TABLE: list[tuple[bytes, int]] = []

LAYOUTS = {
    Topic.LIKES: _layout(_TABLE, Like, [Verb.LIKE, Verb.UNLIKE], -1, []),
    Topic.FOLLOWS: _layout(_TABLE, Follow, [Verb.FOLLOW, Verb.UNFOLLOW], -1, []),
    Topic.SEARCHES: _layout(_TABLE, Search, [], int(Slot.SUBJECT), [Slot.ITEM, Slot.OWNER, Slot.POSITION]),
}

# The table of names, a column each. Arrays of the module are constants to compiled code, which costs no counting.
SIZES: NDArray[np.int64] = np.array([len(name) for name, _ in _TABLE])
HEADS = np.array([int.from_bytes(name[:8], "little") for name, _ in _TABLE], np.uint64)
TAILS = np.array([int.from_bytes(name[-8:], "little") for name, _ in _TABLE], np.uint64)
MIDDLES: NDArray[np.int64] = np.array([name[8] if len(name) == NAME_BYTES_MAX else 0 for name, _ in _TABLE])
CODES: NDArray[np.int64] = np.array([code for _, code in _TABLE])
"""What a name stands for: a slot, a verb or a surface."""
