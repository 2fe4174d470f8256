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
from detectors.compiled import compiled, inlined
from detectors.hash_index import FREE, NO_ROOM, View, find_or_insert, mix
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

GONE_SHARE = 1 / 4
"""Share of the targets that go at once at the bound: choosing them is a pass over all."""

FIELDS: list[tuple[Any, ...]] = [
    ("crowd_ms", np.int64),
    ("crowd", np.float32),  # accounts lately, decayed by `WITHIN_MS`
    ("next", np.uint8),  # the place that is written next
    ("there", np.uint64, 2 * OTHERS),  # account and time (ms), in turns: most targets need the first cache line alone
]
THERE = 4
"""Words of a row before `there`. Compiled code is slow with arrays inside of records, so it gets rows as words."""

VERSION = 2


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


def _room(rows: int) -> _Found:
    """Return room for the meetings of so many actions."""
    return _Found(
        np.empty(rows, np.int64), np.empty((rows, OTHERS), np.uint64), np.empty(rows, np.float32),
        np.empty(rows, np.int64),
    )  # fmt: skip


def _none(names: Names) -> Meetings:
    """Return no meetings."""
    none = _room(0)
    ids = np.empty(0, np.uint64)
    return Meetings(none.rows, ids, ids, ids, none.others, none.crowd, none.actions, none.rows, names)


class Counted(msgspec.Struct):
    """What is kept besides the targets."""

    actions: int


class MeetingStage(KeptState):
    """Finds the meetings among the actions of one partition, however those were cut into batches."""

    def __init__(self, targets_max: int = TARGETS_MAX) -> None:
        self._targets = Arena(FIELDS, targets_max, VERSION)
        self._targets_max = targets_max
        self._actions = np.zeros(1, np.int64)
        self._found = _room(0)
        super().__init__({"meetings": self._targets}, {"meetings": Part(self._write, self._read)})

    def apply(self, actions: Actions) -> Meetings:
        """Take actions in their order; return the meetings that they make."""
        n = len(actions)
        if n > len(self._found.rows):
            self._found = _room(2 * n)
        found = self._found
        columns = _Columns(*(np.ascontiguousarray(getattr(actions, name)) for name in _Columns._fields))
        at = made = 0
        while True:
            at, made = meet(self._targets.view(), self._words(), columns, at, made, self._actions, found)
            if at == n:
                break
            if self._targets.capacity == self._targets_max and not self._targets.view().counters[FREE]:
                self._targets.remove(self._targets.coldest(max(1, int(self._targets_max * GONE_SHARE))))
            else:
                self._targets.make_room()
        if not made:
            return _none(actions.names)
        rows = found.rows[:made].copy()
        # The owner of an account that is followed is that account.
        owner = np.where(actions.verb[rows] == Verb.FOLLOW, actions.subject[rows], actions.owner[rows])
        return Meetings(
            actions.ts[rows], actions.subject[rows], owner, actions.actor[rows], found.others[:made].copy(),
            found.crowd[:made].copy(), found.actions[:made].copy(), rows, actions.names,
        )  # fmt: skip

    @property
    def bytes_resident(self) -> int:
        """Bytes held."""
        return self._targets.bytes_resident

    def _words(self) -> NDArray[np.uint64]:
        return self._targets.view().rows.view(np.uint64).reshape(self._targets.capacity, -1)

    def _write(self) -> bytes:
        return write_part(Counted(int(self._actions[0])), VERSION)

    def _read(self, data: bytes) -> None:
        self._actions[0] = read_part(data, Counted, VERSION).actions


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
    actions: _Columns,
    start: int,
    made: int,
    counted: NDArray[np.int64],
    found: _Found,
) -> tuple[int, int]:
    """Take actions from `start` on; return how far it came (to make room and call again) and the meetings so far."""
    for place in range(start, len(actions.ts)):
        verb = actions.verb[place]
        if verb not in (Verb.LIKE, Verb.FOLLOW):
            continue
        ts, actor = actions.ts[place], actions.actor[place]
        row, new = find_or_insert(view, mix(actions.subject[place], np.int64(3)) | np.uint64(1), ts)
        if row == NO_ROOM:
            return place, made
        counted[0] += 1
        target = view.rows[row]
        if new:
            target["crowd"], target["crowd_ms"], target["next"] = 1.0, ts, 1
            words[row, THERE], words[row, THERE + 1] = actor, np.uint64(ts)
            continue
        target["crowd"] = target["crowd"] * np.exp2(-abs(ts - target["crowd_ms"]) / WITHIN_MS) + 1.0
        target["crowd_ms"] = max(ts, target["crowd_ms"])
        met, known = _look_around(words[row], actor, ts, found.others, made)
        if known:
            continue
        mine = THERE + 2 * (int(target["next"]) % OTHERS)
        words[row, mine], words[row, mine + 1] = actor, np.uint64(ts)
        target["next"] = (int(target["next"]) + 1) % OTHERS
        if met + 1 < TOGETHER or target["crowd"] > CROWD_MAX:
            continue
        found.others[made, met:] = 0
        found.rows[made], found.crowd[made], found.actions[made] = place, target["crowd"], counted[0]
        made += 1
    return len(actions.ts), made
