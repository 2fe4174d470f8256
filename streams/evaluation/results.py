"""What an evaluation found, as plain records that go into JSON, tables and the report alike."""

from __future__ import annotations

from msgspec import Struct, field

from schemas.flags import Kind

TIER_EDGES = (30, 300, 3_000, 30_000)
"""Bought actions at which a purchase is of the next size: the tiers of the thresholds."""


def tier_of(bought: int) -> str:
    """Name the size tier of a purchase.

    >>> tier_of(29), tier_of(30), tier_of(40_000)
    ('under 30', '30 to 299', '30,000 and more')
    """
    edges = (0, *TIER_EDGES)
    place = sum(bought >= edge for edge in TIER_EDGES)
    if place == 0:
        return f"under {TIER_EDGES[0]}"
    if place == len(TIER_EDGES):
        return f"{edges[place]:,} and more"
    return f"{edges[place]:,} to {TIER_EDGES[place] - 1:,}"


class AttackResult(Struct, frozen=True, kw_only=True):
    """What became of one purchase. The last four are None where it was not flagged."""

    directory: str
    attack_id: str
    kind: Kind
    shape: str
    subject: str
    start_ms: int
    end_ms: int
    bought: int
    episodes: int = 0
    delay_ms: int | None = None
    delivered: float | None = None
    detected_ms: int | None = None
    score: float | None = None

    @property
    def tier(self) -> str:
        """Its size tier."""
        return tier_of(self.bought)


class FalseFlag(Struct, frozen=True, kw_only=True):
    """An episode that was flagged and is about no attack; `family` where it wronged a benign episode.

    `by_bought` says that at least half of the accounts that it names took part in some attack: what they do besides
    their orders is nobody's purchase, so it counts as false all the same.
    """

    directory: str
    kind: Kind
    subject: str
    detected_ms: int
    score: float
    reasons: list[str]
    family: str | None = None
    by_bought: bool = False


class BenignResult(Struct, frozen=True):
    """One benign episode and the kinds that it was flagged as."""

    directory: str
    benign_id: str
    family: str
    flagged: list[Kind]


class Exposure(Struct, frozen=True, kw_only=True):
    """How much traffic it was in which something false could be flagged."""

    directory: str
    events: int
    accounts: int
    days: float

    @property
    def account_days(self) -> float:
        """Distinct accounts that acted, times the days from the first to the last event."""
        return self.accounts * self.days


class Consistency(Struct, frozen=True):
    """What the flags of one episode must never do; every count ought to be 0."""

    repeated: int = 0
    contradicting: int = 0
    hasty_updates: int = 0
    overlapping: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All of them."""
        return self.repeated + self.contradicting + self.hasty_updates + self.overlapping


class Point(Struct, frozen=True):
    """One moment of a flagged episode."""

    at_ms: int
    status: str
    observed: int
    expected: float


class Timeline(Struct, frozen=True, kw_only=True):
    """One episode over time: actions in bins, what its own past let expect, and the moments of its flags.

    `times_ms` holds the start of each bin, `bought` the part of `observed` that was bought.
    """

    title: str
    directory: str
    kind: Kind | None
    outcome: str
    start_ms: int
    end_ms: int
    bin_ms: int
    times_ms: list[int]
    observed: list[int]
    bought: list[int]
    expected: list[float]
    flags: list[Point]


class Evaluated(Struct, kw_only=True):
    """One method over all directories."""

    name: str
    about: str
    attacks: list[AttackResult] = field(default_factory=list)
    benign: list[BenignResult] = field(default_factory=list)
    false_flags: list[FalseFlag] = field(default_factory=list)
    right: dict[Kind, int] = field(default_factory=dict)  # episodes about an attack, by kind

    def add(self, other: Evaluated) -> None:
        """Take in what another directory brought."""
        self.attacks += other.attacks
        self.benign += other.benign
        self.false_flags += other.false_flags
        for kind, count in other.right.items():
            self.right[kind] = self.right.get(kind, 0) + count


class Evaluation(Struct, kw_only=True):
    """All of it; `baselines` and `ablations` are other methods on the same events."""

    ours: Evaluated
    exposure: list[Exposure] = field(default_factory=list)
    consistency: Consistency = field(default_factory=Consistency)
    baselines: list[Evaluated] = field(default_factory=list)
    ablations: list[Evaluated] = field(default_factory=list)
    timelines: list[Timeline] = field(default_factory=list)

    @property
    def rivals(self) -> list[Evaluated]:
        """Every method beside ours."""
        return self.baselines + self.ablations

    @property
    def account_days(self) -> float:
        """Of all directories together."""
        return sum(part.account_days for part in self.exposure)
