"""What a bank of an actor's rhythm says about it, as numbers from 0 to 1, and how much they weigh.

The first group is about when it acts, the second about what it does. A number that cannot be had yet is NaN and
weighs nothing. Each weighs by a curve through `KNOTS` points, learned offline (`detectors.rhythm_training`), so that
"halfway" need not weigh half.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.compiled import inlined
from detectors.rhythm_rows import (
    ACTIONS,
    ALIKE,
    GAP_BINS,
    GAPS,
    HOURS,
    LENGTH,
    LENGTH_2,
    NEARLY,
    NEW,
    OWNED,
    PAUSE,
    PAUSE_2,
    PAUSES,
    SAME,
    SECOND_BINS,
    SESSIONS,
    SURFACES,
    VERBS,
    WITHIN,
    WITHIN_2,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Habit(IntEnum):
    """The numbers, in the order of their column."""

    ALIKE = 0  # share of gaps like the one before to a twentieth
    NEARLY = 1  # share of gaps nearly like the one before
    SPREAD = 2  # of log gaps within sessions; people's spread over orders of magnitude (RSC 2015)
    HASTE = 3  # share of gaps under two seconds
    VARIETY = 4  # entropy of the gaps' histogram
    PAUSES = 5  # share of gaps that end a session
    PACE = 6  # middle gap within sessions, log, over that of half an hour
    SECOND = 7  # how far the actions crowd at one second of the minute
    REST = 8  # longest run of hours of the day without an action, as share of the day
    LENGTHS = 9  # spread of the log length of sessions
    ROUNDS = 10  # spread of the log pause between sessions
    NARROW = 11  # share of the commonest verb
    SEARCHES = 12  # share of searches, clicked or not
    ONE_WAY = 13  # share of the commonest surface, where any is given
    BREADTH = 14  # share of owners not met before
    AGAIN = 15  # share that hits the same owner as the action before


HABITS = len(Habit)
FIRST_HABIT = Habit.NARROW
"""From here on it is about what the actor does, before it about when."""

KNOTS = 6
REST_FROM_MS = 20 * 3_600_000
"""A night's rest shows only after most of a day."""

FEW = 3.0
"""Sessions in a bank, or actions with an owner, before their spread or share says anything."""


@inlined
def describe_rhythm(row: Any, bank: int, out: NDArray[np.float32]) -> None:
    """Fill `out`, shape (habits,), with what the bank says."""
    out[:] = np.nan
    counts, sums = row["counts"], row["sums"]
    gaps = float(counts[bank, GAPS])
    if gaps >= FEW:
        out[Habit.ALIKE] = counts[bank, ALIKE] / gaps
        out[Habit.NEARLY] = counts[bank, NEARLY] / gaps
        out[Habit.HASTE] = row["gaps"][bank, 0] / gaps
        out[Habit.PAUSES] = counts[bank, PAUSES] / gaps
        out[Habit.VARIETY] = _variety(row, bank, gaps)
        within = gaps - float(counts[bank, PAUSES])
        if within >= FEW:
            out[Habit.SPREAD] = min(_deviation(sums[bank, WITHIN], sums[bank, WITHIN_2], within) / 2.5, 1.0)
            out[Habit.PACE] = min(max(float(sums[bank, WITHIN]) / within / 7.5, 0.0), 1.0)
    sessions = float(counts[bank, SESSIONS])
    if sessions >= FEW:
        out[Habit.LENGTHS] = min(_deviation(sums[bank, LENGTH], sums[bank, LENGTH_2], sessions) / 1.5, 1.0)
        out[Habit.ROUNDS] = min(_deviation(sums[bank, PAUSE], sums[bank, PAUSE_2], sessions) / 2.0, 1.0)
    actions = float(counts[bank, ACTIONS])
    out[Habit.SECOND] = _crowding(row, bank, actions)
    if row["last_ms"] - row["first_ms"] >= REST_FROM_MS:
        out[Habit.REST] = _rest(row)
    _describe_trade(row, bank, actions, out)


@inlined
def _describe_trade(row: Any, bank: int, actions: float, out: NDArray[np.float32]) -> None:
    counts, verbs, surfaces = row["counts"], row["verbs"], row["surfaces"]
    most = 0.0
    for verb in range(VERBS):
        most = max(most, float(verbs[bank, verb]))
    # A click is a search too: somebody who searches and sometimes clicks does one thing.
    searches = float(verbs[bank, 2]) + float(verbs[bank, 3])
    out[Habit.NARROW] = min(max(most, searches) / max(actions, 1.0), 1.0)
    out[Habit.SEARCHES] = min(searches / max(actions, 1.0), 1.0)
    told, most = 0.0, 0.0
    for surface in range(1, SURFACES):
        told += float(surfaces[bank, surface])
        most = max(most, float(surfaces[bank, surface]))
    if told >= FEW:
        out[Habit.ONE_WAY] = most / told
    owned = float(counts[bank, OWNED])
    if owned >= FEW:
        out[Habit.BREADTH] = counts[bank, NEW] / owned
        out[Habit.AGAIN] = counts[bank, SAME] / owned


@inlined
def _deviation(total: float, squares: float, count: float) -> float:
    mean = float(total) / count
    return float(np.sqrt(max(float(squares) / count - mean * mean, 0.0)))


@inlined
def _variety(row: Any, bank: int, gaps: float) -> float:
    entropy = 0.0
    for each in range(GAP_BINS):
        share = float(row["gaps"][bank, each]) / gaps
        if share > 0.0:
            entropy -= share * np.log(share)
    return float(min(entropy / np.log(float(GAP_BINS)), 1.0))


@inlined
def _crowding(row: Any, bank: int, actions: float) -> float:
    """Return the squared resultant length of the seconds on the minute's circle, less what chance gives."""
    across, up = 0.0, 0.0
    for each in range(SECOND_BINS):
        angle = 2.0 * np.pi * each / SECOND_BINS
        across += float(row["seconds"][bank, each]) * np.cos(angle)
        up += float(row["seconds"][bank, each]) * np.sin(angle)
    return float(min(max((across * across + up * up - actions) / max(actions * (actions - 1.0), 1.0), 0.0), 1.0))


@inlined
def _rest(row: Any) -> float:
    longest, run = 0, 0
    for step in range(2 * HOURS):
        run = run + 1 if row["hours"][step % HOURS] == 0 else 0
        longest = max(longest, run)
    return min(longest, HOURS) / HOURS


@inlined
def weigh_habit(curve: NDArray[np.float64], value: float) -> float:
    """Return what a number weighs, nats: between the two points of its curve, shape (knots,), nothing for NaN."""
    if np.isnan(value):
        return 0.0
    at = value * (KNOTS - 1)
    low = min(int(at), KNOTS - 2)
    return float(curve[low] + (curve[low + 1] - curve[low]) * (at - low))
