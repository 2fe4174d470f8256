"""Actors that had to make way and come back: known since when they were, and bounded in number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import Trait
from detectors.actors import ActorStage
from detectors.arena import Arena
from detectors.faded import FADED_PER_ROW
from detectors.marks import MarkModel
from detectors.settings import ActorSettings
from schemas.columns import Topic
from tests.detectors.batches import DAY_MS, MINUTE_MS, START_MS, batch, spread

ACTORS_MAX = 64
REGULAR, NOBODY = 5, 6
BACK_MS = START_MS + 20 * DAY_MS
MARKS = MarkModel.flat({"like": {"first": 2.0}})


def new_stage() -> ActorStage:
    return ActorStage(ActorSettings(actors_max=ACTORS_MAX), MARKS)


def acts(stage: ActorStage, actor: int, ts: list[int]) -> tuple[list[int], list[int]]:
    """Let an actor like something of another owner each time; return the marks and the traits."""
    times = np.array(ts)
    events = batch(Topic.LIKES, times, actor=actor, owner=times, event=spread(times * 31 + actor, 3))
    actions = stage.apply(events).actions
    return actions.mark.tolist(), actions.traits.tolist()


def strangers(stage: ActorStage, first: int, count: int, start_ms: int = START_MS + DAY_MS) -> None:
    """Let so many others act once, who drive out whoever was there before."""
    ts = start_ms + np.arange(count) * MINUTE_MS
    stage.apply(batch(Topic.LIKES, ts, actor=spread(first + np.arange(count), 4), event=spread(ts, 5)))


@pytest.fixture
def crowded() -> ActorStage:
    """Give a stage from which a regular, 12 actions strong, was driven out."""
    stage = new_stage()
    acts(stage, REGULAR, [START_MS + at * 7 * MINUTE_MS for at in range(12)])
    assert stage._arena.find(REGULAR) >= 0
    strangers(stage, 0, 2 * ACTORS_MAX)
    assert stage._arena.find(REGULAR) < 0
    return stage


def test_who_was_driven_out_and_comes_back_is_no_newcomer(crowded: ActorStage) -> None:
    (mark,), (traits,) = acts(crowded, REGULAR, [BACK_MS])
    (mark_new,), (traits_new,) = acts(crowded, NOBODY, [BACK_MS])
    assert traits_new & Trait.FIRST_SEEN
    assert not traits & (Trait.FIRST_SEEN | Trait.NEW_ACCOUNT)
    assert traits & Trait.DORMANT
    assert mark < mark_new


def test_habits_come_back_as_they_were_but_for_what_time_has_taken(crowded: ActorStage) -> None:
    stayed = new_stage()
    acts(stayed, REGULAR, [START_MS + at * 7 * MINUTE_MS for at in range(12)])
    rows = []
    for stage in (stayed, crowded):
        acts(stage, REGULAR, [BACK_MS])
        rows.append(stage._arena.view().rows[stage._arena.find(REGULAR)])
    kept, back = rows
    for name in ("first_s", "actions", "last_ms"):
        assert back[name] == kept[name]
    for name in ("counts", "owner_actions", "new_owners", "sessions", "gap_mean", "gap_var"):
        assert np.allclose(back[name], kept[name], rtol=0.04, atol=0.03), name


def test_what_is_left_of_them_is_bounded_and_those_longest_away_go_first(crowded: ActorStage) -> None:
    strangers(crowded, 1_000, 10 * ACTORS_MAX, START_MS + 2 * DAY_MS)
    assert crowded.faded <= FADED_PER_ROW * ACTORS_MAX
    assert crowded._faded.find(REGULAR) < 0
    (traits,) = acts(crowded, REGULAR, [BACK_MS])[1]
    assert traits & Trait.FIRST_SEEN


def test_where_nobody_has_to_go_nothing_is_kept_of_them() -> None:
    stage = new_stage()
    strangers(stage, 0, ACTORS_MAX)
    assert stage.faded == 0


@given(st.lists(st.lists(st.integers(1, 90), unique=True, max_size=30), max_size=12))
@settings(deadline=None, max_examples=40)
def test_rows_of_many_keys_at_once_are_distinct_and_the_coldest_others_make_way(turns: list[list[int]]) -> None:
    arena = Arena([("value", np.int64)], 30)
    held: dict[int, int] = {}
    for now, keys in enumerate(turns, start=1):
        rows = arena.rows_of(np.array(keys, np.uint64))
        arena.view().rows["value"][rows] = keys
        arena.view().rows["touched"][rows] = now
        held |= dict.fromkeys(keys, now)
        assert len(set(rows.tolist())) == len(keys)
        assert [arena.find(key) for key in keys] == rows.tolist()
        there = {int(key) for key in arena.view().rows["key"] if key}
        assert len(arena) == len(there) <= 30
        gone = {key: touched for key, touched in held.items() if key not in there}
        # No one who went was warmer than one who stayed.
        assert max(gone.values(), default=0) <= min((held[key] for key in there), default=now)
        held = {key: touched for key, touched in held.items() if key in there}
        assert (arena.view().rows["value"][[arena.find(key) for key in sorted(there)]] == sorted(there)).all()
