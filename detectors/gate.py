"""The gate: whether more comes than this subject's own past, and subjects like it, would let one expect.

The rate of a subject is Gamma distributed, `(cohort's count + own count, cohort's hours + own hours)`, its own
past forgotten with a half-life of a week; a count over `t` hours is then negative binomial (Gelman et al.,
Bayesian Data Analysis, 3rd ed., 2.6) with mean `m = rate * t * cycle`. Its shape `r` is the smaller of the
Gamma's and of what the scatter of past hours shows. The tail is bounded by Chernoff's inequality for the
negative binomial, closed, monotone and never too small a probability:

    log P(X >= k)  <=  -(k ln(k / m) - (k + r) ln((k + r) / (m + r)))      for k > m

A closed hour is learned one hour after its end, and not at all where it was under suspicion (conditional merge,
MIDAS-F, Bhatia et al. 2022, sec. 5), so an attack does not train its own baseline.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.compiled import compiled
from detectors.subject_rows import HOURS, SLOTS_HOUR
from detectors.windows import in_day, in_hour, in_slot, in_week

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK_HOURS = 168

KEEP_HOUR = 0.5 ** (1 / WEEK_HOURS)
"""What is left after an hour of what was learned: a half-life of one week, so that a daily rhythm averages out."""

KEEP_LOG = log(KEEP_HOUR)

SETTLE_HOURS = 2
"""Hours from the start of an hour to its merge: an hour for itself, and one in which suspicion can still fall on it."""

DISPERSION_WEIGHT = 4.0
"""Weight of the usual dispersion, in hours of one action each."""

DAY_SMOOTHING, WEEK_SMOOTHING = 4.0, 8.0
"""How much less scattered days and weeks are than hours, as factors on the shape: bursts average out, trends do not."""

GATE_5MIN, GATE_HOUR, GATE_DAY, GATE_WEEK = 1, 2, 4, 8
GATE_SLOW = 16
"""Bits of `gate`: the scales at which it is passed, and whether only its second, slow door is open."""


@compiled
def tail(observed: float, mean: float, shape: float) -> float:
    """Return a lower bound of -log P(X >= observed), in nats; 0 at or below the mean.

    >>> round(tail(20.0, 2.0, 2.0), 2), tail(2.0, 2.0, 2.0)
    (8.55, 0.0)
    """
    if observed <= mean:
        return 0.0
    return observed * log(observed / mean) - (observed + shape) * log((observed + shape) / (mean + shape))


@compiled
def hourly(row: Any, rule: Any, pool: Any) -> float:
    """Return the usual actions an hour, shrunk to the cohort, the cycle taken out."""
    count = float(rule["prior_count"])
    return (count + float(row["level_count"])) / (count / float(pool["rate"]) + float(row["level_hours"]))


@compiled
def shape_of(row: Any, rule: Any) -> float:
    """Return the negative binomial's shape at the hourly scale."""
    excess = float(row["excess"]) + DISPERSION_WEIGHT * float(rule["dispersion"])
    scatter = excess / (float(row["squares"]) + DISPERSION_WEIGHT)
    return min(1.0 / max(scatter, 1e-3), float(rule["prior_count"]) + float(row["level_count"]))


@compiled
def learn_hour(row: Any, rule: Any, pool: Any, hour: int) -> bool:
    """Merge one closed hour of the ring. Return whether it had passed the gate."""
    bit = np.uint32(1) << np.uint32(hour % HOURS)
    came = float(row["hours"][hour % HOURS])
    passed = (row["gated"] & bit) != 0
    if came > 0:
        pool["closed"] += 1.0
        pool["passed"] += 1.0 if passed else 0.0
    if row["suspected"] & bit:
        return bool(passed)
    cycle = float(pool["cycle"][hour % WEEK_HOURS])
    mean = hourly(row, rule, pool) * cycle
    row["excess"] = KEEP_HOUR * float(row["excess"]) + (came - mean) * (came - mean) - mean
    row["squares"] = KEEP_HOUR * float(row["squares"]) + mean * mean
    row["level_count"] = KEEP_HOUR * float(row["level_count"]) + came
    row["level_hours"] = KEEP_HOUR * float(row["level_hours"]) + cycle
    pool["cohort_count"] += came
    pool["cohort_hours"] += cycle
    return bool(passed)


