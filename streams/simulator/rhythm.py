"""Daily and weekly rhythm over time zones, and the rate that a scenario wants at an instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.simulator.columns import DAY_MS, HOUR_MS, Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How busy each time zone is at an instant.

    `curves` has a row a zone kind (weekday, weekend) and a column a local hour, mean about 1.

    >>> flat = Rhythm(np.array([0.0]), np.ones((2, 24)))
    >>> flat.level(np.array([0, 3_600_000]), np.array([0, 0])).tolist()
    [1.0, 1.0]
    """

    offsets_h: Floats
    curves: Floats

    def level(self, at_ms: npt.ArrayLike, zone: npt.ArrayLike) -> Floats:
        """Give the factor on a zone's mean activity, linear between local hours."""
        local_ms = np.asarray(at_ms) + (self.offsets_h[np.asarray(zone)] * HOUR_MS).astype(np.int64)
        hour = (local_ms % DAY_MS) / HOUR_MS
        # The epoch was a Thursday: day 2 and 3 of each such week are Saturday and Sunday.
        weekend = ((local_ms // DAY_MS) % 7 - 2) // 2 == 0
        low = hour.astype(np.int64) % 24
        part = hour - np.floor(hour)
        kind = weekend.astype(np.int64)
        return np.asarray(self.curves[kind, low] * (1.0 - part) + self.curves[kind, (low + 1) % 24] * part)

    def awake(self, rng: np.random.Generator, at_ms: Ints, zone: Ints) -> Bools:
        """Keep visits with the chance that their zone is up, relative to its busiest hour."""
        return np.asarray(rng.random(len(zone)) * float(self.curves.max()) < self.level(at_ms, zone))

    @property
    def zones(self) -> int:
        """How many time zones there are."""
        return len(self.offsets_h)


def make_rhythm(
    rng: np.random.Generator, zones: int, depth: float, evening_h: float, lunch: float, weekend: float
) -> Rhythm:
    """Curves with a night trough, an evening peak and a lunch bump.

    `depth` 0 is flat, 1 leaves nearly nobody awake at four in the morning.
    """
    hours = np.arange(24.0)

    def bump(centre: float, width: float) -> Floats:
        away = np.abs(hours - centre)
        return np.asarray(np.exp(-0.5 * (np.minimum(away, 24.0 - away) / width) ** 2))

    day = 0.25 + bump(evening_h, 3.2) + lunch * bump(12.6, 1.4) + 0.45 * bump(15.5, 4.5) - 0.22 * bump(4.2, 2.2)
    off = 0.30 + bump(evening_h - 0.6, 3.8) + 0.7 * bump(14.0, 4.5) - 0.26 * bump(5.2, 2.6)
    curves = np.stack([day / day.mean(), weekend * off / off.mean()])
    curves = (1.0 - depth) + depth * np.maximum(curves, 0.02)
    curves /= (5.0 * curves[0].mean() + 2.0 * curves[1].mean()) / 7.0
    offsets = np.sort(rng.choice(np.arange(-8.0, 11.0), size=zones, replace=False))
    return Rhythm(np.asarray(offsets), curves)
