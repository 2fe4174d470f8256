"""What is usual on a platform: how long it is remembered, and how marks are held against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import Trait
from detectors.arena import Arena
from detectors.composition import KNOWN_EDGES, KNOWN_NATS, MARK_UNITS, POPULATION_WEIGHT, contribute, relative, tagged
from detectors.pools import EPOCH_MS, KNOWN_ODDER_MOST, MIX_ACTIONS, close_epoch, make_pools
from detectors.settings import DetectorSettings
from detectors.subject_rows import FOLLOWS, ROW_FIELDS
from detectors.subjects import SPECS, SubjectStage
from streams.pipeline import shipped_thresholds

THRESHOLDS = shipped_thresholds()
LEARNED = [THRESHOLDS.kinds[spec.kind] for spec in SPECS]
MODELS = SubjectStage(DetectorSettings(), THRESHOLDS).models


def act(pools: Any, nats: float, times: int, traits: int = int(Trait.STRANGER)) -> None:
    """Let actors whose mark is `nats` act on subjects that nobody suspects."""
    pool = pools[FOLLOWS]
    for _ in range(times // POPULATION_WEIGHT):
        row = np.zeros(1, Arena(ROW_FIELDS, 1).view().rows.dtype)[0]
        for _ in range(POPULATION_WEIGHT):
            plain = int(nats * MARK_UNITS)
            contribute(row, pool, tagged(relative(plain, traits, pool), traits), traits, plain)


def pass_epochs(pools: Any, hours: float) -> None:
    for epoch in range(int(hours * 3_600_000 / EPOCH_MS)):
        close_epoch(pools, SPECS, LEARNED, MODELS, epoch // 6, hour_ends=epoch % 6 == 5)


@pytest.fixture
def pools() -> Any:
    return make_pools(SPECS, LEARNED)


def test_a_small_platform_knows_what_is_usual_from_days_ago(pools: Any) -> None:
    act(pools, 2.0, 2_000)
    pass_epochs(pools, 1)
    mix = pools[FOLLOWS]["mix"].copy()
    pass_epochs(pools, 48)
    assert pools[FOLLOWS]["mix"] == pytest.approx(mix)


def test_a_large_one_forgets_all_but_so_many_actions(pools: Any) -> None:
    act(pools, 2.0, 16_000)
    pass_epochs(pools, 24)
    assert float(pools[FOLLOWS]["contributions"]) == pytest.approx(MIX_ACTIONS, rel=0.06)


def test_where_everybody_is_odd_that_is_taken_off(pools: Any) -> None:
    assert relative(20, 0, pools[FOLLOWS]) == 20
    for _ in range(4):
        act(pools, 1.0, 4_000)
        pass_epochs(pools, 0.2)
    odder = float(pools[FOLLOWS]["known_odder"])
    assert odder == pytest.approx(KNOWN_ODDER_MOST, abs=0.01)
    assert relative(40, 0, pools[FOLLOWS]) == 40 - int(odder * MARK_UNITS)


def test_who_is_new_is_held_against_who_is_new(pools: Any) -> None:
    pools[FOLLOWS]["known_odder"] = 2.0
    assert relative(40, int(Trait.FIRST_SEEN), pools[FOLLOWS]) == 40


@given(st.integers(-128, 127), st.floats(0.0, KNOWN_ODDER_MOST))
@settings(deadline=None)
def test_no_platform_makes_anybody_odder(mark: int, odder: float) -> None:
    pool = make_pools(SPECS, LEARNED)[FOLLOWS]
    pool["known_odder"] = odder
    assert -128 <= relative(mark, 0, pool) <= mark


def test_what_a_bin_of_known_actors_counts_lies_in_it() -> None:
    edges = (-np.inf, *KNOWN_EDGES, np.inf)
    assert all(low < nats < high for low, nats, high in zip(edges, KNOWN_NATS, edges[1:], strict=False))
