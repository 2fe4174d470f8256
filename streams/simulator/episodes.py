"""Benign episodes: what looks like an attack to whoever only counts, and is none."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.simulator.arrivals import attention
from streams.simulator.columns import DAY_MS, HOUR_MS, MINUTE_MS, Goal, Ints, Surface
from streams.simulator.plan import Episode, Plan
from streams.simulator.scenario import BENIGN_FAMILIES, BenignFamily, BenignOrder, Scenario

_SIZES: Final[dict[BenignFamily, tuple[float, float]]] = {
    "viral": (250, 5_000), "viral_external": (250, 4_000), "celebrity": (150, 1_500), "giveaway": (120, 1_500),
    "fan_club": (40, 300), "promotion": (150, 1_500), "news": (200, 3_000), "influx": (100, 1_000),
    "seasonal": (200, 1_500), "campus": (25, 150),
}  # fmt: skip
_HOURS: Final[dict[BenignFamily, tuple[float, float]]] = {
    "viral": (2, 30), "viral_external": (1, 18), "celebrity": (0.5, 6), "giveaway": (2, 48),
    "fan_club": (24, 96), "promotion": (6, 48), "news": (1, 20), "influx": (4, 48),
    "seasonal": (18, 72), "campus": (0.3, 2),
}  # fmt: skip

_CROWD_SHARE_MAX: Final[dict[BenignFamily, float]] = dict.fromkeys(BENIGN_FAMILIES, 0.12) | {"influx": 0.04}


def draw_benign(rng: np.random.Generator, scenario: Scenario, count: int) -> tuple[BenignOrder, ...]:
    """Orders of every family in turn, sizes log-uniform and bounded by the population."""
    made: list[BenignOrder] = []
    for number in range(count):
        family = BENIGN_FAMILIES[number % len(BENIGN_FAMILIES)]
        low, high = _SIZES[family]
        high = max(low * 1.2, min(high, _CROWD_SHARE_MAX[family] * scenario.accounts))
        hours = _HOURS[family][0] * (_HOURS[family][1] / _HOURS[family][0]) ** rng.random()
        start = scenario.start_ms + int(rng.uniform(0.1, 0.92) * scenario.duration_ms)
        made.append(BenignOrder(family, int(low * (high / low) ** rng.random()), start, int(hours * HOUR_MS)))
    return tuple(made)


def plan_episode(plan: Plan, order: BenignOrder) -> None:
    """Put an episode's visits and its truth into the plan."""
    _PLANNERS[order.family](plan, order)


def _times(plan: Plan, order: BenignOrder) -> Ints:
    # Half of those who hear of it are asleep, so twice as many are told.
    rise = float(plan.rng.uniform(0.06, 0.35)) if order.rise is None else order.rise
    return attention(plan.rng, 2 * order.size, order.start_ms, order.duration_ms, rise)


