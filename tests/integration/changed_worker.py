"""The worker with a part changed, as a process for tests: `python -m tests.integration.changed_worker PART...`.

`counting`: the subject stage flags every subject at its tenth action, and fails on the subject "boom".
`unchecked`: the topics are taken as they are.
`sticky`: with it, that stage comes back from the subject "stuck" after minutes only.
`forgetful`: few event ids are remembered.
`impatient`: Kafka is waited for some seconds only.
`jumping`: the clock on the wall goes forward and back by an hour, every two seconds.
Settings come from BOOSTWATCH_* as always.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from detectors import actors
from detectors.answers import Answered, Answers, Past, retraction
from detectors.dedup import SeenIds
from detectors.onward import ONWARD
from detectors.state import Delta
from schemas.flags import Detector, Evidence, Flag, Kind, Severity, Status, Subject, SubjectType, Window, flag_id
from schemas.hashing import hash_id
from schemas.verdicts import Judgement
from streams import app, worker
from streams.errors import BoostwatchError
from streams.logs import configure
from streams.pipeline import build_subject_stage
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.actions import Actions
    from detectors.arena import Arena

FLAG_AT = 10
BOOM = hash_id("boom")
STUCK, STUCK_S = hash_id("stuck"), 300


class CountingSubjects:
    """Has a subject stage's face; flags at the tenth action of a subject."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._answers = Answers()
        # Beside it works a real one, of which only the models are looked at.
        self._real = build_subject_stage(Settings())
        self.models = self._real.models

    bytes_resident = evicted = open_episodes = history_ms = 0

    def tables(self) -> dict[str, Arena]:
        return {}

    def take_delta(self) -> Delta:
        return Delta()

    def parts(self) -> dict[str, bytes]:
        return {"counts": json.dumps(list(self._counts.items())).encode()}

    def restore_part(self, _: str, data: bytes) -> None:
        self._counts.update(dict(json.loads(data)))

    def restore_rows(self, *_: object) -> None:
        raise AssertionError("there are no rows")

    remove_keys = restore_increment = restore_rows

    def finish_restore(self) -> None:
        pass

    @property
    def tracked(self) -> dict[str, int]:
        return {"accounts": len(self._counts), "notes": 0, "keywords": 0}

    def advance(self, source: str, watermark_ms: int, *, idle: bool = False) -> list[Flag]:
        return self.advance_all([(source, watermark_ms, idle)])

    def advance_all(self, sources: Sequence[tuple[str, int, bool]]) -> list[Flag]:
        self._real.advance_all(sources)
        return []

    def answerable(self) -> list[str]:
        return [*self._answers.ids()]

    def answer(self, flag_id: str, judgement: Judgement) -> Answered | None:
        past = self._answers.find(flag_id)
        if past is None or not self._answers.give(flag_id, judgement):
            return None
        flags = [retraction(past.flag, 0)] if judgement is Judgement.DISMISSED else []
        return Answered(past.flag.kind, judgement, flags)

    def apply_all(self, actions: Actions, sources: Sequence[tuple[str, int]]) -> list[Flag]:
        flags = []
        self._real.apply_all(actions, sources)
        acted = actions.verb < ONWARD
        for subject, ts in zip(actions.subject[acted].tolist(), actions.ts[acted].tolist(), strict=True):
            if subject == STUCK and "sticky" in sys.argv:
                time.sleep(STUCK_S)
            if subject == BOOM:
                raise RuntimeError("the stage met what it cannot take")
            self._counts[subject] += 1
            if self._counts[subject] == FLAG_AT:
                flags.append(flag_of(actions.names.find(subject) or "?", ts))
                self._answers.remember(Past(flags[-1], 0, subject, []))
        return flags


def flag_of(subject: str, ts: int) -> Flag:
    return Flag(
        flag_id=flag_id(Kind.FOLLOWER_SPIKE, subject, ts),
        kind=Kind.FOLLOWER_SPIKE,
        status=Status.OPENED,
        subject=Subject(SubjectType.ACCOUNT, subject),
        window=Window(ts, ts + 1),
        detected_at=ts,
        score=0.5,
        severity=Severity.LOW,
        evidence=Evidence(FLAG_AT, 1.0, FLAG_AT, ["ten of them"], []),
        detector=Detector("counting", "1", "test"),
    )


def main(arguments: list[str]) -> int:
    patched = vars(worker)
    if "unchecked" in arguments:
        patched["require_topics"] = lambda _: None
    if "impatient" in arguments:
        patched["STOP_S"] = 5.0
        options = app.transport_options
        vars(app)["transport_options"] = lambda settings: replace(
            options(settings), request_timeout_ms=7_000, delivery_timeout_ms=7_000, settle_timeout_ms=2_000
        )
    if "forgetful" in arguments:
        vars(actors)["SeenIds"] = partial(SeenIds, entries_max=1_000)
    if "jumping" in arguments:
        real, steady = time.time, time.monotonic
        vars(time)["time"] = lambda: real() + 3_600.0 * (int(steady() / 2.0) % 3 - 1)
    if "counting" in arguments:
        patched["build_subject_stage"] = lambda _: CountingSubjects()
    settings = Settings.load()
    configure(settings.log_level, settings.log_format)
    try:
        return worker.run_worker(settings)
    except BoostwatchError as error:
        sys.stderr.write(f"boostwatch: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
