"""Attacks: orders placed with vendors, turned into paid events with their truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streams.simulator.arrivals import attention, bought
from streams.simulator.columns import (
    DAY_MS,
    EVENT,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Bools,
    Goal,
    Ints,
    Rows,
    Surface,
    Verb,
    join,
    rows,
)  # fmt: skip
from streams.simulator.keywords import RESULTS
from streams.simulator.plan import Attack, Plan
from streams.simulator.sampling import gaps_s, pair_words
from streams.simulator.scenario import KINDS, AttackOrder, Kind, Scenario, Shape
from streams.simulator.vendors import Stock, Vendor, draw_vendor, enlist_pool, hire, surfaces

_SHAPES: Final[dict[Kind, tuple[Shape, ...]]] = {
    "follower_spike": ("burst", "drip", "mixed", "aged", "follow_unfollow", "pool", "poisoned"),
    "like_boost": ("burst", "drip", "mixed", "aged", "pool", "poisoned"),
    "keyword_ranking": ("burst", "drip", "mixed", "aged"),
    "keyword_trend": ("burst", "drip", "mixed", "aged"),
}
_VERBS: Final[dict[Kind, Verb]] = {
    "follower_spike": Verb.FOLLOW, "like_boost": Verb.LIKE,
    "keyword_ranking": Verb.SEARCH, "keyword_trend": Verb.SEARCH,
}  # fmt: skip
_SIZES: Final[dict[Kind, tuple[float, float]]] = {
    "follower_spike": (40, 1_000), "like_boost": (40, 800), "keyword_ranking": (60, 600), "keyword_trend": (100, 1_200),
}  # fmt: skip

_COVER_SHARE_MAX: Final = 0.06
"""A pool lives a little, but never so much that its ordinary visits become the population's."""

_POOL_SHARE_MAX: Final = 0.08
"""A service that serves everybody keeps no more accounts than that share of the platform's, if no order takes more."""

_POISON_MS_MAX: Final = 3 * DAY_MS
_POISON_SHARE: Final = 0.4
"""How long an attacker gets a subject used to more, and with how many actions for each that follows at once."""

_EVENTS_PER_VISIT: Final = 6.0
"""Roughly; it only sizes the bound on cover."""


@dataclass(slots=True)
class _Job:
    """One paid delivery in the making: who (pool member), when, for which attack."""

    attack: Ints
    member: Ints
    at: Ints


