from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.actions import MARK_SCALE, Actions, Trait
from detectors.actor_features import CLICK, FEATURES, FOLLOW, LIKE, REMOVAL, SEARCH, Feature, place_of
from detectors.actors import ActorStage, Marked, Outcome
from detectors.mark_training import marks_of
from detectors.marks import NATS_MAX, MarkModel
from detectors.onward import ONWARD
from detectors.settings import ActorSettings
from schemas.columns import Events, Surface, Topic, Verb
from schemas.events import TS_MS_MAX
from tests.detectors.batches import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    START_MS,
    alone,
    batch,
    browsing,
    spread,
    without_optional,
)
from tests.detectors.states import Keeper
from tests.detectors.states import whole as everything

SHIPPED = MarkModel.from_json((resources.files("detectors") / "shipped" / "marks.json").read_bytes())
OPTIONAL = [
    Feature.ACCOUNT_NEWNESS, Feature.SURFACE, Feature.SURFACE_NEW, Feature.DEVICE_NEW, Feature.DEVICE_SHARED,
]  # fmt: skip


def new_stage(actors_max: int = 100_000) -> ActorStage:
    return ActorStage(ActorSettings(actors_max=actors_max), SHIPPED)


def groups_of(actions: Actions) -> NDArray[np.uint8]:
    pairs = zip(actions.verb.tolist(), actions.item, strict=True)
    return np.array([place_of(verb, item) for verb, item in pairs], np.uint8)


def check(stage: ActorStage, events: Events) -> tuple[Marked, NDArray[np.float32]]:
    """Take a batch; whatever it holds, features are numbers, marks are bounded and removals have none."""
    ((marked, features),) = stage.apply_and_describe(*alone(events))
    assert features.shape == (len(marked.actions), FEATURES)
    assert np.isfinite(features).all()
    assert np.abs(marked.actions.mark.astype(int)).max(initial=0) <= NATS_MAX * MARK_SCALE
    removals = np.isin(marked.actions.verb, (Verb.UNLIKE, Verb.UNFOLLOW))
    assert not features[removals].any()
    assert not marked.actions.mark[removals].any()
    rows = stage._arena.view().rows
    assert all(np.isfinite(rows[name]).all() for name in ("counts", "recent", "gap_mean", "gap_var", "sessions"))
    assert np.isfinite(stage.usual()).all()
    return marked, features


def test_verb_groups_are_told_apart_by_verb_and_click() -> None:
    none, some = np.uint64(0), np.uint64(9)
    told = [place_of(verb, none) for verb in Verb]
    assert told == [LIKE, REMOVAL, FOLLOW, REMOVAL + 1, SEARCH]
    assert place_of(Verb.SEARCH, some) == CLICK


def test_a_mark_is_what_the_model_says_of_the_features() -> None:
    stage = new_stage()
    seen = 0
    for events in browsing(11, 2_000):
        marked, features = check(stage, events)
        groups = groups_of(marked.actions)
        kept = groups < REMOVAL
        nats = marks_of(SHIPPED, features[kept], groups[kept])
        assert np.abs(marked.actions.mark[kept] / MARK_SCALE - nats).max(initial=0) <= 0.5 / MARK_SCALE + 1e-4
        seen += int(kept.sum())
    assert seen > 1_500


def test_describing_changes_no_decision() -> None:
    one, other = new_stage(), new_stage()
    for events in browsing(12, 600):
        described, plain = one.apply_and_describe(*alone(events))[0][0], other.apply(events)
        assert described.actions.mark.tolist() == plain.actions.mark.tolist()
    assert everything(one) == everything(other)


def watermarks(marked: Marked) -> list[int]:
    """Return the watermark after each action; who goes on hangs on the marks, and they on what is known."""
    return [int(each) for each in marked.actions.watermark[marked.actions.verb < ONWARD]]


def test_everything_works_with_every_optional_field_absent() -> None:
    with_all, without = new_stage(), new_stage()
    for events in browsing(13, 1_500):
        full, _ = check(with_all, events)
        bare, features = check(without, without_optional(events))
        assert bare.outcome.tolist() == full.outcome.tolist()
        assert watermarks(bare) == watermarks(full)
        assert not features[:, OPTIONAL].any()
        assert not bare.actions.device.any()
        assert not (bare.actions.traits & (Trait.UNUSUAL_PATH | Trait.SHARED_DEVICE)).any()
    assert with_all.usual()[:, OPTIONAL].any()


def bought_follows(n: int, target: int, start_ms: int, span_ms: int) -> Events:
    """Follow one target by accounts that were never seen before."""
    ts = start_ms + np.sort(np.random.default_rng(5).integers(0, span_ms, n))
    return batch(Topic.FOLLOWS, ts, event=spread(np.arange(n), 50), actor=spread(np.arange(n), 51), subject=target)


