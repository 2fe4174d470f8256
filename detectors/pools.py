"""What a lane knows of all its subjects together, brought up to date once an epoch.

Within an epoch the compiled loop only counts; what is in force changes when the epoch closes, on the watermark.
So a decision never depends on which subject came first within an epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.composition import KNOWN_NATS, NEW_BINS
from detectors.positions import CLICKS_PER_SEARCH, earned_at
from detectors.subject_rows import CLICKS, LANES, POOL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.calibration import KindThresholds
    from detectors.models import LaneModels
    from detectors.specs import Spec

EPOCH_MS: Final = 600_000
"""Length of an epoch: an influx of newcomers widens the reference after ten minutes."""

MIX_KEEP: Final = 0.5 ** (1 / 12)
"""Of the population's mix after an epoch: a half-life of two hours, since who is awake changes over the day."""

MIX_ACTIONS: Final = 3_000.0
"""Actions that are kept however long ago they were: a small platform knows what is usual with it from its last days."""

MIX_PRIOR: Final = 200.0
"""Weight of the shipped organic mix, in actions."""

KNOWN_ODDER_MOST: Final = 2.0
"""Nats that known actors can be odder by on a whole platform: whoever made everybody look bought hides no further."""

NEWCOMER_PRIOR: Final = 20.0
"""Weight of the shipped mean mark of new actors, in actions."""

COHORT_PRIOR_HOURS: Final = 500.0
"""Weight of the shipped rate of a subject never seen, in hours."""

COHORT_HOURS_MAX: Final = 1e7
"""The cohort's sums are halved there, so that it follows a platform that changes."""

EARNED_PRIOR: Final = 3_000.0
"""Weight of the published chances by position, in searches."""

ONWARD_PRIOR: Final = 50.0
"""Actions whose actors do not go on, before any is known: that somebody does not says nothing until others do."""

SEARCHES_MAX: Final = 1e6
"""The counts by position are halved there."""


def make_pools(specs: Sequence[Spec], learned: Sequence[KindThresholds]) -> NDArray[Any]:
    """Return the pools of all lanes before anything was seen, shape (LANES,) of `POOL`."""
    pools = np.zeros(LANES, POOL)
    for lane in range(LANES):
        pools[lane]["mix"] = learned[lane].reference
        pools[lane]["newcomer"] = learned[lane].newcomer
        pools[lane]["traits"] = learned[lane].traits
        pools[lane]["cycle"] = 1.0
        pools[lane]["rate"] = specs[lane].prior_rate
    pools[CLICKS]["earns"] = earned_at()
    pools[CLICKS]["click_rate"] = CLICKS_PER_SEARCH
    return pools


def close_epoch(
    pools: NDArray[Any], specs: Sequence[Spec], learned: Sequence[KindThresholds], models: Sequence[LaneModels],
    hour: int, hour_ends: bool,  # noqa: FBT001 - said by name at its one call
) -> None:  # fmt: skip
    """Put what was counted in force.

    Args:
        pools: of all lanes, changed in place.
        specs: the detector of each lane.
        learned: its shipped numbers, which count as prior.
        models: the cycle and the pass rate of each lane.
        hour: that the epoch is in, since the Unix epoch.
        hour_ends: whether it is the last epoch of that hour.

    """
    for lane in range(LANES):
        pool = pools[lane]
        _mix(pool, learned[lane])
        _cohort(pool, specs[lane])
        _onward(pool)
        models[lane].pass_rate.learn(hour, float(pool["closed"]), float(pool["passed"]))
        pool["closed"] = pool["passed"] = 0.0
        if hour_ends:
            models[lane].cycle.learn(hour, float(pool["actions"]))
            pool["cycle"] = models[lane].cycle.factors()
            pool["actions"] = 0.0
    _positions(pools[CLICKS])


def _mix(pool: Any, learned: KindThresholds) -> None:
    count = float(pool["contributions"])
    prior = np.array(learned.reference)
    pool["mix"] = (pool["mix_new"] + MIX_PRIOR * prior) / (pool["mix_new"].sum() + MIX_PRIOR)
    pool["traits"] = (pool["traits_new"] + MIX_PRIOR * np.array(learned.traits)) / (count + MIX_PRIOR)
    total = float(pool["newcomer_sum"]) + NEWCOMER_PRIOR * learned.newcomer
    pool["newcomer"] = total / (float(pool["newcomer_count"]) + NEWCOMER_PRIOR)
    known = np.array(learned.reference[NEW_BINS:])
    usual = float(known @ np.array(KNOWN_NATS)) / max(float(known.sum()), 1e-9)
    here = (float(pool["known_sum"]) + MIX_PRIOR * usual) / (float(pool["known_count"]) + MIX_PRIOR)
    pool["known_odder"] = min(max(here - usual, 0.0), KNOWN_ODDER_MOST)
    keep = max(MIX_KEEP, min(MIX_ACTIONS / max(count, 1.0), 1.0))
    fading = ("mix_new", "traits_new", "contributions", "newcomer_sum", "newcomer_count", "known_sum", "known_count")
    for name in fading:
        pool[name] = pool[name] * keep


def _cohort(pool: Any, spec: Spec) -> None:
    if pool["cohort_hours"] > COHORT_HOURS_MAX:
        pool["cohort_count"] *= 0.5
        pool["cohort_hours"] *= 0.5
    count = float(pool["cohort_count"]) + spec.prior_rate * COHORT_PRIOR_HOURS
    pool["rate"] = count / (float(pool["cohort_hours"]) + COHORT_PRIOR_HOURS)


def _onward(pool: Any) -> None:
    pool["goes_on"] = min(float(pool["gone_on"]) / (float(pool["awaited"]) + ONWARD_PRIOR), 1.0)
    pool["awaited"] *= MIX_KEEP
    pool["gone_on"] *= MIX_KEEP


def _positions(pool: Any) -> None:
    if pool["searched"] > SEARCHES_MAX:
        pool["searched"] *= 0.5
        pool["clicked_at"] = pool["clicked_at"] * 0.5
    counted = pool["clicked_at"] + EARNED_PRIOR * earned_at()
    earns = counted / (float(pool["searched"]) + EARNED_PRIOR)
    # A click without a position is not one at position 0: it is taken for one in the middle of the page.
    earns[0] = earns[5]
    pool["earns"] = earns
    # Of the clicks without a position none are counted before there are any.
    pool["click_rate"] = earns[1:].sum() + float(pool["clicked_at"][0]) / (float(pool["searched"]) + EARNED_PRIOR)
