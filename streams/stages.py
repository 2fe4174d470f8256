"""The stages of the partitions that this worker has: made on first use, dropped when their partition leaves."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from detectors.watermark import START_MS
from streams.blocks import source_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from detectors.actors import ActorStage
    from detectors.subjects import SubjectStage
    from streams.commits import Partition

log = logging.getLogger(__name__)

Seen = dict[str, int]
"""By source, the offset up to which its actions were applied: what comes again after a crash is dropped."""


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
            stage = self._make_subject_stage()
            # A source that has not spoken yet holds event time back until it does, or is told to be idle.
            for source in self._sources:
                stage.advance(source, START_MS)
            entry = self._subjects[partition] = (stage, {})
        return entry

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
