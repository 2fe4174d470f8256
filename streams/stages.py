"""The stages of the partitions that this worker has: made on first use, dropped when their partition leaves."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from detectors.state import SnapshotMismatchError
from detectors.watermark import START_MS
from streams.blocks import source_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detectors.actors import ActorStage
    from detectors.state import StageState
    from detectors.subjects import SubjectStage
    from streams.commits import Partition

log = logging.getLogger(__name__)

ACTORS, SUBJECTS = "actors", "subjects"
"""The names of the stages, in metrics and manifests."""

Seen = dict[str, int]
"""By source, the offset up to which its actions were applied: what comes again after a crash is dropped."""

SEEN = "seen"
"""The name of the part that holds it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A stage in the two ways in which it is held: as `Stages` keeps it, and as a checkpoint sees it."""

    what: Any
    state: StageState


class SubjectsState:
    """The state of a subject stage together with what it has seen of each source (`detectors.state.StageState`)."""

    def __init__(self, stage: SubjectStage, seen: Seen) -> None:
        self._stage = stage
        self._seen = seen
        self.tables = stage.tables
        self.take_delta = stage.take_delta
        self.restore_rows = stage.restore_rows
        self.remove_keys = stage.remove_keys
        self.restore_increment = stage.restore_increment
        self.finish_restore = stage.finish_restore

    def parts(self) -> dict[str, bytes]:
        """Return every shared part whole."""
        return {**self._stage.parts(), SEEN: msgspec.json.encode(self._seen, order="sorted")}

    def restore_part(self, name: str, data: bytes) -> None:
        """Take a shared part in place of the stage's own."""
        if name != SEEN:
            self._stage.restore_part(name, data)
            return
        try:
            self._seen.update(msgspec.json.decode(data, type=Seen))
        except msgspec.MsgspecError as error:
            raise SnapshotMismatchError(f"part {SEEN} is not readable: {error}") from None


class Stages:
    """One actor stage per input partition number, one subject stage per partition of the actions topic."""

    def __init__(
        self,
        make_actor_stage: Callable[[], ActorStage],
        make_subject_stage: Callable[[], SubjectStage],
        sources: Sequence[Partition],
    ) -> None:
        """Take how stages are made, and as `sources` all input partitions there are, whoever has them."""
        self._make_actor_stage = make_actor_stage
        self._make_subject_stage = make_subject_stage
        self._sources = [source_name(*source) for source in sources]
        self._actors: dict[int, ActorStage] = {}
        self._subjects: dict[int, tuple[SubjectStage, Seen]] = {}

    def actors(self, partition: int) -> ActorStage:
        """Return the actor stage of a partition number, which the three input topics share."""
        stage = self._actors.get(partition)
        if stage is None:
            stage = self._actors[partition] = self._make_actor_stage()
        return stage

    def subjects(self, partition: int) -> tuple[SubjectStage, Seen]:
        """Return the subject stage of a partition, and how far it has seen each source."""
        entry = self._subjects.get(partition)
        if entry is None:
            entry = self._subjects[partition] = (self._new_subject_stage(), {})
        return entry

    def new_actors(self) -> Held:
        """Make an actor stage that belongs to no partition yet: for a restore."""
        stage = self._make_actor_stage()
        return Held(stage, stage)

    def new_subjects(self) -> Held:
        """Make a subject stage likewise, with what it has seen of each source."""
        stage, seen = self._new_subject_stage(), Seen()
        return Held((stage, seen), SubjectsState(stage, seen))

    def put(self, stage: str, partition: int, held: Held) -> None:
        """Take a stage that was made for this partition, in place of any other."""
        if stage == ACTORS:
            self._actors[partition] = held.what
        else:
            self._subjects[partition] = held.what

    def _new_subject_stage(self) -> SubjectStage:
        stage = self._make_subject_stage()
        # A source that has not spoken yet holds event time back until it does, or is told to be idle.
        for source in self._sources:
            stage.advance(source, START_MS)
        return stage

    def actor_stages(self) -> dict[int, ActorStage]:
        """Return the actor stages there are, by partition number."""
        return dict(self._actors)

    def subject_stages(self) -> dict[int, SubjectStage]:
        """Return the subject stages there are, by partition."""
        return {partition: stage for partition, (stage, _) in self._subjects.items()}

    def keep(self, actors: Iterable[int], subjects: Iterable[int]) -> None:
        """Drop the stages of all other partitions."""
        for name, stages, kept in (("actors", self._actors, set(actors)), ("subjects", self._subjects, set(subjects))):
            leaving = [partition for partition in stages if partition not in kept]
            for partition in leaving:
                del stages[partition]
            if leaving:
                log.info("state dropped", extra={"fields": {"stage": name, "partitions": len(leaving)}})

    def tracked(self) -> dict[str, int]:
        """Return rows held, by what they are about."""
        total = Counter({"actors": sum(stage.tracked for stage in self._actors.values())})
        for stage, _ in self._subjects.values():
            total.update(stage.tracked)
        return dict(total)

    def bytes_resident(self) -> dict[str, int]:
        """Return bytes of state, by stage."""
        return {
            "actors": sum(stage.bytes_resident for stage in self._actors.values()),
            "subjects": sum(stage.bytes_resident for stage, _ in self._subjects.values()),
        }

    def event_ids_evicted(self) -> int:
        """Return how many event ids were forgotten before their time."""
        return sum(stage.evicted["event_ids"] for stage in self._actors.values())
