"""Who acts: the sequential test, the mixes it corrects for, and the Bayes factor of a changed mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import Trait
from detectors.arena import Arena
from detectors.calibration import untrained
from detectors.composition import (
    WEIGHTS,
    accumulate,
    bin_of,
    contribute,
    corrected,
    fade,
    mix_factor,
    remember,
    suspicious_share,
    tagged,
    tempo_of,
)
from detectors.follower_spike import SPEC
from detectors.pools import make_pools
from detectors.subject_rows import BINS, LANES, RECENT, ROW_FIELDS, RULE

CAP = 12.0


def new_parts() -> tuple[Any, Any, Any]:
    rule = np.zeros(1, RULE)
    rule[0] = SPEC.rule(untrained())
    row = np.zeros(1, Arena(ROW_FIELDS, 1).view().rows.dtype)[0]
    return row, rule[0], make_pools([SPEC] * LANES, [untrained()] * LANES)[0]


@pytest.fixture
def parts() -> tuple[Any, Any, Any]:
    return new_parts()


@given(st.lists(st.floats(-8, 8), max_size=60))
@settings(deadline=None)
def test_the_statistic_is_never_below_zero_nor_above_its_cap(marks: list[float]) -> None:
    row, _, _ = new_parts()
    for nats in marks:
        greatest = accumulate(row, nats, 1, CAP)
        assert 0.0 <= greatest <= CAP
        assert greatest == pytest.approx(float(row["stat"].max()))


@given(st.lists(st.floats(-4, 4), max_size=40), st.floats(0.0, 2.0))
@settings(deadline=None)
def test_more_suspicious_marks_never_make_less_of_a_case(marks: list[float], more: float) -> None:
    rows = [new_parts()[0] for _ in range(2)]
    for nats in marks:
        low, high = accumulate(rows[0], nats, 1, CAP), accumulate(rows[1], nats + more, 1, CAP)
        assert high >= low - 1e-6


def test_organic_marks_bring_it_down_again_soon_after_an_attack() -> None:
    row, _, _ = new_parts()
    for _ in range(1_000):
        accumulate(row, 3.0, 1, CAP)
    for _ in range(200):
        accumulate(row, -2.0, 2, CAP)
    assert float(row["stat"].max()) == 0.0


def test_it_fades_with_time() -> None:
    row, _, _ = new_parts()
    for _ in range(5):
        accumulate(row, 3.0, 1, CAP)
    before = float(row["stat"].max())
    fade(row, 7 * 288)
    assert float(row["stat"].max()) < 0.2 * before


def test_the_onset_is_where_the_rise_began() -> None:
    row, _, _ = new_parts()
    for slot, nats in enumerate([-2.0, -2.0, 3.0, 3.0, 3.0], 100):
        accumulate(row, nats, slot, CAP)
    assert row["onset"].tolist() == [102, 102, 102]


def test_weights_have_mean_one_under_the_reference() -> None:
    marks = np.arange(-128, 128) / 16
    density = np.exp(-0.5 * ((marks + 1.5) / 1.2) ** 2)
    density /= density.sum()
    offset = np.log((density * np.exp(marks)).sum())
    for level in range(3):
        shifted = np.interp(marks - offset, marks, WEIGHTS[level])
        assert (density * np.exp(shifted)).sum() == pytest.approx(1.0, abs=0.05)


class TestWhatIsUsual:
    def test_a_mark_that_everybody_has_now_weighs_less(self, parts: tuple[Any, Any, Any]) -> None:
        row, rule, pool = parts
        before = corrected(row, rule, pool, 40)
        pool["mix"][bin_of(40, 0.0)] = 0.2
        assert 0.0 <= corrected(row, rule, pool, 40) < before

    def test_a_mark_that_is_usual_here_weighs_less(self, parts: tuple[Any, Any, Any]) -> None:
        row, rule, pool = parts
        before = corrected(row, rule, pool, 40)
        row["own"][bin_of(40, 0.0)] = 40
        assert corrected(row, rule, pool, 40) < before

    def test_no_mix_makes_blind_for_the_strongest_marks(self, parts: tuple[Any, Any, Any]) -> None:
        row, rule, pool = parts
        row["own"][BINS - 1] = 255
        pool["mix"][BINS - 1] = 1.0
        assert corrected(row, rule, pool, 100) >= SPEC.mark_max_nats - SPEC.correction_max_nats - 1e-6

    def test_what_speaks_for_organic_is_never_corrected(self, parts: tuple[Any, Any, Any]) -> None:
        row, rule, pool = parts
        pool["mix"][:] = 1.0
        assert corrected(row, rule, pool, -40) == pytest.approx(-2.5)

    def test_the_first_marks_do_not_vouch_for_the_next(self, parts: tuple[Any, Any, Any]) -> None:
        row, _, pool = parts
        for _ in range(RECENT):
            remember(row, pool, 40, True)
        assert row["own"].sum() == 0
        remember(row, pool, 40, True)
        assert row["own"].sum() == 1

    def test_nothing_is_learned_of_what_is_suspected(self, parts: tuple[Any, Any, Any]) -> None:
        row, _, pool = parts
        for _ in range(3 * RECENT):
            remember(row, pool, 40, False)
        assert row["own"].sum() == 0
        assert suspicious_share(row, 16, 16) == 1.0

    def test_the_own_mix_stays_within_its_bytes(self, parts: tuple[Any, Any, Any]) -> None:
        row, _, pool = parts
        for _ in range(2_000):
            remember(row, pool, -20, True)
        assert 100 <= int(row["own"].max()) <= 255

    def test_one_subject_is_never_the_population(self, parts: tuple[Any, Any, Any]) -> None:
        row, _, pool = parts
        for _ in range(1_000):
            contribute(row, pool, 41, int(Trait.NEW_ACCOUNT | Trait.NO_BROWSING), 41)
        assert float(pool["contributions"]) == 8
        assert float(pool["mix_new"].sum()) == 8
        assert float(pool["traits_new"][0]) == float(pool["traits_new"][9]) == 8

    @given(st.integers(-127, 127), st.booleans())
    @settings(deadline=None)
    def test_a_tag_costs_at_most_a_sixteenth_of_a_nat(self, mark: int, new: bool) -> None:  # noqa: FBT001
        tag = tagged(mark, int(Trait.FIRST_SEEN) if new else 0)
        assert abs(tag - mark) <= 1
        assert (tag & 1) == int(new)
        assert -128 <= tag <= 127


class TestWhatItHasChangedTo:
    def filled(self, marks: list[int], gap_ms: int = 60_000) -> tuple[Any, Any, Any]:
        row, rule, pool = new_parts()
        for mark in marks:
            remember(row, pool, mark & -2, True)
        row["run"] = len(marks)
        row["pace"] = np.log(gap_ms)
        return row, rule, pool

    def test_bought_marks_speak_for_bought_and_organic_ones_against(self) -> None:
        assert mix_factor(*self.filled([36] * 30)) > 5.0
        assert mix_factor(*self.filled([-24] * 30)) < -5.0

    def test_more_of_the_same_says_more_until_the_scatter_of_surges_ends_it(self) -> None:
        factors = [mix_factor(*self.filled([36] * count)) for count in (4, 8, 16, 32, 48)]
        assert factors == sorted(factors)

    def test_only_what_came_since_the_rise_counts(self) -> None:
        row, rule, pool = self.filled([-24] * 30 + [36] * 16)
        row["run"] = 16
        assert mix_factor(row, rule, pool) == pytest.approx(mix_factor(*self.filled([36] * 16)))

    def test_the_pace_tells_a_crowd_from_a_trickle(self) -> None:
        slow, _, _ = self.filled([36] * 10, gap_ms=3_600_000)
        fast, _, _ = self.filled([36] * 10, gap_ms=1_000)
        assert tempo_of(slow) == 0
        assert tempo_of(fast) == 5
