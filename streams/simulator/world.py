"""A world: the population of a scenario, its campaigns and episodes planned, its rates fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from streams.simulator.accounts import (
    SENDS_ALL,
    SENDS_CREATED,
    SENDS_DEVICE,
    SENDS_NETWORK,
    SENDS_SURFACE,
    Accounts,
    Crowd,
    Society,
    make_people,
    make_society,
    past_creations,
)  # fmt: skip
from streams.simulator.attacks import draw_attacks, plan_attacks
from streams.simulator.columns import DAY_MS, EVENT, HOUR_MS, MINUTE_MS, VISIT, Goal, Rows, Surface, join
from streams.simulator.episodes import draw_benign, plan_episode
from streams.simulator.gangs import draw_gangs, plan_gangs
from streams.simulator.habits import Habits, draw_habits
from streams.simulator.keywords import Keywords
from streams.simulator.notes import Attention, make_notes
from streams.simulator.plan import Attack, Episode, Plan
from streams.simulator.population import Population
from streams.simulator.programs import draw_programs, plan_programs
from streams.simulator.rhythm import make_rhythm
from streams.simulator.scenario import Scenario
from streams.simulator.visits import expand

PAID_SERIAL: Final = 1 << 48
"""Serials of paid events start here, those of organic ones at 0; ids are a bijection of both."""

_PILOT_VISITS: Final = 6_000


@dataclass(slots=True)
class World:
    """Built once, then run by `simulate`.

    `visits` are planned visits by start, `paid` the attackers' events by time; `visits_per_event` says
    how many candidate visits the organic rate needs for one event. Running a world changes nothing in
    it but the caches of attention and results, so build a new one for every run.
    """

    scenario: Scenario
    seed: int
    population: Population
    visits: Rows
    paid: Rows
    attacks: list[Attack]
    episodes: list[Episode]
    visits_per_event: float
    rng: np.random.Generator

    @classmethod
    def build(cls, scenario: Scenario, seed: int) -> Self:
        """Build the world of a scenario; everything random comes from `seed`."""
        rng = np.random.default_rng([seed, 0xB0057])
        habits = scenario.habits or draw_habits(scenario.family, rng)
        society = make_society(rng, habits)
        population = _populate(rng, scenario, habits, society)
        plan = Plan(scenario, population, society, rng)
        population.refresh(scenario.start_ms, 0)
        benign = scenario.benign
        for order in draw_benign(rng, scenario, benign) if isinstance(benign, int) else benign:
            plan_episode(plan, order)
        orders = scenario.attacks
        plan_attacks(plan, draw_attacks(rng, scenario, orders) if isinstance(orders, int) else orders)
        # Draws of their own, so that orders to vendors are the same whether there are programs and groups or not.
        own, programs, gangs = np.random.default_rng([seed, 0xA070]), scenario.programs, scenario.gangs
        plan_programs(plan, draw_programs(own, scenario, programs) if isinstance(programs, int) else programs, own)
        plan_gangs(plan, draw_gangs(own, scenario, gangs) if isinstance(gangs, int) else gangs, own)
        _plan_routine(plan)
        _settle(plan)
        visits = join(plan.visits, VISIT)
        paid = join(plan.paid, EVENT)
        paid = paid[(paid["ts"] >= scenario.start_ms) & (paid["ts"] < scenario.end_ms)]
        paid = paid[np.argsort(paid["ts"], kind="stable")]
        paid["serial"] = PAID_SERIAL + np.arange(len(paid), dtype=np.uint64)
        return cls(
            scenario, seed, population, visits[np.argsort(visits["at"], kind="stable")], paid, plan.attacks,
            plan.episodes, _pilot(population, scenario, seed), rng,
        )  # fmt: skip


def _populate(rng: np.random.Generator, scenario: Scenario, habits: Habits, society: Society) -> Population:
    created = past_creations(rng, habits, scenario.accounts, scenario.start_ms)
    newcomers = rng.poisson(habits.growth_per_day * scenario.accounts * scenario.duration_ms / DAY_MS)
    created = np.concatenate([created, rng.integers(scenario.start_ms, scenario.end_ms, newcomers)])
    accounts = make_people(rng, habits, society, created)
    notes = make_notes(rng, habits, accounts, scenario.notes, scenario.start_ms, scenario.end_ms)
    return Population(
        habits=habits,
        accounts=accounts,
        crowd=Crowd(accounts, habits),
        notes=notes,
        attention=Attention(notes, habits, len(accounts)),
        keywords=Keywords(rng, habits, scenario.keywords, notes),
        rhythm=make_rhythm(rng, habits.zones, habits.cycle_depth, habits.evening_h, habits.lunch, habits.weekend),
        favourites=np.zeros((0, 0), dtype=np.int32),
    )


def _plan_routine(plan: Plan) -> None:
    """First visits of newcomers, and the fixed hours of people who use a scheduling tool."""
    rng, scenario, habits = plan.rng, plan.scenario, plan.population.habits
    accounts = plan.population.accounts
    fresh = np.flatnonzero(accounts.created >= scenario.start_ms)
    first = accounts.created[fresh] + (np.exp(rng.normal(4.0, 1.2, len(fresh))) * 1000.0).astype(np.int64)
    plan.visit(first, fresh, Goal.JOIN, surface=Surface.FEED, more=habits.newcomer_zeal * rng.random(len(fresh)))
    tools = rng.permutation(scenario.accounts)[: int(habits.schedulers * scenario.accounts)]
    days = np.arange(scenario.start_ms - scenario.start_ms % DAY_MS, scenario.end_ms, DAY_MS)
    for tool in tools.tolist():
        period_ms = int(rng.choice([DAY_MS, 12 * HOUR_MS, 6 * HOUR_MS, HOUR_MS], p=[0.5, 0.25, 0.15, 0.1]))
        hours = np.arange(0, DAY_MS, period_ms) + int(rng.integers(0, period_ms // MINUTE_MS)) * MINUTE_MS
        at = (days[:, None] + hours[None, :]).ravel() + rng.integers(
            0, int(rng.choice([500, 5_000, 60_000])), len(days) * len(hours)
        )
        at = at[(rng.random(len(at)) < 0.85) & (at > accounts.created[tool])]
        plan.visit(at, np.full(len(at), tool), Goal.BROWSE, surface=Surface.FEED)


def _settle(plan: Plan) -> None:
    """Join the recruited accounts to the population and decide who sends which optional field."""
    rng, scenario, population = plan.rng, plan.scenario, plan.population
    accounts = Accounts.joined([population.accounts, *plan.blocks])
    habits, count = population.habits, len(accounts)
    if scenario.optional_fields == "none":
        accounts.sends[:] = 0
    elif scenario.optional_fields == "some":
        allowed = np.zeros(count, dtype=np.uint8)
        for bit, chance in (
            (SENDS_CREATED, habits.sends_created), (SENDS_DEVICE, habits.sends_device),
            (SENDS_NETWORK, habits.sends_network), (SENDS_SURFACE, habits.sends_surface),
        ):  # fmt: skip
            allowed |= np.where(rng.random(count) < chance, bit, 0).astype(np.uint8)
        accounts.sends &= allowed
    else:
        accounts.sends[:] = SENDS_ALL
    population.settle(rng, accounts)


def _pilot(population: Population, scenario: Scenario, seed: int) -> float:
    """Candidate visits per organic event, measured on a trial so that rates come out as asked for."""
    rng = np.random.default_rng([seed, 0x9107])
    moments = np.linspace(scenario.start_ms, scenario.end_ms - 1, 9).astype(np.int64).tolist()
    asked = events = 0.0
    for moment in moments:
        population.refresh(moment, 0)
        wanted = _PILOT_VISITS / len(moments) / population.level(moment)
        visits = population.browse(rng, moment, moment + MINUTE_MS, wanted)
        asked += _PILOT_VISITS / len(moments)
        for _ in range(8):
            made = expand(population, visits, rng)
            events += len(made)
            visits = join([population.caught(rng, made), population.answers(rng, made)], VISIT)
    return asked / max(events, 1.0)
