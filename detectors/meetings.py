"""Meetings: several accounts on one target within minutes. What groups that act together cannot avoid.

A stage for each subject partition sees every action on a target, so it alone can say who met there; who meets again
and again, on targets of different owners, is found where the meetings of all partitions come together
(`detectors.groups`). Meetings are few beside actions: most targets are hit by one account at a time, and of crowds
nothing is said, since in a crowd everybody meets everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from detectors.arena import Arena
from detectors.compiled import compiled
from detectors.hash_index import NO_ROOM, View, find_or_insert, mix
from detectors.kept_state import KeptState, Part, read_part, write_part
from schemas.columns import Verb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.actions import Actions, Names

WITHIN_MS = 10 * 60_000
"""Who acts on one target within this time meets there: campaigns send their accounts within minutes, to work."""

OTHERS = 15
"""Accounts remembered at a target: the last ones."""

TOGETHER = 3
"""From so many accounts at once on it is a meeting: two meet by chance all the time."""

CROWD_MAX = 40.0
"""Above so many at once it is a crowd."""

TARGETS_MAX = 50_000
"""Targets remembered: only those of the last minutes matter."""

FIELDS: list[tuple[Any, ...]] = [
    ("actors", np.uint64, OTHERS),
    ("times", np.int64, OTHERS),
    ("next", np.uint8),  # the place that is written next
    ("crowd", np.float32),  # accounts lately, decayed by `WITHIN_MS`
    ("crowd_ms", np.int64),
]
VERSION = 1


@dataclass(frozen=True, slots=True)
class Meetings:
    """Meetings as columns of length m: one for every account that came to a target where others had just been.

    Attributes:
        ts: when it came, ms.
        target, owner, actor: hashes.
        others: those that were there within `WITHIN_MS` before, shape (m, OTHERS), 0 where fewer.
        crowd: how many came lately, about.
        actions: actions of the partition so far.
        rows: the action that made each, as its place among those taken.
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
    verb: NDArray[np.uint8]
    subject: NDArray[np.uint64]
    actor: NDArray[np.uint64]


class _Found(NamedTuple):
    rows: NDArray[np.int64]
    others: NDArray[np.uint64]
    crowd: NDArray[np.float32]
    actions: NDArray[np.int64]


class Counted(msgspec.Struct):
    """What is kept besides the targets."""

    actions: int


class MeetingStage(KeptState):
    """Finds the meetings among the actions of one partition, however those were cut into batches."""

    def __init__(self, targets_max: int = TARGETS_MAX) -> None:
        self._targets = Arena(FIELDS, targets_max, VERSION)
        self._actions = np.zeros(1, np.int64)
        super().__init__({"meetings": self._targets}, {"meetings": Part(self._write, self._read)})

    def apply(self, actions: Actions) -> Meetings:
        """Take actions in their order; return the meetings that they make."""
        n = len(actions)
        columns = _Columns(*(np.ascontiguousarray(getattr(actions, name)) for name in _Columns._fields))
        found = _Found(
            np.zeros(n, np.int64), np.zeros((n, OTHERS), np.uint64), np.zeros(n, np.float32), np.zeros(n, np.int64)
        )
        at = made = 0
        while True:
            at, made = meet(self._targets.view(), columns, at, made, self._actions, found)
            if at == n:
                break
            self._targets.make_room()
        rows = found.rows[:made]
        # The owner of an account that is followed is that account.
        owner = np.where(actions.verb[rows] == Verb.FOLLOW, actions.subject[rows], actions.owner[rows])
        return Meetings(
            actions.ts[rows], actions.subject[rows], owner, actions.actor[rows], found.others[:made],
            found.crowd[:made], found.actions[:made], rows, actions.names,
        )  # fmt: skip

    @property
    def bytes_resident(self) -> int:
        """Bytes held."""
        return self._targets.bytes_resident

    def _write(self) -> bytes:
        return write_part(Counted(int(self._actions[0])), VERSION)

    def _read(self, data: bytes) -> None:
        self._actions[0] = read_part(data, Counted, VERSION).actions


@compiled
def meet(
    view: View, actions: _Columns, start: int, made: int, counted: NDArray[np.int64], found: _Found
) -> tuple[int, int]:
    """Take actions from `start` on; return how far it came (to make room and call again) and the meetings so far."""
    for place in range(start, len(actions.ts)):
        verb = actions.verb[place]
        if verb not in (Verb.LIKE, Verb.FOLLOW):
            continue
        ts, actor = actions.ts[place], actions.actor[place]
        row, _ = find_or_insert(view, mix(actions.subject[place], np.int64(3)) | np.uint64(1), ts)
        if row == NO_ROOM:
            return place, made
        counted[0] += 1
        target = view.rows[row]
        target["crowd"] = target["crowd"] * 2.0 ** (-abs(ts - target["crowd_ms"]) / WITHIN_MS) + 1.0
        target["crowd_ms"] = max(ts, target["crowd_ms"])
        there, known = 0, False
        actors, times = target["actors"], target["times"]
        for each in range(OTHERS):
            if actors[each] == np.uint64(0):
                break
            if actors[each] == actor:
                known = True
                # Who comes twice is there until the second time.
                times[each] = max(ts, times[each])
            elif abs(ts - times[each]) <= WITHIN_MS:
                found.others[made, there] = actors[each]
                there += 1
        if not known:
            each = int(target["next"]) % OTHERS
            actors[each], times[each] = actor, ts
            target["next"] = (each + 1) % OTHERS
        if known or there + 1 < TOGETHER or target["crowd"] > CROWD_MAX:
            found.others[made, :there] = 0
            continue
        found.rows[made], found.crowd[made], found.actions[made] = place, target["crowd"], counted[0]
        made += 1
    return len(actions.ts), made
