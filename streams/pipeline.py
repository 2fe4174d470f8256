"""The composition root of what decides: stages from settings and shipped models, for worker and replay alike."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from detectors.actors import ActorStage
from detectors.calibration import Thresholds, read_thresholds
from detectors.lockstep import GroupStage
from detectors.marks import MarkModel
from detectors.meetings import MeetingStage
from detectors.rhythm_model import RhythmModel, read_rhythm_model
from detectors.settings import SUBJECT_KINDS, ActorSettings, DetectorSettings
from detectors.subjects import SubjectStage
from detectors.visits import VisitStage
from schemas.columns import Topic
from schemas.decode import decode_batch
from schemas.flags import Mode
from schemas.texts import differing
from streams.block_parts import BlockHeader
from streams.blocks import pack, unpack
from streams.checkpoint_log import CheckpointLog
from streams.settings import HOUR_MS
from streams.surges import pack_all as pack_surges
from streams.surges import unpack as unpack_surges

if TYPE_CHECKING:
    from detectors.state import StageState
    from streams.settings import Settings

SHIPPED = "shipped"
MARKS = "marks.json"
THRESHOLDS = "thresholds.json"
RHYTHM = "rhythm.json"

_RUSH = 150
"""Accounts in the warm-up that act on one subject within seconds: enough that it is looked at closely."""


@cache
def shipped_marks() -> MarkModel:
    """Return the mark weights that come with the program."""
    return MarkModel.from_json(_shipped(MARKS))


@cache
def shipped_thresholds() -> Thresholds:
    """Return the thresholds that come with the program."""
    return read_thresholds(_shipped(THRESHOLDS))


@cache
def shipped_rhythm() -> RhythmModel:
    """Return what makes a rhythm a program's, as it comes with the program."""
    return read_rhythm_model(_shipped(RHYTHM))


def build_actor_stage(settings: Settings, marks: MarkModel | None = None) -> ActorStage:
    """Build the stage of one input partition, with the shipped marks or with others."""
    mode = Mode(settings.mode_automation)
    own = ActorSettings(lateness_ms=settings.lateness_ms, actors_max=settings.actors_max, automation_mode=mode)
    return ActorStage(own, marks or shipped_marks(), shipped_rhythm())


def build_subject_stage(settings: Settings, thresholds: Thresholds | None = None) -> SubjectStage:
    """Build the stage of one partition of the actions, with the shipped thresholds or with others."""
    modes = {kind: Mode(getattr(settings, f"mode_{kind.value}")) for kind in SUBJECT_KINDS}
    return SubjectStage(
        DetectorSettings(subjects_max=settings.subjects_max, modes=modes), thresholds or shipped_thresholds()
    )


def build_visit_stage() -> VisitStage:
    """Build the stage that finds where several are at once, among one partition of the actions."""
    return VisitStage()


def build_group_stage(settings: Settings) -> GroupStage:
    """Build the stage that finds who keeps meeting, anywhere."""
    return GroupStage(Mode(settings.mode_lockstep))


def warm_up(settings: Settings) -> None:
    """Load the models and compile the loops, so that neither happens while records wait.

    A rush of new accounts on one subject of each kind goes through the stages, and each is kept and restored, so that
    what is only needed once something is suspected, or at the first checkpoint, is there as well.
    """
    actors, subjects, visits = build_actor_stage(settings), build_subject_stage(settings), build_visit_stage()
    groups, meetings = build_group_stage(settings), MeetingStage()
    for topic in Topic:
        events, _ = decode_batch(topic, [_event(topic, number) for number in range(_RUSH)], None)
        differing(events.actor_ids, [b"a"] * len(events))
        actions = actors.apply(events).actions
        block = unpack(pack(actions, np.arange(len(actions)), BlockHeader(topic.name, 0, 0, len(actions), 0)))
        subjects.apply(block.actions, topic.name)
        for value in pack_surges(0, [(0, visits.apply(block.actions))]):
            groups.apply(meetings.apply(unpack_surges(value).visits))
    for state in (actors, subjects, visits, groups, meetings):
        _warm_up_keeping(state)


def _event(topic: Topic, number: int) -> bytes:
    own = f'"event_id":"e{number}","ts":{3 * HOUR_MS + 100 * number},"actor_id":"a{number}","actor_created_at":1,'
    own += '"device_id":"d","ip_prefix":"p","surface":"external",'
    of_topic = {
        Topic.LIKES: '"action":"like","note_id":"n","author_id":"b"',
        Topic.FOLLOWS: '"action":"follow","target_id":"b"',
        Topic.SEARCHES: '"query":"q","clicked_note_id":"n","clicked_author_id":"b","position":1',
    }
    return f"{{{own}{of_topic[topic]}}}".encode()


def _warm_up_keeping(state: StageState) -> None:
    """Do with each table of a stage what checkpoints, restores, growth and its bound do."""
    CheckpointLog("warm-up").take(state)
    for name, table in state.tables().items():
        key = np.array([1], np.uint64)
        table.rows_of(key)
        table.coldest(1)
        state.remove_keys(name, key)
        table.reserve(2 * table.capacity)


def _shipped(name: str) -> bytes:
    return (resources.files("detectors") / SHIPPED / name).read_bytes()
