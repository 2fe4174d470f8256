"""Groups that act together: which are found, which are none, and that nothing hangs on how actions were cut."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.actions import Actions, Names
from detectors.group_evidence import MEMBERS_MIN, score_of
from detectors.lockstep import QUIET_MS, GroupStage
from detectors.state import SnapshotMismatchError
from detectors.visits import CROWD_MAX, OTHERS, VisitStage
from schemas.columns import Verb
from schemas.flags import Flag, Kind, Status, SubjectType, encode_flag
from tests.detectors.batches import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, START_MS, spread
from tests.detectors.finder import MeetingFinder
from tests.detectors.states import Keeper

GANG, FANS, PEOPLE, OWNERS, NOTES = 1, 2, 3, 4, 5


class Told(Names):
    """Names every hash after itself."""

    def find(self, key: int) -> str:
        return f"{key:016x}"


Row = tuple[int, int, int, int]  # ts, actor, note, owner: small numbers, salted


def actions_of(rows: list[Row], verb: Verb = Verb.LIKE) -> Actions:
    made = sorted(rows)
    columns = np.array(made, np.int64).reshape(-1, 4)
    n = len(made)
    nothing = np.zeros(n, np.uint64)
    return Actions(
        ts=columns[:, 0], watermark=columns[:, 0], verb=np.full(n, verb, np.uint8),
        subject=spread(columns[:, 2], NOTES), actor=spread(columns[:, 1], PEOPLE),
        owner=spread(columns[:, 3], OWNERS), item=nothing,
        position=np.zeros(n, np.uint16), device=np.zeros(n, np.uint32), mark=np.zeros(n, np.int8),
        traits=np.zeros(n, np.uint16), names=Told(),
    )  # fmt: skip


def bustle(seed: int, n: int = 30_000, days: float = 4.0) -> list[Row]:
    """People who like what is new: popular notes, thousands of accounts, nobody in step."""
    rng = np.random.default_rng(seed)
    ts = START_MS + np.sort(rng.integers(0, int(days * DAY_MS), n))
    actor = 1_000 + (4_000 * rng.random(n) ** 2).astype(np.int64)
    note = 1_000 + (2_000 * rng.random(n) ** 2).astype(np.int64)
    return list(zip(ts.tolist(), actor.tolist(), note.tolist(), (note // 4).tolist(), strict=True))


def gang(
    seed: int, members: int = 12, targets: int = 16, participation: float = 1.0, owner: int | None = None
) -> list[Row]:
    """Make some accounts like one note after another within minutes, an owner each unless told."""
    rng = np.random.default_rng(seed)
    made: list[Row] = []
    for target in range(targets):
        begin = START_MS + DAY_MS + target * 3 * HOUR_MS
        for member in np.flatnonzero(rng.random(members) < participation).tolist():
            ts = begin + int(rng.integers(0, 4 * MINUTE_MS))
            made.append((ts, 100 + member, 100 + target, 100 + target if owner is None else owner))
    return made


def run(rows: list[Row], batch: int = 1_000) -> list[Flag]:
    meetings, groups = MeetingFinder(), GroupStage()
    actions = actions_of(rows)
    cuts = [*range(0, len(actions), batch), len(actions)]
    return [flag for start, end in pairwise(cuts) for flag in groups.apply(meetings.apply(part(actions, start, end)))]


def part(actions: Actions, start: int, end: int) -> Actions:
    return actions.take(np.arange(start, end))


def ids(accounts: range) -> set[str]:
    return {f"{key:016x}" for key in spread(np.array(accounts), PEOPLE).tolist()}


@pytest.mark.parametrize("participation", [1.0, 0.6])
def test_a_group_that_acts_in_step_is_found_with_its_members_and_targets(participation: float) -> None:
    flags = run(bustle(1) + gang(2, participation=participation))
    last = {flag.flag_id: flag for flag in flags}
    assert len(last) == 1
    (found,) = last.values()
    assert flags[0].status is Status.OPENED
    assert (found.kind, found.subject.type) == (Kind.LOCKSTEP, SubjectType.GROUP)
    assert found.evidence.members is not None
    assert found.evidence.targets
    assert found.evidence.members_total is not None
    assert found.evidence.members_total >= 10
    assert set(found.evidence.members) <= ids(range(100, 112))


def test_a_group_began_when_it_first_met_whichever_of_its_meetings_is_heard_of_first() -> None:
    by_target: dict[int, list[Row]] = {}
    for row in gang(2, members=4):
        by_target.setdefault(row[2], []).append(row)
    first, second, third, *rest = by_target.values()

    def opened(order: list[list[Row]]) -> Flag:
        meetings, groups = MeetingFinder(), GroupStage()
        every = [bustle(1), *order]
        return next(flag for rows in every for flag in groups.apply(meetings.apply(actions_of(rows))))

    whole = opened([first, second, third, *rest])
    assert whole.window.start <= min(first)[0] + 5 * MINUTE_MS
    for order in ([second, first, third, *rest], [second, third, rest[0], first, *rest[1:]]):
        assert opened(order).flag_id == whole.flag_id


def test_a_group_of_which_few_pairs_are_linked_scores_below_one_that_is_all_in_step() -> None:
    assert score_of(25, 0.28) < score_of(8, 1.0)
    assert 0.0 < score_of(MEMBERS_MIN, 0.0) < score_of(MEMBERS_MIN, 1.0) < score_of(40, 1.0) == 1.0
    opened, *_ = run(bustle(1) + gang(2))
    assert opened.score == score_of(opened.evidence.actors, (opened.evidence.numbers or {})["linked_share"])


def test_people_who_like_what_is_new_are_no_group() -> None:
    assert run(bustle(3)) == []


def test_a_fan_club_that_meets_on_one_owners_notes_is_no_group() -> None:
    assert run(bustle(4) + gang(5, members=40, targets=25, owner=7)) == []


def test_a_crowd_that_comes_to_the_same_three_events_is_no_group() -> None:
    rng = np.random.default_rng(6)
    crowd = [
        (
            START_MS + DAY_MS + event * 5 * HOUR_MS + int(rng.integers(0, 6 * MINUTE_MS)),
            200 + person,
            300 + event,
            300 + event,
        )
        for event in range(3)
        for person in range(int(3 * CROWD_MAX))
    ]
    assert run(bustle(7) + crowd) == []


def test_three_friends_are_no_group() -> None:
    assert MEMBERS_MIN == 4
    assert run(bustle(8) + gang(9, members=3, targets=20)) == []


@pytest.mark.parametrize(("verb", "found"), [(Verb.FOLLOW, True), (Verb.UNFOLLOW, False), (Verb.UNLIKE, False)])
def test_follows_count_as_likes_do_and_removals_do_not(verb: Verb, found: bool) -> None:  # noqa: FBT001
    meetings, groups = MeetingFinder(), GroupStage()
    groups.apply(meetings.apply(actions_of(bustle(10))))
    assert bool(groups.apply(meetings.apply(actions_of(gang(10), verb)))) is found


def test_a_group_is_closed_when_it_has_not_met_for_long() -> None:
    rows = gang(11) + bustle(12, days=8.0)
    flags = run(rows)
    assert [flag.status for flag in flags if flag.status in {Status.OPENED, Status.CLOSED}] == [
        Status.OPENED, Status.CLOSED,
    ]  # fmt: skip
    closed = flags[-1]
    assert closed.detected_at == closed.window.end - 1 + QUIET_MS


@cache
def mixed() -> tuple[list[Row], list[bytes]]:
    rows = gang(13, participation=0.8) + bustle(14, n=20_000)
    return rows, [encode_flag(flag) for flag in run(rows, batch=10_000)]


@settings(max_examples=10, deadline=None)
@given(st.integers(300, 4_000))
def test_flags_do_not_depend_on_how_actions_were_cut(batch: int) -> None:
    rows, expected = mixed()
    assert expected
    assert [encode_flag(flag) for flag in run(rows, batch)] == expected


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=3, unique=True))
def test_stages_that_were_saved_and_restored_go_on_as_the_ones_before(cuts: list[int]) -> None:
    rows, expected = mixed()
    assert expected
    actions = actions_of(rows)
    meetings, groups = MeetingFinder(), GroupStage()
    of_visits, of_meetings, of_groups = Keeper(), Keeper(), Keeper()
    flags: list[Flag] = []
    for start, end in pairwise([0, *sorted(cuts), len(actions)]):
        flags += groups.apply(meetings.apply(part(actions, start, end)))
        of_visits.take(meetings.visits)
        of_meetings.take(meetings.meetings)
        of_groups.take(groups)
        meetings, groups = MeetingFinder(), GroupStage()
        of_visits.restore(meetings.visits)
        of_meetings.restore(meetings.meetings)
        of_groups.restore(groups)
    assert [encode_flag(flag) for flag in flags] == expected


def test_garbage_is_refused() -> None:
    for stage in (GroupStage(), VisitStage()):
        for garbage in (b"", b"y" * 30):
            with pytest.raises(SnapshotMismatchError):
                stage.restore_part(next(iter(stage.parts())), garbage)


def test_who_meets_whom_is_what_a_list_says() -> None:
    at: NDArray[np.int64] = START_MS + np.arange(OTHERS + 6) * 10 * SECOND_MS
    rows = [(int(ts), number, 1, 1) for number, ts in enumerate(at.tolist())]
    found = MeetingFinder().apply(actions_of(rows))
    keys = spread(np.arange(len(at)), PEOPLE).tolist()
    assert found.actor.tolist() == keys[2:]
    for place, others in enumerate(found.others.tolist()):
        came = place + 2
        assert {other for other in others if other} == set(keys[max(came - OTHERS, 0) : came])


def test_pairs_are_bounded() -> None:
    groups = GroupStage(pairs_max=500)
    meetings = MeetingFinder(targets_max=50)
    groups.apply(meetings.apply(actions_of(bustle(15, n=6_000, days=0.1))))
    assert len(groups.tables()["pairs"]) <= 500
    assert len(meetings.visits.tables()["meetings"]) <= 50
    assert len(meetings.meetings.tables()["visited"]) <= 50
