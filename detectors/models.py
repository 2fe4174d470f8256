"""What a partition learns from all its subjects together, one `LaneModels` a lane.

The hour-of-week cycle, novelty (River's HalfSpaceTrees) and drift of the gate's pass rate (River's ADWIN). They are
fed once an epoch, or once a closed hour that had passed the gate, never per action. None of them decides:
HalfSpaceTrees finds virality rather than fraud, so novelty is evidence, and drift is for those who run this.
"""

from __future__ import annotations

from math import log1p, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np
from river import anomaly, drift

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK_HOURS: Final = 168
DAY_HOURS: Final = 24
CYCLE_LEAST, CYCLE_MOST = 0.2, 5.0
"""The cycle is kept within these factors: a silent or a mad hour is an outage or a campaign, not a habit."""


class Cycle:
    """Factor on the usual rate by hour of the week, mean about 1.

    An hour's level is an average with weight 1/2 at least on the newest; until a full day is known every factor
    is 1, and an hour of the week counts beside its hour of the day as sqrt(weeks) is to 1.

    >>> cycle = Cycle()
    >>> for hour in range(72):
    ...     cycle.learn(hour, 300.0 if hour % 24 >= 12 else 100.0)
    >>> factors = cycle.factors()
    >>> bool(factors[20] > 1.3), bool(factors[3] < 0.7)
    (True, True)
    """

    def __init__(self) -> None:
        self._day = np.zeros(DAY_HOURS)
        self._days = np.zeros(DAY_HOURS)
        self._week = np.zeros(WEEK_HOURS)
        self._weeks = np.zeros(WEEK_HOURS)

    def learn(self, hour: int, actions: float) -> None:
        """Learn one closed hour (since the epoch). An hour without any action is an outage and not learned."""
        if actions <= 0.0:
            return
        for levels, seen, place in (
            (self._day, self._days, hour % DAY_HOURS),
            (self._week, self._weeks, hour % WEEK_HOURS),
        ):
            seen[place] += 1
            levels[place] += (actions - levels[place]) / min(seen[place], 2 if seen is self._weeks else 4)

    def factors(self) -> NDArray[np.float32]:
        """Return the factors, shape (168,), indexed by hours since the epoch modulo 168."""
        if not (self._days > 0).all():
            return np.ones(WEEK_HOURS, np.float32)
        trust = self._days / (self._days + 1)
        daily = np.tile(1 + trust * (self._day / self._day.mean() - 1), WEEK_HOURS // DAY_HOURS)
        if (self._weeks > 0).all():
            weight = np.sqrt(self._weeks - 1) / (1 + np.sqrt(self._weeks - 1))
            daily = daily * (1 - weight) + weight * self._week / self._week.mean()
        return np.asarray(np.clip(daily, CYCLE_LEAST, CYCLE_MOST), np.float32)


NOVELTY_WINDOW = 250
"""Closed gated hours in a window of the trees; in the first one every score is 0, so it is not given."""


class Novelty:
    """How unlike other gated hours a subject's hour is, by HalfSpaceTrees (Tan, Ting, Liu 2011)."""

    def __init__(self, seed: int) -> None:
        self._trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=NOVELTY_WINDOW, seed=seed)
        self.learned = 0

    def learn(self, features: dict[str, float]) -> None:
        """Learn one closed hour; every feature in [0, 1]."""
        self._trees.learn_one(features)
        self.learned += 1

    def score(self, features: dict[str, float]) -> float | None:
        """Return how novel it is, in [0, 1], None before the first window is full."""
        if self.learned < NOVELTY_WINDOW:
            return None
        return float(min(max(self._trees.score_one(features), 0.0), 1.0))


class PassRate:
    """Drift of the share of closed hours that had passed the gate, the daily rhythm taken out (ADWIN, Bifet 2007)."""

    def __init__(self) -> None:
        self._adwin = drift.ADWIN(delta=1e-4)
        self._usual = np.zeros(DAY_HOURS)
        self._seen = np.zeros(DAY_HOURS)
        self.drifts = 0
        self.last: float | None = None

    def learn(self, hour: int, closed: float, passed: float) -> None:
        """Learn the hours that were closed in one epoch. Without any there is nothing to learn."""
        if closed <= 0.0:
            return
        # A square root makes the scatter of a small share the same at every level, so the rhythm can be subtracted.
        rate = sqrt(passed / closed)
        place = hour % DAY_HOURS
        if self._seen[place] >= 1:
            self._adwin.update(0.5 + 0.5 * (rate - self._usual[place]))
            self.drifts += int(self._adwin.drift_detected)
        self._seen[place] += 1
        self._usual[place] += (rate - self._usual[place]) / min(self._seen[place], 42.0)
        self.last = passed / closed


class LaneModels:
    """All shared models of a lane."""

    def __init__(self, seed: int) -> None:
        self.cycle = Cycle()
        self.novelty = Novelty(seed)
        self.pass_rate = PassRate()


def features_of(measured: NDArray[np.float64], suspicious_share: float, removal_share: float) -> dict[str, float]:
    """Return what novelty looks at of an hour, each in [0, 1].

    `measured` is as `gate.measure` fills it, shape (3, 4).
    """

    def squashed(value: float) -> float:
        return value / (1.0 + value)

    lift = [log1p(measured[0, scale]) - log1p(measured[1, scale]) for scale in range(1, 4)]
    return {
        "size": squashed(log1p(measured[0, 1]) / 4.0),
        "lift_hour": squashed(max(lift[0], 0.0)),
        "lift_day": squashed(max(lift[1], 0.0)),
        "lift_week": squashed(max(lift[2], 0.0)),
        "suspicious": suspicious_share,
        "removed": min(removal_share, 1.0),
    }
