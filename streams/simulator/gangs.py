"""Groups that act together: the same accounts on the same targets within minutes, at full or partial attendance."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.simulator.accounts import make_people
from streams.simulator.columns import (
    DAY_MS,
    EVENT,
    HOUR_MS,
    MINUTE_MS,
    Goal,
    Surface,
    Verb,
    join,
    rows,
)  # fmt: skip
from streams.simulator.plan import Attack, Plan
from streams.simulator.scenario import GangOrder, Scenario

PARTICIPATION: Final = (1.0, 0.6, 0.4)
"""Shares of a group that turn up at one target, in turn."""

_MEMBERS: Final = (8, 40)
_TARGETS: Final = (8, 40)


def draw_gangs(rng: np.random.Generator, scenario: Scenario, count: int) -> tuple[GangOrder, ...]:
    """Orders at every participation in turn, sizes log-uniform."""
    made: list[GangOrder] = []
    for number in range(count):
        members = int(_MEMBERS[0] * (_MEMBERS[1] / _MEMBERS[0]) ** rng.random())
        targets = int(_TARGETS[0] * (_TARGETS[1] / _TARGETS[0]) ** rng.random())
        duration_ms = int(rng.uniform(0.15, 0.9) * scenario.duration_ms)
        start_ms = scenario.start_ms + int(rng.uniform(0.02, 1.0) * (scenario.duration_ms - duration_ms))
        made.append(GangOrder(members, targets, PARTICIPATION[number % len(PARTICIPATION)], start_ms, duration_ms))
    return tuple(made)


def plan_gangs(plan: Plan, orders: tuple[GangOrder, ...], rng: np.random.Generator) -> None:
    """Plan every order: its accounts, what they do together, and what they do besides."""
    for number, order in enumerate(orders):
        first = _members(plan, order, rng)
        attack = Attack("lockstep", "full" if order.participation >= 1.0 else "partial", number, -1)
        attack.bought_share = order.participation
        plan.attacks.append(attack)
        _act(plan, order, first, rng)
        _live(plan, order, first, rng)


def _members(plan: Plan, order: GangOrder, rng: np.random.Generator) -> int:
    age_ms = np.exp(rng.uniform(np.log(HOUR_MS), np.log(500 * DAY_MS), order.members)).astype(np.int64)
    block = make_people(rng, plan.population.habits, plan.society, order.start_ms - age_ms)
    block.weight[:] = 0.0
    block.fame[:] = 1e-3
    if rng.random() < 0.5:
        block.community[:] = np.int16(rng.integers(plan.population.habits.communities))
    if rng.random() < 0.3:
        block.device[:] = block.device[rng.integers(0, max(1, order.members // 4), order.members)]
    return plan.enlist(block)


def _act(plan: Plan, order: GangOrder, first: int, rng: np.random.Generator) -> None:
    """Send the members who turn up to each target, most within a few minutes of the first."""
    notes, accounts = plan.population.notes, plan.population.accounts
    number = len(plan.attacks) - 1
    follows = rng.random() < 0.3
    begin = np.sort(order.start_ms + (rng.random(order.targets) * order.duration_ms).astype(np.int64))
    delay_min = float(np.exp(rng.uniform(np.log(0.5), np.log(5.0))))
    usual = rng.dirichlet(np.array([1.0, 0.3, 1.0, 1.0, 0.5]))
    made = []
    for at in begin.tolist():
        come = np.flatnonzero(rng.random(order.members) < order.participation)
        delay_ms = np.minimum(delay_min * np.exp(rng.normal(0.0, 0.8, len(come))), 60.0) * MINUTE_MS
        events = rows(
            EVENT, len(come), ts=at + delay_ms.astype(np.int64), actor=first + come, attack=number, verb=Verb.LIKE,
            visit=rng.integers(0, 1 << 32, len(come)).astype(np.uint32), surface=rng.choice(5, len(come), p=usual),
        )  # fmt: skip
        if follows:
            able = np.flatnonzero(accounts.created < at)
            events["verb"], events["account"] = Verb.FOLLOW, able[int(rng.integers(len(able)))]
        else:
            age_ms = at - notes.created
            able = np.flatnonzero((age_ms > 0) & (age_ms < 3 * DAY_MS))
            able = able if len(able) else np.flatnonzero(age_ms > 0)
            note = able[int(rng.integers(len(able)))]
            events["note"], events["account"] = note, notes.author[note]
        made.append(events)
    plan.paid.append(join(made, EVENT))


def _live(plan: Plan, order: GangOrder, first: int, rng: np.random.Generator) -> None:
    """Ordinary visits of some of the members, as camouflage."""
    per_day = float(rng.choice([0.0, 0.3, 2.0]))
    count = rng.poisson(per_day * plan.scenario.duration_ms / DAY_MS, order.members)
    member = np.repeat(np.arange(order.members), count)
    at = order.start_ms + (rng.random(len(member)) * order.duration_ms).astype(np.int64)
    plan.visit(at, first + member, Goal.BROWSE, surface=Surface.FEED)
