"""Accounts that programs run, and people whose planning tool keeps fixed hours: the one is labelled, the other not.

A program acts by a timer (`fixed`), by a timer with wobble (`jittered`), or in sessions that a planner laid out
(`session`); what it does there is what such tools are sold for: liking the newest notes, following strangers and
dropping them again, scraping a search.
"""

from __future__ import annotations

from typing import Final, get_args

import numpy as np

from streams.simulator.accounts import make_people
from streams.simulator.columns import (
    DAY_MS,
    EVENT,
    HOUR_MS,
    MINUTE_MS,
    Floats,
    Goal,
    Ints,
    Rows,
    Surface,
    Verb,
    join,
    rows,
)  # fmt: skip
from streams.simulator.plan import Attack, Episode, Plan
from streams.simulator.sampling import gaps_s
from streams.simulator.scenario import ProgramOrder, ProgramShape, Scenario

_SHAPES: Final[tuple[ProgramShape, ...]] = get_args(ProgramShape)

_SCHEDULERS_PER_PROGRAM: Final = 0.5
"""Benign accounts with a planning tool, for each account that a program runs."""


def draw_programs(rng: np.random.Generator, scenario: Scenario, count: int) -> tuple[ProgramOrder, ...]:
    """Orders of every shape in turn, an account each."""
    made: list[ProgramOrder] = []
    for number in range(count):
        duration_ms = int(rng.uniform(0.3, 0.95) * scenario.duration_ms)
        start_ms = scenario.start_ms + int(rng.uniform(0.02, 1.0) * (scenario.duration_ms - duration_ms))
        size = int(60 * 12.0 ** rng.random())
        made.append(ProgramOrder(_SHAPES[number % len(_SHAPES)], size, start_ms, duration_ms))
    return tuple(made)


def plan_programs(plan: Plan, orders: tuple[ProgramOrder, ...], rng: np.random.Generator) -> None:
    """Plan every order, and planning tools beside them."""
    if not orders:
        return
    for order in orders:
        plan.attacks.append(Attack("automation", order.shape, _account(plan, order, rng), -1))
        events = _act(plan, order, _times(order, rng), rng)
        plan.paid.append(events)
    for _ in range(int(np.ceil(_SCHEDULERS_PER_PROGRAM * len(orders)))):
        _scheduler(plan, rng)


def _account(plan: Plan, order: ProgramOrder, rng: np.random.Generator) -> int:
    """Choose an account: made for it, or somebody's own, who goes on using it by hand."""
    old = np.flatnonzero(plan.population.accounts.created < order.start_ms - HOUR_MS)
    if rng.random() < 0.3 and len(old):
        for _ in range(60):
            account = int(old[int(rng.integers(len(old)))])
            if ("account", account) not in plan.taken:
                plan.taken.add(("account", account))
                return account
    age_ms = int(np.exp(rng.uniform(np.log(HOUR_MS), np.log(400 * DAY_MS))))
    block = make_people(rng, plan.population.habits, plan.society, np.array([order.start_ms - age_ms]))
    block.weight[:] = 0.0
    block.fame[:] = 1e-3
    return plan.enlist(block)


