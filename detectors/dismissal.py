"""A subject whose flag was dismissed: its hours are learned after all, and it is left alone for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from detectors.answers import Answers, AnswersKept, Hash
from detectors.gate import learn_hour
from detectors.hash_index import find
from detectors.kept_state import Part, read_part, write_part
from detectors.state import SnapshotMismatchError
from detectors.subject_rows import HOURS, LANES, SLOTS_HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.hash_index import View

    Views = tuple[View, View, View, View]

VERSION = 1


class LiftedRow(NamedTuple):
    """A row whose subject somebody has called honest, by lane and key."""

    lane: int
    key: Hash


class LiftedKept(msgspec.Struct):
    """What is kept of the answers in a subject stage: rows as (lane, key, until ms)."""

    answers: AnswersKept
    lifted: list[tuple[int, Hash, int]]


class Lifted:
    """The rows from which is learned although they look odd, each for a day after the dismissal."""

    def __init__(self) -> None:
        self._until_ms: dict[LiftedRow, int] = {}

    def add(
        self, views: tuple[View, View, View, View], lane: int, keys: Iterable[int], until_ms: int, slot: int
    ) -> None:
        """Let nothing open on the rows of a lane before `slot`, and learn from them until `until_ms`."""
        for key in keys:
            row = row_of(views[lane], key)
            if row is not None:
                row["cooldown"] = max(int(row["cooldown"]), slot)
                self._until_ms[LiftedRow(lane, key)] = until_ms

    def learn(self, views: Views, rules: Any, pools: Any, now_ms: int) -> None:
        """Learn what these rows have not learned, because it was suspected."""
        for lifted in self._until_ms:
            row = row_of(views[lifted.lane], lifted.key)
            if row is not None:
                learn_after_all(row, rules[lifted.lane], pools[lifted.lane])
        self._until_ms = {lifted: until for lifted, until in self._until_ms.items() if until > now_ms}

    def kept(self) -> list[tuple[int, int, int]]:
        """Return everything."""
        return [(lane, key, until) for (lane, key), until in self._until_ms.items()]

    def restore(self, kept: Iterable[tuple[int, int, int]]) -> None:
        """Take this in place of everything."""
        self._until_ms = {LiftedRow(lane, key): until for lane, key, until in kept}


def row_of(view: View, key: int) -> Any | None:
    """Return the row of a key to be changed, None where there is none."""
    place = find(view, np.uint64(key))
    if place < 0:
        return None
    view.dirty[place] = 1
    return view.rows[place]


def learn_after_all(row: Any, rule: Any, pool: Any) -> None:
    """Let the hours of a row's last day be learned that were held back as suspected.

    An hour that is not merged yet is only let go; one that was merged without being learned is learned now, while
    its count is there.
    """
    newest = int(row["slot"]) // SLOTS_HOUR
    held = int(row["suspected"])
    row["suspected"] = 0
    counted = float(pool["closed"]), float(pool["passed"])
    for hour in range(newest - HOURS + 1, min(newest + 1, int(row["merged"]))):
        if held >> (hour % HOURS) & 1:
            learn_hour(row, rule, pool, hour)
    pool["closed"], pool["passed"] = counted  # the hour was counted when it was merged


def answers_part(answers: Answers, lifted: Lifted) -> Part:
    """Return how the answers of a subject stage are kept."""

    def write() -> bytes:
        return write_part(LiftedKept(answers.kept(), lifted.kept()), VERSION)

    def read(data: bytes) -> None:
        kept = read_part(data, LiftedKept, VERSION)
        lanes = {lane for lane, _, _ in kept.lifted} | {past.lane for past in kept.answers.past}
        keys = [key for _, key, _ in kept.lifted] + [key for past in kept.answers.past for key in past.rows]
        if not lanes <= set(range(LANES)) or any(key >= 2**64 for key in keys):
            raise SnapshotMismatchError("an answer is about a row that cannot be: start without it")
        answers.restore(kept.answers)
        lifted.restore(kept.lifted)

    return Part(write, read)
