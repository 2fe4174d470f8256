"""Who goes on is told to whom the action hit, and counts beside what is usual."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actors import ActorStage
from detectors.crowd_onward import await_actor, go_on, onward_counts, stayed_away
from detectors.marks import MarkModel
from detectors.onward import AWAITED_MARK, ONWARD, ONWARD_MS
from detectors.pools import close_epoch, make_pools
from detectors.settings import ActorSettings
from detectors.subject_rows import AWAITED, FOLLOWS, SUSPECT
from detectors.subjects import SPECS, SubjectStage
from schemas.columns import Topic, Verb
from tests.detectors.batches import START_MS, batch, browsing, recut, spread
from tests.detectors.finder import MeetingFinder
from tests.detectors.subject_traffic import THRESHOLDS, Act, actions_of, feed, stage

NEWCOMERS_ODD = MarkModel.flat({"like": {"first": 3.0}, "follow": {"first": 3.0}})

Told = list[tuple[int, int, int, int]]


def told_by(target: ActorStage, stream: list[object]) -> Told:
    """Return time, verb, actor and subject of every row that tells who goes on."""
    found: Told = []
    for events in stream:
        actions = target.apply(events).actions  # type: ignore[arg-type]
        rows = np.flatnonzero(actions.verb >= ONWARD)
        for name in ("owner", "item", "position", "device", "mark", "traits"):
            assert not getattr(actions, name)[rows].any()
        columns = (actions.ts, actions.verb, actions.actor, actions.subject)
        found += list(zip(*(column[rows].tolist() for column in columns), strict=True))
    return found


def told_obviously(stream: list[object]) -> Told:
    """Return the same from the marked actions themselves, by a dictionary."""
    last: dict[int, tuple[int, int, int, int]] = {}
    found: Told = []
    newest: dict[int, int] = {}
    target = ActorStage(ActorSettings(), NEWCOMERS_ODD)
    for events in stream:
        actions = target.apply(events).actions  # type: ignore[arg-type]
        for row in np.flatnonzero(actions.verb < ONWARD).tolist():
            ts, verb, actor, subject, mark = (
                int(column[row]) for column in (actions.ts, actions.verb, actions.actor, actions.subject, actions.mark)
            )
            hit = last.get(actor)
            if hit is not None and hit[1] != subject:
                del last[actor]
                if abs(ts - newest[actor]) <= ONWARD_MS:
                    found.append((ts, hit[0] + ONWARD, actor, hit[1]))
            newest[actor] = max(ts, newest.get(actor, 0))
            if verb in (Verb.LIKE, Verb.FOLLOW) and mark >= AWAITED_MARK:
                last[actor] = (verb, subject, ts, mark)
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.lists(st.integers(0, 600), max_size=5))
def test_it_is_told_who_goes_on_wherever_batches_are_cut(seed: int, cuts: list[int]) -> None:
    stream = browsing(seed, 600, actors=40, span_ms=3_600_000)
    whole = told_by(ActorStage(ActorSettings(), NEWCOMERS_ODD), list(stream))
    assert whole
    assert whole == told_by(ActorStage(ActorSettings(), NEWCOMERS_ODD), list(recut(stream, cuts)))
    assert whole == told_obviously(list(stream))


@pytest.mark.parametrize(
    ("later_ms", "subject", "verb", "told"),
    [
        (1_000, 9, Verb.FOLLOW, True),
        (ONWARD_MS, 9, Verb.FOLLOW, True),
        (ONWARD_MS + 1, 9, Verb.FOLLOW, False),
        (1_000, 7, Verb.UNFOLLOW, False),  # to take it back is not going on
        (1_000, 7, Verb.FOLLOW, False),
    ],
)
def test_to_go_on_is_to_do_something_else_in_time(later_ms: int, subject: int, verb: Verb, *, told: bool) -> None:
    events = batch(
        Topic.FOLLOWS, [START_MS, START_MS + later_ms], subject=spread([7, subject]), verb=[Verb.FOLLOW, verb]
    )
    found = told_by(ActorStage(ActorSettings(), NEWCOMERS_ODD), [events])
    expected = [(START_MS + later_ms, Verb.FOLLOW + ONWARD, 1, int(spread([7])[0]))] if told else []
    assert found == expected


def test_of_an_action_that_nobody_would_suspect_nothing_is_told() -> None:
    events = batch(Topic.FOLLOWS, [START_MS, START_MS + 1_000], subject=[7, 9])
    assert told_by(ActorStage(ActorSettings(), MarkModel.flat({"follow": {"first": -3.0}})), [events]) == []


def usual_after(went_on: int, of: int) -> float:
    """Return the share that is usual after an epoch in which so many of so many went on."""
    pools = make_pools(SPECS, [THRESHOLDS.kinds[spec.kind] for spec in SPECS])
    pools[FOLLOWS]["awaited"], pools[FOLLOWS]["gone_on"] = of, went_on
    close_epoch(pools, SPECS, [THRESHOLDS.kinds[spec.kind] for spec in SPECS], stage().models, 0, hour_ends=False)
    return float(pools[FOLLOWS]["goes_on"])


def test_what_is_usual_counts_for_nothing_until_it_is_known() -> None:
    assert usual_after(0, 0) == 0.0
    assert usual_after(7, 10) < 0.15
    assert usual_after(7_000, 10_000) == pytest.approx(0.7, abs=0.01)
    assert usual_after(10, 0) <= 1.0  # those of before the count was faded


def signs_of(gone_on: int, stayed: int, usual: float, seconds: int = 300) -> tuple[float, float]:
    """Return the two signs of a crowd that came at once, `seconds` after it came."""
    held = np.zeros(1, SUSPECT)[0]
    for number in range(gone_on + stayed):
        await_actor(held, np.uint64(number), START_MS)
    for number in range(gone_on):
        go_on(held, np.uint64(number))
        go_on(held, np.uint64(number))  # who goes on twice counts once
    go_on(held, np.uint64(50_000))  # nor does one of whom nothing is known
    return stayed_away(held, START_MS + 1_000 * seconds, usual)


def test_a_crowd_that_leaves_at_once_stands_out_where_people_usually_stay() -> None:
    share, far = signs_of(gone_on=0, stayed=30, usual=0.7)
    assert share == pytest.approx(0.7 * 30 / 34)
    assert far > 6.0
    assert signs_of(gone_on=21, stayed=9, usual=0.7) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert signs_of(gone_on=0, stayed=30, usual=0.0) == (0.0, 0.0)
    assert signs_of(gone_on=30, stayed=0, usual=0.3)[1] < -6.0


def test_of_those_who_have_just_come_only_what_they_did_counts() -> None:
    assert signs_of(gone_on=0, stayed=30, usual=0.7, seconds=60) == (0.0, 0.0)
    assert signs_of(gone_on=3, stayed=30, usual=0.7, seconds=60)[0] < 0.0


@pytest.mark.parametrize("hourly", [12, 600, 6_000, 60_000])
def test_however_fast_they_come_it_is_seen_that_none_goes_on(hourly: int) -> None:
    held = np.zeros(1, SUSPECT)[0]
    gap_ms = 3_600_000 // hourly
    known = []
    for number in range(hourly):
        ts = START_MS + gap_ms * number
        await_actor(held, np.uint64(number), ts)
        known.append(onward_counts(held, ts))
    assert not any(gone_on or early for _, gone_on, early in known)
    # From the third bank on one that is known stands beside the one that fills.
    after = [count for count, *_ in known[max(3 * AWAITED, 300_000 // gap_ms) :]]
    assert all(count >= AWAITED for count in after)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.booleans()), max_size=400))
def test_what_is_known_is_of_actions_that_came(acts: list[tuple[int, int, bool]]) -> None:
    held = np.zeros(1, SUSPECT)[0]
    ts = START_MS
    for gap_s, actor, goes in acts:
        ts += 1_000 * gap_s
        await_actor(held, np.uint64(actor), ts)
        if goes:
            go_on(held, np.uint64(actor))
        known, gone_on, early = onward_counts(held, ts)
        assert 0 <= gone_on <= known <= known + early <= 2 * AWAITED
    if not any(goes for *_, goes in acts):
        assert onward_counts(held, ts)[1:] == (0, 0)
    if len({actor for _, actor, _ in acts}) == len(acts) and all(goes for *_, goes in acts):
        known, gone_on, _ = onward_counts(held, ts)
        assert gone_on == known


def some_acts() -> list[Act]:
    return [
        Act(START_MS + 1_000 * number, verb, "s", f"a{number}", mark=2.0)
        for number, verb in enumerate([Verb.FOLLOW, Verb.LIKE, Verb.FOLLOW, Verb.LIKE])
    ]


def onward_of(acts: list[Act]) -> list[Act]:
    return [Act(act.ts + 5_000, Verb(act.verb), act.subject, act.actor) for act in acts]


def test_rows_that_tell_it_are_no_actions() -> None:
    acts = actions_of([*some_acts(), *onward_of(some_acts())])
    acts.verb[len(some_acts()) :] += ONWARD
    told: SubjectStage = stage()
    assert feed(told, acts) == []
    plain = stage()
    feed(plain, acts.take(np.arange(len(some_acts()))))
    assert told.tracked == plain.tracked
    assert len(MeetingFinder().apply(acts)) == len(MeetingFinder().apply(acts.take(np.arange(len(some_acts())))))
