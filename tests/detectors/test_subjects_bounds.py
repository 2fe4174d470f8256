"""The subject stage: what it holds is bounded, and what it suspects it does not learn from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from detectors.actions import Trait
from schemas.columns import Verb
from schemas.flags import Kind, Status
from tests.detectors.subject_traffic import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    START_MS,
    THRESHOLDS,
    Act,
    actions_of,
    bought,
    feed,
    in_time,
    organic,
    stage,
)

RNG = np.random.default_rng
QUIET_MS = 30 * MINUTE_MS


class TestBounds:
    def test_rows_stay_within_their_bound_and_open_episodes_of_evicted_rows_are_closed(self) -> None:
        target = stage(subjects_max=200)
        rng = RNG(18)
        feed(target, actions_of(bought(rng, 60, START_MS, HOUR_MS, Verb.LIKE, "n-attacked")))
        assert target.open_episodes == 1
        strangers = [Act(START_MS + 2 * HOUR_MS + at, Verb.LIKE, f"n{at}", f"a{at}") for at in range(5_000)]
        flags = feed(target, actions_of(strangers, START_MS + 2 * HOUR_MS))
        assert target.tracked["notes"] <= 200
        assert target.evicted >= 4_700
        assert target.open_episodes == 0
        assert Counter(flag.status for flag in flags) == {Status.CLOSED: 1}

    def test_suspects_stay_within_their_bound_and_open_episodes_keep_their_places(self) -> None:
        target = stage(suspects_max=8)
        rng = RNG(19)
        parts = [bought(rng, 40, START_MS, HOUR_MS, Verb.LIKE, f"n{number}") for number in range(40)]
        feed(target, actions_of(in_time(*parts)))
        assert 1 <= target.open_episodes <= 4
        assert int(np.count_nonzero(target._tables.state.suspects.places["key"])) <= 8

    def test_memory_does_not_grow_with_actions_on_known_subjects(self) -> None:
        target = stage()
        acts = [Act(START_MS + at * SECOND_MS, Verb.LIKE, f"n{at % 50}", f"a{at}") for at in range(4_000)]
        feed(target, actions_of(acts[:2_000]))
        before = target.bytes_resident
        feed(target, actions_of(acts[2_000:], acts[1_999].ts))
        assert target.bytes_resident == before

    def test_a_row_is_within_its_budget(self) -> None:
        target = stage()
        assert target._tables.arenas[0].view().rows.dtype.itemsize <= 350


class TestLearning:
    def test_what_is_suspected_is_not_learned_as_usual(self) -> None:
        levels = {}
        for name, acts in {
            "calm": organic(RNG(20), 240, START_MS, 10 * DAY_MS, Verb.FOLLOW, "u1"),
            "attacked": in_time(
                organic(RNG(20), 240, START_MS, 10 * DAY_MS, Verb.FOLLOW, "u1"),
                bought(RNG(21), 600, START_MS + 5 * DAY_MS, 3 * HOUR_MS, Verb.FOLLOW, "u1"),
            ),
        }.items():
            target = stage()
            feed(target, actions_of(acts))
            row = target._tables.arenas[0].view().rows[target._tables.arenas[0].find(int(actions_of(acts).subject[0]))]
            levels[name] = float(row["level_count"] / row["level_hours"])
        assert levels["attacked"] == pytest.approx(levels["calm"], rel=0.25)

    def test_closed_hours_teach_the_rate_of_a_subject(self) -> None:
        target = stage()
        acts = organic(RNG(22), 1_000, START_MS, 10 * DAY_MS, Verb.FOLLOW, "u1")
        feed(target, actions_of(acts))
        row = target._tables.arenas[0].view().rows[target._tables.arenas[0].find(int(actions_of(acts).subject[0]))]
        assert float(row["level_count"] / row["level_hours"]) == pytest.approx(1_000 / 240, rel=0.15)

    def test_an_influx_everywhere_moves_the_reference(self) -> None:
        target = stage()
        parts = [
            bought(RNG(23 + number), 1, START_MS, 2 * HOUR_MS, Verb.FOLLOW, f"u{number}", traits=Trait.NEW_ACCOUNT)
            for number in range(600)
        ]
        feed(target, actions_of(in_time(*parts)))
        target.advance("likes-0", START_MS + 3 * HOUR_MS)
        mix = target._tables.state.pools[0]["mix"]
        assert float(mix[8:].sum()) > 5 * sum(THRESHOLDS.kinds[Kind.FOLLOWER_SPIKE].reference[8:])
