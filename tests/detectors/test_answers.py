"""Answers to flags: what is dismissed is retracted once and learned from, wherever the stage was checkpointed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from detectors.answers import DISMISSED_REASON, GIVEN_MAX, PAST_MAX, Answers, Past
from detectors.lockstep import GroupStage
from detectors.state import SnapshotMismatchError
from schemas.columns import Verb
from schemas.flags import Flag, Kind, Status
from schemas.verdicts import Judgement
from tests.detectors.batches import START_MS as PROGRAM_START_MS
from tests.detectors.finder import MeetingFinder
from tests.detectors.states import Keeper
from tests.detectors.subject_traffic import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    Act,
    actions_of,
    bought,
    feed,
    in_time,
    organic,
    stage,
)
from tests.detectors.test_automation import flags_of, new_stage, timer
from tests.detectors.test_lockstep import actions_of as meetings_of
from tests.detectors.test_lockstep import bustle, gang, part

if TYPE_CHECKING:
    from detectors.subjects import SubjectStage

CONFIRMED, DISMISSED = Judgement.CONFIRMED, Judgement.DISMISSED
RISE_MS = START_MS + 2 * DAY_MS


def rise(hours: int, seed: int = 1) -> list[Act]:
    """Two quiet days, then a crowd that looks bought and goes on for hours."""
    rng = np.random.default_rng(seed)
    return in_time(
        organic(rng, 100, START_MS, 2 * DAY_MS, Verb.FOLLOW, "u1"),
        bought(rng, 80 * hours, RISE_MS, hours * HOUR_MS, Verb.FOLLOW, "u1"),
    )


def until_opened(acts: list[Act]) -> tuple[SubjectStage, Flag, list[Act]]:
    """Feed acts until a flag opens; return the stage, the flag and the acts that are left."""
    fresh = stage()
    for at, act in enumerate(acts):
        if flags := fresh.apply(actions_of([act]), "likes-0"):
            return fresh, flags[0], acts[at + 1 :]
    raise AssertionError("nothing was flagged")


def expected_next_hour(of: SubjectStage, key_of: Act) -> float:
    """Return the followers an hour that a stage has learned to expect of a subject."""
    table = of.tables()["follows"]
    row = table.view().rows[table.find(int(actions_of([key_of]).subject[0]))]
    return float(row["level_count"]) / max(float(row["level_hours"]), 1.0)


def test_a_dismissed_flag_is_retracted_once_with_its_own_evidence_and_why() -> None:
    answered, opened, _ = until_opened(rise(1))
    assert opened.flag_id in answered.answerable()
    told = answered.answer(opened.flag_id, DISMISSED)
    assert told is not None
    assert told.kind is Kind.FOLLOWER_SPIKE
    (retracted,) = told.flags
    assert (retracted.flag_id, retracted.status) == (opened.flag_id, Status.RETRACTED)
    assert retracted.detected_at >= opened.detected_at
    assert retracted.evidence.reasons == [DISMISSED_REASON, *opened.evidence.reasons]
    assert answered.answer(opened.flag_id, DISMISSED) is None
    assert answered.open_episodes == 0


def test_the_rise_that_was_dismissed_is_not_flagged_again_and_becomes_usual() -> None:
    acts = rise(20)
    one, opened, left = until_opened(acts)
    other, _, _ = until_opened(acts)
    assert one.answer(opened.flag_id, DISMISSED) is not None
    assert feed(one, actions_of(left)) == []
    assert feed(other, actions_of(left)) != []
    assert expected_next_hour(one, acts[0]) > 5 * expected_next_hour(other, acts[0])


def test_a_day_after_a_dismissal_the_subject_can_be_flagged_again() -> None:
    answered, opened, _ = until_opened(rise(1))
    answered.answer(opened.flag_id, DISMISSED)
    again = bought(np.random.default_rng(3), 400, RISE_MS + 3 * DAY_MS, HOUR_MS, Verb.FOLLOW, "u1")
    flags = feed(answered, actions_of(again))
    assert flags[0].status is Status.OPENED
    assert flags[0].flag_id != opened.flag_id


def test_an_episode_that_is_over_can_still_be_dismissed() -> None:
    answered = stage()
    quiet = [Act(RISE_MS + DAY_MS + at * HOUR_MS, Verb.LIKE, f"n{at}", f"a{at}") for at in range(4)]
    flags = feed(answered, actions_of([*rise(1), *quiet]))
    assert flags[-1].status is Status.CLOSED
    told = answered.answer(flags[-1].flag_id, DISMISSED)
    assert told is not None
    assert [flag.status for flag in told.flags] == [Status.RETRACTED]
    assert told.flags[0].window == flags[-1].window
    assert answered.answer(flags[-1].flag_id, DISMISSED) is None


def test_a_confirmation_is_taken_once_and_changes_nothing() -> None:
    acts = rise(2)
    answered, opened, left = until_opened(acts)
    told = answered.answer(opened.flag_id, CONFIRMED)
    assert told is not None
    assert told.flags == []
    assert answered.answer(opened.flag_id, CONFIRMED) is None
    untouched, _, _ = until_opened(acts)
    assert feed(answered, actions_of(left)) == feed(untouched, actions_of(left))


def test_a_change_of_mind_retracts_and_back_again_does_not_open_anew() -> None:
    answered, opened, _ = until_opened(rise(1))
    first = [answered.answer(opened.flag_id, judgement) for judgement in (CONFIRMED, DISMISSED, CONFIRMED, DISMISSED)]
    assert [len(told.flags) for told in first if told is not None] == [0, 1, 0, 0]


def test_an_id_that_no_stage_knows_is_passed_over() -> None:
    for one in (stage(), new_stage(), GroupStage()):
        assert one.answer("00000000-0000-5000-8000-000000000000", DISMISSED) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_checkpoint_before_or_after_the_answer_changes_nothing(when: str) -> None:
    uninterrupted, opened, left = until_opened(rise(8))
    expected_answer = uninterrupted.answer(opened.flag_id, DISMISSED)
    first, keeper = until_opened(rise(8))[0], Keeper()
    if when == "after":
        first.answer(opened.flag_id, DISMISSED)
    keeper.take(first)
    restored = stage()
    keeper.restore(restored)
    told = restored.answer(opened.flag_id, DISMISSED)
    assert told == (expected_answer if when == "before" else None)
    assert feed(restored, actions_of(left)) == feed(uninterrupted, actions_of(left))
    assert restored.parts() == uninterrupted.parts()


def test_answers_of_a_state_that_was_tampered_with_are_refused() -> None:
    one, opened, _ = until_opened(rise(1))
    one.answer(opened.flag_id, DISMISSED)
    part_bytes = one.parts()["answers"]
    with pytest.raises(SnapshotMismatchError, match="answers"):
        stage().restore_part("answers", part_bytes[:-1] + b"\0")


def test_a_program_that_was_dismissed_is_left_alone_for_a_day() -> None:
    answered = new_stage()
    first = flags_of(answered, timer(40))
    told = answered.answer(first[0].flag_id, DISMISSED)
    assert told is not None
    assert [flag.status for flag in told.flags] == [Status.RETRACTED]
    assert answered.open_episodes == 0
    on = PROGRAM_START_MS + 41 * 90_000
    later = flags_of(answered, timer(400, on))
    assert later == []
    keeper = Keeper()
    keeper.take(answered)
    restored = new_stage()
    keeper.restore(restored)
    assert restored.answer(first[0].flag_id, DISMISSED) is None


def test_a_dismissed_group_is_no_more_and_its_accounts_are_in_no_other() -> None:
    rows = sorted(bustle(1) + gang(2))
    actions = meetings_of(rows)
    meetings, groups = MeetingFinder(), GroupStage()
    flags: list[Flag] = []
    for start in range(0, len(actions), 500):
        some = groups.apply(meetings.apply(part(actions, start, min(start + 500, len(actions)))))
        opened = [flag for flag in some if flag.status is Status.OPENED]
        flags += some
        if opened and len(groups):
            told = groups.answer(opened[0].flag_id, DISMISSED)
            assert told is not None
            assert [flag.status for flag in told.flags] == [Status.RETRACTED]
    founders = [set(flag.evidence.members or ()) for flag in flags if flag.status is Status.OPENED]
    assert founders
    assert all(one.isdisjoint(other) for at, one in enumerate(founders) for other in founders[:at])


def test_what_is_remembered_is_bounded() -> None:
    answers, flag = Answers(), until_opened(rise(1))[1]
    for number in range(GIVEN_MAX + 10):
        name = f"{number:08x}-0000-5000-8000-000000000000"
        answers.remember(Past(msgspec.structs.replace(flag, flag_id=name), 0, 1, []))
        assert answers.give(name, CONFIRMED)
    kept = answers.kept()
    assert len(kept.past) == PAST_MAX
    assert len(kept.given) == GIVEN_MAX
    assert kept.given[-1][0] == name
