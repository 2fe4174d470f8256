"""Learns what makes a rhythm a program's: a ridge logistic regression over curves, by Newton's method.

Every judged rhythm is an example, its two banks apart, so that what is learned holds for either. Programs and people
weigh the same in all; an account that is judged often weighs as the root of it. The threshold is then set by the
people alone: as many of their accounts may reach it as a budget of false flags allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.rhythm_features import FIRST_HABIT, HABITS, KNOTS
from detectors.rhythm_model import AGREE_SHARE, HABIT_NAMES, MODEL_VERSION, HabitEntry, RhythmModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 0.5
"""Penalty on squared nats of a curve's point, against `EFFECTIVE` examples of each class."""

SMOOTH = 2.0
"""Penalty on squared steps between neighbouring points: a curve that jumps has learned a sample."""

EFFECTIVE = 2_000.0
NEWTON_STEPS_MAX = 60
TOLERANCE = 1e-7

TIMING_MIN, TRADE_MIN = 1.0, 0.5
"""Nats that each side must bring by itself: a planning tool keeps time, and some people do one thing only."""

THRESHOLD_LEAST = 4.2
"""Nats that are asked for whatever the budget allows: on other platforms people act more like programs than here. On
those of two simulators by another hand 3 wronged 26 people beside those who tidied up, of whom 4.2 leaves five."""

SCORES = ((0.5, 0.05), (1.0, 0.8), (1.5, 0.93), (2.0, 0.98), (3.0, 1.0))
"""By nats over the threshold. At the threshold itself, held out, programs outnumber people by far."""


@dataclass(frozen=True, slots=True)
class RhythmExamples:
    """Judged rhythms of length m.

    Attributes:
        habits: shape (m, banks, habits), NaN where not known.
        account: hash of the account, shape (m,).
        program: whether a program runs it.
        heavy: factor on the weight, above 1 for people who are easily mistaken.
        account_days: accounts seen times days, of people.

    """

    habits: NDArray[np.float32]
    account: NDArray[np.uint64]
    program: NDArray[np.bool_]
    heavy: NDArray[np.float64]
    account_days: float

    def __len__(self) -> int:
        return len(self.account)


def joined(parts: list[RhythmExamples]) -> RhythmExamples:
    """Return the examples of several recordings, whose accounts are different ones even under the same id."""
    salted = [
        part.account ^ np.uint64((number * 0x9E3779B97F4A7C15) & (2**64 - 1)) for number, part in enumerate(parts)
    ]
    return RhythmExamples(
        np.concatenate([part.habits for part in parts]),
        np.concatenate(salted),
        np.concatenate([part.program for part in parts]),
        np.concatenate([part.heavy for part in parts]),
        sum(part.account_days for part in parts),
    )


