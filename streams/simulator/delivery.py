"""From doing to arriving: lags, phones that were offline, late stragglers, wrong clocks, retries."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.simulator.columns import MINUTE_MS, NOBODY, Ints, Rows, join
from streams.simulator.habits import Habits
from streams.simulator.sampling import pair_words, share

_SKEW_MS_MAX: Final = 90_000
"""Clocks are wrong by at most this, well below the five minutes that the contract refuses."""

_RETRY_MS_MAX: Final = 8 * MINUTE_MS
"""A producer gives up retrying before the ten minutes in which an event id counts once."""


def deliver(rng: np.random.Generator, habits: Habits, events: Rows) -> Rows:
    """Set `arrival` in the rows and append the retries (the same serial again, later). Unordered."""
    count = len(events)
    lag = habits.lag_median_ms * np.exp(0.8 * rng.standard_normal(count))
    # A phone without network sends a whole visit when it is back.
    away = share(pair_words(events["visit"], np.zeros(count, dtype=np.int64), 31)) < habits.offline
    back = share(pair_words(events["visit"], np.ones(count, dtype=np.int64), 32))
    lag = np.where(away, lag + 5_000.0 + 100_000.0 * back**2, lag)
    late = rng.random(count) < habits.late
    lag = np.where(late, lag + MINUTE_MS * np.exp(rng.normal(1.5, 1.3, count)), lag)
    events["arrival"] = events["ts"] + np.minimum(lag, 360.0 * MINUTE_MS).astype(np.int64)
    _skew(habits, events)
    again = events[rng.random(count) < habits.duplicates].copy()
    wait = np.minimum(np.exp(rng.normal(8.0, 1.5, len(again))), float(_RETRY_MS_MAX))
    again["arrival"] += wait.astype(np.int64)
    return join([events, again], events.dtype)


def _skew(habits: Habits, events: Rows) -> None:
    actor = events["actor"].astype(np.int64)
    zeros: Ints = np.zeros(len(actor), dtype=np.int64)
    wrong = share(pair_words(actor, zeros, 33)) < habits.skewed_clocks
    off = (2.0 * share(pair_words(actor, zeros, 34)) - 1.0) ** 3 * _SKEW_MS_MAX
    # The truth about an attack gives its times, so its clocks are right.
    events["ts"] += np.where(wrong & (events["attack"] == NOBODY), off, 0.0).astype(np.int64)
