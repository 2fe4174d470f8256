"""`boostwatch replay`: the worker's own stages over recorded traffic, with files in the place of topics.

At the end of the recording event time stays where the last event left it, as it would on a topic that falls
silent: episodes that are still open stay open, and nothing is closed that the traffic did not close.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
import numpy as np

from detectors.actors import Outcome
from detectors.meetings import MeetingStage
from schemas.flags import Flag, encode_flag
from streams.errors import RecordedTrafficError
from streams.pipeline import build_actor_stage, build_group_stage, build_subject_stage, build_visit_stage, warm_up
from streams.recorded import STEMS, Recording
from streams.replay_report import Progress, print_summary
from streams.turns import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from detectors.actions import Actions
    from detectors.actors import ActorStage
    from detectors.subjects import SubjectStage
    from schemas.columns import Events, Topic
    from streams.settings import Settings
    from streams.turns import InOrder

BATCH_EVENTS = 8_192
"""Events handed over at once, at most; the flags do not depend on it."""


@dataclass(slots=True)
class Totals:
    """What a replay has done so far."""

    outcomes: Counter[tuple[Topic, Outcome]] = field(default_factory=Counter)
    flags: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and status
    events: int = 0
    first_ms: int | None = None
    event_time_ms: int = 0

    def add(self, events: Events, outcome: NDArray[np.uint8]) -> None:
        """Count one batch of one topic."""
        for code, count in enumerate(np.bincount(outcome, minlength=len(Outcome)).tolist()):
            if count:
                self.outcomes[events.topic, Outcome(code)] += count
        self.events += len(outcome)
        first_ms = int(events.arrival[0])
        self.first_ms = first_ms if self.first_ms is None else min(first_ms, self.first_ms)
        self.event_time_ms = max(self.event_time_ms, int(events.arrival[-1]))

    def tell(self, flags: Iterable[Flag]) -> None:
        """Count flags."""
        for flag in flags:
            self.flags[flag.kind, flag.status] += 1


def replay(
    settings: Settings,
    recording: Recording,
    batch_events: int,
    totals: Totals,
    stages: tuple[ActorStage, SubjectStage] | None = None,
) -> Iterator[list[Flag]]:
    """Run the stages over a recording; yield after each batch the flags that it tipped, in decision order.

    `emitted_at` of the flags is 0. The stages are those of the settings, or others that are new.
    """
    actors, subjects = stages or (build_actor_stage(settings), build_subject_stage(settings))
    groups = _Groups(settings)
    for batches, turns in recording.in_turns(batch_events):
        marked = actors.apply_in_turns(batches, turns)
        flags = _decided(in_order(marked, [STEMS[events.topic] for events in batches], turns), subjects, groups)
        for events, one in zip(batches, marked, strict=True):
            totals.add(events, one.outcome)
        totals.tell(flags)
        yield flags


class _Groups:
    """The search for groups, over the actions of the whole recording."""

    def __init__(self, settings: Settings) -> None:
        self._visits, self._meetings, self._groups = build_visit_stage(), MeetingStage(), build_group_stage(settings)

    def apply(self, actions: Actions) -> list[tuple[int, Flag]]:
        """Take actions; return the flags that they bring, each with the place of the action that tipped it."""
        return self._groups.decide(self._meetings.apply(self._visits.apply(actions)))


def _decided(marked: InOrder, subjects: SubjectStage, groups: _Groups) -> list[Flag]:
    """Return the flags of all stages in the order of the events that tipped them, however batches were cut."""
    early = [(at, 1, flag) for at, flag in marked.flags]
    late = [(place + 1, 0, flag) for place, flag in groups.apply(marked.actions)]
    flags: list[Flag] = []
    done = 0
    for until, _, flag in sorted(early + late, key=lambda one: one[:2]):
        flags += subjects.apply_all(*marked.part(done, until))
        flags.append(flag)
        done = until
    return flags + subjects.apply_all(*marked.part(done, len(marked.actions)))


def run(settings: Settings, directory: Path, flags_path: Path, batch_events: int = BATCH_EVENTS) -> None:
    """Replay a directory into a file of flags, one JSON object a line, and tell what happened.

    The file appears under its name only once it is whole. Raises RecordedTrafficError.
    """
    recording = Recording(directory)
    totals = Totals()
    warm_up(settings)  # so that the rate told is that of the replay
    started = time.monotonic()
    with _whole_file(flags_path) as out, Progress(recording, totals) as progress:
        for flags in replay(settings, recording, batch_events, totals):
            if flags:
                now_ms = time.time_ns() // 1_000_000
                out.writelines(encode_flag(msgspec.structs.replace(flag, emitted_at=now_ms)) + b"\n" for flag in flags)
            progress.update()
    print_summary(sys.stdout, recording, totals, time.monotonic() - started, flags_path)


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when all of it is written; what is no plain file is written directly."""
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                yield stream
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise RecordedTrafficError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
