"""Visits: which are told of, that it hardly matters whose action was read first, and what a crowd is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.meetings import Meetings, MeetingStage
from detectors.visits import CROWD_MAX, CROWD_TOLD, WITHIN_MS, Visits, VisitStage
from tests.detectors.batches import HOUR_MS, MINUTE_MS, SECOND_MS, START_MS
from tests.detectors.test_lockstep import Row, actions_of, bustle, gang, part

WHO = ("ts", "target", "owner", "actor", "crowd")


def in_turn(visits: Visits) -> Visits:
    """Return visits in the order of their times, as they are read behind the wait."""
    return visits.where(np.lexsort((visits.actor, visits.target, visits.ts)))


def met(meetings: Meetings) -> list[tuple[object, ...]]:
    return [
        (*(getattr(meetings, name)[row].tolist() for name in WHO), tuple(sorted(meetings.others[row].tolist())))
        for row in range(len(meetings))
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 90))
def test_who_meets_whom_does_not_depend_on_whose_action_was_read_first(seed: int, lag_s: int) -> None:
    actions = actions_of(gang(seed % 1_000, participation=0.7) + bustle(2, n=3_000))
    rng = np.random.default_rng(seed)
    lag_ms = rng.integers(0, lag_s * SECOND_MS + 1, 4)[(actions.actor % np.uint64(4)).astype(np.int64)]
    late = actions.take(np.argsort(actions.ts + lag_ms, kind="stable"))
    ours, theirs = (met(MeetingStage().apply(in_turn(VisitStage().apply(one)))) for one in (actions, late))
    assert ours
    assert ours == theirs


def test_in_order_the_meetings_are_those_of_the_visits_as_they_come() -> None:
    visits = VisitStage().apply(actions_of(gang(5) + bustle(2, n=3_000)))
    assert met(MeetingStage().apply(visits)) == met(MeetingStage().apply(in_turn(visits)))


def rows(count: int, every_ms: int) -> list[Row]:
    return [(START_MS + number * every_ms, number, 1, 1) for number in range(count)]


def test_the_first_at_a_target_are_told_of_once_there_are_three() -> None:
    stage, actions = VisitStage(), actions_of(rows(5, MINUTE_MS))
    told = [stage.apply(part(actions, place, place + 1)).actor.tolist() for place in range(5)]
    who = actions.actor.tolist()
    assert told == [[], [], who[:3], [who[3]], [who[4]]]


def test_two_at_a_time_are_not_told_of() -> None:
    assert len(VisitStage().apply(actions_of(rows(30, WITHIN_MS * 6 // 10)))) == 0


def test_who_comes_again_is_told_of_again_only_where_it_was() -> None:
    again = [*rows(3, MINUTE_MS), (START_MS + 4 * MINUTE_MS, 0, 1, 1)]
    visits = VisitStage().apply(actions_of(again))
    assert visits.ts.tolist() == [ts for ts, *_ in again]
    alone = [(START_MS, 0, 1, 1), (START_MS + MINUTE_MS, 0, 1, 1), (START_MS + 2 * MINUTE_MS, 0, 1, 1)]
    assert len(VisitStage().apply(actions_of(alone))) == 0


def test_of_a_crowd_nothing_is_told_and_of_a_large_company_how_many_it_is() -> None:
    visits = VisitStage().apply(actions_of(rows(200, SECOND_MS)))
    assert len(visits) == int(CROWD_MAX)
    assert visits.crowd[: int(CROWD_TOLD) - 1].max() == 0.0
    assert CROWD_TOLD <= visits.crowd[-1] <= CROWD_MAX
    later = VisitStage()
    later.apply(actions_of(rows(200, SECOND_MS)))
    after = [(START_MS + HOUR_MS // 2 + number * SECOND_MS, 500 + number, 1, 1) for number in range(5)]
    told = later.apply(actions_of(after))
    assert MeetingStage().apply(told).crowd.min() >= CROWD_TOLD


def test_room_for_visits_is_made_where_many_are_told_of_at_once() -> None:
    pairs = [
        (START_MS + number * MINUTE_MS // 4, 10 * target + number, target, target)
        for target in range(40)
        for number in range(2)
    ]
    third = [(START_MS + MINUTE_MS, 10 * target + 9, target, target) for target in range(40)]
    stage = VisitStage()
    assert len(stage.apply(actions_of(pairs))) == 0
    assert len(stage.apply(actions_of(third))) == 3 * 40
