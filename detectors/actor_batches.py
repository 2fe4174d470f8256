"""Batches of events on their way through the actor stage's loop, several topics together or one alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.actions import Names
from detectors.actor_kernel import EventColumns, MarkedColumns
from schemas.columns import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from schemas.columns import Events
    from schemas.flags import Flag


class EventNames(Names):
    """The strings behind the hashes of a batch of events, looked up only when somebody asks for one."""

    def __init__(self, events: Events) -> None:
        self._columns: tuple[tuple[NDArray[np.uint64], Sequence[str | None]], ...] = (
            (events.actor, events.actor_ids),
            (events.subject, events.subject_ids),
            (events.owner, events.owner_ids),
            (events.item, events.item_ids),
        )

    def find(self, key: int) -> str | None:
        """Return the id or query hashed to `key`, or None where the batch has none."""
        if key == ABSENT:
            return None
        # Few are asked for, and a pass over a column is quick; a table of all strings would be made for each batch.
        for hashes, names in self._columns:
            found = np.flatnonzero(hashes == key)
            if len(found):
                return names[int(found[0])]
        return None


@dataclass(slots=True)
class Work:
    """A batch that the loop is at: the place of its first event there, and the flags that come of it."""

    events: Events
    names: EventNames
    first: int
    flags: list[Flag] = field(default_factory=list)
    flags_at: list[int] = field(default_factory=list)

    def part(self, out: MarkedColumns) -> MarkedColumns:
        """Return what came of this batch."""
        here = slice(self.first, self.first + len(self.events))
        return MarkedColumns(
            out.outcome[here], out.watermark[here], out.mark[here], out.traits[here], out.onward[here],
            out.onward_verb[here], out.features, out.habits,
        )  # fmt: skip


def works_of(batches: Sequence[Events]) -> list[Work]:
    """Return batches one behind the other."""
    firsts = np.cumsum([0, *map(len, batches)]).tolist()
    return [Work(events, EventNames(events), first) for events, first in zip(batches, firsts, strict=False)]


def places_of(works: Sequence[Work], turns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return turns as the loop wants them: topic, first place and that after the last, shape (turns, 3).

    `turns`, shape (turns, 2), are the number of a batch and before which of its rows its turn ends.
    """
    made = np.empty((len(turns), 3), np.int64)
    for number, work in enumerate(works):
        own = turns[:, 0] == number
        ends = work.first + turns[own, 1]
        made[own, 0] = int(work.events.topic)
        made[own, 1], made[own, 2] = np.r_[work.first, ends[:-1]], ends
    return made


def columns_of(batches: Sequence[Events]) -> EventColumns:
    """Return the columns that the loop reads, of all batches one behind the other."""
    columns: Iterable[Any]
    if len(batches) == 1:
        columns = (np.ascontiguousarray(getattr(batches[0], name)) for name in EventColumns._fields)
    else:
        columns = (np.concatenate([getattr(each, name) for each in batches]) for name in EventColumns._fields)
    return EventColumns(*columns)


def room_for(count: int, features: NDArray[np.float32], habits: NDArray[np.float32]) -> MarkedColumns:
    """Return columns for what the loop makes of so many events."""
    return MarkedColumns(
        outcome=np.zeros(count, np.uint8),
        watermark=np.zeros(count, np.int64),
        mark=np.zeros(count, np.int8),
        traits=np.zeros(count, np.uint16),
        onward=np.zeros(count, np.uint64),
        onward_verb=np.zeros(count, np.uint8),
        features=features,
        habits=habits,
    )