def _keep(at_ms: Ints, actor: Ints, size: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    chosen = np.sort(rng.permutation(len(at_ms))[:size])
    return at_ms[chosen], actor[chosen]


def _viral(plan: Plan, order: BenignOrder) -> None:
    _spread(plan, order, external=float(plan.rng.uniform(0.0, 0.15)), narrow=0.15, newcomers=plan.rng.uniform(0, 0.1))


def _viral_external(plan: Plan, order: BenignOrder) -> None:
    rng = plan.rng
    external, newcomers = float(rng.uniform(0.5, 0.95)), rng.uniform(0.1, 0.5)
    _spread(plan, order, external=external, narrow=0.6, newcomers=max(newcomers, plan.population.habits.unseen))


def _spread(plan: Plan, order: BenignOrder, *, external: float, narrow: float, newcomers: float) -> None:
    rng, notes = plan.rng, plan.population.notes
    note = plan.pick_note(order.start_ms, DAY_MS)
    at, actor = plan.come(
        _times(plan, order), int(notes.community[note]), inside=float(rng.uniform(0.1, 0.6)), narrow=narrow,
        newcomers=float(newcomers),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    draw = rng.random(len(at))
    surface = np.where(
        draw < external, int(Surface.EXTERNAL), np.where(draw < 0.93, int(Surface.FEED), int(Surface.NOTE))
    )
    more = np.where(surface == int(Surface.EXTERNAL), 0.08, rng.uniform(0.2, 0.8))
    plan.visit(at, actor, Goal.LIKE, note=note, surface=surface, more=more, extra=float(rng.uniform(0.01, 0.12)))
    notes.catching[note] = min(0.9, float(notes.catching[note]) + 0.35)
    _tell(plan, order, account=int(notes.author[note]), note=note, visitors=len(at))


def _celebrity(plan: Plan, order: BenignOrder) -> None:
    rng, accounts = plan.rng, plan.population.accounts
    account = plan.pick_account(0.995, 1.0)
    accounts.fame[account] = max(float(accounts.fame[account]), rng.uniform(0.01, 0.04) * float(accounts.fame.sum()))
    at, actor = plan.come(
        _times(plan, order), int(accounts.community[account]), inside=0.2, narrow=float(rng.uniform(0.2, 0.6)),
        newcomers=float(rng.uniform(0.0, 0.2)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    surface = rng.choice([0, 1, 2, 4], size=len(at), p=rng.dirichlet([2.0, 2.0, 4.0, 1.0]))
    plan.visit(at, actor, Goal.FOLLOW, account=account, surface=surface, more=float(rng.uniform(0.1, 0.6)))
    _tell(plan, order, account=account, visitors=len(at))


def _giveaway(plan: Plan, order: BenignOrder) -> None:
    rng, notes = plan.rng, plan.population.notes
    note = plan.pick_note(order.start_ms, 2 * DAY_MS)
    account = int(notes.author[note])
    at, actor = plan.come(
        _times(plan, order), int(notes.community[note]), inside=float(rng.uniform(0.1, 0.5)),
        narrow=float(rng.uniform(0.3, 0.8)), newcomers=float(rng.uniform(0.1, 0.5)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    plan.population.accounts.fickle[account] = rng.uniform(0.05, 0.4)  # the draw is over, some leave
    surface = rng.choice([0, 2, 3, 4], size=len(at), p=rng.dirichlet([1.5, 2.5, 2.0, 1.5]))
    plan.visit(
        at, actor, Goal.FOLLOW, account=account, note=note, surface=surface, more=float(rng.uniform(0.02, 0.3)),
        extra=float(rng.uniform(0.6, 0.97)),
    )  # fmt: skip
    _tell(plan, order, account=account, note=note, visitors=len(at))


def _fan_club(plan: Plan, order: BenignOrder) -> None:
    """Let the same people like every new note of one author within the hour."""
    rng, population = plan.rng, plan.population
    account = _prolific(plan, order)
    own = np.full(3 * order.size, int(population.accounts.community[account]), dtype=np.int64)
    fans = np.unique(population.crowd.by_community.draw_mixed(rng, own, 0.8))
    fans = rng.permutation(fans[(fans >= 0) & (population.accounts.created[fans] < order.start_ms)])[: order.size]
    end_ms = min(order.start_ms + order.duration_ms, plan.scenario.end_ms)
    mine = np.flatnonzero(population.notes.author == account)
    # The newest old notes too: a club comes together over what is there.
    old = mine[population.notes.created[mine] < order.start_ms]
    fresh = mine[(population.notes.created[mine] >= order.start_ms) & (population.notes.created[mine] < end_ms)]
    fresh = np.concatenate([old[np.argsort(population.notes.created[old])][-3:], fresh])
    loyalty = rng.beta(2.0, 1.5, len(fans))
    count = 0
    for note in fresh.tolist():
        seen_ms = max(
            int(population.notes.created[note]), int(rng.integers(order.start_ms, max(end_ms, order.start_ms + 1)))
        )
        come = fans[rng.random(len(fans)) < loyalty]
        at = seen_ms + (np.exp(rng.normal(2.5, 1.2, len(come))) * MINUTE_MS).astype(np.int64)
        surface = rng.choice([0, 2, 3], size=len(at), p=[0.5, 0.35, 0.15])
        plan.visit(at, come, Goal.LIKE, note=note, surface=surface, more=0.4, extra=0.05)
        count += len(come)
    _tell(plan, order, account=account, visitors=count)


def _prolific(plan: Plan, order: BenignOrder) -> int:
    """Pick an unused author with several notes in the time of the order, or else with the most."""
    notes, rng = plan.population.notes, plan.rng
    during = (notes.created >= order.start_ms) & (notes.created < order.start_ms + order.duration_ms)
    written = np.bincount(notes.author[during], minlength=len(plan.population.accounts))
    fame = plan.population.accounts.fame.astype(np.float64)
    ranked = np.argsort(-(np.minimum(written, 6) + 1e-3 * rng.random(len(written)) + 0.2 * np.log(fame)), kind="stable")
    for account in ranked[rng.permutation(20)].tolist() + ranked[20:].tolist():
        if ("account", account) not in plan.taken:
            plan.taken.add(("account", account))
            return int(account)
    return int(ranked[0])


def _promotion(plan: Plan, order: BenignOrder) -> None:
    """Advertise: even pressure for hours, everybody sees it; a note, which some like, or an account to follow."""
    rng, notes = plan.rng, plan.population.notes
    if (chance := plan.population.habits.advertised_accounts) and rng.random() < chance:
        _advertised_account(plan, order)
        return
    note = plan.pick_note(order.start_ms, 5 * DAY_MS)
    told = np.sort(rng.integers(order.start_ms, order.start_ms + order.duration_ms, 2 * order.size))
    at, actor = plan.come(
        told,
        int(notes.community[note]),
        inside=0.15,
        narrow=float(rng.uniform(0.2, 0.6)),
        newcomers=float(rng.uniform(0, 0.1)),
    )
    at, actor = _keep(at, actor, order.size, rng)
    plan.visit(at, actor, Goal.LIKE, note=note, surface=Surface.FEED, more=0.8, extra=float(rng.uniform(0.05, 0.35)))
    _tell(plan, order, account=int(notes.author[note]), note=note, visitors=len(at))


def _advertised_account(plan: Plan, order: BenignOrder) -> None:
    rng = plan.rng
    account = plan.pick_account(0.3, 0.995)
    told = np.sort(rng.integers(order.start_ms, order.start_ms + order.duration_ms, 2 * order.size))
    at, actor = plan.come(
        told, int(plan.population.accounts.community[account]), inside=0.15, narrow=float(rng.random()),
        newcomers=float(rng.uniform(0.0, 0.2)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    surface = rng.choice([0, 2, 3, 4], size=len(at), p=rng.dirichlet([3.0, 2.0, 1.0, 1.5]))
    plan.visit(at, actor, Goal.FOLLOW, account=account, surface=surface, more=float(rng.uniform(0.05, 0.9)))
    _tell(plan, order, account=account, visitors=len(at))


def _news(plan: Plan, order: BenignOrder) -> None:
    rng = plan.rng
    keyword = plan.pick_keyword(0.3, 0.95)
    community = int(plan.population.keywords.community[keyword])
    at, actor = plan.come(
        _times(plan, order), community, inside=float(rng.uniform(0.0, 0.4)), narrow=float(rng.uniform(0.2, 0.7)),
        newcomers=float(rng.uniform(0.0, 0.12)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    plan.visit(at, actor, Goal.SEARCH, keyword=keyword, surface=Surface.SEARCH, more=float(rng.uniform(0.1, 0.6)))
    _tell(plan, order, keyword=keyword, visitors=len(at))


def _seasonal(plan: Plan, order: BenignOrder) -> None:
    """Let a keyword's time of the year come: a little more of it every hour."""
    rng = plan.rng
    keyword = plan.pick_keyword(0.2, 0.8)
    part = rng.random(2 * order.size) ** rng.uniform(0.4, 0.8)
    told = np.sort(order.start_ms + (part * order.duration_ms).astype(np.int64))
    at, actor = plan.come(
        told, int(plan.population.keywords.community[keyword]), inside=float(rng.uniform(0.0, 0.5)),
        narrow=float(rng.uniform(0.1, 0.5)), newcomers=float(rng.uniform(0.0, 0.06)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    plan.visit(at, actor, Goal.SEARCH, keyword=keyword, surface=Surface.SEARCH, more=float(rng.uniform(0.2, 0.8)))
    _tell(plan, order, keyword=keyword, visitors=len(at))


def _campus(plan: Plan, order: BenignOrder) -> None:
    """Let a class follow its teacher within the lesson, most from one network, some on accounts made for it."""
    rng, accounts = plan.rng, plan.population.accounts
    teacher = plan.pick_account(0.1, 0.9)
    at = np.sort(order.start_ms + (rng.random(2 * order.size) ** 1.5 * order.duration_ms).astype(np.int64))
    at, actor = plan.come(
        at, int(accounts.community[teacher]), inside=0.95, narrow=float(rng.uniform(0.2, 0.7)),
        newcomers=float(rng.uniform(0.0, 0.3)),
    )  # fmt: skip
    at, actor = _keep(at, actor, order.size, rng)
    here = actor[(actor < len(accounts)) & (rng.random(len(actor)) < 0.8)]
    if len(here):
        accounts.network[here] = accounts.network[here[0]]
    surface = rng.choice([1, 2], size=len(at), p=[0.6, 0.4])
    plan.visit(at, actor, Goal.FOLLOW, account=teacher, surface=surface, more=float(rng.uniform(0.05, 0.5)))
    _tell(plan, order, account=teacher, visitors=len(at))


def _influx(plan: Plan, order: BenignOrder) -> None:
    """Bring new users by one author's campaign: they join, most follow the author, they look around."""
    rng = plan.rng
    account = plan.pick_account(0.9, 0.995)
    joined = attention(rng, order.size, order.start_ms, order.duration_ms, float(rng.uniform(0.1, 0.5)))
    actor = plan.recruit(joined)
    first = joined + (gaps(rng, len(joined)) * 1000.0).astype(np.int64)
    loyal = rng.random(len(joined)) < rng.uniform(0.3, 0.9)
    surface = np.where(rng.random(len(joined)) < 0.5, int(Surface.EXTERNAL), int(Surface.PROFILE))
    plan.visit(first[loyal], actor[loyal], Goal.FOLLOW, account=account, surface=surface[loyal], more=0.8)
    plan.visit(first + 40_000, actor, Goal.JOIN, surface=Surface.FEED, more=float(rng.uniform(0.1, 1.2)))
    _tell(plan, order, account=account, visitors=len(joined))


def gaps(rng: np.random.Generator, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds from joining to the first action."""
    return np.asarray(np.exp(rng.normal(4.0, 1.2, count)))


def _tell(
    plan: Plan, order: BenignOrder, *, visitors: int, account: int = -1, note: int = -1, keyword: int = -1
) -> None:
    end_ms = min(order.start_ms + order.duration_ms, plan.scenario.end_ms)
    plan.episodes.append(Episode(order.family, account, note, keyword, order.start_ms, end_ms, visitors))


_PLANNERS: Final = {
    "viral": _viral, "viral_external": _viral_external, "celebrity": _celebrity, "giveaway": _giveaway,
    "fan_club": _fan_club, "promotion": _promotion, "news": _news, "influx": _influx, "seasonal": _seasonal,
    "campus": _campus,
}  # fmt: skip
