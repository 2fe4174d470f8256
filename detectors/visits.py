"""Visits: actions on a target where several accounts are within minutes of each other.

A stage for each subject partition sees every action on a target, so it alone can say that several were there; who
meets whom is found where the visits of all partitions come together, in the order of their times
(`detectors.meetings`). Visits are few beside actions: most targets are hit by one account at a time, and of crowds
nothing is said, since in a crowd everybody meets everybody.

An account that was there before there were several is told of as soon as there are, so which of them are told hardly
depends on whose action was read first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from detectors.arena import Arena
from detectors.compiled import compiled, inlined
from detectors.hash_index import FREE, LINE_BYTES, NO_ROOM, View, ask_row, ask_slot, find_or_insert, mix
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

CROWD_TOLD = CROWD_MAX / 2
"""From so many at once on their number is told. Of fewer each is told of, and whoever reads that can count them."""

TARGETS_MAX = 50_000
"""Targets remembered: only those of the last minutes matter."""

AHEAD = 8
"""How many actions ahead memory is asked for."""

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

TOLD = np.uint64(1 << 62)
"""Added to the time of an account at a target that was told of."""

VERSION = 2


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits as columns of length m.

    Attributes:
        ts: when it came, ms.
        target, owner, actor: hashes.
        crowd: how many came lately, about; 0 where those that are told of can be counted (`CROWD_TOLD`).
        actions: actions of the partition so far.
        rows: the action with which it was told, as its place among those taken.
        names: of this batch's ids.

    """

    ts: NDArray[np.int64]
    target: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    crowd: NDArray[np.float32]
    actions: NDArray[np.int64]
    rows: NDArray[np.int64]
    names: Names

    def __len__(self) -> int:
        return len(self.ts)

    def where(self, rows: slice | NDArray[Any]) -> Visits:
        """Return some of them, in the order of `rows`."""
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return Visits(**columns, rows=self.rows[rows], names=self.names)


COLUMNS = ("ts", "target", "owner", "actor", "crowd", "actions")
"""The columns of visits that mean the same wherever they are read."""


class _Columns(NamedTuple):
    ts: NDArray[np.int64]
    verb: NDArray[np.uint8]
    subject: NDArray[np.uint64]
    actor: NDArray[np.uint64]


class _Found(NamedTuple):
    rows: NDArray[np.int64]
    ts: NDArray[np.int64]
    actor: NDArray[np.uint64]
    crowd: NDArray[np.float32]
    actions: NDArray[np.int64]


def _room(rows: int) -> _Found:
    """Return room for so many visits."""
    return _Found(
        np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.uint64), np.empty(rows, np.float32),
        np.empty(rows, np.int64),
    )  # fmt: skip


def _doubled(found: _Found) -> _Found:
    """Return the same visits with room for as many again."""
    more = _room(len(found.rows))
    return _Found(
        np.concatenate([found.rows, more.rows]), np.concatenate([found.ts, more.ts]),
        np.concatenate([found.actor, more.actor]), np.concatenate([found.crowd, more.crowd]),
        np.concatenate([found.actions, more.actions]),
    )  # fmt: skip


class Counted(msgspec.Struct):
    """What is kept besides the targets."""

    actions: int


class VisitStage(KeptState):
    """Finds the visits among the actions of one partition, however those were cut into batches."""

    def __init__(self, targets_max: int = TARGETS_MAX) -> None:
        self._targets = Arena(FIELDS, targets_max, VERSION)
        self._targets_max = targets_max
        self._actions = np.zeros(1, np.int64)
        self._found = _room(0)
        super().__init__({"meetings": self._targets}, {"meetings": Part(self._write, self._read)})

    def apply(self, actions: Actions) -> Visits:
        """Take actions in their order; return the visits among them and those before that are told only now."""
        n = len(actions)
        if 2 * n + OTHERS > len(self._found.rows):
            self._found = _room(4 * n + OTHERS)
        columns = _Columns(*(np.ascontiguousarray(getattr(actions, name)) for name in _Columns._fields))
        at = made = 0
        while True:
            found = self._found
            at, made = visit(self._targets.view(), words_of(self._targets), columns, at, made, self._actions, found)
            if at == n:
                break
            if made + OTHERS >= len(found.rows):
                self._found = _doubled(found)
            else:
                make_way(self._targets, self._targets_max)
        rows = found.rows[:made].copy()
        # The owner of an account that is followed is that account.
        owner = np.where(actions.verb[rows] == Verb.FOLLOW, actions.subject[rows], actions.owner[rows])
        return Visits(
            found.ts[:made].copy(), actions.subject[rows], owner, found.actor[:made].copy(), found.crowd[:made].copy(),
            found.actions[:made].copy(), rows, actions.names,
        )  # fmt: skip

    @property
    def bytes_resident(self) -> int:
        """Bytes held."""
        return self._targets.bytes_resident

    def _write(self) -> bytes:
        return write_part(Counted(int(self._actions[0])), VERSION)

    def _read(self, data: bytes) -> None:
        self._actions[0] = read_part(data, Counted, VERSION).actions


def words_of(targets: Arena) -> NDArray[np.uint64]:
    """Return the rows of a table of `FIELDS` as words, shape (rows, words)."""
    return targets.view().rows.view(np.uint64).reshape(targets.capacity, -1)


