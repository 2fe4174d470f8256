"""The stages of the partitions that this worker has: made on first use, dropped when their partition leaves."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectors.meetings import MeetingStage
from detectors.state import Delta, SnapshotMismatchError
from detectors.watermark import START_MS
from streams.block_parts import source_name
from streams.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from detectors.actors import ActorStage
    from detectors.arena import Arena
    from detectors.lockstep import GroupStage
    from detectors.state import StageState
    from detectors.subjects import SubjectStage
    from detectors.visits import VisitStage
    from schemas.flags import Flag
    from streams.commits import Partition
    from streams.surges import Surges
    from streams.waiting import InTurn

log = logging.getLogger(__name__)

ACTORS, SUBJECTS, GROUPS = "actors", "subjects", "groups"
"""The names of the stages, in metrics and manifests."""

Seen = dict[str, int]
"""By source, the offset up to which its actions were applied: what comes again after a crash is dropped."""

SEEN, COUNTS = "seen", "counts"
"""The names of the parts that hold it, and how many actions each partition has counted for its meetings."""


@dataclass(frozen=True, slots=True)
class Held:
    """A stage in the two ways in which it is held: as `Stages` keeps it, and as a checkpoint sees it."""

    what: Any
    state: StageState


class JointState:
    """The state of stages that are checkpointed together, with what was seen (`detectors.state.StageState`).

    Names of tables and parts must differ among the stages; `noted` are dictionaries that are parts of their own.
    """

    def __init__(self, stages: Sequence[StageState], noted: Mapping[str, Seen]) -> None:
        self._stages = list(stages)
        self._noted = dict(noted)
        self._tables = {name: table for stage in stages for name, table in stage.tables().items()}
        self._owners: dict[str, StageState] = {}

    def tables(self) -> Mapping[str, Arena]:
        """Return the tables by name."""
        return self._tables

    def take_delta(self) -> Delta:
        """Return what changed in all of them since the last call."""
        joint = Delta()
        for delta in (stage.take_delta() for stage in self._stages):
            joint.rows.update(delta.rows)
            joint.removed.update(delta.removed)
            joint.increments.update(delta.increments)
        return joint

    def parts(self) -> dict[str, bytes]:
        """Return every shared part whole."""
        parts = {name: msgspec.json.encode(noted, order="sorted") for name, noted in self._noted.items()}
        for stage in self._stages:
            parts |= stage.parts()
        return parts

    def restore_rows(self, table: str, snapshot: bytes) -> NDArray[np.int32]:
        """Put rows of a snapshot in place of those with the same keys; return their row numbers."""
        return self._with_table(table).restore_rows(table, snapshot)

    def remove_keys(self, table: str, keys: NDArray[np.uint64]) -> None:
        """Forget the rows of these keys."""
        self._with_table(table).remove_keys(table, keys)

    def restore_increment(self, name: str, data: bytes) -> None:
        """Add what an increment holds."""
        self._stages[0].restore_increment(name, data)

    def restore_part(self, name: str, data: bytes) -> None:
        """Take a shared part in place of the stage's own."""
        if name not in self._noted:
            if not self._owners:
                self._owners = {part: stage for stage in self._stages for part in stage.parts()}
            self._owners.get(name, self._stages[0]).restore_part(name, data)
            return
        try:
            self._noted[name].update(msgspec.json.decode(data, type=Seen))
        except msgspec.MsgspecError as error:
            raise SnapshotMismatchError(f"part {name} is not readable: {error}") from None

    def finish_restore(self) -> None:
        """Join what was restored."""
        for stage in self._stages:
            stage.finish_restore()

    def _with_table(self, table: str) -> StageState:
        # One that nobody has is refused by whoever is asked.
        return next((stage for stage in self._stages if table in stage.tables()), self._stages[0])


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is kept of a partition of the actions."""

    stage: SubjectStage
    visits: VisitStage | None
    seen: Seen


@dataclass(frozen=True, slots=True)
class Groups:
    """What is kept of the visits of all partitions: how far each was seen, and how many actions it has counted."""

    stage: GroupStage
    meetings: MeetingStage
    waiting: Waiting
    seen: Seen
    counts: Seen

    def apply(self, surges: Surges) -> list[Flag]:
        """Take a record of visits; return the flags of those whose turn has come. What came before is passed over."""
        partition = str(surges.partition)
        after = self.seen.get(partition, -1)
        if len(surges):
            self.seen[partition] = max(after, int(surges.offsets[-1]))
        going = self.waiting.take(surges, after)
        if going is None:
            return []
        return self.stage.apply(self.meetings.apply(replace(going.visits, actions=self._counted(going))))

    def _counted(self, going: InTurn) -> NDArray[np.int64]:
        """Return how many actions all partitions had counted at each visit, and remember it of each."""
        more = np.zeros(len(going.visits), np.int64)
        before = sum(self.counts.values())
        for partition in np.unique(going.partition).tolist():
            mine = np.flatnonzero(going.partition == partition)
            counted = np.maximum.accumulate(going.visits.actions[mine])
            more[mine] = np.diff(counted, prepend=self.counts.get(str(partition), 0))
            self.counts[str(partition)] = int(counted[-1])
        return before + np.cumsum(more)


class Stages:
    """One actor stage per input partition number, one subject stage per partition of the actions topic.

    And one stage for the groups, where this worker has the partition in which all meetings come together.
    """

    def __init__(
        self,
        make_actor_stage: Callable[[], ActorStage],
        make_subject_stage: Callable[[], SubjectStage],
        sources: Sequence[Partition],
        make_visit_stage: Callable[[], VisitStage] | None = None,
        make_group_stage: Callable[[], GroupStage] | None = None,
    ) -> None:
        """Take how stages are made, and as `sources` all input partitions there are, whoever has them.

        Without a way to make the last two nobody looks for groups.
        """
        self._make_visit_stage = make_visit_stage
        self._make_group_stage = make_group_stage
        self._groups: dict[int, Groups] = {}
        self._make_actor_stage = make_actor_stage
        self._make_subject_stage = make_subject_stage
        self._sources = [source_name(*source) for source in sources]
        self._actors: dict[int, ActorStage] = {}
        self._subjects: dict[int, Subjects] = {}
        self.answered: set[tuple[str, int]] = set()
        """Stages that verdicts have changed since their last checkpoint, by name and partition."""

    def actors(self, partition: int) -> ActorStage:
        """Return the actor stage of a partition number, which the three input topics share."""
        stage = self._actors.get(partition)
        if stage is None:
            stage = self._actors[partition] = self._make_actor_stage()
        return stage

    def subjects(self, partition: int) -> tuple[SubjectStage, Seen]:
        """Return the subject stage of a partition, and how far it has seen each source."""
        held = self._subjects_of(partition)
        return held.stage, held.seen

    def visits(self, partition: int) -> VisitStage | None:
        """Return what finds the visits among the actions of a partition, None where nobody looks for groups."""
        return self._subjects_of(partition).visits

    def groups(self, partition: int) -> Groups:
        """Return what finds the groups among the meetings."""
        held = self._groups.get(partition)
        if held is None:
            held = self._groups[partition] = self._new_groups()
        return held

    def new(self, stage: str) -> Held:
        """Make a stage that belongs to no partition yet: for a restore."""
        if stage == ACTORS:
            actors = self._make_actor_stage()
            return Held(actors, actors)
        if stage == SUBJECTS:
            subjects = self._new_subjects()
            states: list[StageState] = [subjects.stage]
            if subjects.visits is not None:
                states.append(subjects.visits)
            return Held(subjects, JointState(states, {SEEN: subjects.seen}))
        groups = self._new_groups()
        return Held(
            groups,
            JointState([groups.stage, groups.meetings, groups.waiting], {SEEN: groups.seen, COUNTS: groups.counts}),
        )

    def put(self, stage: str, partition: int, held: Held) -> None:
        """Take a stage that was made for this partition, in place of any other."""
        by_stage: dict[str, dict[int, Any]] = {
            ACTORS: self._actors,
            SUBJECTS: self._subjects,
            GROUPS: self._groups,
        }
        by_stage[stage][partition] = held.what

    def _subjects_of(self, partition: int) -> Subjects:
        held = self._subjects.get(partition)
        if held is None:
            held = self._subjects[partition] = self._new_subjects()
        return held

    def _new_subjects(self) -> Subjects:
        make = self._make_visit_stage
        return Subjects(self._new_subject_stage(), make() if make is not None else None, {})

    def _new_groups(self) -> Groups:
        if self._make_group_stage is None:
            raise AssertionError("nobody said how a stage for groups is made")
        return Groups(self._make_group_stage(), MeetingStage(), Waiting(), {}, {})

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
        return {partition: held.stage for partition, held in self._subjects.items()}

    def answerable(self, stage: str) -> Mapping[int, ActorStage | SubjectStage | GroupStage]:
        """Return the stages of this name, whose flags verdicts are about, by partition."""
        if stage == ACTORS:
            return self.actor_stages()
        if stage == SUBJECTS:
            return self.subject_stages()
        return {partition: held.stage for partition, held in self._groups.items()}

    def keep(self, actors: Iterable[int], subjects: Iterable[int], groups: Iterable[int] = ()) -> None:
        """Drop the stages of all other partitions."""
        every: list[tuple[str, dict[int, Any], set[int]]] = [
            (ACTORS, self._actors, set(actors)),
            (SUBJECTS, self._subjects, set(subjects)),
            (GROUPS, self._groups, set(groups)),
        ]
        for name, stages, kept in every:
            leaving = [partition for partition in stages if partition not in kept]
            for partition in leaving:
                del stages[partition]
            if leaving:
                log.info("state dropped", extra={"fields": {"stage": name, "partitions": len(leaving)}})

    def tracked(self) -> dict[str, int]:
        """Return rows held, by what they are about."""
        actors = self._actors.values()
        total = Counter({"actors": sum(each.tracked for each in actors), "faded": sum(each.faded for each in actors)})
        for held in self._subjects.values():
            total.update(held.stage.tracked)
        if self._groups:
            total[GROUPS] = sum(len(held.stage) for held in self._groups.values())
        return dict(total)

    def bytes_resident(self) -> dict[str, int]:
        """Return bytes of state, by stage."""
        visits = [held.visits for held in self._subjects.values() if held.visits is not None]
        by_stage = {
            ACTORS: sum(stage.bytes_resident for stage in self._actors.values()),
            SUBJECTS: sum(held.stage.bytes_resident for held in self._subjects.values())
            + sum(stage.bytes_resident for stage in visits),
        }
        if self._groups:
            by_stage[GROUPS] = sum(
                held.stage.bytes_resident + held.meetings.bytes_resident + held.waiting.bytes_resident
                for held in self._groups.values()
            )
        return by_stage

    def event_ids_evicted(self) -> int:
        """Return how many event ids were forgotten before their time."""
        return sum(stage.evicted["event_ids"] for stage in self._actors.values())
