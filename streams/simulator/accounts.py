"""Accounts: who they are, how active and how followed, on which devices and networks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.simulator.columns import DAY_MS, HOUR_MS, Floats, Ints, Words
from streams.simulator.habits import Habits
from streams.simulator.sampling import GroupedWeights, heavy, scramble

SENDS_CREATED: Final = 1
SENDS_DEVICE: Final = 2
SENDS_NETWORK: Final = 4
SENDS_SURFACE: Final = 8
SENDS_ALL: Final = 15


@dataclass(slots=True)
class Accounts:
    """Columns over accounts; the account's number is its row.

    `taste` holds, cumulated, the chances that something done in a visit is a like from the feed, a
    search or a profile visit; what remains is following a suggestion. `reported` is the creation time
    that events carry, `created` the true one. `weight` is relative activity, `fame` relative following,
    `fickle` the chance that a new follower leaves again (where it is more than usual).
    """

    zone: npt.NDArray[np.int8]
    community: npt.NDArray[np.int16]
    weight: npt.NDArray[np.float32]
    fame: npt.NDArray[np.float32]
    created: Ints
    reported: Ints
    taste: npt.NDArray[np.float32]
    device: Words
    second_device: Words
    device_switch: npt.NDArray[np.float32]
    network: Words
    second_network: Words
    network_switch: npt.NDArray[np.float32]
    sends: npt.NDArray[np.uint8]
    fickle: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.zone)

    @classmethod
    def joined(cls, blocks: list[Accounts]) -> Accounts:
        """Blocks one after another."""
        return cls(**{f.name: np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class Society:
    """What the accounts of one world share: zone and community sizes, and which communities live where."""

    zone_weights: Floats
    community_weights: Floats
    community_zone: Ints


def make_society(rng: np.random.Generator, habits: Habits) -> Society:
    """Communities of very unequal size, each at home in one time zone."""
    zone_weights = rng.dirichlet(np.full(habits.zones, 1.5))
    sizes = heavy(rng, habits.communities, "lognormal", 2.4, top_share=0.25)
    home = rng.choice(habits.zones, size=habits.communities, p=zone_weights)
    return Society(zone_weights, sizes / sizes.sum(), home.astype(np.int64))


def make_people(rng: np.random.Generator, habits: Habits, society: Society, created: Ints) -> Accounts:
    """One ordinary account for each creation time."""
    count = len(created)
    community = rng.choice(habits.communities, size=count, p=society.community_weights)
    zone = society.community_zone[community]
    moved = rng.random(count) < 0.25
    zone = np.where(moved, rng.choice(habits.zones, size=count, p=society.zone_weights), zone)
    weight = heavy(rng, count, habits.activity_form, habits.activity_tail, top_share=0.002)
    weight = np.where(rng.random(count) < habits.lurkers, 0.06 * weight, weight)
    device, network, second_network, network_switch = _addresses(rng, habits, zone, community)
    return Accounts(
        zone=zone.astype(np.int8),
        community=community.astype(np.int16),
        weight=weight.astype(np.float32),
        fame=heavy(rng, count, habits.popularity_form, habits.popularity_tail, top_share=0.03).astype(np.float32),
        created=created,
        reported=created.copy(),
        taste=_tastes(rng, habits, count),
        device=device,
        second_device=scramble(rng.integers(0, 1 << 62, count)),
        device_switch=np.where(rng.random(count) < habits.second_device, rng.uniform(0.05, 0.5, count), 0.0).astype(
            np.float32
        ),
        network=network,
        second_network=second_network,
        network_switch=network_switch.astype(np.float32),
        sends=np.full(count, SENDS_ALL, dtype=np.uint8),
        fickle=np.zeros(count, dtype=np.float32),
    )


def past_creations(rng: np.random.Generator, habits: Habits, count: int, start_ms: int) -> Ints:
    """Creation times of a platform that has been growing: many young accounts, a tail of old ones."""
    age_days = rng.exponential(habits.account_age_days, count)
    recent = rng.random(count) < min(0.25, 15.0 * habits.growth_per_day)
    age_days = np.where(recent, rng.uniform(0.0, 30.0, count), age_days)
    age_ms = np.minimum(age_days, 3_650.0) * DAY_MS + rng.integers(HOUR_MS, DAY_MS, count)
    return np.asarray(start_ms - age_ms.astype(np.int64))


def _tastes(rng: np.random.Generator, habits: Habits, count: int) -> npt.NDArray[np.float32]:
    means = np.array([habits.like_taste, habits.search_taste, habits.profile_taste, habits.suggest_taste])
    # A Dirichlet by gammas: a small spread parameter makes people single-minded.
    drawn = rng.standard_gamma(np.maximum(means / means.sum() * 4.0 * habits.taste_spread, 0.02), (count, 4)) + 1e-9
    return np.asarray(np.cumsum(drawn / drawn.sum(axis=1, keepdims=True), axis=1)[:, :3].astype(np.float32))


def _addresses(
    rng: np.random.Generator, habits: Habits, zone: Ints, community: Ints
) -> tuple[Words, Words, Words, Floats]:
    """Devices (some shared by a household or a shop), home networks (some a campus), mobile networks."""
    count = len(zone)
    device = scramble(rng.integers(0, 1 << 62, count))
    household = rng.random(count) < habits.shared_devices
    device = np.where(
        household, scramble(rng.integers(0, max(1, int(count * habits.shared_devices / 3)), count), 11), device
    )
    network = scramble(rng.integers(0, max(8, count // 4), count), 12)
    # A campus or a big office: the members of a community in a zone behind one of very few prefixes.
    campus = rng.random(count) < habits.campus
    network = np.where(campus, scramble(community * 64 + zone * 4 + rng.integers(0, 2, count), 13), network)
    carrier = np.minimum(rng.zipf(1.4, count), 60) * 16 + zone
    return device, network, scramble(carrier, 14), rng.beta(1.2, 1.8, count)


class Crowd:
    """Accounts indexed for drawing: by zone and by community for who acts, by community for who is followed."""

    def __init__(self, accounts: Accounts, habits: Habits) -> None:
        self.by_zone = GroupedWeights(accounts.zone, habits.zones, accounts.weight)
        self.by_community = GroupedWeights(accounts.community, habits.communities, accounts.weight)
        # Nearly everybody alike: who turns up when something reaches people that are seldom seen.
        self.by_presence = GroupedWeights(
            accounts.community, habits.communities, np.sqrt(np.sqrt(accounts.weight.astype(np.float64)))
        )
        self.by_fame = GroupedWeights(accounts.community, habits.communities, accounts.fame)
