"""The columns that a batch of events becomes, once, and stays.

A batch holds the accepted records of one topic in record order. Strings become stable 64-bit hashes
(`schemas.hashing.hash_id`); the strings themselves are kept beside them only to name things later, in a
flag or a block, and are looked at only then.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ABSENT = 0
"""The hash, position or surface of an optional field that is not there."""

ABSENT_MS = -1
"""`Events.created_at` of an actor whose account's creation time is not in the event."""

POSITION_MAX = 65_535
"""`Events.position` is capped here, the largest uint16."""


class Topic(IntEnum):
    """The three input topics; the configured Kafka names are the settings' business."""

    LIKES = 0
    FOLLOWS = 1
    SEARCHES = 2


class Verb(IntEnum):
    """What the actor did. A search with a click has `Events.item` set."""

    LIKE = 0
    UNLIKE = 1
    FOLLOW = 2
    UNFOLLOW = 3
    SEARCH = 4


class Surface(IntEnum):
    """Where in the product the actor did it."""

    ABSENT = 0
    FEED = 1
    SEARCH = 2
    PROFILE = 3
    NOTE = 4
    EXTERNAL = 5


@dataclass(frozen=True, slots=True)
class Events:
    """The valid records of one topic batch as columns of length n, in record order.

    Subject is the note of a like, the account of a follow, the normalised query of a search. Owner is the
    account that owns the liked or clicked note (`ABSENT` otherwise). Item is the clicked note of a search.
    """

    topic: Topic
    row: NDArray[np.int32]  # index of the record in the batch as it was fetched
    ts: NDArray[np.int64]  # event time, ms
    arrival: NDArray[np.int64]  # the record's Kafka timestamp, ms (replay: the recording's arrival clock)
    verb: NDArray[np.uint8]
    event: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    subject: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    item: NDArray[np.uint64]
    position: NDArray[np.uint16]  # 1 = top, capped at `POSITION_MAX`
    created_at: NDArray[np.int64]  # ms, ABSENT_MS where the field is absent
    device: NDArray[np.uint64]
    ip_prefix: NDArray[np.uint64]
    surface: NDArray[np.uint8]
    actor_ids: Sequence[str]
    subject_ids: Sequence[str]  # for searches: the normalised query
    owner_ids: Sequence[str | None]
    item_ids: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ts)

    def at(self, rows: slice | NDArray[Any]) -> Events:
        """Return some of the events; of a slice, the columns are views."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _COLUMNS})


_COLUMNS = tuple(column.name for column in fields(Events) if column.name != "topic")


def joined(events: Events, others: Events) -> Events:
    """Return the events of one topic and then some other ones of it."""
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        column, other = getattr(events, name), getattr(others, name)
        both = np.concatenate([column, other]) if isinstance(column, np.ndarray) else column.followed_by(other)
        columns[name] = both
    return replace(events, **columns)
