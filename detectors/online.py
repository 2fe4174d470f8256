"""Detectors in River's shape: one action at a time, `score_one` and `learn_one`, over the compiled loop of the stage.

This is the door for those who know River; the pipeline itself goes by `subjects.SubjectStage`, in batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from river.base import AnomalyDetector

from detectors.calibration import KindThresholds, untrained
from detectors.clicks import is_lifted
from detectors.composition import MARK_UNITS, mix_factor
from detectors.deciding import need_factor, threshold_of
from detectors.episodes import strength_of
from detectors.gate import gate
from detectors.kept_state import array_of, raw
from detectors.settings import DetectorSettings
from detectors.sketches import SMALL_BITS, distinct, popcount
from detectors.sources import LAST_MS
from detectors.subject_kernel import CLOCK, NEEDS_ROOM, REASON, ROOM_LANE, TIME_DUE, Columns, pair_key, walk
from detectors.subject_rows import CLICKS, FOLLOWS, LANES, LIKES, POOL, SEARCHES
from detectors.suspects import NO_LOOK
from detectors.tables import Tables
from schemas.columns import ABSENT, Verb
from schemas.hashing import hash_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.specs import Spec

SUSPECTS = 64
"""Places for suspects: a detector used alone publishes no evidence, so they only serve the loop."""

LATENESS_MS = 120_000

_USUAL_VERB = {FOLLOWS: Verb.FOLLOW, LIKES: Verb.LIKE, SEARCHES: Verb.SEARCH, CLICKS: Verb.SEARCH}


class OnlineDetector(AnomalyDetector):
    """What the four detectors share.

    An action is a mapping with "ts" (ms), "subject" and "actor" (ids), "mark" (nats, the log-likelihood ratio bought /
    organic of the actor, 0 where absent) and, where they apply, "action" ("follow", "unfollow", "like", "unlike",
    "search"), "note" (the clicked result) and "position".

    Args:
        thresholds: learned numbers of this kind; `calibration.untrained()` without.
        subjects_max: most subjects held.

    """

    spec: ClassVar[Spec]

    def __init__(self, thresholds: KindThresholds | None = None, subjects_max: int = 100_000) -> None:
        self.thresholds = thresholds
        self.subjects_max = subjects_max
        self._tables = self._empty(subjects_max)
        self._clock_ms = 0

    def learn_one(self, x: Mapping[str, Any]) -> None:
        """Count one action."""
        self._clock_ms = _run(self._tables, self._columns(x), self._clock_ms)

    def score_one(self, x: Mapping[str, Any]) -> float:
        """Return how likely the subject is being boosted once this action is counted, in [0, 1]. Changes nothing."""
        scratch = self._empty(len(self._keys(x)))
        for lane, key in self._keys(x):
            here = self._tables.arenas[lane]
            place = here.find(key)
            if place >= 0:
                scratch.arenas[lane].restore(here.snapshot(np.array([place], np.int64)))
                scratch.arenas[lane].view().rows["suspect"] = -1
        scratch.refresh()
        scratch.state.pools[:] = self._tables.state.pools
        _run(scratch, self._columns(x), self._clock_ms)
        lane, key = self._keys(x)[-1]
        place = scratch.arenas[lane].find(key)
        return self._score(scratch.arenas[lane].view().rows[place], scratch) if place >= 0 else 0.0

    @property
    def tracked(self) -> int:
        """Subjects held."""
        return len(self._tables.arenas[self.spec.lane])

    @property
    def bytes_resident(self) -> int:
        """Bytes held."""
        return self._tables.bytes_resident

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling keeps: compact snapshots instead of arrays with free rows."""
        tables = self._tables
        return {
            "thresholds": self.thresholds,
            "subjects_max": self.subjects_max,
            "clock_ms": self._clock_ms,
            "rows": [arena.snapshot() for arena in tables.arenas],
            "pools": raw(tables.state.pools).tobytes(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore. Suspects are found anew: their places are not kept."""
        self.thresholds = state["thresholds"]
        self.subjects_max = state["subjects_max"]
        self._clock_ms = state["clock_ms"]
        self._tables = self._empty(self.subjects_max)
        for arena, snapshot in zip(self._tables.arenas, state["rows"], strict=True):
            arena.restore(snapshot)
            arena.view().rows["suspect"] = -1
        self._tables.refresh()
        raw(self._tables.state.pools)[:] = raw(array_of(state["pools"], POOL, LANES))

    def _empty(self, subjects_max: int) -> Tables:
        numbers = self.thresholds or untrained()
        settings = DetectorSettings(subjects_max=max(subjects_max, 2), suspects_max=SUSPECTS)
        return Tables(settings, [self.spec] * LANES, [numbers] * LANES)

    def _score(self, row: Any, tables: Tables) -> float:
        lane = self.spec.lane
        rule = tables.state.rules[lane]
        numbers = self.thresholds or untrained()
        ratio = float(row["stat"].max()) / float(threshold_of(row, rule))
        actors = float(distinct(popcount(row["seen_suspicious"]), SMALL_BITS))
        mix_nats = float(mix_factor(row, rule, tables.state.pools[lane])) if row["run"] else 0.0
        score = numbers.score_of(strength_of(self.spec, ratio, actors, mix_nats))
        passed = need_factor(row, rule, int(gate(row, rule, tables.state.pools[lane]))) > 0.0
        earned = lane != CLICKS or is_lifted(row, rule)
        return min(max(score if passed and earned else 0.5 * score, 0.0), 1.0)

    def _keys(self, x: Mapping[str, Any]) -> list[tuple[int, int]]:
        subject = hash_id(x["subject"])
        if self.spec.lane != CLICKS:
            return [(self.spec.lane, subject)]
        if not x.get("note"):
            return [(SEARCHES, subject)]
        pair = int(pair_key(np.uint64(subject), np.uint64(hash_id(x["note"]))))
        return [(SEARCHES, subject), (CLICKS, pair)]

    def _columns(self, x: Mapping[str, Any]) -> Columns:
        action = x.get("action")
        verb = Verb[action.upper()] if action else _USUAL_VERB[self.spec.lane]
        units = round(float(x.get("mark", 0.0)) * MARK_UNITS)
        return Columns(
            np.array([x["ts"]], np.int64),
            np.array([x["ts"] - LATENESS_MS], np.int64),
            np.array([verb], np.uint8),
            np.array([hash_id(x["subject"])], np.uint64),
            np.array([hash_id(x["actor"])], np.uint64),
            np.array([hash_id(x["note"]) if x.get("note") else ABSENT], np.uint64),
            np.array([ABSENT], np.uint64),
            np.array([x.get("position") or 0], np.uint16),
            np.array([min(max(units, -127), 127)], np.int8),
            np.array([0], np.uint16),
        )


def _run(tables: Tables, columns: Columns, clock_ms: int) -> int:
    """Walk one action; return the clock after it."""
    at = 0
    while at < len(columns.ts):
        state = tables.state
        at = walk(state, columns, at, LAST_MS, clock_ms, LAST_MS)
        clock_ms = int(state.out[CLOCK])
        if state.out[REASON] == NEEDS_ROOM:
            tables.make_room(int(state.out[ROOM_LANE]))
        elif state.out[REASON] == TIME_DUE:
            state.suspects.looks[:] = NO_LOOK  # it scores when it is asked to
    return clock_ms
