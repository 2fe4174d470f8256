"""Meetings: several accounts on one target within minutes. What groups that act together cannot avoid.

Found among the visits of all partitions (`detectors.visits`), which are to come in the order of their times; who meets
again and again, on targets of different owners, is what `detectors.groups` looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.arena import Arena
from detectors.compiled import compiled, inlined
from detectors.hash_index import NO_ROOM, View
from detectors.kept_state import KeptState
from detectors.visits import (
    CROWD_MAX,
    FIELDS,
    OTHERS,
    TARGETS_MAX,
    THERE,
    TOGETHER,
    VERSION,
    WITHIN_MS,
    come_to,
    make_way,
    stay,
    words_of,
)  # fmt: skip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.actions import Names
    from detectors.visits import Visits


@dataclass(frozen=True, slots=True)
class Meetings:
    """Meetings as columns of length m: one for every account that came to a target where others had just been.

    Attributes:
        ts: when it came, ms.
        target, owner, actor: hashes.
        others: those that were there within `WITHIN_MS` before, shape (m, OTHERS), 0 where fewer.
        crowd: how many came lately, about.
        actions: actions of all partitions so far.
        rows: the action with which each was told of, as of the visit.
        names: of this batch's ids.

    """

    ts: NDArray[np.int64]
    target: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    others: NDArray[np.uint64]
    crowd: NDArray[np.float32]
    actions: NDArray[np.int64]
    rows: NDArray[np.int64]
    names: Names

    def __len__(self) -> int:
        return len(self.ts)


class _Columns(NamedTuple):
    ts: NDArray[np.int64]
    target: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    crowd: NDArray[np.float32]


class MeetingStage(KeptState):
    """Finds the meetings among visits, however those were cut into batches."""

    def __init__(self, targets_max: int = TARGETS_MAX) -> None:
        self._targets = Arena(FIELDS, targets_max, VERSION)
        self._targets_max = targets_max
        super().__init__({"visited": self._targets}, {})

    def apply(self, visits: Visits) -> Meetings:
        """Take visits in their order; return the meetings that they make."""
        n = len(visits)
        columns = _Columns(*(np.ascontiguousarray(getattr(visits, name)) for name in _Columns._fields))
        rows, others, crowd = np.empty(n, np.int64), np.empty((n, OTHERS), np.uint64), np.empty(n, np.float32)
        at = made = 0
        while at < n:
            at, made = meet(self._targets.view(), words_of(self._targets), columns, at, made, rows, others, crowd)
            if at < n:
                make_way(self._targets, self._targets_max)
        chosen = visits.where(rows[:made])
        return Meetings(
            chosen.ts, chosen.target, chosen.owner, chosen.actor, others[:made], crowd[:made], chosen.actions,
            chosen.rows, visits.names,
        )  # fmt: skip

    @property
    def bytes_resident(self) -> int:
        """Bytes held."""
        return self._targets.bytes_resident


@inlined
def _look_around(
    target: NDArray[np.uint64], actor: np.uint64, ts: np.int64, others: NDArray[np.uint64], made: int
) -> tuple[int, bool]:
    """Write down who else has just been there; return how many, and whether the account was there already."""
    met, known = 0, False
    for each in range(THERE, THERE + 2 * OTHERS, 2):
        other, then = target[each], np.int64(target[each + 1])
        if other == np.uint64(0):
            break
        if other == actor:
            known = True
            # Who comes twice is there until the second time.
            target[each + 1] = np.uint64(max(ts, then))
        elif abs(ts - then) <= WITHIN_MS:
            others[made, met] = other
            met += 1
    return met, known


@compiled
def meet(
    view: View,
    words: NDArray[np.uint64],
    visits: _Columns,
    start: int,
    made: int,
    rows: NDArray[np.int64],
    others: NDArray[np.uint64],
    crowd: NDArray[np.float32],
) -> tuple[int, int]:
    """Take visits from `start` on; return how far it came (to make room and call again) and the meetings so far."""
    for place in range(start, len(visits.ts)):
        ts, actor = visits.ts[place], visits.actor[place]
        row, new = come_to(view, words, visits.target[place], actor, ts)
        if row == NO_ROOM:
            return place, made
        if new:
            continue
        held, target = view.rows[row], words[row]
        # Of a crowd not everybody is told of, but how many they are.
        held["crowd"] = max(held["crowd"], visits.crowd[place])
        met, known = _look_around(target, actor, ts, others, made)
        if known:
            continue
        stay(held, target, actor, np.uint64(ts))
        if met + 1 < TOGETHER or held["crowd"] > CROWD_MAX:
            continue
        others[made, met:] = 0
        rows[made], crowd[made] = place, held["crowd"]
        made += 1
    return len(visits.ts), made