def statistic(model: RhythmModel, habits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the nats that are held against the threshold, shape (m,); 0 where a side is below its least.

    It is what `rhythm_model.judge` decides by, for many rhythms at once.
    """
    curves = np.array([model.habits[name].curve for name in HABIT_NAMES])
    design = _basis(habits.reshape(-1, HABITS)).reshape(*habits.shape[:2], HABITS, KNOTS)
    nats = np.einsum("mbhk,hk->mbh", design, curves)
    timing, trade = nats[:, :, :FIRST_HABIT].sum(axis=2), nats[:, :, FIRST_HABIT:].sum(axis=2)
    total = model.intercept + timing + trade
    found = np.minimum(total.mean(axis=1), total.min(axis=1) / AGREE_SHARE)
    return np.where(
        (timing.mean(axis=1) >= model.timing_min) & (trade.mean(axis=1) >= model.trade_min), np.maximum(found, 0.0), 0.0
    )


def train(examples: RhythmExamples, budget_per_million: float, provenance: dict[str, Any]) -> RhythmModel:
    """Return the model that fits, its threshold set to a budget of false flags per million account-days.

    Raises:
        ValueError: fewer than twenty accounts run by programs, or by people.

    """
    for name, chosen in (("programs", examples.program), ("people", ~examples.program)):
        accounts = len(np.unique(examples.account[chosen]))
        if accounts < 20:
            raise ValueError(f"rhythms of {accounts} accounts run by {name}; 20 are needed")
    weight = _weights(examples)
    flat = examples.habits.reshape(-1, HABITS)
    basis, known = _basis(flat), ~np.isnan(flat)
    people = ~np.repeat(examples.program, 2)
    # A curve is taken from what people usually are, so that what is not known weighs as much as what is usual.
    middle = basis[people].sum(axis=0) / np.maximum(known[people].sum(axis=0), 1)[:, None]
    basis = np.where(known[:, :, None], basis - middle, 0.0)
    intercept, curves = _fit(basis.reshape(len(flat), -1), ~people, np.repeat(weight, 2))
    curves -= (curves * middle).sum(axis=1)[:, None]
    usual = np.nan_to_num(np.nanmean(examples.habits[~examples.program].reshape(-1, HABITS), axis=0))
    entries = {
        name: HabitEntry(round(float(usual[at]), 4), tuple(np.round(curves[at], 4).tolist()))
        for at, name in enumerate(HABIT_NAMES)
    }
    model = RhythmModel(
        MODEL_VERSION, provenance, round(intercept, 4), THRESHOLD_LEAST, TIMING_MIN, TRADE_MIN, entries, SCORES
    )
    return with_threshold(model, examples, budget_per_million)


def with_threshold(model: RhythmModel, examples: RhythmExamples, budget_per_million: float) -> RhythmModel:
    """Return the model with the threshold that so many people's accounts reach."""
    greatest = greatest_by_account(model, examples)[1]
    people = np.sort(greatest[~greatest_by_account(model, examples)[2]])[::-1]
    allowed = int(budget_per_million * examples.account_days / 1e6)
    least = float(people[allowed]) if allowed < len(people) else 0.0
    threshold = max(round(least + 0.01, 2), THRESHOLD_LEAST)
    return RhythmModel(
        model.version, model.provenance, model.intercept, threshold, model.timing_min, model.trade_min, model.habits,
        model.score,
    )  # fmt: skip


def greatest_by_account(
    model: RhythmModel, examples: RhythmExamples
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return accounts, the greatest statistic of each, and whether a program runs it, each of shape (accounts,)."""
    accounts, first, place = np.unique(examples.account, return_index=True, return_inverse=True)
    greatest = np.zeros(len(accounts))
    np.maximum.at(greatest, place, statistic(model, examples.habits))
    return accounts, greatest, examples.program[first]


def _weights(examples: RhythmExamples) -> NDArray[np.float64]:
    _, place, often = np.unique(examples.account, return_inverse=True, return_counts=True)
    weight = examples.heavy / np.sqrt(often[place])
    for chosen in (examples.program, ~examples.program):
        weight[chosen] *= EFFECTIVE / max(float(weight[chosen].sum()), 1e-12)
    return np.asarray(weight, np.float64)


def _basis(habits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how much each point of each curve counts, shape (m, habits, knots); nothing where NaN."""
    known = ~np.isnan(habits)
    at = np.where(known, habits, 0.0).astype(np.float64) * (KNOTS - 1)
    away = np.abs(at[:, :, None] - np.arange(KNOTS))
    return np.where(known[:, :, None], np.maximum(1.0 - away, 0.0), 0.0)


def _fit(
    design: NDArray[np.float64], program: NDArray[np.bool_], weight: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    columns = np.hstack([np.ones((len(design), 1)), design])
    step = np.eye(KNOTS, k=1)[:-1] - np.eye(KNOTS)[:-1]
    one = RIDGE * np.eye(KNOTS) + SMOOTH * step.T @ step
    penalty = np.zeros((columns.shape[1], columns.shape[1]))
    penalty[1:, 1:] = np.kron(np.eye(HABITS), one)
    found = np.zeros(columns.shape[1])
    for _ in range(NEWTON_STEPS_MAX):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ found, -30, 30)))
        slope = columns.T @ (weight * (chance - program)) + penalty @ found
        bend = (columns * (weight * chance * (1.0 - chance))[:, None]).T @ columns + penalty
        move = np.linalg.solve(bend + 1e-9 * np.eye(len(bend)), slope)
        found -= move
        if np.abs(move).max() < TOLERANCE:
            break
    return float(found[0]), found[1:].reshape(HABITS, KNOTS)
