"""Services that sell followers, likes and searches: their stock of accounts and how they deliver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from streams.simulator.accounts import (
    SENDS_ALL,
    SENDS_CREATED,
    SENDS_DEVICE,
    SENDS_NETWORK,
    SENDS_SURFACE,
    Accounts,
    make_people,
)
from streams.simulator.arrivals import PROCESSES, Process
from streams.simulator.columns import DAY_MS, HOUR_MS, Floats, Goal, Ints, Surface, Verb
from streams.simulator.plan import Plan
from streams.simulator.sampling import scramble

Stock = Literal["fresh", "aged", "semi"]
STOCKS: Final[tuple[Stock, ...]] = get_args(Stock)

_USUAL_SURFACES: Final[dict[Verb, Floats]] = {
    Verb.LIKE: np.array([0.52, 0.10, 0.10, 0.24, 0.04]),
    Verb.FOLLOW: np.array([0.40, 0.06, 0.42, 0.08, 0.04]),
    Verb.SEARCH: np.array([0.08, 0.90, 0.001, 0.001, 0.018]),
}
"""Roughly where people do it (feed, search, profile, note, external)."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One service. Shares and chances are of its accounts or of its deliveries.

    `fresh` accounts are made for the job, `aged` ones were dormant, `semi` ones also live a little.
    `mimics` has them act where people act.
    `crew` puts its workers into shifts in which each serves several customers in a row.
    """

    stock: Stock
    process: Process
    per_device: float
    borrowed_networks: bool
    networks: int
    surfaces: Floats
    mimics: bool
    cover_per_day: float
    chatter: float
    dropped: float
    lies: float
    omits: int
    whole_seconds: bool
    crew: bool
    gap_s: float
    reuse: float
    decoys: float


def draw_vendor(rng: np.random.Generator, stock: Stock | None = None) -> Vendor:
    """Draw a service with its own way of doing everything."""
    kind = stock or STOCKS[int(rng.choice(3, p=[0.4, 0.22, 0.38]))]
    cover = {"fresh": rng.choice([0.0, 0.0, 0.2, 1.0]), "aged": rng.choice([0.0, 0.02, 0.1])}
    omits = 0
    for bit in (SENDS_CREATED, SENDS_DEVICE, SENDS_NETWORK, SENDS_SURFACE):
        omits |= bit if rng.random() < 0.12 else 0
    return Vendor(
        stock=kind,
        process=PROCESSES[int(rng.integers(len(PROCESSES)))],
        per_device=float(rng.choice([1.0, 1.0, 1.3, 4.0, 20.0, 60.0])),
        borrowed_networks=bool(rng.random() < 0.4),
        networks=int(10 ** rng.uniform(0.3, 3.0)),
        mimics=bool(rng.random() < 0.5),
        surfaces=rng.dirichlet(rng.choice([0.4, 1.5]) * np.array([1.5, 1.0, 3.0, 1.5, 1.5])),
        cover_per_day=float(cover[kind]) if kind in cover else float(10 ** rng.uniform(-0.7, 0.7)),
        chatter=float(rng.choice([0.0, 0.3, 0.8, 1.0]) * rng.random()),
        dropped=float(rng.choice([0.0, 0.05, 0.3]) * rng.random()),
        lies=float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])),
        omits=omits,
        whole_seconds=bool(rng.random() < 0.1),
        crew=bool(rng.random() < 0.5),
        gap_s=float(10 ** rng.uniform(0.3, 2.2)),
        reuse=float(rng.uniform(1.05, 3.0)),
        decoys=float(rng.choice([0.0, 0.0, 0.2, 0.5]) * rng.random()),
    )


def enlist_pool(plan: Plan, vendor: Vendor, first_job_ms: Ints, community: int) -> int:
    """Add the vendor's accounts, one for each first job; the number of the first account.

    A fresh account is made hours to weeks before its first job, an aged one has slept for months.
    """
    rng, habits, count = plan.rng, plan.population.habits, len(first_job_ms)
    made_before_ms = (np.exp(rng.normal(10.6, 1.6, count)) * 1000.0).astype(np.int64)
    if vendor.stock == "fresh":
        created = first_job_ms - np.minimum(made_before_ms, 25 * DAY_MS)
    elif vendor.stock == "aged" or rng.random() < 0.5:
        # Bought, stolen or hired from people: as old as people's accounts, but for the newest.
        old = plan.population.accounts.created
        old = old[old < plan.scenario.start_ms - 60 * DAY_MS]
        created = old[rng.integers(0, len(old), count)] - rng.integers(0, 30 * DAY_MS, count)
    else:
        batch = rng.integers(10 * DAY_MS, 500 * DAY_MS, 6)[rng.integers(0, 6, count)]
        created = plan.scenario.start_ms - batch - rng.integers(0, 4 * DAY_MS, count)
    block = make_people(rng, habits, plan.society, created)
    block.weight[:] = 0.0
    block.fame[:] = 1e-4
    if rng.random() < 0.5:
        block.community[:] = np.int16(community)
    lying = rng.random(count) < vendor.lies
    block.reported[lying] -= rng.integers(100 * DAY_MS, 1_200 * DAY_MS, int(lying.sum()))
    block.sends[:] = np.uint8(SENDS_ALL & ~vendor.omits)
    _equip(rng, vendor, block, plan.population.accounts)
    first = plan.enlist(block)
    _cover(plan, vendor, block, first, first_job_ms)
    return first


def hire(plan: Plan, count: int) -> Ints:
    """Choose people who act for money on their own accounts, from their own devices; the numbers of their accounts.

    Who is seldom seen is as likely as any other to take such work; whom an attack or an episode is about so far is not
    asked.
    """
    rng, accounts = plan.rng, plan.population.accounts
    asked = {number for what, number in plan.taken if what == "account"}
    able = np.flatnonzero((accounts.created < plan.scenario.start_ms) & (accounts.weight > 0.0))
    able = able[~np.isin(able, np.fromiter(asked, np.int64, len(asked)))]
    taken: Ints = rng.permutation(able)[:count]
    return taken if len(taken) == count else np.resize(taken, count)


def surfaces(rng: np.random.Generator, vendor: Vendor, verb: Verb, count: int) -> Ints:
    """Draw where the paid actions are done; a search is nearly always typed where one searches."""
    usual = vendor.surfaces
    if verb == Verb.SEARCH and rng.random() < 0.85:
        usual = _USUAL_SURFACES[verb]
    elif vendor.mimics:
        usual = rng.dirichlet(20.0 * _USUAL_SURFACES[verb])
    return np.asarray(rng.choice(5, size=count, p=usual).astype(np.int64))


def _equip(rng: np.random.Generator, vendor: Vendor, block: Accounts, people: Accounts) -> None:
    count = len(block)
    farm = rng.integers(0, max(1, int(count / vendor.per_device)), count)
    salt = int(rng.integers(1 << 62))
    block.device[:] = scramble(farm, salt)
    block.second_device[:] = block.device
    if vendor.borrowed_networks:
        block.network[:] = people.network[rng.integers(0, len(people), count)]
        block.second_network[:] = people.second_network[rng.integers(0, len(people), count)]
    else:
        block.network[:] = scramble(rng.integers(0, vendor.networks, count), salt + 1)
        block.second_network[:] = scramble(rng.integers(0, vendor.networks, count), salt + 1)


def _cover(plan: Plan, vendor: Vendor, block: Accounts, first: int, first_job_ms: Ints) -> None:
    """Ordinary visits that make the accounts look lived in; dormant ones wake up shortly before the job."""
    rng, scenario, count = plan.rng, plan.scenario, len(block)
    if vendor.cover_per_day <= 0.0 or count == 0:
        return
    days = scenario.duration_ms / DAY_MS
    own = vendor.cover_per_day * rng.gamma(1.2, 1.0 / 1.2, count)
    own *= min(1.0, plan.cover_visits_max / max(float(own.sum()) * days, 1.0))
    member = np.repeat(np.arange(count), rng.poisson(own * days))
    at = scenario.start_ms + (rng.random(len(member)) * scenario.duration_ms).astype(np.int64)
    zone = block.zone[member].astype(np.int64)
    keep = plan.population.rhythm.awake(rng, at, zone) & (at > block.created[member])
    if vendor.stock == "aged":
        keep &= at > first_job_ms[member] - 12 * HOUR_MS
    plan.visit(at[keep], first + member[keep], Goal.BROWSE, surface=Surface.FEED)
