"""How a simulated population behaves, and the families from which training and tests draw it.

Weights learned on one simulator's habits fail on another's, so every number here is drawn anew per
seed from a wide range, and families differ in form (which distribution, which habit), not only in size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

import numpy as np

from streams.simulator.sampling import GapForm, LengthForm, TailForm

Family = Literal["plain", "metro", "campus", "bazaar", "newsroom", "harbour", "festival", "quiet", "arcade", "guild"]


@dataclass(frozen=True, slots=True)
class Habits:
    """One population's habits. Times say their unit; the rest are chances, shares or shape numbers."""

    # who there is
    zones: int
    communities: int
    homophily: float
    activity_form: TailForm
    activity_tail: float
    popularity_form: TailForm
    popularity_tail: float
    account_age_days: float
    growth_per_day: float
    lurkers: float
    # rhythm
    cycle_depth: float
    evening_h: float
    lunch: float
    weekend: float
    active_days: float
    # a visit
    length_form: LengthForm
    length_mean: float
    hasty: float
    gap_form: GapForm
    gap_median_s: float
    gap_spread: float
    like_taste: float
    search_taste: float
    search_from_feed: float
    profile_taste: float
    suggest_taste: float
    loyalty: float
    reciprocity: float
    taste_spread: float
    follow_after_like: float
    follow_after_profile: float
    like_from_note: float
    external: float
    newcomer_zeal: float
    # searching
    keyword_tail: float
    click_rate: float
    position_tail: float
    second_click: float
    like_after_click: float
    follow_after_click: float
    reading_median_s: float
    # notes
    notes_per_account_day: float
    note_tail: float
    note_decay: float
    note_half_life_h: float
    contagion: float
    contagion_spread: float
    contagion_delay_min: float
    # taking back
    unlike: float
    unfollow: float
    # devices, networks, delivery
    shared_devices: float
    campus: float
    second_device: float
    schedulers: float
    duplicates: float
    offline: float
    late: float
    lag_median_ms: float
    skewed_clocks: float
    # which optional fields a client sends, with optional_fields="some"
    sends_created: float
    sends_device: float
    sends_network: float
    sends_surface: float
    # episodes
    advertised_accounts: float
    # of whom a link from outside brings, the least share that nobody has seen before
    unseen: float
    # whom the platform shows to everybody who joins, and which share of what they follow then is from among those
    shown: int
    shown_share: float
    # services: how many there are (0: one for every three orders), and which share hires people
    services: int
    hired: float


_Range = tuple[float, float] | tuple[str, ...]

RANGES: Final[Mapping[str, _Range]] = {
    "zones": (2, 6),
    "communities": (12, 120),
    "homophily": (0.35, 0.85),
    "activity_form": get_args(TailForm),
    "activity_tail": (1.15, 2.2),
    "popularity_form": get_args(TailForm),
    "popularity_tail": (1.05, 1.8),
    "account_age_days": (200, 1400),
    "growth_per_day": (0.0003, 0.004),
    "lurkers": (0.2, 0.7),
    "cycle_depth": (0.45, 1.0),
    "evening_h": (19.0, 22.5),
    "lunch": (0.0, 0.8),
    "weekend": (0.8, 1.35),
    "active_days": (0.15, 0.7),
    "length_form": get_args(LengthForm),
    "length_mean": (1.5, 7.0),
    "hasty": (0.05, 0.75),
    "gap_form": get_args(GapForm),
    "gap_median_s": (7.0, 45.0),
    "gap_spread": (0.7, 1.5),
    "like_taste": (0.3, 0.75),
    "search_taste": (0.15, 0.55),
    "search_from_feed": (0.0, 0.35),
    "profile_taste": (0.03, 0.2),
    "suggest_taste": (0.03, 0.2),
    "loyalty": (0.1, 0.5),
    "reciprocity": (0.01, 0.2),
    "taste_spread": (0.3, 3.0),
    "follow_after_like": (0.015, 0.10),
    "follow_after_profile": (0.1, 0.5),
    "like_from_note": (0.05, 0.6),
    "external": (0.01, 0.08),
    "newcomer_zeal": (0.3, 2.0),
    "keyword_tail": (0.85, 1.25),
    "click_rate": (0.35, 0.75),
    "position_tail": (1.0, 1.9),
    "second_click": (0.05, 0.35),
    "like_after_click": (0.05, 0.3),
    "follow_after_click": (0.01, 0.08),
    "reading_median_s": (8.0, 50.0),
    "notes_per_account_day": (0.01, 0.08),
    "note_tail": (1.1, 1.9),
    "note_decay": (0.8, 1.7),
    "note_half_life_h": (3.0, 36.0),
    "contagion": (0.15, 0.7),
    "contagion_spread": (0.5, 1.5),
    "contagion_delay_min": (6.0, 90.0),
    "unlike": (0.004, 0.04),
    "unfollow": (0.01, 0.10),
    "shared_devices": (0.0, 0.08),
    "campus": (0.02, 0.25),
    "second_device": (0.05, 0.4),
    "schedulers": (0.0005, 0.006),
    "duplicates": (0.0005, 0.008),
    "offline": (0.002, 0.03),
    "late": (0.0002, 0.003),
    "lag_median_ms": (60, 900),
    "skewed_clocks": (0.0, 0.05),
    "sends_created": (0.2, 1.0),
    "sends_device": (0.2, 1.0),
    "sends_network": (0.2, 1.0),
    "sends_surface": (0.2, 1.0),
    "advertised_accounts": (0.0, 0.0),
    "unseen": (0.0, 0.0),
    "shown": (0, 0),
    "shown_share": (0.0, 0.0),
    "services": (0, 0),
    "hired": (0.0, 0.0),
}
"""Where each habit is drawn from: an interval, or the forms to choose among."""

