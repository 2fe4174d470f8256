"""What to simulate: the frozen description from which a world is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, Self

import numpy as np

from streams.simulator.columns import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from streams.simulator.habits import FAMILIES, Family, Habits

Kind = Literal["follower_spike", "like_boost", "keyword_ranking", "keyword_trend", "automation", "lockstep"]
ProgramShape = Literal["fixed", "jittered", "session"]
Shape = Literal[
    "burst",
    "drip",
    "mixed",
    "aged",
    "follow_unfollow",
    "pool",
    "poison",
    "poisoned",
    "fixed",
    "jittered",
    "session",
    "full",
    "partial",
]
BenignFamily = Literal[
    "viral",
    "viral_external",
    "celebrity",
    "giveaway",
    "fan_club",
    "promotion",
    "news",
    "influx",
    "seasonal",
    "campus",
    "scheduler",
]
OptionalFields = Literal["all", "none", "some"]

KINDS: Final[tuple[Kind, ...]] = ("follower_spike", "like_boost", "keyword_ranking", "keyword_trend")
"""Kinds that are ordered for a subject. Programs and groups have orders of their own."""

BENIGN_FAMILIES: Final[tuple[BenignFamily, ...]] = (
    "viral", "viral_external", "celebrity", "giveaway", "fan_club", "promotion", "news", "influx", "seasonal", "campus",
)  # fmt: skip

_ACCOUNTS_MIN: Final = 500
_NOTES_MIN: Final = 200
_KEYWORDS_MIN: Final = 50


@dataclass(frozen=True, slots=True)
class AttackOrder:
    """One purchase: `size` actions on one subject (`pool`: on each of `customers`) from `start_ms` on.

    `poisoned` buys a trickle for up to three days before, so that more looks usual by then; the trickle is an attack of
    its own in the truth, of shape `poison`.

    `bought_share` is the part of the rise that is bought in a `mixed` attack; `likes_after_click` the
    chance that a paid click is followed by a paid like; `vendor` picks who delivers (any number).
    """

    kind: Kind
    shape: Shape
    size: int
    start_ms: int
    duration_ms: int
    bought_share: float = 1.0
    likes_after_click: float = 0.0
    customers: int = 1
    vendor: int = 0


@dataclass(frozen=True, slots=True)
class ProgramOrder:
    """One account run by a program, for about `size` actions."""

    shape: ProgramShape
    size: int
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class GangOrder:
    """One group of `members` that hits `targets` one after another; `participation` of it turns up at each."""

    members: int
    targets: int
    participation: float
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class BenignOrder:
    """One episode that looks like an attack and is none; `size` counts the people who come for it.

    `rise` is the part of the time until its peak, drawn when None.
    """

    family: BenignFamily
    size: int
    start_ms: int
    duration_ms: int
    rise: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a run depends on besides its seed.

    `events_per_s` is the mean organic rate. `attacks`, `benign`, `programs` and `gangs` are either how many to
    draw or the orders themselves. With `warmup_e_fold_ms` the organic rate grows exponentially up to `live_from_ms`
    and is steady from there: history is sent as fast as the broker takes it, the rest in real time.

    >>> Scenario(start_ms=1_764_000_000_000).end_ms - 1_764_000_000_000 == DAY_MS
    True
    """

    start_ms: int
    duration_ms: int = DAY_MS
    accounts: int = 30_000
    notes: int = 15_000
    keywords: int = 2_000
    events_per_s: float = 5.0
    attacks: int | tuple[AttackOrder, ...] = 24
    benign: int | tuple[BenignOrder, ...] = 16
    programs: int | tuple[ProgramOrder, ...] = 0
    gangs: int | tuple[GangOrder, ...] = 0
    optional_fields: OptionalFields = "all"
    family: Family = "plain"
    habits: Habits | None = None
    live_from_ms: int | None = None
    warmup_e_fold_ms: int = 0

    def __post_init__(self) -> None:
        for name in ("start_ms", "duration_ms", "accounts", "notes", "keywords", "events_per_s"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} is {value!r}; it must be above zero")
        if self.accounts < _ACCOUNTS_MIN or self.notes < _NOTES_MIN or self.keywords < _KEYWORDS_MIN:
            raise ValueError(
                f"accounts, notes, keywords are {self.accounts}, {self.notes}, {self.keywords}; "
                f"at least {_ACCOUNTS_MIN}, {_NOTES_MIN}, {_KEYWORDS_MIN} are needed"
            )

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return self.start_ms + self.duration_ms

    def rate_per_s(self, at_ms: float) -> float:
        """Give the organic rate wanted at an instant, before the daily cycle."""
        if self.warmup_e_fold_ms and self.live_from_ms is not None and at_ms < self.live_from_ms:
            return self.events_per_s * float(np.exp((at_ms - self.live_from_ms) / self.warmup_e_fold_ms))
        return self.events_per_s

    @classmethod
    def demo(cls, now_ms: int, seconds: float, *, history_events: int = 150_000) -> Self:
        """History that ends at `now_ms`, then `seconds` of live traffic with one attack of each kind.

        The evening fills up exponentially, so that what is usual when it goes live is what history
        ended with; the viral post is already rising then; the celebrity has always been one and makes an appearance.
        """
        e_fold_ms, history_ms = 30 * MINUTE_MS, 6 * HOUR_MS
        begin_ms = [now_ms + int(part * 1000) for part in (8, 10, 12, 14)]
        long_ms = int(max(60.0, seconds - 10.0) * SECOND_MS)
        return cls(
            start_ms=now_ms - history_ms,
            duration_ms=history_ms + int(seconds * SECOND_MS),
            accounts=max(_ACCOUNTS_MIN, history_events // 6),
            notes=max(_NOTES_MIN, history_events // 16),
            keywords=1_500,
            # Visits and cascades trail what causes them, so while the rate grows less comes than is asked for.
            events_per_s=1.3 * history_events / (e_fold_ms / SECOND_MS),
            live_from_ms=now_ms,
            warmup_e_fold_ms=e_fold_ms,
            attacks=(
                AttackOrder("follower_spike", "burst", 300, begin_ms[0], long_ms),
                AttackOrder("like_boost", "burst", 250, begin_ms[1], long_ms, vendor=1),
                AttackOrder("keyword_ranking", "burst", 220, begin_ms[2], long_ms, likes_after_click=0.3, vendor=2),
                AttackOrder("keyword_trend", "burst", 350, begin_ms[3], long_ms, vendor=3),
            ),
            benign=(
                BenignOrder("viral", 2_000, now_ms - 5 * MINUTE_MS, 40 * MINUTE_MS, rise=0.14),
                BenignOrder("celebrity", 800, now_ms - 30 * SECOND_MS, 20 * MINUTE_MS, rise=0.1),
                BenignOrder("news", 500, now_ms - 10 * MINUTE_MS, HOUR_MS),
                BenignOrder("giveaway", 400, now_ms - 40 * MINUTE_MS, 90 * MINUTE_MS),
            ),
        )

    @classmethod
    def randomised(cls, seed: int, family: Family, *, start_ms: int, events: int = 500_000) -> Self:
        """Draw a scenario of a family for training or testing: its size, length and fields drawn from `seed`."""
        rng = np.random.default_rng([seed, 0x5CE0, list(FAMILIES).index(family)])
        days = float(rng.choice([2.0, 3.0, 5.0, 8.0]))
        accounts = max(_ACCOUNTS_MIN, int(events / rng.uniform(8.0, 30.0)))
        fields: OptionalFields = ("all", "some", "some", "none")[int(rng.integers(4))]
        return cls(
            start_ms=start_ms,
            duration_ms=int(days * DAY_MS),
            accounts=accounts,
            notes=max(_NOTES_MIN, int(accounts * rng.uniform(0.2, 0.8))),
            keywords=max(_KEYWORDS_MIN, int(accounts ** rng.uniform(0.62, 0.78))),
            events_per_s=events / (days * DAY_MS / SECOND_MS),
            attacks=int(rng.uniform(0.7, 1.4) * 60 * (events / 500_000) ** 0.7) + 1,
            benign=int(rng.uniform(0.7, 1.4) * 40 * (events / 500_000) ** 0.7) + 1,
            programs=int(12 * (events / 500_000) ** 0.7) + 1,
            gangs=int(6 * (events / 500_000) ** 0.7) + 1,
            optional_fields=fields,
            family=family,
        )

    def denser(self, factor: float) -> Self:
        """Give the same with `factor` attacks, episodes, programs and groups for each where only their number is said.

        >>> Scenario(start_ms=1_764_000_000_000).denser(2.0).attacks
        48
        """
        return replace(
            self,
            attacks=int(factor * self.attacks) if isinstance(self.attacks, int) else self.attacks,
            benign=int(factor * self.benign) if isinstance(self.benign, int) else self.benign,
            programs=int(factor * self.programs) if isinstance(self.programs, int) else self.programs,
            gangs=int(factor * self.gangs) if isinstance(self.gangs, int) else self.gangs,
        )

    def clean(self) -> Self:
        """Give the same without attacks, for thresholds and false flags."""
        return replace(self, attacks=(), programs=(), gangs=())
