from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evaluation.measures import (
    auc,
    per_million,
    precision_recall,
    projected_precision,
    quantile,
    upper_rate,
    wilson,
)
from streams.evaluation.results import tier_of

SCORES = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30)


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(hits: int, more: int) -> None:
    total = hits + more
    low, high = wilson(hits, total)
    assert 0.0 <= low <= hits / total <= high <= 1.0
    assert (low == 0.0) == (hits == 0)


def test_the_interval_is_wilsons_own_example_and_says_nothing_of_nothing() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_precision_falls_with_the_base_rate_and_is_unknown_where_nothing_is_flagged() -> None:
    found = [projected_precision(0.9, 0.001, rate) or 0.0 for rate in (0.01, 0.001, 0.0001)]
    assert found == [pytest.approx(0.9009, abs=1e-4), pytest.approx(0.4739, abs=1e-4), pytest.approx(0.0826, abs=1e-4)]
    assert projected_precision(0.0, 0.0, 0.5) is None


def test_quantiles_and_rates_of_nothing_are_unknown() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1.0, 3.0], 0.5) == 2.0
    assert per_million(3, 0.0) is None
    assert per_million(3, 1_500_000.0) == 2.0


@pytest.mark.parametrize(("count", "limit"), [(0, 3.0), (1, 4.74), (10, 16.96)])
def test_the_upper_limit_of_a_count_is_that_of_the_poisson_tables(count: int, limit: float) -> None:
    assert upper_rate(count, 2.0) == pytest.approx(limit / 2.0, rel=0.02)


@given(SCORES, SCORES)
def test_the_auc_is_the_share_of_pairs_in_the_right_order(ours: list[float], theirs: list[float]) -> None:
    pairs = [1.0 if mine > other else 0.5 if mine == other else 0.0 for mine in ours for other in theirs]
    assert auc(ours, theirs) == pytest.approx(np.mean(pairs))


def test_the_auc_of_one_side_is_refused() -> None:
    with pytest.raises(ValueError, match="1 positives and 0 negatives"):
        auc([1.0], [])


@given(SCORES, st.lists(st.integers(0, 20).map(float), max_size=30), st.integers(0, 10))
def test_recall_rises_as_the_score_falls_and_ends_at_all_that_was_found(
    right: list[float], wrong: list[float], missed: int
) -> None:
    curve = precision_recall(right, wrong, len(right) + missed)
    assert [point[0] for point in curve] == sorted({*right, *wrong}, reverse=True)
    assert [point[1] for point in curve] == sorted(point[1] for point in curve)
    found = len(right)
    assert curve[-1][1:] == pytest.approx((found / (found + missed), found / (found + len(wrong))))


def test_size_tiers_are_those_of_the_thresholds() -> None:
    assert [tier_of(size) for size in (0, 29, 30, 300, 2_999, 30_000)] == [
        "under 30", "under 30", "30 to 299", "300 to 2,999", "300 to 2,999", "30,000 and more",
    ]  # fmt: skip