def draw_attacks(rng: np.random.Generator, scenario: Scenario, count: int) -> tuple[AttackOrder, ...]:
    """Orders of every kind and shape in turn, sizes log-uniform as packages are sold."""
    made: list[AttackOrder] = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        shape = _SHAPES[kind][(number // len(KINDS)) % len(_SHAPES[kind])]
        low, high = _SIZES[kind]
        high = max(low * 1.5, min(high, 0.04 * scenario.accounts))
        size = int(low * (high / low) ** rng.random())
        minutes = 3.0 * 80.0 ** rng.random()
        if shape == "drip":
            minutes = rng.uniform(0.25, 0.85) * scenario.duration_ms / MINUTE_MS
        elif shape in ("mixed", "pool"):
            minutes = 30.0 * 24.0 ** rng.random()
        duration_ms = int(min(minutes * MINUTE_MS, 0.9 * scenario.duration_ms))
        room = max(0.97 * scenario.duration_ms - duration_ms, 0.0)
        earliest = min((0.6 if shape == "poisoned" else 0.08) * scenario.duration_ms, room)
        start_ms = scenario.start_ms + int(rng.uniform(earliest, max(room, earliest + 1)))
        customers = 1
        if shape == "pool":
            customers, size = int(rng.integers(5, 16)), int(rng.integers(15, 61))
        made.append(
            AttackOrder(
                kind, shape, size, start_ms, duration_ms,
                bought_share=float(rng.choice([0.1, 0.2, 0.5])) if shape == "mixed" else 1.0,
                likes_after_click=float(rng.choice([0, rng.uniform(0.15, 0.7)])) if kind == "keyword_ranking" else 0.0,
                customers=customers,
                vendor=int(rng.integers(max(2, count // 3))),
            )
        )  # fmt: skip
    return tuple(made)


def plan_attacks(plan: Plan, orders: tuple[AttackOrder, ...]) -> None:
    """Plan all orders, vendor by vendor: one pool of accounts serves all customers of a vendor."""
    stocked: dict[tuple[int, bool], list[AttackOrder]] = {}
    services = plan.population.habits.services
    for order in orders:
        served = replace(order, vendor=order.vendor % services) if services else order
        stocked.setdefault((served.vendor, served.shape == "aged"), []).append(served)
    organic_visits = plan.scenario.events_per_s * plan.scenario.duration_ms / SECOND_MS / _EVENTS_PER_VISIT
    plan.cover_visits_max = _COVER_SHARE_MAX * organic_visits / max(len(stocked), 1)
    for (_, aged), group in sorted(stocked.items()):
        stock: Stock | None = "aged" if aged else None
        if not aged and any(order.shape == "pool" for order in group):
            stock = "semi"
        _serve(plan, draw_vendor(plan.rng, stock), group)


def _serve(plan: Plan, vendor: Vendor, orders: list[AttackOrder]) -> None:
    rng, habits = plan.rng, plan.population.habits
    pool_size = int(max(order.size for order in orders) * vendor.reuse) + 1
    if habits.services:  # who serves everybody keeps enough accounts that each is used a few times only
        sold = sum(order.size * order.customers for order in orders)
        kept = min(int(sold / rng.uniform(2.0, 6.0)), int(_POOL_SHARE_MAX * plan.scenario.accounts))
        pool_size = max(pool_size, kept)
    hires = habits.hired > 0.0 and rng.random() < habits.hired
    planned: list[tuple[AttackOrder, _Job]] = []
    for order in orders:
        attacks = np.array([_subject(plan, order) for _ in range(order.customers)])
        planned.append((order, _shifts(plan, vendor, order, attacks, pool_size)))
        if order.shape == "poisoned":
            before = _poison(plan, order)
            again = np.array([_get_used(plan, before, int(attack)) for attack in attacks])
            planned.append((before, _shifts(plan, vendor, before, again, pool_size)))
    first_job = np.full(pool_size, plan.scenario.end_ms, dtype=np.int64)
    for _, job in planned:
        np.minimum.at(first_job, job.member, job.at)
    if hires:
        workers = hire(plan, pool_size)
    else:
        workers = np.arange(pool_size) + enlist_pool(plan, vendor, first_job, int(rng.integers(habits.communities)))
    for order, job in planned:
        paid = _deliver(plan, vendor, order, job, workers)
        if vendor.whole_seconds:
            paid["ts"] -= paid["ts"] % 1000
        plan.paid.append(paid)
        _chatter(plan, vendor, job, workers)
        if order.shape == "mixed":
            _organic_rise(plan, order, int(job.attack[0]))


def _subject(plan: Plan, order: AttackOrder) -> int:
    """Choose whom the attack hits; the number of the attack."""
    rng = plan.rng
    vendor = order.vendor
    if order.kind == "follower_spike":
        low = float(rng.choice([0.05, 0.5, 0.9], p=[0.5, 0.3, 0.2]))
        attack = Attack(order.kind, order.shape, plan.pick_account(low, min(low + 0.45, 0.99)), vendor)
    elif order.kind == "like_boost":
        first_ms = _poison(plan, order).start_ms if order.shape == "poisoned" else order.start_ms
        attack = Attack(order.kind, order.shape, plan.pick_note(first_ms, 6 * DAY_MS), vendor)
        attack.note = attack.subject
    elif order.kind == "keyword_ranking":
        attack = Attack(order.kind, order.shape, plan.pick_keyword(0.25, 0.9), vendor)
        attack.note = plan.pick_note(order.start_ms, 12 * DAY_MS)
    else:
        attack = Attack(order.kind, order.shape, plan.pick_keyword(0.4, 1.0), vendor)
    attack.bought_share = order.bought_share
    plan.attacks.append(attack)
    return len(plan.attacks) - 1


def _poison(plan: Plan, order: AttackOrder) -> AttackOrder:
    """Return the trickle that comes before a poisoned purchase, as an order of its own."""
    lead_ms = min(_POISON_MS_MAX, int(0.95 * (order.start_ms - plan.scenario.start_ms)))
    return replace(
        order, shape="poison", size=max(8, int(_POISON_SHARE * order.size)), start_ms=order.start_ms - lead_ms,
        duration_ms=max(int(0.97 * lead_ms), 1),
    )  # fmt: skip


def _get_used(plan: Plan, order: AttackOrder, attack: int) -> int:
    """Add the trickle's truth: on the same subject as the attack that follows; the number of the new attack."""
    plan.attacks.append(replace(plan.attacks[attack], shape=order.shape))
    return len(plan.attacks) - 1


def _shifts(plan: Plan, vendor: Vendor, order: AttackOrder, attacks: Ints, pool_size: int) -> _Job:
    """Who does what when: each customer gets `size` different workers.

    A crew works through several customers in one shift; otherwise each customer's order runs by itself.
    """
    rng, rhythm = plan.rng, plan.population.rhythm
    member = np.concatenate([rng.permutation(pool_size)[: order.size] for _ in attacks])
    attack = np.repeat(attacks, order.size)
    if vendor.crew and len(attacks) > 1:
        shift = bought(rng, vendor.process, pool_size, order.start_ms, order.duration_ms, rhythm)
        shift = shift[rng.permutation(pool_size)]
        mixed = rng.permutation(len(member))
        by_member = mixed[np.argsort(member[mixed], kind="stable")]
        sizes = np.bincount(member, minlength=pool_size)
        place = np.arange(len(member)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        pause = np.cumsum(gaps_s(rng, len(member), "lognormal", vendor.gap_s, 0.8))
        head = np.repeat(pause[np.minimum(np.cumsum(sizes) - sizes, len(pause) - 1)], sizes)
        at = np.zeros(len(member), dtype=np.int64)
        at[by_member] = shift[member[by_member]] + np.where(place > 0, (pause - head) * 1000.0, 0.0).astype(np.int64)
    else:
        each = [bought(rng, vendor.process, order.size, order.start_ms, order.duration_ms, rhythm) for _ in attacks]
        at = np.concatenate(each)
    return _Job(attack.astype(np.int64), member.astype(np.int64), at)


def _deliver(plan: Plan, vendor: Vendor, order: AttackOrder, job: _Job, workers: Ints) -> Rows:
    rng, population = plan.rng, plan.population
    subject = np.array([attack.subject for attack in plan.attacks])[job.attack]
    base = rows(
        EVENT, len(job.at), ts=job.at, actor=workers[job.member], attack=job.attack,
        visit=pair_words(job.member, job.at // (20 * MINUTE_MS), int(rng.integers(1 << 62))) >> np.uint64(32),
        surface=surfaces(rng, vendor, _VERBS[order.kind], len(job.at)), verb=_VERBS[order.kind],
    )  # fmt: skip
    if order.kind == "follower_spike":
        base["account"] = subject
    elif order.kind == "like_boost":
        base["note"], base["account"] = subject, population.notes.author[subject]
    elif order.kind == "keyword_ranking":
        return _rank(plan, vendor, order, base, subject)
    else:
        return _trend(plan, vendor, base, subject)
    share = float(rng.uniform(0.5, 1.0)) if order.shape == "follow_unfollow" else vendor.dropped
    return join([base, _take_back(plan, base, share)], EVENT)


def _take_back(plan: Plan, paid: Rows, share: float) -> Rows:
    """Unfollows or unlikes of a part of what was delivered, hours to days later (within the scenario)."""
    rng = plan.rng
    gone = paid[rng.random(len(paid)) < share].copy()
    typical_ms = min(8.0 * HOUR_MS, 0.15 * plan.scenario.duration_ms)
    gone["ts"] += (typical_ms * np.exp(rng.normal(0.0, 1.0, len(gone)))).astype(np.int64) + MINUTE_MS
    gone["verb"] += 1
    gone["visit"] = rng.integers(0, 1 << 32, len(gone))
    gone["surface"] = int(Surface.PROFILE)
    return gone


def _rank(plan: Plan, vendor: Vendor, order: AttackOrder, base: Rows, subject: Ints) -> Rows:
    """Search the keyword, click the bought note wherever it stands by then, perhaps like it."""
    rng, notes = plan.rng, plan.population.notes
    note = int(plan.attacks[int(base["attack"][0])].note)
    progress = np.clip((base["ts"] - order.start_ms) / max(order.duration_ms, 1), 0.0, 1.0)
    lowest, best = rng.uniform(6, RESULTS), rng.uniform(1, 6)
    rank = lowest + (best - lowest) * progress ** rng.uniform(0.5, 1.5) + rng.normal(0.0, 1.2, len(base))
    base["keyword"] = subject
    base["note"], base["account"] = note, notes.author[note]
    base["position"] = np.clip(np.round(rank), 1, RESULTS)
    decoy = rng.random(len(base)) < vendor.decoys
    _click_around(plan, base, decoy)
    liking = base[~decoy & (rng.random(len(base)) < order.likes_after_click)].copy()
    liking["ts"] += 1_500 + (gaps_s(rng, len(liking), "lognormal", 14.0, 0.9) * 1000.0).astype(np.int64)
    liking["verb"], liking["keyword"], liking["position"] = Verb.LIKE, -1, 0
    liking["surface"] = np.where(rng.random(len(liking)) < 0.4, int(Surface.NOTE), int(Surface.SEARCH))
    return join([base, liking], EVENT)


def _trend(plan: Plan, vendor: Vendor, base: Rows, subject: Ints) -> Rows:
    """Search the keyword, seldom clicking anything."""
    base["keyword"] = subject
    _click_around(plan, base, plan.rng.random(len(base)) < min(0.3, vendor.decoys + 0.05 * plan.rng.random()))
    return base


def _click_around(plan: Plan, base: Rows, chosen: Bools) -> None:
    """Clicks on ordinary results in the chosen rows; other rows keep what they have."""
    keyword = base["keyword"][chosen].astype(np.int64)
    position, note = plan.population.keywords.click(plan.rng, keyword)
    found = note >= 0
    base["note"][chosen] = note
    base["account"][chosen] = np.where(found, plan.population.notes.author[note], -1)
    base["position"][chosen] = np.where(found, position, 0)


def _chatter(plan: Plan, vendor: Vendor, job: _Job, workers: Ints) -> None:
    """Let some workers look around before or after the paid action, like anybody."""
    rng = plan.rng
    talk = rng.random(len(job.at)) < vendor.chatter
    # Some in the same breath, some in the same hour.
    breath_ms = np.where(rng.random(int(talk.sum())) < 0.6, 0.7 * MINUTE_MS, 12.0 * MINUTE_MS)
    shift_ms = (rng.normal(0.0, 1.0, len(breath_ms)) * breath_ms).astype(np.int64)
    plan.visit(job.at[talk] + shift_ms, workers[job.member[talk]], Goal.BROWSE, surface=Surface.FEED)


def _organic_rise(plan: Plan, order: AttackOrder, number: int) -> None:
    """Plan the honest interest in which a `mixed` attack hides, sized by the share that is bought."""
    rng, population, attack = plan.rng, plan.population, plan.attacks[number]
    honest = min(int(order.size * (1.0 / order.bought_share - 1.0)), int(0.15 * plan.scenario.accounts))
    begin_ms = order.start_ms - int(rng.uniform(0.0, 0.4) * order.duration_ms)
    told = attention(rng, 2 * honest, begin_ms, int(1.5 * order.duration_ms), float(rng.uniform(0.1, 0.4)))
    if attack.kind == "follower_spike":
        community = int(population.accounts.community[attack.subject])
    elif attack.kind == "like_boost":
        community = int(population.notes.community[attack.subject])
    else:
        community = int(population.keywords.community[attack.subject])
    at, actor = plan.come(told, community, inside=0.4, narrow=0.2, newcomers=float(rng.uniform(0.0, 0.1)))
    chosen = np.sort(rng.permutation(len(at))[:honest])
    at, actor = at[chosen], actor[chosen]
    if attack.kind == "follower_spike":
        plan.visit(at, actor, Goal.FOLLOW, account=attack.subject, surface=Surface.PROFILE, more=0.4)
    elif attack.kind == "like_boost":
        plan.visit(at, actor, Goal.LIKE, note=attack.subject, surface=Surface.FEED, more=0.4, extra=0.04)
    else:
        plan.visit(at, actor, Goal.SEARCH, keyword=attack.subject, surface=Surface.SEARCH, more=0.4)