def _times(order: ProgramOrder, rng: np.random.Generator) -> Ints:
    """Instants of the actions, sorted, within the order's time."""
    if order.shape == "session":
        return _sessions(order, rng)
    asleep_ms = int(rng.choice([0, 0, 6, 8, 10])) * HOUR_MS
    awake_share = 1.0 - asleep_ms / DAY_MS
    period_ms = max(order.duration_ms * awake_share / order.size, 3_000.0)
    if order.shape == "fixed":
        wobble_ms = rng.choice([5.0, 200.0, 1_500.0]) * rng.random(order.size)
        at = np.arange(order.size) * period_ms + np.minimum(wobble_ms, 0.05 * period_ms)
        if rng.random() < 0.4:  # set off by a clock: at the same second of the minute
            at = np.round(at / MINUTE_MS) * MINUTE_MS + wobble_ms
    else:
        width = float(rng.uniform(0.1, 0.8))
        wobble = rng.uniform(-width, width, order.size) if rng.random() < 0.7 else width * 0.5 * rng.normal(
            0.0, 1.0, order.size
        )  # fmt: skip
        at = np.cumsum(period_ms * np.clip(1.0 + wobble, 0.1, 3.0))
    day_ms = DAY_MS - asleep_ms
    at = at + (at // day_ms) * asleep_ms
    made = order.start_ms + at.astype(np.int64)
    return np.asarray(made[made < order.start_ms + order.duration_ms])


def _sessions(order: ProgramOrder, rng: np.random.Generator) -> Ints:
    """Lay out visits: so many a day at much the same hours, of much the same length, with pauses like people's."""
    per_day = int(rng.integers(2, 9))
    days = max(order.duration_ms / DAY_MS, 0.2)
    length = max(int(order.size / max(per_day * days, 1.0)), 5)
    hours = np.sort(rng.uniform(7.0, 23.5, per_day))
    first_day = order.start_ms - order.start_ms % DAY_MS
    pause_s, spread = float(np.exp(rng.uniform(np.log(4.0), np.log(60.0)))), float(rng.uniform(0.1, 0.6))
    slack, evenness = float(rng.uniform(1.0, 25.0)) * MINUTE_MS, float(rng.uniform(0.0, 0.25))
    made: list[Ints] = []
    for day in range(int(np.ceil(days)) + 1):
        for hour in hours.tolist():
            begin = first_day + day * DAY_MS + int(hour * HOUR_MS + rng.normal(0.0, slack))
            count = max(3, int(length * (1.0 + evenness * rng.normal())))
            gaps: Floats = gaps_s(rng, count, "lognormal", pause_s, spread)
            if rng.random() < 0.5:
                gaps = pause_s * rng.uniform(1.0 - spread, 1.0 + spread, count)
            made.append(begin + (np.cumsum(gaps) * 1000.0).astype(np.int64))
    at = np.sort(np.concatenate(made))
    at = at[(at >= order.start_ms) & (at < order.start_ms + order.duration_ms)]
    return np.asarray(at[: 2 * order.size])


def _act(plan: Plan, order: ProgramOrder, at: Ints, rng: np.random.Generator) -> Rows:
    """Give each instant an action of the program's trade."""
    number, actor = len(plan.attacks) - 1, plan.attacks[-1].subject
    likes, follows, searches = [(1, 0, 0), (1, 0, 0), (0, 1, 0), (0.6, 0.4, 0), (0.1, 0, 0.9), (0.8, 0.1, 0.1)][
        int(rng.integers(6))
    ]
    kind = rng.choice(3, size=len(at), p=[likes, follows, searches])
    visit = rng.integers(0, 1 << 32, len(at)).astype(np.uint32)
    surface = rng.choice(5, size=len(at), p=rng.dirichlet(rng.choice([0.05, 0.3, 1.5]) * np.ones(5)))
    made = rows(EVENT, len(at), ts=at, actor=actor, attack=number, visit=visit, surface=surface, verb=Verb.LIKE)
    if len(made) == 0:
        return made
    population, inside = plan.population, float(rng.choice([0.0, 0.5, 1.0]))
    community = np.full(len(at), int(rng.integers(population.habits.communities)), np.int64)
    note = _newest(plan, at, rng) if rng.random() < 0.5 else population.attention.by_community.draw_mixed(
        rng, community, inside
    )  # fmt: skip
    note = np.where(note < 0, _newest(plan, at, rng), note)
    made["note"], made["account"] = note, population.notes.author[note]
    following = kind == 1
    target = population.crowd.by_presence.draw_mixed(rng, community, inside)
    following &= (target >= 0) & (target != actor)
    made["verb"][following], made["note"][following] = Verb.FOLLOW, -1
    made["account"][following] = target[following]
    searching = kind == 2
    made["verb"][searching], made["surface"][searching] = Verb.SEARCH, int(Surface.SEARCH)
    keyword = population.keywords.index.draw_any(rng, int(searching.sum()))
    made["keyword"][searching] = keyword
    clicked = rng.random(len(keyword)) < rng.choice([0.0, 0.5, 1.0])
    position, found = population.keywords.click(rng, keyword)
    clicked &= found >= 0
    made["note"][searching] = np.where(clicked, found, -1)
    made["account"][searching] = np.where(clicked, population.notes.author[np.maximum(found, 0)], -1)
    made["position"][searching] = np.where(clicked, position, 0)
    made = made[(made["account"] != actor) | (made["verb"] == Verb.SEARCH)]
    return join([made, _dropped(made, order, rng)], EVENT)


def _newest(plan: Plan, at: Ints, rng: np.random.Generator) -> Ints:
    """Draw notes that were new then: what a program finds at the top of a list."""
    created = plan.population.notes.created
    order = np.argsort(created, kind="stable")
    place = np.searchsorted(created[order], at) - rng.geometric(0.03, len(at))
    return np.asarray(order[np.maximum(place, 0)].astype(np.int64))


def _dropped(made: Rows, order: ProgramOrder, rng: np.random.Generator) -> Rows:
    """Follows taken back by the same timer some time later, as such programs are sold for."""
    follows = made[made["verb"] == Verb.FOLLOW]
    if rng.random() < 0.5 or len(follows) == 0:
        return rows(EVENT, 0)
    gone = follows[rng.random(len(follows)) < rng.uniform(0.3, 1.0)].copy()
    gone["ts"] += int(rng.uniform(0.1, 0.5) * order.duration_ms) + MINUTE_MS
    gone["verb"] = Verb.UNFOLLOW
    gone["surface"] = int(Surface.PROFILE)
    return np.asarray(gone)


def _scheduler(plan: Plan, rng: np.random.Generator) -> None:
    """Somebody whose tool opens the product at fixed hours, and who then does what people do."""
    account = plan.pick_account(0.3, 0.99)
    scenario = plan.scenario
    per_day = int(rng.choice([2, 4, 8, 24, 48]))
    step_ms = DAY_MS // per_day
    offset_ms = int(rng.integers(0, step_ms // MINUTE_MS)) * MINUTE_MS
    at = np.arange(scenario.start_ms - scenario.start_ms % DAY_MS + offset_ms, scenario.end_ms, step_ms)
    at = at[(rng.random(len(at)) < rng.uniform(0.7, 1.0)) & (at >= scenario.start_ms)]
    at = at + rng.integers(0, int(rng.choice([500, 5_000, 60_000])), len(at))
    plan.visit(at, np.full(len(at), account), Goal.BROWSE, surface=Surface.FEED)
    plan.episodes.append(Episode("scheduler", account, -1, -1, scenario.start_ms, scenario.end_ms, len(at)))
