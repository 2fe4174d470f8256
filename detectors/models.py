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
    from collections.abc import Sequence

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

    def parts(self) -> tuple[NDArray[np.float64], ...]:
        """Return everything that it has learned: levels by hour of the day, how often seen, the same of the week."""
        return self._day, self._days, self._week, self._weeks

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
    """How unlike other gated hours a subject's hour is, by HalfSpaceTrees (Tan, Ting, Liu 2011).

    The trees are drawn from the seed, and count the hours of the window before and of the one that fills. So what
    they know is those hours, at most two windows: they are kept as them, and learn them only when somebody asks for a
    score, which few do. To draw the trees takes as long as a thousand actions, and no partition waits for it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._trees = self._fresh()
        self._counted = 0  # of the hours, from the first on, those that the trees have learned
        self.learned = 0
        self.names: tuple[str, ...] = ()
        self.hours: list[tuple[float, ...]] = []
        """Features in the order of `names` of the hours that the trees count now, oldest first."""

    def _fresh(self) -> anomaly.HalfSpaceTrees:
        return anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=NOVELTY_WINDOW, seed=self._seed)

    def learn(self, features: dict[str, float]) -> None:
        """Learn one closed hour; every feature in [0, 1]."""
        self.learned += 1
        self.names = tuple(features)
        self.hours.append(tuple(float(value) for value in features.values()))
        if len(self.hours) == 2 * NOVELTY_WINDOW:
            del self.hours[:NOVELTY_WINDOW]
            self._counted -= NOVELTY_WINDOW
            if self._counted < 0:  # they have not seen the first window to its end
                self._trees, self._counted = self._fresh(), 0

    def restore(self, names: tuple[str, ...], hours: Sequence[tuple[float, ...]], learned: int) -> None:
        """Take what another one had learned."""
        self._trees, self._counted, self.learned, self.names = self._fresh(), 0, learned, names
        self.hours = list(hours)

    def score(self, features: dict[str, float]) -> float | None:
        """Return how novel it is, in [0, 1], None before the first window is full."""
        if self.learned < NOVELTY_WINDOW:
            return None
        for hour in self.hours[self._counted :]:
            self._trees.learn_one(dict(zip(self.names, hour, strict=True)))
        self._counted = len(self.hours)
        return float(min(max(self._trees.score_one(features), 0.0), 1.0))


RATES_MAX = 2_048
"""Epochs that the drift detector looks back over at the most, two weeks; it goes on with the newer half of them."""


class PassRate:
    """Drift of the share of closed hours that had passed the gate, the daily rhythm taken out (ADWIN, Bifet 2007).

    ADWIN is kept as what it was given since its last drift, and given that again where it is restored.
    """

    def __init__(self) -> None:
        self._adwin = _adwin()
        self.usual = np.zeros(DAY_HOURS)
        self.seen = np.zeros(DAY_HOURS)
        self.rates: list[float] = []
        self.drifts = 0
        self.last: float | None = None

    def learn(self, hour: int, closed: float, passed: float) -> None:
        """Learn the hours that were closed in one epoch. Without any there is nothing to learn."""
        if closed <= 0.0:
            return
        # A square root makes the scatter of a small share the same at every level, so the rhythm can be subtracted.
        rate = sqrt(passed / closed)
        place = hour % DAY_HOURS
        if self.seen[place] >= 1:
            self.drifts += self._watch(0.5 + 0.5 * (rate - float(self.usual[place])))
        self.seen[place] += 1
        self.usual[place] += (rate - self.usual[place]) / min(self.seen[place], 42.0)
        self.last = passed / closed
        if len(self.rates) >= RATES_MAX:
            self.look_back(self.rates[-RATES_MAX // 2 :])

    def _watch(self, rate: float) -> bool:
        self._adwin.update(rate)
        self.rates.append(rate)
        if not self._adwin.drift_detected:
            return False
        self._adwin, self.rates = _adwin(), []
        return True

    def look_back(self, rates: Sequence[float]) -> None:
        """Start the drift detector anew with these."""
        self._adwin, self.rates = _adwin(), []
        for rate in rates:
            self._watch(rate)


def _adwin() -> drift.ADWIN:
    return drift.ADWIN(delta=1e-4)


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