@pytest.mark.parametrize("optional", [True, False])
def test_people_who_browse_are_marked_lower_than_fresh_accounts_that_follow_one_target(optional: bool) -> None:  # noqa: FBT001
    stage = new_stage()
    people: dict[int, list[int]] = {group: [] for group in (LIKE, FOLLOW, CLICK, SEARCH)}
    for number, events in enumerate(browsing(14, 8_000, actors=300, span_ms=4 * DAY_MS)):
        marked = stage.apply(events if optional else without_optional(events))
        for group, mark in zip(groups_of(marked.actions).tolist(), marked.actions.mark.tolist(), strict=True):
            if number > 100 and group < REMOVAL:
                people[group].append(mark)
    bought = stage.apply(bought_follows(40, 77, START_MS + 4 * DAY_MS, HOUR_MS)).actions
    assert bought.mark.mean() > np.mean(people[FOLLOW]) + MARK_SCALE
    assert np.median(bought.mark) > np.quantile(people[FOLLOW], 0.9)
    assert all(np.mean(marks) < 0 for marks in people.values())
    assert bought.mark.mean() > 0
    assert (bought.traits & Trait.FIRST_SEEN).all()


def test_what_everybody_does_is_no_evidence() -> None:
    stage, influx = new_stage(), 20_000
    for events in browsing(15, 3_000):
        stage.apply(events)
    ts = START_MS + 2 * DAY_MS + np.arange(influx) * SECOND_MS
    owners = spread(np.random.default_rng(8).integers(0, 500, influx), 4)
    marks = stage.apply(
        batch(
            Topic.FOLLOWS, ts, event=spread(np.arange(influx), 60), actor=spread(np.arange(influx), 61), subject=owners
        )
    ).actions.mark
    assert marks[-1_000:].mean() < marks[:100].mean() - MARK_SCALE


def test_traits_say_what_stood_out() -> None:
    stage = new_stage()
    for events in browsing(16, 3_000):
        stage.apply(events)
    start, ticks = START_MS + 3 * DAY_MS, 300
    program = batch(
        Topic.FOLLOWS, start + np.arange(ticks) * 2 * SECOND_MS, event=spread(np.arange(ticks), 70), actor=123,
        subject=spread(np.arange(ticks) % 3, 71), created_at=start - HOUR_MS, device=9,
    )  # fmt: skip
    traits = [Trait(bits) for bits in stage.apply(program).actions.traits.tolist()]
    assert traits[0] == Trait.FIRST_SEEN | Trait.NEW_ACCOUNT
    assert traits[-1] == Trait.NEW_ACCOUNT | Trait.NARROW | Trait.NO_BROWSING | Trait.REGULAR | Trait.BUSY
    guests = batch(
        Topic.LIKES, start + np.arange(9), event=spread(np.arange(9), 72), actor=spread(np.arange(9), 73), device=10
    )
    assert [bool(bits & Trait.SHARED_DEVICE) for bits in stage.apply(guests).actions.traits.tolist()] == [
        *[False] * 4, *[True] * 5,
    ]  # fmt: skip
    later = batch(Topic.LIKES, [start + 30 * DAY_MS], event=spread([0], 74), actor=123, subject=7, owner=8)
    awake = Trait(int(stage.apply(later).actions.traits[0]))
    assert awake & (Trait.DORMANT | Trait.STRANGER) == Trait.DORMANT | Trait.STRANGER
    assert not awake & Trait.BUSY


def feature(stage: ActorStage, events: Events, wanted: Feature) -> list[float]:
    """Return one feature as it is, before the population's means are taken from it."""
    before = stage.usual()
    marked, features = check(stage, events)
    assert np.array_equal(stage.usual(), before), "the means were refreshed on the way"
    rows = np.flatnonzero(marked.actions.verb < ONWARD)
    groups = groups_of(marked.actions.take(rows))
    return [float(x) for x in features[rows, wanted] + before[groups, wanted]]


def test_the_account_age_that_one_event_tells_is_remembered_for_the_next() -> None:
    stage = new_stage()
    for events in browsing(18, 1_500):
        stage.apply(events)
    ts, ids = [START_MS + 2 * DAY_MS] * 3, spread(np.arange(3), 9)
    created = [START_MS + 2 * DAY_MS - HOUR_MS, -1, -1]
    young = feature(stage, batch(Topic.LIKES, ts, actor=9, event=ids, created_at=created), Feature.ACCOUNT_NEWNESS)
    assert young == pytest.approx([young[0]] * 3, abs=1e-4)
    unsaid = feature(stage, batch(Topic.LIKES, ts, actor=10, event=ids + 1), Feature.ACCOUNT_NEWNESS)
    assert min(young) > max(unsaid) + 1


@pytest.mark.parametrize("created_at", [START_MS + DAY_MS, 2**32 * 1_000 + DAY_MS, TS_MS_MAX])
def test_an_account_made_in_the_future_is_a_new_one_now_and_later(created_at: int) -> None:
    stage = new_stage()
    for events in browsing(17, 1_500):
        stage.apply(events)
    ts = START_MS + 2 * DAY_MS + np.arange(2) * MINUTE_MS
    told = stage.apply(batch(Topic.LIKES, ts, event=[1, 2], actor=9, created_at=[created_at, -1]))
    assert [bool(traits & Trait.NEW_ACCOUNT) for traits in told.actions.traits.tolist()] == [True, True]


