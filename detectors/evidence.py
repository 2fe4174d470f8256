"""Evidence in words and numbers: what came against what was to be expected, who acted, what else was odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.actions import Trait
from detectors.windows import SCALE_NAMES, SCALES
from schemas.flags import Evidence, Severity, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.specs import Spec

TRAIT_WORDS = {
    Trait.NEW_ACCOUNT: "are new accounts",
    Trait.FIRST_SEEN: "were never seen before",
    Trait.NARROW: "do one thing only, for few owners",
    Trait.REGULAR: "act at the regular gaps of a program",
    Trait.BUSY: "act faster than people do",
    Trait.STRANGER: "had no contact with this owner before",
    Trait.UNUSUAL_PATH: "came by a way that few take",
    Trait.SHARED_DEVICE: "share a device or address with many others",
    Trait.DORMANT: "came back after a long silence",
    Trait.NO_BROWSING: "never browse, search or click around",
}

TRAITS_TOLD = 3
"""Traits put in words: the ones furthest from usual."""

TRAIT_LIFT_MIN, TRAIT_SHARE_MIN = 1.3, 0.15
"""A trait is told where it is this much commoner than usual, and this common at all."""


LEFT_LEAST, LEFT_LIFT = 8, 1.3
"""How many must be known of to say that they left at once, and by how much that must be more than usual."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that evidence is written from, as it stood at one action.

    Attributes:
        observed, expected: actions from the episode's start on.
        actors: distinct actors, estimated.
        hours: length of that time.
        measured: `gate.measure`: observed, expected and nats by scale, shape (3, 4).
        suspicious: suspicious actions since suspicion arose, out of `watched`.
        traits: how many of the suspicious actions show each trait, shape (10,).
        usual_traits: usual share of each trait, shape (10,).
        removed: actions taken back since suspicion arose.
        ratio: greatest statistic over its threshold.
        mix_nats: Bayes factor of the last marks and of company, bought over organic; where trees judge, what they
            said at all looks (`detectors.conviction`).
        bought_share: contamination level that explains it best.
        sample: ids of suspicious actors.
        author_id, note_id: whom it serves.
        position, clicks, earned: of a pair: place last clicked at, clicks, and clicks that its places earn.
        novelty: of the hour among gated hours, None while that is not known.
        shared: distinct suspicious actors who lately were so elsewhere too.
        left: of the last suspicious actions those whose actors did nothing else in the minutes after, and all of which
            that is known.
        stays: usual share of suspicious actions whose actors do.

    """

    observed: int
    expected: float
    actors: int
    hours: float
    measured: NDArray[np.float64]
    suspicious: int
    watched: int
    traits: NDArray[np.uint32]
    usual_traits: NDArray[np.float32]
    removed: int
    ratio: float
    mix_nats: float
    bought_share: float
    sample: Sequence[str]
    author_id: str | None = None
    note_id: str | None = None
    position: int = 0
    clicks: float = 0.0
    earned: float = 0.0
    novelty: float | None = None
    shared: int = 0
    left: tuple[int, int] = (0, 0)
    stays: float = 0.0

    @property
    def bought_hourly(self) -> float:
        """Suspicious actions an hour."""
        return self.suspicious / max(self.hours, 1 / 12)


def number(value: float) -> str:
    """Write a number as people read it.

    >>> number(0.0123), number(9.66), number(412.0), number(12345.6)
    ('0.01', '9.7', '412', '12,346')
    """
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}" if value < 0.01 else f"{value:.2f}"


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:.0f}%"


def write(spec: Spec, seen: Observation) -> Evidence:
    """Return the evidence of a flag, the weightiest reason first."""
    words = spec.words
    numbers = {
        "suspicious": float(seen.suspicious),
        "statistic_over_threshold": round(seen.ratio, 3),
        "mix_nats": round(seen.mix_nats, 2),
        "bought_share": seen.bought_share,
        "gate_nats": round(float(seen.measured[2].max()), 2),
    }
    reasons = [
        mix(spec, seen),
        *volume(spec, seen),
        *who(words.actors, seen),
    ]
    if seen.shared > 0:
        numbers["shared"] = float(seen.shared)
        reasons.append(f"{seen.shared} of the suspicious {words.actors} lately acted alike on others under suspicion")
    if (sentence := left_at_once(words.actors, seen)) is not None:
        numbers["left_at_once"] = float(seen.left[0])
        reasons.append(sentence)
    if seen.earned > 0:
        lift = seen.clicks / seen.earned
        numbers |= {"click_lift": round(lift, 2), "position": float(seen.position)}
        reasons.append(
            f"{number(seen.clicks)} clicks on this result where position {seen.position} earns"
            f" {number(seen.earned)} of so many searches"
        )
    if seen.removed > 0:
        numbers["removed"] = float(seen.removed)
        reasons.append(f"{seen.removed} {words.actions} were taken back meanwhile")
    if seen.novelty is not None:
        numbers["novelty"] = round(seen.novelty, 3)
    return Evidence(
        observed=seen.observed,
        expected=round(seen.expected, 2),
        actors=min(seen.actors, seen.observed),
        reasons=reasons,
        sample_actors=list(seen.sample),
        author_id=seen.author_id,
        note_id=seen.note_id,
        groups=shares(seen) or None,
        numbers=numbers,
    )


def mix(spec: Spec, seen: Observation) -> str:
    """Say how many act like bought ones, or could be some where only what they have in common says more."""
    who = "act like bought ones" if spec.suspicious_nats >= spec.clear_nats else "could be bought ones"
    return (
        f"{seen.suspicious} of {seen.watched} {spec.words.actions} came from accounts that {who};"
        f" the mix of {spec.words.actors} is not what is usual for this {spec.words.subject}"
    )


def volume(spec: Spec, seen: Observation) -> list[str]:
    """Say at which scale most came beyond what was to be expected, if at any."""
    scale = int(np.argmax(seen.measured[2]))
    if seen.measured[2, scale] <= 0.0:
        return []
    came, usual = seen.measured[0, scale], seen.measured[1, scale]
    sentence = (
        f"{number(float(came))} {spec.words.actions} in the last {SCALE_NAMES[scale]}, where {number(float(usual))}"
        f" were to be expected from this {spec.words.subject}'s own past and others like it"
    )
    return [sentence]


def shares(seen: Observation) -> dict[str, Share]:
    """Return each trait that the suspicious actions show more often than usual."""
    found = {}
    for place, trait in enumerate(Trait):
        observed = min(int(seen.traits[place]) / max(seen.suspicious, 1), 1.0)
        usual = float(seen.usual_traits[place])
        if observed >= TRAIT_SHARE_MIN and observed >= TRAIT_LIFT_MIN * usual:
            found[str(trait.name).lower()] = Share(
                observed=round(observed, 3), expected=round(min(max(usual, 0.0), 1.0), 3)
            )
    return found


def who(actors: str, seen: Observation) -> list[str]:
    """Put the traits furthest from usual in words."""
    found = shares(seen)
    furthest = sorted(found, key=lambda name: found[name].expected - found[name].observed)[:TRAITS_TOLD]
    return [
        f"{round(found[name].observed * seen.suspicious)} of {seen.suspicious} suspicious {actors}"
        f" {TRAIT_WORDS[Trait[name.upper()]]}; usual here: {percent(found[name].expected)}"
        for name in furthest
    ]


def left_at_once(actors: str, seen: Observation) -> str | None:
    """Say how many did nothing else, where that are many and people here usually do something."""
    gone, known = seen.left
    usual = 1.0 - seen.stays
    if known < LEFT_LEAST or gone < LEFT_LIFT * usual * known:
        return None
    return (
        f"{gone} of the last {known} suspicious {actors} did nothing else in the two minutes after;"
        f" usual here: {percent(usual)}"
    )


def severity(seen: Observation) -> Severity:
    """Return how much harm is done: by bought actions, in all and an hour."""
    for level, total, hourly in (
        (Severity.CRITICAL, 1_000, 1_000),
        (Severity.HIGH, 200, 200),
        (Severity.MEDIUM, 40, 60),
    ):
        if seen.suspicious >= total or seen.bought_hourly >= hourly:
            return level
    return Severity.LOW


assert len(TRAIT_WORDS) == len(Trait)  # noqa: S101 - each trait has its words
assert len(SCALE_NAMES) == SCALES  # noqa: S101