def make_way(targets: Arena, targets_max: int) -> None:
    """Make room in a table of targets that is full: grow, or at the bound let the coldest go."""
    if targets.capacity == targets_max and not targets.view().counters[FREE]:
        targets.remove(targets.coldest(max(1, int(targets_max * GONE_SHARE))))
    else:
        targets.make_room()


@inlined
def _key_of(target: np.uint64) -> np.uint64:
    return mix(target, np.int64(3)) | np.uint64(1)


@inlined
def _ask_ahead(view: View, subjects: NDArray[np.uint64], place: int) -> None:
    """Ask for the memory of the targets that come next."""
    if place + AHEAD < len(subjects):
        ask_slot(view, _key_of(subjects[place + AHEAD]))
        ask_row(view, _key_of(subjects[place + AHEAD // 2]), LINE_BYTES)


@compiled
def come_to(
    view: View, words: NDArray[np.uint64], target: np.uint64, actor: np.uint64, ts: np.int64
) -> tuple[int, bool]:
    """Return the row of a target to which an account comes, NO_ROOM for none, and whether it is the first there."""
    row, new = find_or_insert(view, _key_of(target), ts)
    if row == NO_ROOM:
        return row, False
    held = view.rows[row]
    if new:
        held["crowd"], held["crowd_ms"], held["next"] = 1.0, ts, 1
        words[row, THERE], words[row, THERE + 1] = actor, np.uint64(ts)
    else:
        held["crowd"] = held["crowd"] * np.exp2(-abs(ts - held["crowd_ms"]) / WITHIN_MS) + 1.0
        held["crowd_ms"] = max(ts, held["crowd_ms"])
    return row, new


@inlined
def stay(held: Any, target: NDArray[np.uint64], actor: np.uint64, when: np.uint64) -> None:
    """Write an account down at a target, in place of whoever has been there for longest."""
    mine = THERE + 2 * (int(held["next"]) % OTHERS)
    target[mine], target[mine + 1] = actor, when
    held["next"] = (int(held["next"]) + 1) % OTHERS


@inlined
def _look_around(target: NDArray[np.uint64], actor: np.uint64, ts: np.int64) -> tuple[int, int]:
    """Return how many others have just been at a target, and the place of the account itself, -1 for none."""
    met, own = 0, -1
    for each in range(THERE, THERE + 2 * OTHERS, 2):
        if target[each] == np.uint64(0):
            break
        if target[each] == actor:
            own = each
        elif abs(ts - np.int64(target[each + 1] & ~TOLD)) <= WITHIN_MS:
            met += 1
    return met, own


@inlined
def _tell(found: _Found, made: int, place: int, actor: np.uint64, ts: np.int64, crowd: float, actions: np.int64) -> int:
    found.rows[made], found.actor[made], found.ts[made] = place, actor, ts
    found.crowd[made] = crowd if crowd >= CROWD_TOLD else 0.0
    found.actions[made] = actions
    return made + 1


@inlined
def _tell_before(
    found: _Found, made: int, place: int, target: NDArray[np.uint64], ts: np.int64, crowd: float, actions: np.int64
) -> int:
    """Tell of those who have just been at a target and were not told of; return how many visits that makes."""
    for each in range(THERE, THERE + 2 * OTHERS, 2):
        then = np.int64(target[each + 1])
        if target[each] != np.uint64(0) and not target[each + 1] & TOLD and abs(ts - then) <= WITHIN_MS:
            made = _tell(found, made, place, target[each], then, crowd, actions)
            target[each + 1] |= TOLD
    return made


@compiled
def visit(
    view: View, words: NDArray[np.uint64], actions: _Columns, start: int, made: int, counted: NDArray[np.int64],
    found: _Found,
) -> tuple[int, int]:  # fmt: skip
    """Take actions from `start` on; return how far it came (to make room and call again) and the visits so far."""
    for place in range(start, len(actions.ts)):
        verb = actions.verb[place]
        if verb not in (Verb.LIKE, Verb.FOLLOW):
            continue
        if made + OTHERS >= len(found.rows):
            return place, made
        _ask_ahead(view, actions.subject, place)
        ts, actor = actions.ts[place], actions.actor[place]
        row, new = come_to(view, words, actions.subject[place], actor, ts)
        if row == NO_ROOM:
            return place, made
        counted[0] += 1
        if new:
            continue
        held, target = view.rows[row], words[row]
        met, own = _look_around(target, actor, ts)
        several = met + 1 >= TOGETHER and held["crowd"] <= CROWD_MAX
        if own >= 0:
            # Who comes twice is there until the second time.
            told = target[own + 1] & TOLD
            target[own + 1] = np.uint64(max(ts, np.int64(target[own + 1] & ~TOLD))) | told
            if several and told:
                made = _tell(found, made, place, actor, ts, held["crowd"], counted[0])
            continue
        if several:
            made = _tell_before(found, made, place, target, ts, held["crowd"], counted[0])
            made = _tell(found, made, place, actor, ts, held["crowd"], counted[0])
        stay(held, target, actor, np.uint64(ts) | (TOLD if several else np.uint64(0)))
    return len(actions.ts), made
