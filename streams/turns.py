"""What actor stages made of several topics in turns, put back into the one order in which it came."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.actions import Actions, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.actors import Marked
    from schemas.flags import Flag

_COLUMNS = tuple(column.name for column in fields(Actions) if column.name != "names")


class InOrder(NamedTuple):
    """Actions of several topics in one order.

    `sources` says of which source they are and how many follow each other of it; `flags`, about actors, in order of
    decision, before which action each of them was decided; `order` where each action was, the batches one behind the
    other.
    """

    actions: Actions
    sources: list[tuple[str, int]]
    flags: list[tuple[int, Flag]]
    order: NDArray[np.int64]

    def part(self, start: int, end: int) -> tuple[Actions, list[tuple[str, int]]]:
        """Return the actions from one place to another, with their sources."""
        if (start, end) == (0, len(self.actions)):
            return self.actions, self.sources
        sources: list[tuple[str, int]] = []
        begin = 0
        for source, count in self.sources:
            here = min(end, begin + count) - max(start, begin)
            if here > 0:
                sources.append((source, here))
            begin += count
        return self.actions.take(np.arange(start, end)), sources


@dataclass(frozen=True)
class _AnyNames(Names):
    """The names of several batches: what one has not, another may."""

    each: Sequence[Names]

    def find(self, key: int) -> str | None:
        return next((name for one in self.each if (name := one.find(key)) is not None), None)


def in_order(marked: Sequence[Marked], sources: Sequence[str], turns: NDArray[np.int64]) -> InOrder:
    """Return what became of batches, each of the source of the same place, in the order of their turns.

    `turns`, shape (turns, 2), says whose turn it was and before which row of that batch it ended.
    """
    first, count = np.empty(len(turns), np.int64), np.empty(len(turns), np.int64)
    begins = np.cumsum([0, *(len(one.rows) for one in marked)])
    for number, one in enumerate(marked):
        own = turns[:, 0] == number
        ends = np.searchsorted(one.rows, turns[own, 1])
        starts = np.r_[0, ends[:-1]]
        first[own], count[own] = begins[number] + starts, ends - starts
    place = np.cumsum(count) - count
    order = np.repeat(first - place, count) + np.arange(count.sum())
    flags: list[tuple[int, int, Flag]] = []
    for number, one in enumerate(marked):
        own_turns = np.flatnonzero(turns[:, 0] == number)
        for row, flag in zip(one.flags_at, one.flags, strict=True):
            turn = int(own_turns[np.searchsorted(turns[own_turns, 1], row, side="right")])
            action = begins[number] + np.searchsorted(one.rows, row)
            flags.append((turn, int(place[turn] + action - first[turn]), flag))
    flags.sort(key=lambda each: each[:2])
    told = [(sources[whose], many) for whose, many in zip(turns[:, 0].tolist(), count.tolist(), strict=True) if many]
    return InOrder(_joined(marked, order), told, [(at, flag) for _, at, flag in flags], order)


def _joined(marked: Sequence[Marked], order: NDArray[np.int64]) -> Actions:
    if len(marked) == 1:
        return marked[0].actions
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one.actions, name) for one in marked])[order] for name in _COLUMNS
    }
    return Actions(**columns, names=_AnyNames([one.actions.names for one in marked]))