EXTREME_KEYS = [1, 2, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
EXTREME_TIMES = [0, 1, 999, 1_000, START_MS, 2**32 * 1_000 - 1, 2**32 * 1_000, TS_MS_MAX]


@st.composite
def extreme(draw: st.DrawFn) -> Events:
    """Draw a batch at the ends of what columns can hold."""
    topic, n = draw(st.sampled_from(Topic)), draw(st.integers(1, 12))
    keys = st.sampled_from(EXTREME_KEYS)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    verbs = [
        [Verb.LIKE, Verb.UNLIKE],
        [Verb.FOLLOW, Verb.UNFOLLOW],
        [Verb.SEARCH],
    ][topic]
    none_or_key = st.just(0) | keys
    return batch(
        topic, column(st.sampled_from(EXTREME_TIMES)), arrival=column(st.sampled_from([-1, *EXTREME_TIMES])),
        event=column(keys), actor=column(keys), subject=column(keys), verb=column(st.sampled_from(verbs)),
        owner=column(none_or_key if topic is not Topic.FOLLOWS else st.just(0)),
        item=column(none_or_key if topic is Topic.SEARCHES else st.just(0)),
        position=column(st.sampled_from([0, 1, 2, 65_535])), device=column(none_or_key),
        created_at=column(st.sampled_from([-1, *EXTREME_TIMES])), surface=column(st.sampled_from(Surface)),
    )  # fmt: skip


@given(batches=st.lists(extreme(), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_ends_of_what_columns_can_hold_break_nothing(batches: list[Events]) -> None:
    stage = new_stage(4)
    for events in batches:
        marked, _ = check(stage, events)
        assert set(marked.outcome.tolist()) <= set(Outcome)
        assert stage.tracked <= 4
    keeper, restored = Keeper(), new_stage(4)
    keeper.take(stage)
    keeper.restore(restored)
    assert everything(restored) == everything(stage)


def test_an_actor_that_hammers_for_millions_of_events_keeps_finite_features() -> None:
    stage, n, ts = new_stage(), 170_000, START_MS
    for gap_ms in (0, 1, MINUTE_MS):
        marks = set()
        for start in range(0, 4 * n, n):
            numbers = np.arange(start, start + n)
            here = {"event": spread(numbers, 20 + gap_ms), "arrival": START_MS + numbers}
            marks.add(int(stage.apply(batch(Topic.LIKES, ts + numbers * gap_ms, **here)).actions.mark[-1]))
            check(stage, batch(Topic.LIKES, [ts + int(numbers[-1]) * gap_ms], event=spread([start], 99)))
        ts += 4 * n * gap_ms
        assert max(marks) - min(marks) <= MARK_SCALE, "what a habit says settles, however long it lasts"
    assert stage.tracked == 1


def test_an_actor_whose_counts_are_full_stays_as_it_is() -> None:
    stage = new_stage()
    stage.apply(batch(Topic.LIKES, [START_MS], device=5, surface=1))
    row = stage._arena.view().rows[stage._arena.live_rows()]
    row["actions"], row["counts"], row["recent"], row["owner_actions"] = 4_000_000_000, 2.0**24, 2.0**24, 2.0**24
    for name in ("session", "gaps", "surfaces"):
        row[name] = 255
    stage._arena.view().rows[stage._arena.live_rows()] = row
    check(stage, batch(Topic.LIKES, [START_MS] * 600, event=spread(np.arange(600), 9), device=5, surface=1))
    after = stage._arena.view().rows[stage._arena.live_rows()][0]
    assert after["actions"] == 4_000_000_000
    assert after["counts"][LIKE] == 2.0**24 == after["recent"]
    assert after["session"][LIKE] == 255


def likes_of(owners: NDArray[np.uint64], salt: int) -> Events:
    numbers = np.arange(len(owners))
    return batch(
        Topic.LIKES, START_MS + numbers, event=spread(numbers, salt), subject=spread(numbers, salt), owner=owners
    )


@pytest.mark.parametrize("others", [0, 1, 27, 28, 50])
def test_an_owner_that_was_met_is_known_until_many_more_were(others: int) -> None:
    stage = new_stage()
    friend = spread([0], 4)
    stage.apply(likes_of(friend, 5))
    stage.apply(likes_of(spread(np.arange(1, 1 + others), 4), 6))
    assert feature(stage, likes_of(friend, 7), Feature.MET) == pytest.approx([1.0], abs=1e-5)


def test_strangers_are_seldom_taken_for_owners_met() -> None:
    stage = new_stage()
    stage.apply(likes_of(spread(np.arange(400), 4), 5))
    assert np.mean(feature(stage, likes_of(spread(np.arange(60), 8), 7), Feature.MET)) < 0.3
    assert stage._arena.view().rows["new_owners"].max() > 0.75 * 460