@compiled
def learn_silence(row: Any, rule: Any, pool: Any, hours: int) -> None:
    """Merge hours without any action, in closed form."""
    keep = exp(KEEP_LOG * hours)
    summed = (1.0 - keep) / (1.0 - KEEP_HOUR)
    mean = hourly(row, rule, pool)
    row["excess"] = keep * float(row["excess"]) + (mean * mean - mean) * min(summed, 24.0) * 0.5
    row["squares"] = keep * float(row["squares"]) + mean * mean * min(summed, 24.0) * 0.5
    row["level_count"] = keep * float(row["level_count"])
    row["level_hours"] = keep * float(row["level_hours"]) + summed
    pool["cohort_hours"] += float(hours)


@compiled
def settle(row: Any, rule: Any, pool: Any, before: int) -> int:
    """Merge every hour earlier than `before` (hours since the epoch) that is not yet merged.

    Return a bit for each merged hour that had passed the gate, bit 0 for hour `before - 1`.
    """
    hour = int(row["merged"])
    if hour >= before:
        return 0
    newest = int(row["slot"]) // SLOTS_HOUR
    passed = 0
    while hour < before:
        if hour > newest:
            learn_silence(row, rule, pool, before - hour)
            break
        if learn_hour(row, rule, pool, hour) and before - 1 - hour < 48:
            passed |= 1 << (before - 1 - hour)
        hour += 1
    row["merged"] = before
    return passed


@compiled
def measure(row: Any, rule: Any, pool: Any, out: NDArray[np.float64]) -> None:
    """Fill `out`, shape (3, 4): observed, expected and nats at 5 minutes, 1 hour, 24 hours and 7 days."""
    rate = hourly(row, rule, pool)
    now = rate * float(pool["cycle"][(int(row["slot"]) // SLOTS_HOUR) % WEEK_HOURS])
    out[0, 0], out[1, 0] = in_slot(row), now / SLOTS_HOUR
    out[0, 1], out[1, 1] = in_hour(row), now
    out[0, 2], out[1, 2] = in_day(row), rate * 24.0
    out[0, 3], out[1, 3] = in_week(row), rate * 168.0
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = tails(row, rule, pool)


@compiled
def tails(row: Any, rule: Any, pool: Any) -> tuple[float, float, float, float]:
    """Return the nats at 5 minutes, 1 hour, 24 hours and 7 days."""
    rate = hourly(row, rule, pool)
    now = rate * float(pool["cycle"][(int(row["slot"]) // SLOTS_HOUR) % WEEK_HOURS])
    shape = shape_of(row, rule)
    return (
        tail(in_slot(row), now / SLOTS_HOUR, shape),
        tail(in_hour(row), now, shape),
        tail(in_day(row), rate * 24.0, shape * DAY_SMOOTHING),
        tail(in_week(row), rate * 168.0, shape * WEEK_SMOOTHING),
    )


@compiled
def gate(row: Any, rule: Any, pool: Any) -> int:
    """Return the scales at which the gate is passed, as bits; 0 where it is not."""
    rate = hourly(row, rule, pool)
    now = rate * float(pool["cycle"][(int(row["slot"]) // SLOTS_HOUR) % WEEK_HOURS])
    shape = shape_of(row, rule)
    floors, limits = rule["floors"], rule["gate"]
    passed = 0
    came = in_slot(row)
    if came >= floors[0] and tail(came, now / SLOTS_HOUR, shape) >= limits[0]:
        passed |= GATE_5MIN
    came = in_hour(row)
    if came >= floors[1] and tail(came, now, shape) >= limits[1]:
        passed |= GATE_HOUR
    came = in_day(row)
    if came >= floors[2]:
        nats = tail(came, rate * 24.0, shape * DAY_SMOOTHING)
        passed |= (GATE_DAY if nats >= limits[2] else 0) | (GATE_SLOW if nats >= rule["gate_slow"] else 0)
    came = in_week(row)
    if came >= floors[3]:
        nats = tail(came, rate * 168.0, shape * WEEK_SMOOTHING)
        passed |= (GATE_WEEK if nats >= limits[3] else 0) | (GATE_SLOW if nats >= rule["gate_slow"] else 0)
    return passed
