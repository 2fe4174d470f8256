"""The volume gate: a bound that is one, monotone, and a baseline that learns what it should."""

from __future__ import annotations

from math import exp, lgamma, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arena import Arena
from detectors.calibration import untrained
from detectors.follower_spike import SPEC
from detectors.gate import GATE_5MIN, GATE_HOUR, gate, hourly, learn_silence, settle, tail
from detectors.pools import make_pools
from detectors.subject_rows import LANES, ROW_FIELDS, RULE, SLOTS_HOUR
from detectors.windows import count, roll, start

FIRST = 5_880_000 // SLOTS_HOUR * SLOTS_HOUR


@pytest.fixture
def parts() -> tuple[Any, Any, Any]:
    rule = np.zeros(1, RULE)
    rule[0] = SPEC.rule(untrained())
    row = np.zeros(1, Arena(ROW_FIELDS, 1).view().rows.dtype)[0]
    start(row, FIRST)
    return row, rule[0], make_pools([SPEC] * LANES, [untrained()] * LANES)[0]


def exact_tail(observed: int, mean: float, shape: float) -> float:
    chance = shape / (shape + mean)
    below = sum(
        exp(lgamma(k + shape) - lgamma(shape) - lgamma(k + 1) + shape * log(chance) + k * log(1 - chance))
        for k in range(observed)
    )
    return 1 - below


@given(st.integers(0, 80), st.floats(0.01, 50), st.floats(0.2, 20))
@settings(deadline=None)
def test_the_bound_never_says_a_count_is_rarer_than_it_is(observed: int, mean: float, shape: float) -> None:
    assert exp(-tail(float(observed), mean, shape)) >= exact_tail(observed, mean, shape) - 1e-12


@given(st.integers(0, 500), st.floats(0.01, 50), st.floats(0.2, 20))
@settings(deadline=None)
def test_more_is_never_less_odd(observed: int, mean: float, shape: float) -> None:
    assert tail(observed + 1.0, mean, shape) >= tail(float(observed), mean, shape) >= 0.0


def test_an_unknown_subject_is_expected_to_get_what_its_cohort_gets(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    assert hourly(row, rule, pool) == pytest.approx(float(pool["rate"]))


def test_few_pass_no_gate_however_rare(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    for _ in range(7):
        count(row, FIRST)
    assert gate(row, rule, pool) == 0
    for _ in range(30):
        count(row, FIRST)
    assert gate(row, rule, pool) & GATE_5MIN
    assert gate(row, rule, pool) & GATE_HOUR


def busy(row: Any, rule: Any, pool: Any, hours: int, each: int) -> int:
    """Let `each` actions come in every hour. Return the newest slot."""
    slot = FIRST
    for hour in range(hours):
        settle(row, rule, pool, FIRST // SLOTS_HOUR + hour - 1)
        for number in range(each):
            slot = FIRST + hour * SLOTS_HOUR + number * SLOTS_HOUR // each
            roll(row, slot)
            count(row, slot)
    return slot


def test_what_is_usual_passes_no_gate(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    busy(row, rule, pool, 240, 40)
    assert hourly(row, rule, pool) == pytest.approx(40, rel=0.1)
    assert gate(row, rule, pool) & (GATE_5MIN | GATE_HOUR) == 0


def test_the_hour_of_the_week_lifts_what_is_expected(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    slot = busy(row, rule, pool, 240, 40)
    for _ in range(160):
        count(row, slot)
    assert gate(row, rule, pool) & GATE_HOUR
    pool["cycle"][(slot // SLOTS_HOUR) % 168] = 5.0
    assert not gate(row, rule, pool) & GATE_HOUR


def test_a_suspected_hour_is_not_learned(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    slot = busy(row, rule, pool, 240, 40)
    before = hourly(row, rule, pool)
    for _ in range(5_000):
        count(row, slot)
    row["suspected"] |= np.uint32(1 << (slot // SLOTS_HOUR % 24))
    settle(row, rule, pool, slot // SLOTS_HOUR + 1)
    assert hourly(row, rule, pool) == pytest.approx(before, rel=0.05)


def test_silence_in_one_go_is_silence_hour_by_hour(parts: tuple[Any, Any, Any]) -> None:
    row, rule, pool = parts
    busy(row, rule, pool, 100, 40)
    other = row.copy()
    learn_silence(row, rule, pool, 48)
    for _ in range(48):
        learn_silence(other, rule, pool, 1)
    for name in ("level_count", "level_hours"):
        assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-4)
