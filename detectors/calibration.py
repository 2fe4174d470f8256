"""Learned numbers of a detector: thresholds by size tier, reference mixes, and what a score means.

They are fitted offline on labelled simulated traffic and shipped (`shipped/thresholds.json`, with where they come
from); who composes the program reads the file and hands its bytes to `read_thresholds`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from detectors.crowd import SIGN_NAMES
from detectors.mixes import Mix
from detectors.subject_rows import BINS, BOUGHT, COMPONENTS, TEMPOS, TRAITS
from detectors.trees import Forest
from schemas.flags import Kind
from schemas.readable import write_readable

TIERS = 5
"""Size tiers by actions in a day: under 30, 300, 3,000, 30,000, and more."""

Probability = Annotated[float, Meta(ge=0, le=1)]
Nats = Annotated[float, Meta(gt=0)]


class ThresholdsError(ValueError):
    """Shipped or given thresholds are unusable: fit them anew, or use the shipped ones."""


class KindThresholds(Struct, frozen=True):
    """What was learned for one kind.

    Attributes:
        threshold: nats of the sequential test, by size tier, not falling.
        factor: least Bayes factor of the mix of the last marks, nats, by size tier.
        reference: organic mix of marks by bin on which the marks were calibrated, sums to 1.
        newcomer: mean mark of new actors, nats.
        bought: what bought surges look like, one or two kinds by name.
        organic: what is organic, surges of every kind among it.
        traits: usual share of each trait, in the order of `Trait`.
        score: knots (strength, score) of a monotone map, strength rising.
        crowd: trees that judge the crowd in place of the mix and company; `factor` is then asked of them.

    """

    threshold: tuple[Nats, Nats, Nats, Nats, Nats]
    reference: Annotated[tuple[float, ...], Meta(min_length=BINS, max_length=BINS)]
    newcomer: Annotated[float, Meta(ge=-8, le=8)]
    factor: tuple[float, float, float, float, float]
    bought: Annotated[dict[str, Mix], Meta(min_length=1, max_length=BOUGHT)]
    organic: Annotated[dict[str, Mix], Meta(min_length=1, max_length=COMPONENTS - BOUGHT)]
    traits: Annotated[tuple[Probability, ...], Meta(min_length=TRAITS, max_length=TRAITS)]
    score: Annotated[tuple[tuple[float, Probability], ...], Meta(min_length=2)]
    crowd: Forest | None = None

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            ValueError: naming what is wrong.

        """
        if min(self.reference) <= 0 or abs(sum(self.reference) - 1) > 1e-3:
            raise ValueError(f"reference is {self.reference}; its shares must be above 0 and sum to 1")
        if list(self.threshold) != sorted(self.threshold):
            raise ValueError(f"threshold is {self.threshold}; it must not fall with size")
        if self.crowd is not None and self.crowd.signs != SIGN_NAMES:
            raise ValueError("crowd asks for other signs than this program has; fit it anew")
        strengths = [knot[0] for knot in self.score]
        scores = [knot[1] for knot in self.score]
        if strengths != sorted(set(strengths)) or scores != sorted(scores):
            raise ValueError(f"score is {self.score}; strength must rise and the score not fall")

    def score_of(self, strength: float) -> float:
        """Return the calibrated score in [0, 1] of a strength: linear between knots, flat beyond them."""
        at = bisect_right([knot[0] for knot in self.score], strength)
        if at == 0:
            return self.score[0][1]
        if at == len(self.score):
            return self.score[-1][1]
        (left, low), (right, high) = self.score[at - 1], self.score[at]
        return low + (high - low) * (strength - left) / (right - left)


class Thresholds(Struct, frozen=True):
    """What was learned for every kind of the subject stage, and from what."""

    version: int
    provenance: dict[str, str]
    kinds: dict[Kind, KindThresholds]


def untrained() -> KindThresholds:
    """Return usable numbers before anything was learned: for a detector used alone, and to start training from.

    Marks are taken for normal with deviation 1.2 nats: organic ones with mean -1.5, in a surge -0.5, bought ones 2.
    """
    any_tempo = (1 / TEMPOS,) * TEMPOS
    return KindThresholds(
        threshold=(8.0, 9.0, 10.0, 11.0, 12.0),
        factor=(4.0, 4.0, 4.0, 4.0, 4.0),
        newcomer=0.0,
        reference=(0.0893, 0.005, 0.001, 0.1, 0.5, 0.26, 0.04, 0.004, 0.0005, 0.0002),
        bought={"plain": Mix((0.7, 0.8, 0.7, 0.1, 0.1, 0.5, 1.5, 1.8, 1.0, 0.8), any_tempo)},
        organic={
            "usual": Mix((1.0, 0.06, 0.03, 1.0, 5.0, 2.6, 0.4, 0.1, 0.03, 0.03), any_tempo),
            "surge": Mix((2.4, 0.5, 0.1, 0.3, 2.4, 3.4, 1.1, 0.3, 0.1, 0.03), any_tempo),
        },
        traits=(0.1,) * TRAITS,
        score=((0.0, 0.0), (0.5, 0.05), (1.0, 0.7), (1.5, 0.9), (2.0, 0.97), (3.0, 1.0)),
    )


def read_thresholds(content: bytes) -> Thresholds:
    """Read thresholds from JSON.

    Raises:
        ThresholdsError: not JSON, or not of this form; the message says where.

    """
    try:
        return msgspec.json.decode(content, type=Thresholds)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ThresholdsError(f"thresholds are unusable: {error}; fit them anew or use the shipped ones") from error


def write_thresholds(thresholds: Thresholds) -> bytes:
    """Return thresholds as JSON, which `read_thresholds` reads."""
    return write_readable(thresholds)
