"""What is left out where more accounts meet than can be remembered, and that groups are found all the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors import restraint
from detectors.lockstep import GroupStage
from detectors.restraint import CAPPED, EPOCH_MS, LEVEL, LEVEL_MAX, OWNERS, POPULAR, STATE, count_pair, is_watched
from detectors.state import SnapshotMismatchError
from tests.detectors.batches import START_MS
from tests.detectors.finder import MeetingFinder
from tests.detectors.states import Keeper
from tests.detectors.test_lockstep import actions_of, bustle, gang

CELLS = 3_000


def paced(pairs_an_epoch: int, epochs: int = 12) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the state after so many epochs, every pair on an owner of its own."""
    state, owners = np.zeros(STATE), np.zeros(OWNERS, np.uint8)
    for epoch in range(epochs):
        restraint.keep_pace(state, owners, START_MS + epoch * EPOCH_MS, CELLS)
        for pair in range(pairs_an_epoch):
            count_pair(state, owners, (epoch * pairs_an_epoch + pair) % OWNERS)
    return state, owners


def test_at_a_pace_that_memory_keeps_up_with_nothing_is_left_out() -> None:
    state, owners = paced(60)
    assert (state[LEVEL], state[CAPPED]) == (0.0, 0.0)
    assert not owners.any()


def test_the_faster_accounts_meet_the_fewer_are_watched_down_to_a_bound() -> None:
    levels = [paced(pairs)[0][LEVEL] for pairs in (100, 400, 2_000, 8_000, 60_000)]
    assert levels == sorted(levels)
    assert levels[-1] == LEVEL_MAX


def test_meetings_on_popular_owners_are_left_out_once_the_pace_asks_for_it() -> None:
    state, owners = paced(400)
    assert state[CAPPED] == 1.0
    assert [count_pair(state, owners, 7) for _ in range(POPULAR + 40)][-40:] == [False] * 40


def test_who_is_watched_at_a_level_is_watched_at_every_lower_one() -> None:
    accounts = np.arange(1, 4_000, dtype=np.uint64)
    watched = [{int(one) for one in accounts if is_watched(one, level)} for level in range(LEVEL_MAX + 1)]
    assert len(watched[0]) == len(accounts)
    for level in range(LEVEL_MAX):
        assert watched[level + 1] <= watched[level]
        assert len(watched[level + 1]) == pytest.approx(len(accounts) / 2 ** (level + 1), rel=0.2)


def test_a_group_is_found_with_a_hundredth_of_the_memory_through_the_few_that_are_watched() -> None:
    meetings, groups = MeetingFinder(), GroupStage(pairs_max=2_000, lines=256, actors_max=20_000)
    actions = actions_of(bustle(31, n=60_000) + gang(32, members=30, targets=24))
    flags = groups.apply(meetings.apply(actions))
    kept = Keeper()
    kept.take(groups)
    again = GroupStage(pairs_max=2_000, lines=256, actors_max=20_000)
    kept.restore(again)
    assert again.parts()["restraint"] == groups.parts()["restraint"]
    assert groups._restraint.state[CAPPED] == 1.0
    assert flags


def test_a_state_that_no_pace_leads_to_is_refused() -> None:
    groups = GroupStage(lines=256)
    groups._restraint.state[LEVEL] = 40.0
    with pytest.raises(SnapshotMismatchError):
        GroupStage(lines=256).restore_part("restraint", groups.parts()["restraint"])