_LOG: Final = frozenset(
    [
        "growth_per_day",
        "gap_median_s",
        "taste_spread",
        "follow_after_like",
        "external",
        "notes_per_account_day",
        "note_half_life_h",
        "contagion_delay_min",
        "unlike",
        "unfollow",
        "schedulers",
        "duplicates",
        "offline",
        "late",
        "lag_median_ms",
        "reading_median_s",
    ]
)

FAMILIES: Final[Mapping[Family, Mapping[str, _Range]]] = {
    # narrow: the middle of the road, for demonstrations and tests
    "plain": {
        "activity_form": ("pareto",), "popularity_form": ("pareto",), "gap_form": ("lognormal",),
        "length_form": ("geometric",), "cycle_depth": (0.75, 0.85), "contagion": (0.3, 0.35),
        "popularity_tail": (1.25, 1.35), "activity_tail": (1.5, 1.7), "gap_median_s": (14, 22),
        "external": (0.02, 0.03), "growth_per_day": (0.001, 0.0015), "newcomer_zeal": (0.8, 1.2), "hasty": (0.25, 0.35),
    },
    # a big city: two zones, short bursts of attention, strong cascades
    "metro": {
        "zones": (2, 3), "gap_form": ("lognormal", "mixture"), "gap_median_s": (6, 16), "contagion": (0.3, 0.55),
        "note_half_life_h": (2, 8), "cycle_depth": (0.7, 1.0), "length_form": ("geometric", "lognormal"),
    },
    # students: shared networks and devices, tight communities, night owls
    "campus": {
        "campus": (0.25, 0.6), "shared_devices": (0.05, 0.2), "homophily": (0.65, 0.92), "evening_h": (21.5, 23.8),
        "activity_form": ("lognormal",), "gap_form": ("weibull", "lognormal"), "suggest_taste": (0.08, 0.3),
    },
    # a market place: search-led, giveaways, many followers of shops
    "bazaar": {
        "search_taste": (0.4, 0.8), "like_taste": (0.15, 0.45), "follow_after_like": (0.05, 0.2),
        "click_rate": (0.55, 0.9), "like_after_click": (0.1, 0.45), "gap_form": ("pareto", "mixture"),
        "popularity_form": ("pareto",), "newcomer_zeal": (1.0, 4.0), "growth_per_day": (0.002, 0.01),
    },
    # news and links: external arrivals, flat popularity, long absent readers
    "newsroom": {
        "external": (0.05, 0.25), "lurkers": (0.5, 0.85), "length_mean": (1.4, 3.0), "length_form": ("zeta",),
        "hasty": (0.4, 0.85),
        "note_decay": (1.3, 2.2), "contagion_delay_min": (3, 25), "like_taste": (0.4, 0.85),
    },
    # held out: slow, older, profile-led, weak cycle
    "harbour": {
        "zones": (4, 8), "cycle_depth": (0.2, 0.6), "gap_form": ("weibull",), "gap_median_s": (30, 90),
        "profile_taste": (0.15, 0.45), "account_age_days": (900, 2600), "homophily": (0.2, 0.5),
        "activity_form": ("lognormal",), "length_form": ("lognormal",), "unfollow": (0.05, 0.2),
    },
    # held out: bursts of newcomers, long visits, heavy tails, sparse fields
    "festival": {
        "growth_per_day": (0.004, 0.02), "newcomer_zeal": (2.0, 6.0), "hasty": (0.0, 0.1), "length_mean": (5.0, 12.0),
        "gap_form": ("pareto",), "gap_median_s": (4, 12), "activity_tail": (1.05, 1.3), "popularity_tail": (0.95, 1.2),
        "contagion": (0.4, 0.62), "sends_created": (0.0, 0.5), "sends_device": (0.0, 0.5), "sends_surface": (0.0, 0.6),
        "keyword_tail": (0.7, 0.95),
    },
    # held out: few events a head, nobody stays long, hardly any contagion
    "quiet": {
        "lurkers": (0.6, 0.9), "length_mean": (1.05, 1.6), "hasty": (0.7, 0.98),
        "contagion": (0.02, 0.15), "active_days": (0.05, 0.25),
        "popularity_form": ("lognormal",), "follow_after_like": (0.005, 0.03), "note_tail": (1.6, 2.4),
        "gap_form": ("mixture",),
    },
    # everybody for themselves: no communities, no cascades; who follows has liked before, except in episodes
    "arcade": {
        "homophily": (0.0, 0.3), "contagion": (0.0, 0.1), "loyalty": (0.0, 0.15), "reciprocity": (0.0, 0.03),
        "profile_taste": (0.0005, 0.03), "suggest_taste": (0.0005, 0.02), "follow_after_like": (0.08, 0.5),
        "follow_after_profile": (0.05, 0.3), "external": (0.005, 0.3), "like_from_note": (0.02, 0.6),
        "length_form": ("geometric", "lognormal"), "length_mean": (1.1, 5.0), "hasty": (0.0, 0.9),
        "lurkers": (0.0, 0.6), "active_days": (0.2, 0.95), "cycle_depth": (0.1, 0.9),
        "taste_spread": (0.1, 2.0), "newcomer_zeal": (0.05, 0.8), "advertised_accounts": (0.3, 1.0),
    },
    # few services share the market, so their accounts meet again and again, and some hire people for it; links from
    # outside bring those whom nobody has seen before, and all who join are shown the same accounts
    "guild": {
        "shown": (2, 14), "shown_share": (0.3, 0.95), "newcomer_zeal": (0.1, 3.0), "growth_per_day": (0.001, 0.02),
        "services": (2, 6), "hired": (0.2, 0.7), "unseen": (0.5, 1.0), "advertised_accounts": (0.2, 0.8),
        "homophily": (0.1, 0.85), "contagion": (0.0, 0.5), "loyalty": (0.0, 0.5), "external": (0.005, 0.15),
        "hasty": (0.0, 0.85), "length_mean": (1.3, 7.0), "lurkers": (0.1, 0.7), "active_days": (0.15, 0.95),
        "gap_median_s": (5, 60), "follow_after_like": (0.01, 0.3),
    },
}  # fmt: skip

