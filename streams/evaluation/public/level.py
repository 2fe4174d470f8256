"""The volume baseline of a subject alone, as a detector of single series: what came against the series' own past.

Two forms. The gate as the pipeline has it: a negative binomial tail, upwards only, made for counts. And the same idea
for gauges too: four residuals (from the level, from the row before, of the short mean, from the same time of day),
each over its own decayed deviation and over the largest that it lately was, so that what repeats itself is no news.
What is far off teaches the baseline no more than `clip` deviations (conditional merge), and an alarm is said once.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.compiled import allocating
from detectors.gate import tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from streams.evaluation.public.nab import Series

TUNED = "The numbers of 'level and records' were chosen on these 58 series by a short random search, as NAB's own are."

WEEK_S, DAY_S = 604_800, 86_400
GATE_ROWS = 12
"""Rows of the gate's second scale: an hour of five minutes."""

GATE_NATS = 20.0
"""Tail at which the gate's score is a half; it has to grow with the tail up to the largest, so it never saturates."""


class Level(NamedTuple):
    """Numbers of the second form. Half-lives in rows; weights of the residuals in the order of the module's text."""

    half_life: float = 7_218.0
    short_half_life: float = 2.494
    clip: float = 2.0
    record_keep: float = 0.99999
    level_weight: float = 3.111
    step_weight: float = 4.28
    short_weight: float = 2.364
    daily_weight: float = 1.16
    quiet_rows: int = 100
    again_factor: float = 1.07


def step_s(series: Series) -> int:
    """Return the commonest step of the first rows, s."""
    steps = np.diff(series.ts[:400])
    return int(np.bincount(np.clip(steps, 0, DAY_S)).argmax()) or 1


def gate_scores(series: Series) -> NDArray[np.float64]:
    """Return the gate's score of each row in [0, 1): its tail at one row and at `GATE_ROWS`."""
    nats = _gate(np.maximum(series.value, 0.0), 0.5 ** (step_s(series) / WEEK_S), GATE_ROWS)
    return np.asarray(nats / (nats + GATE_NATS))


def level_scores(series: Series, level: Level | None = None) -> NDArray[np.float64]:
    """Return the score of each row in [0, 1), from it and earlier rows only."""
    numbers = np.array(level or Level(), np.float64)
    return np.asarray(_level(series.value, max(round(DAY_S / step_s(series)), 1), numbers))


@allocating
def _gate(value: NDArray[np.float64], keep: float, rows: int) -> NDArray[np.float64]:
    found = np.zeros(len(value))
    count, weight, excess, squares = 0.0, 0.0, 0.0, 0.0
    for index in range(len(value)):
        came = value[index]
        if weight > 0.0 and count > 0.0:
            mean = count / weight
            shape = (squares + 4.0) / max(excess + 2.0, 1e-3 * (squares + 4.0))
            begin = max(index - rows + 1, 0)
            several = value[begin : index + 1].sum()
            nats = max(tail(came, mean, shape), tail(several, mean * (index + 1 - begin), shape))
            found[index] = nats
            residual = min(came - mean, 4.0 * sqrt(mean + mean * mean / shape))
            excess = keep * excess + residual * residual - mean
            squares = keep * squares + mean * mean
            count = keep * count + mean + residual
        else:
            count = keep * count + came
        weight = keep * weight + 1.0
    return found


@allocating
def _level(value: NDArray[np.float64], day: int, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    half, short_half, clip, record_keep = numbers[0], numbers[1], numbers[2], numbers[3]
    weight = numbers[4:8]
    found = np.zeros(len(value))
    residual, spread, record, learned = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    daily, days = np.zeros(day), np.zeros(day)
    level, short, said, told = value[0], value[0], -1e9, 0.0
    for index in range(len(value)):
        now, place = value[index], index % day
        rate = max(1.0 - 0.5 ** (1.0 / half), 1.0 / (index + 1))
        short += max(1.0 - 0.5 ** (1.0 / short_half), 1.0 / (index + 1)) * (now - short)
        residual[0], residual[2] = now - level, short - level
        residual[1] = now - value[max(index - 1, 0)]
        residual[3] = now - daily[place] if day > 1 and days[place] > 1 else 0.0
        best = 0.0
        for which in range(4):
            size = abs(residual[which])
            if learned[which] > 5 and size > 0.0:
                size *= weight[which] / (sqrt(spread[which]) + 1e-9 + 1e-3 * abs(level))
                best = max(best, size / (size + record[which] + 3.0))
                record[which] = max(record[which] * record_keep, size)
            if learned[which] > 100:
                limit = clip * sqrt(spread[which]) + 1e-9
                residual[which] = min(max(residual[which], -limit), limit)
            if which != 3 or days[place] > 1:
                learned[which] += 1.0
                pace = max(rate, 1.0 / learned[which])
                spread[which] += pace * (residual[which] * residual[which] - spread[which])
        quiet = index - said < numbers[8] and best < told * numbers[9]
        found[index] = 0.3 * best if quiet else best
        if not quiet and best > 0.5:
            said, told = float(index), best
        level += rate * residual[0]
        daily[place] += (0.3 if days[place] > 0 else 1.0) * (residual[3] if days[place] > 1 else now - daily[place])
        days[place] += 1.0
    return found


DETECTORS: dict[str, Callable[[Series], NDArray[np.float64]]] = {
    "the pipeline's gate": gate_scores,
    "level and records": level_scores,
}
"""By name."""
