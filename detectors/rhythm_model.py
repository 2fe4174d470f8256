"""What makes a rhythm a program's: a curve of nats for each of its habits, learned offline and shipped.

The sum is a logistic regression's, additive in the habits (a generalised additive model, Hastie and Tibshirani 1986),
so that a reviewer can read from the file what each habit weighs. Timing alone never decides: people use planning
tools. What an account does must speak for a program as well, and both banks of its actions must.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from detectors.compiled import compiled
from detectors.hash_index import View
from detectors.rhythm_features import FIRST_HABIT, HABITS, KNOTS, Habit, describe_rhythm, weigh_habit
from detectors.rhythm_rows import BANKS
from schemas.readable import write_readable

HABIT_NAMES = tuple(habit.name.lower() for habit in Habit)
MODEL_VERSION = 1

AGREE_SHARE = 0.5
"""Each bank alone must reach this share of the threshold that their mean must reach."""

KEPT_RATIO = 0.5
"""An open episode goes on while its account keeps this share of the threshold."""

MODEL = np.dtype(
    [
        ("curves", np.float64, (HABITS, KNOTS)),
        ("intercept", np.float64),
        ("threshold", np.float64),
        ("timing_min", np.float64),
        ("trade_min", np.float64),
        ("habits", np.float32, (BANKS, HABITS)),  # what was judged last: the loop's scratch
    ]
)

Probability = Annotated[float, Meta(ge=0, le=1)]


class RhythmModelError(ValueError):
    """A rhythm model is unusable: learn it anew, or use the shipped one."""


class HabitEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One habit: its usual value among people, and its nats at `KNOTS` points from 0 to 1."""

    usual: Probability
    curve: Annotated[tuple[float, ...], Meta(min_length=KNOTS, max_length=KNOTS)]


class RhythmModel(Struct, frozen=True, forbid_unknown_fields=True):
    """The curves and thresholds, and from what they were learned.

    Attributes:
        version: of this form.
        provenance: from what it was learned and how well it did on the rest.
        intercept: nats of an account of which nothing is known.
        threshold: nats that the mean of both banks must reach.
        timing_min, trade_min: nats that when it acts, and what it does, must reach each by itself.
        habits: by name.
        score: knots (nats over threshold, score) of a monotone map.

    """

    version: int
    provenance: dict[str, Any]
    intercept: float
    threshold: Annotated[float, Meta(gt=0)]
    timing_min: float
    trade_min: float
    habits: dict[str, HabitEntry]
    score: Annotated[tuple[tuple[float, Probability], ...], Meta(min_length=2)]

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            ValueError: naming what is wrong.

        """
        if self.version != MODEL_VERSION:
            raise ValueError(f"version is {self.version}; this program reads {MODEL_VERSION}")
        if set(self.habits) != set(HABIT_NAMES):
            raise ValueError(f"habits differ from this program's in {sorted(set(self.habits) ^ set(HABIT_NAMES))}")

    def score_of(self, ratio: float) -> float:
        """Return the calibrated score of nats over the threshold: linear between knots, flat beyond them."""
        at = bisect_right([knot[0] for knot in self.score], ratio)
        if at in (0, len(self.score)):
            return self.score[min(at, len(self.score) - 1)][1]
        (left, low), (right, high) = self.score[at - 1], self.score[at]
        return low + (high - low) * (ratio - left) / (right - left)

    def fold(self) -> Any:
        """Return the record of `MODEL` that the loop judges by, as an array of one."""
        folded = np.zeros(1, MODEL)
        folded["curves"][0] = [self.habits[name].curve for name in HABIT_NAMES]
        for name in ("intercept", "threshold", "timing_min", "trade_min"):
            folded[name] = getattr(self, name)
        return folded


def read_rhythm_model(content: bytes) -> RhythmModel:
    """Read a model from JSON.

    Raises:
        RhythmModelError: not JSON, or not of this form; the message says where.

    """
    try:
        return msgspec.json.decode(content, type=RhythmModel)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RhythmModelError(f"rhythm model is unusable: {error}; learn it anew or use the shipped one") from error


def write_rhythm_model(model: RhythmModel) -> bytes:
    """Return a model as JSON, which `read_rhythm_model` reads."""
    return write_readable(model)


def untaught() -> RhythmModel:
    """Return a model that weighs nothing and so never flags: to learn from, and where a test wants none."""
    flat = HabitEntry(0.0, (0.0,) * KNOTS)
    return RhythmModel(
        MODEL_VERSION, {}, -1.0, 1.0, 0.0, 0.0, dict.fromkeys(HABIT_NAMES, flat), ((0.0, 0.0), (1.0, 1.0))
    )


@compiled
def judge(rhythms: View, place: int, model: Any) -> float:
    """Return nats over the threshold for a row: 1 or more where both banks and both sides speak for a program.

    `model` is an array of one record of `MODEL`; its "habits" are those of the row afterwards.
    """
    row, learned = rhythms.rows[place], model[0]
    total, least, timing, trade = 0.0, 1e9, 0.0, 0.0
    for bank in range(BANKS):
        describe_rhythm(row, bank, learned["habits"][bank])
        when, what = 0.0, 0.0
        for habit in range(HABITS):
            nats = weigh_habit(learned["curves"][habit], float(learned["habits"][bank, habit]))
            if habit < FIRST_HABIT:
                when += nats
            else:
                what += nats
        nats = learned["intercept"] + when + what
        total += nats / BANKS
        timing += when / BANKS
        trade += what / BANKS
        least = min(least, nats)
    ratio = total / learned["threshold"]
    if least < AGREE_SHARE * learned["threshold"] or timing < learned["timing_min"] or trade < learned["trade_min"]:
        return float(min(ratio, 0.99))
    return float(ratio)
