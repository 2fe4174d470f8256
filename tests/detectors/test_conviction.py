"""What many looks at one crowd say together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.conviction import (
    FORGOTTEN_MS,
    LOOK_SHARE,
    LOOKS_BEFORE,
    NATS_BEFORE,
    after_each_look,
    conviction,
    looks_before,
    note_look,
)
from detectors.subject_rows import SUSPECT

NEVER_ALONE = 1e6

looks_at_crowds = st.lists(
    st.tuples(st.integers(0, 2), st.floats(-8, 12), st.integers(0, 2 * FORGOTTEN_MS)), min_size=1, max_size=80
)


def suspect() -> Any:
    return np.zeros(1, SUSPECT)[0]


def said_of(held: Any, nats: list[float], alone: float = NEVER_ALONE) -> float:
    said = 0.0
    for number, one in enumerate(nats):
        said = float(conviction(held, one, 1_000 * (number + 1), alone))
        note_look(held, one, 1_000 * (number + 1))
    return said


@settings(deadline=None)  # the first one compiles
@given(looks_at_crowds)
def test_learning_and_deciding_make_the_same_of_the_same_looks(made: list[tuple[int, float, int]]) -> None:
    places = np.zeros(3, SUSPECT)
    said, before, ts = [], [], 1
    for subject, nats, gap_ms in made:
        ts += gap_ms
        before.append(looks_before(places[subject], ts))
        said.append(float(conviction(places[subject], nats, ts, 2.0)))
        note_look(places[subject], nats, ts)
    columns = np.array([one[0] for one in made]), np.array(before), np.array([one[1] for one in made])
    assert after_each_look(*columns, 2.0) == pytest.approx(said)


@settings(deadline=None)
@given(st.lists(st.floats(-8, 12), min_size=1, max_size=60))
def test_the_mean_lies_between_the_looks_and_what_was_believed_before(nats: list[float]) -> None:
    said = said_of(suspect(), nats)
    assert min(*nats, NATS_BEFORE) - 1e-9 <= said <= max(*nats, NATS_BEFORE) + 1e-9


def test_one_lucky_look_among_many_says_little_and_the_same_again_and_again_much() -> None:
    assert said_of(suspect(), [-1.0] * 50 + [6.0]) == pytest.approx(NATS_BEFORE + 7.0 * LOOK_SHARE)
    assert said_of(suspect(), [4.0] * 12) > 2.9


def test_the_first_look_counts_for_one_among_those_before_it() -> None:
    assert said_of(suspect(), [7.0]) == pytest.approx((7.0 + LOOKS_BEFORE * NATS_BEFORE) / (LOOKS_BEFORE + 1))


def test_a_look_that_is_plain_enough_counts_by_itself() -> None:
    assert said_of(suspect(), [-1.0] * 50 + [6.0], alone=2.0) == pytest.approx(4.0)


def test_what_was_said_long_ago_is_forgotten() -> None:
    held = suspect()
    said_of(held, [5.0] * 40)
    late = int(held["look_ms"]) + FORGOTTEN_MS
    assert float(conviction(held, 5.0, late, NEVER_ALONE)) > 4.0
    assert float(conviction(held, 5.0, late + 1, NEVER_ALONE)) == pytest.approx(0.5)