TRAINING_FAMILIES: Final[tuple[Family, ...]] = ("metro", "campus", "bazaar", "newsroom", "arcade", "guild")
HELD_OUT_FAMILIES: Final[tuple[Family, ...]] = ("harbour", "festival", "quiet")


def draw_habits(family: Family, rng: np.random.Generator) -> Habits:
    """One population of a family.

    >>> draw_habits("metro", np.random.default_rng(1)).zones in (2, 3)
    True
    """
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}; choose one of {', '.join(FAMILIES)}")
    own = FAMILIES[family]
    drawn: dict[str, int | float | str] = {}
    for field in fields(Habits):
        span = own.get(field.name, RANGES[field.name])
        # Nothing is drawn from an interval without length: a habit that most families lack changes no other draw.
        at = 0.0 if len(span) == 2 and span[0] == span[1] else rng.random()
        if isinstance(span[0], str):
            drawn[field.name] = span[int(at * len(span))]
            continue
        low, high = span
        if field.type == "int":
            drawn[field.name] = int(low + at * (high + 1 - low))
        elif field.name in _LOG and low > 0:
            drawn[field.name] = float(low * (high / low) ** at)
        else:
            drawn[field.name] = float(low + at * (high - low))
    return Habits(**drawn)  # type: ignore[arg-type]
