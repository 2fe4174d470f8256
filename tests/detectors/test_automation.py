"""Accounts that act like programs: which are flagged, which are not, and that nothing hangs on how batches were cut."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.actors import ActorStage
from detectors.automation import COOLDOWN_MS, QUIET_MS
from detectors.marks import MarkModel
from detectors.rhythm_model import RhythmModelError, read_rhythm_model, untaught, write_rhythm_model
from detectors.rhythm_rows import BANKS, FROM_ACTIONS, TURN
from detectors.settings import ActorSettings
from detectors.state import SnapshotMismatchError
from schemas.columns import Surface, Topic, Verb
from schemas.flags import Flag, Kind, Mode, Status, SubjectType, encode_flag
from schemas.verdicts import Judgement
from tests.detectors.batches import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, START_MS, Stream, batch, recut, spread
from tests.detectors.states import Keeper

RHYTHM = read_rhythm_model((resources.files("detectors") / "shipped" / "rhythm.json").read_bytes())
MARKS = MarkModel.flat({})
PROGRAM, PERSON, PLANNER = (int(spread([number], 9)[0]) for number in (1, 2, 3))


def new_stage(**changes: Any) -> ActorStage:
    return ActorStage(ActorSettings(**changes), MARKS, RHYTHM)


def flags_of(stage: ActorStage, stream: Iterable[Any]) -> list[Flag]:
    return [flag for events in stream for flag in stage.apply(events).flags]


def likes(at: Any, actor: int, salt: int = 11, **columns: Any) -> Stream:
    """One like of somebody new at each instant, each a batch of its own."""
    n = len(at)
    owner, note, event = spread(np.arange(n), salt), spread(np.arange(n), salt + 1), spread(np.arange(n), salt + 2)
    given: dict[str, Any] = {"surface": np.full(n, Surface.FEED), **columns}
    return [
        batch(
            Topic.LIKES,
            [at[i]],
            actor=actor,
            owner=owner[i],
            subject=note[i],
            event=event[i],
            **{name: values[i] for name, values in given.items()},
        )
        for i in range(n)
    ]


def timer(n: int = 120, start_ms: int = START_MS, every_ms: int = 90 * SECOND_MS) -> Stream:
    """Make a program that likes somebody new every minute and a half."""
    return likes(start_ms + np.arange(n) * every_ms, PROGRAM)


def by_hand(seed: int, actor: int, visits: NDArray[np.int64]) -> Stream:
    """Do what a person does at each visit: several things, with pauses that spread over orders of magnitude."""
    rng = np.random.default_rng(seed)
    made: Stream = []
    for number, begin in enumerate(visits.tolist()):
        at = begin
        for step in range(int(rng.geometric(0.2))):
            at += int(1000 * 15 * np.exp(1.2 * rng.standard_normal()))
            event = spread([10_000 * number + step], seed + 40)
            owner = spread(rng.integers(0, 30, 1), 41)
            surface = [int(rng.integers(1, 6))]
            if rng.random() < 0.5:
                made.append(batch(Topic.SEARCHES, [at], actor=actor, event=event, subject=owner, surface=[2]))
            else:
                made.append(batch(Topic.LIKES, [at], actor=actor, event=event, owner=owner, surface=surface))
    return made


@cache
def evenings() -> NDArray[np.int64]:
    rng = np.random.default_rng(4)
    days = START_MS + np.arange(20) * DAY_MS
    return np.sort((days[:, None] + rng.integers(15 * HOUR_MS, 23 * HOUR_MS, (20, 3))).ravel())


def test_a_timer_that_only_likes_strangers_is_flagged_after_its_second_turn() -> None:
    flags = flags_of(new_stage(), timer())
    assert [flag.status for flag in flags][:2] == [Status.OPENED, Status.UPDATED]
    first = flags[0]
    assert (first.kind, first.subject.type, first.subject.id) == (
        Kind.AUTOMATION, SubjectType.ACCOUNT, f"a{PROGRAM}",
    )  # fmt: skip
    tipped = timer()[FROM_ACTIONS + BANKS * TURN - 1]
    assert first.detected_at == int(tipped.ts[0])
    assert first.window.start <= START_MS + FROM_ACTIONS * 90 * SECOND_MS < first.window.end
    assert first.evidence.observed == BANKS * TURN
    assert first.evidence.reasons[-1].endswith("not by itself fraud")
    assert len({flag.flag_id for flag in flags}) == 1


@pytest.mark.parametrize("surface", [Surface.FEED, Surface.ABSENT])
@pytest.mark.parametrize("wobble", [0.0, 0.3])
def test_a_timer_is_found_with_wobble_and_without_optional_fields(wobble: float, surface: Surface) -> None:
    rng = np.random.default_rng(3)
    at = START_MS + np.cumsum(60_000 * (1 + wobble * rng.uniform(-1, 1, 150))).astype(np.int64)
    flags = flags_of(new_stage(), likes(at, PROGRAM, surface=np.full(150, surface)))
    assert flags
    assert flags[0].status is Status.OPENED


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_person_who_acts_by_hand_is_not_flagged(seed: int) -> None:
    assert flags_of(new_stage(), by_hand(seed, PERSON, evenings())) == []


def test_who_tidies_up_by_unfollowing_one_after_another_is_not_flagged() -> None:
    rng = np.random.default_rng(5)
    at = START_MS + np.cumsum(3_000 + 4_000 * rng.random(300)).astype(np.int64)
    whom, event = spread(np.arange(300), 51), spread(np.arange(300), 52)
    spree = [
        batch(Topic.FOLLOWS, [at[i]], actor=PERSON, subject=whom[i], event=event[i], verb=[Verb.UNFOLLOW], surface=[3])
        for i in range(300)
    ]
    assert flags_of(new_stage(), [*by_hand(1, PERSON, evenings()[:20] - 20 * DAY_MS), *spree]) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_person_whose_tool_opens_the_product_on_the_hour_is_not_flagged(seed: int) -> None:
    hourly = np.arange(START_MS, START_MS + 10 * DAY_MS, HOUR_MS)
    assert flags_of(new_stage(), by_hand(seed, PLANNER, hourly)) == []


def test_an_episode_is_closed_once_event_time_has_passed_its_quiet_and_opens_anew_after_it() -> None:
    stage = new_stage()
    opened = flags_of(stage, timer())
    last_ms = START_MS + 119 * 90 * SECOND_MS
    assert stage.open_episodes == 1
    later = batch(Topic.LIKES, [last_ms + QUIET_MS + HOUR_MS], actor=5)
    (closed,) = stage.apply(later).flags
    assert (closed.status, closed.flag_id) == (Status.CLOSED, opened[0].flag_id)
    assert closed.window.end <= last_ms + 1
    assert stage.open_episodes == 0
    again = flags_of(stage, [_moved(events) for events in timer(start_ms=last_ms + QUIET_MS + COOLDOWN_MS + DAY_MS)])
    assert again[0].status is Status.OPENED
    assert again[0].flag_id != opened[0].flag_id


def test_an_episode_that_follows_another_within_a_few_actions_has_an_id_of_its_own() -> None:
    # Two turns in one minute, then one turn two days later: of its banks one still holds the first minute.
    first, turn = FROM_ACTIONS + BANKS * TURN, np.arange(TURN)
    at = START_MS + np.r_[np.arange(first) * SECOND_MS, 2 * DAY_MS + turn * SECOND_MS]
    flags = flags_of(new_stage(), likes(at, PROGRAM))
    assert [flag.status for flag in flags] == [Status.OPENED, Status.CLOSED, Status.OPENED]
    assert len({flag.flag_id for flag in flags}) == 2
    assert flags[2].window.start >= flags[1].window.end
    assert [flag.evidence.observed for flag in flags] == [BANKS * TURN, BANKS * TURN, TURN]


def test_after_a_dismissal_an_episode_has_an_id_of_its_own_though_a_turn_began_in_the_old_window() -> None:
    # Two turns, dismissed, and one that begins in the same minute; the next comes when it is no longer left alone.
    stage, first, turn = new_stage(), FROM_ACTIONS + BANKS * TURN, np.arange(TURN)
    (opened,) = flags_of(stage, likes(START_MS + np.arange(first) * SECOND_MS, PROGRAM))
    told = stage.answer(opened.flag_id, Judgement.DISMISSED)
    assert told is not None
    at = START_MS + np.r_[(first + turn) * SECOND_MS, 2 * DAY_MS + turn * SECOND_MS]
    flags = flags_of(stage, likes(at, PROGRAM, salt=9))
    assert flags[0].status is Status.OPENED
    assert flags[0].flag_id != opened.flag_id
    assert flags[0].window.start >= told.flags[-1].window.end
    assert flags[0].evidence.observed == BANKS * TURN


def _moved(events: Any) -> Any:
    # Other events: their ids must not be those of the first time.
    return batch(
        Topic.LIKES, events.ts, actor=events.actor, owner=events.owner, subject=events.subject,
        event=events.event ^ np.uint64(1 << 50), surface=events.surface,
    )  # fmt: skip


def mixed_stream() -> Stream:
    made = [
        *timer(),
        *by_hand(1, PERSON, evenings()[:20]),
        *likes(START_MS + np.arange(90) * 7 * MINUTE_MS, 77, salt=30),
    ]
    made += [batch(Topic.SEARCHES, [START_MS + 12 * DAY_MS], actor=9)]
    return sorted(made, key=lambda events: int(events.ts[0]))


@cache
def whole_flags() -> list[bytes]:
    return [encode_flag(flag) for flag in flags_of(new_stage(), _joined(mixed_stream(), []))]


def _joined(stream: Stream, cuts: list[int]) -> Stream:
    """Put neighbours of one topic together, except at the cuts, as fetches would."""
    made: Stream = []
    for place, events in enumerate(stream):
        if made and made[-1].topic == events.topic and place not in cuts:
            before = made.pop()
            columns = {
                name: np.concatenate([getattr(before, name), getattr(events, name)])
                for name in ("arrival", "verb", "event", "actor", "subject", "owner", "item", "surface")
            }
            made.append(batch(events.topic, np.concatenate([before.ts, events.ts]), **columns))
        else:
            made.append(events)
    return made


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 300), max_size=30))
def test_flags_do_not_depend_on_how_batches_were_cut(cuts: list[int]) -> None:
    assert whole_flags()
    assert [encode_flag(flag) for flag in flags_of(new_stage(), _joined(mixed_stream(), cuts))] == whole_flags()
    assert [
        encode_flag(flag) for flag in flags_of(new_stage(), recut(_joined(mixed_stream(), []), cuts))
    ] == whole_flags()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 250), min_size=1, max_size=4, unique=True))
def test_a_stage_that_was_saved_and_restored_goes_on_as_the_one_before(cuts: list[int]) -> None:
    stream, stage, keeper = mixed_stream(), new_stage(), Keeper()
    flags: list[Flag] = []
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        flags += flags_of(stage, stream[start:end])
        keeper.take(stage)
        stage = new_stage()
        keeper.restore(stage)
    assert [encode_flag(flag) for flag in flags] == whole_flags()


def test_a_part_that_is_garbage_is_refused() -> None:
    stage = new_stage()
    for garbage in (b"", b"x" * 40, new_stage().parts()["watermarks"]):
        with pytest.raises(SnapshotMismatchError):
            stage.restore_part("automation", garbage)


def test_rhythms_are_bounded_and_the_coldest_make_way() -> None:
    stage = new_stage(rhythms_max=4)
    for number in range(12):
        flags_of(
            stage, likes(START_MS + np.arange(20) * SECOND_MS + number * MINUTE_MS, 100 + number, salt=50 + number)
        )
    assert len(stage.tables()["rhythms"]) <= 4
    assert stage.evicted["rhythms"] >= 8


def test_who_acts_seldom_has_no_rhythm() -> None:
    stage = new_stage()
    flags_of(stage, likes(START_MS + np.arange(FROM_ACTIONS) * SECOND_MS, 5))
    assert len(stage.tables()["rhythms"]) == 0


def test_a_detector_on_trial_says_so_and_one_without_a_model_says_nothing() -> None:
    assert {flag.mode for flag in flags_of(new_stage(automation_mode=Mode.SHADOW), timer())} == {Mode.SHADOW}
    assert flags_of(ActorStage(ActorSettings(), MARKS), timer()) == []


def test_whoever_follows_by_a_timer_and_takes_it_back_is_found() -> None:
    n = 100
    made = [
        batch(
            Topic.FOLLOWS, [START_MS + i * 2 * MINUTE_MS], actor=PROGRAM, event=spread([i], 60),
            subject=spread([i // 2], 61), verb=Verb.UNFOLLOW if i % 2 else Verb.FOLLOW, surface=Surface.PROFILE,
        )
        for i in range(n)
    ]  # fmt: skip
    assert flags_of(new_stage(), made)


def test_a_model_survives_writing_and_reading_and_another_form_is_refused_by_name() -> None:
    assert read_rhythm_model(write_rhythm_model(RHYTHM)) == RHYTHM
    with pytest.raises(RhythmModelError, match="version is 9"):
        read_rhythm_model(write_rhythm_model(untaught()).replace(b'"version": 1', b'"version": 9'))
    with pytest.raises(RhythmModelError, match="habits differ"):
        read_rhythm_model(write_rhythm_model(untaught()).replace(b'"alike"', b'"alikeness"'))
    with pytest.raises(RhythmModelError):
        read_rhythm_model(b"[")
