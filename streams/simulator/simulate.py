"""Running a world: slice by slice, in the order in which events arrive, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from streams.simulator.columns import (
    DAY_MS,
    EVENT,
    HOUR_MS,
    MINUTE_MS,
    NOBODY,
    SECOND_MS,
    TOPICS,
    VISIT,
    Bools,
    Rows,
    Surface,
    Verb,
    join,
)  # fmt: skip
from streams.simulator.delivery import deliver
from streams.simulator.lines import Namer, render, split
from streams.simulator.sampling import SeenPairs
from streams.simulator.scenario import Scenario
from streams.simulator.visits import expand
from streams.simulator.world import World

_SLICE_MS_MIN: Final = SECOND_MS
_SLICE_MS_MAX: Final = 2 * HOUR_MS
_BIN_MS_MAX: Final = 15 * MINUTE_MS
_CASCADE_FACTOR_MAX: Final = 4
"""A slice's cascades may bring at most so many visits a round for each event that it was cut for."""

_KEPT_EVENTS_MIN: Final = 200
_KEPT_STEP: Final = 0.2
"""Part of what people would do they have done already (liked this note, followed this account). The visits
are raised by that part, as seen in batches of some size and averaged over about five of them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The events that arrive in [start_ms, end_ms), by topic and in arrival order.

    `topics` has `EVENT` rows; `lines(topic)` renders them when asked. The last slice also has what was
    still under way.
    """

    start_ms: int
    end_ms: int
    topics: dict[str, Rows]
    world: World
    namer: Namer

    def lines(self, topic: str) -> list[bytes]:
        """JSON objects of one topic, without line ends."""
        return render(self.namer, self.world.population.accounts, self.topics[topic], TOPICS.index(topic))

    def keys(self, topic: str) -> list[bytes]:
        """Give the record keys of one topic: the actors' ids."""
        keys: list[bytes] = self.namer.account[self.topics[topic]["actor"]].tolist()
        return keys

    @property
    def count(self) -> int:
        """Events in it, duplicates included."""
        return sum(len(part) for part in self.topics.values())


def namer_of(world: World) -> Namer:
    """Make the ids of a world."""
    population = world.population
    return Namer(world.seed, len(population.accounts), len(population.notes), population.keywords)


def simulate(
    scenario: Scenario | World, seed: int = 0, *, slice_events: int = 50_000, live_slice_ms: int | None = None
) -> Iterator[Slice]:
    """Slices of about `slice_events` events; with `live_slice_ms` those after `live_from_ms` are that short.

    The same arguments give the same events. A `World` is run with its own seed, once. Where there is no
    `live_from_ms`, `live_slice_ms` is for the whole run.

    >>> plain = Scenario(start_ms=1_764_000_000_000, duration_ms=600_000, accounts=500, notes=200, keywords=50)
    >>> sum(part.count for part in simulate(plain, seed=1)) > 0
    True
    """
    world = scenario if isinstance(scenario, World) else World.build(scenario, seed)
    run = _Run(world, slice_events)
    namer = namer_of(world)
    for first_ms, last_ms in _cuts(world.scenario, slice_events, live_slice_ms):
        arrived = run.advance(first_ms, last_ms)
        yield Slice(first_ms, last_ms, split(arrived), world, namer)


def _cuts(scenario: Scenario, slice_events: int, live_slice_ms: int | None) -> Iterator[tuple[int, int]]:
    live_ms = scenario.start_ms if scenario.live_from_ms is None else scenario.live_from_ms
    first_ms = scenario.start_ms
    while first_ms < scenario.end_ms:
        length_ms = slice_events / scenario.rate_per_s(first_ms) * SECOND_MS
        last_ms = first_ms + int(min(max(length_ms, _SLICE_MS_MIN), _SLICE_MS_MAX))
        if first_ms < live_ms:
            last_ms = min(last_ms, live_ms)
        elif live_slice_ms is not None:
            last_ms = min(last_ms, first_ms + live_slice_ms)
        yield first_ms, min(last_ms, scenario.end_ms)
        first_ms = last_ms


class _Run:
    """The moving parts of one run: what is pending, what is under way, what was done already."""

    def __init__(self, world: World, slice_events: int) -> None:
        self._world, self._slice_events = world, slice_events
        self._rng = np.random.default_rng([world.seed, 0x51A1])
        scenario = world.scenario
        expected = int(scenario.events_per_s * scenario.duration_ms / SECOND_MS) + 4 * len(world.visits)
        self._seen = SeenPairs(min(expected, 1 << 27), world.seed)
        self._pending: list[Rows] = []
        self._under_way = join([], EVENT)
        self._next_visit = self._next_paid = self._serial = 0
        self._kept = 1.0

    def advance(self, first_ms: int, last_ms: int) -> Rows:
        """Everything that arrives in [first, last), sorted by arrival; at the end, what is left too."""
        world, rng = self._world, self._rng
        world.population.refresh(first_ms, min(last_ms - first_ms, 10 * MINUTE_MS))
        made = self._organic(first_ms, last_ms)
        made["serial"] = self._serial + np.arange(len(made), dtype=np.uint64)
        self._serial += len(made)
        delivered = deliver(rng, world.population.habits, join([made, self._paid(last_ms)], EVENT))
        everything = join([self._under_way, delivered], EVENT)
        over = last_ms >= world.scenario.end_ms
        now = everything["ts"] < last_ms if over else everything["arrival"] < last_ms
        self._under_way = everything[~now]
        arrived = everything[now]
        return arrived[np.lexsort((arrived["serial"], arrived["arrival"]))]

    def _paid(self, last_ms: int) -> Rows:
        paid = self._world.paid
        until = int(np.searchsorted(paid["ts"], last_ms))
        part = paid[self._next_paid : until]
        self._next_paid = until
        return part.copy()

    def _organic(self, first_ms: int, last_ms: int) -> Rows:
        world, rng, population = self._world, self._rng, self._world.population
        visits = join([self._browse(first_ms, last_ms), self._planned(last_ms), *self._pending], VISIT)
        self._pending = []
        made: list[Rows] = []
        while True:
            due = visits["at"] < last_ms
            self._pending.append(visits[~due])
            if not due.any():
                break
            events = expand(population, visits[due], rng)
            news = self._news(events)
            if len(events) > _KEPT_EVENTS_MIN:
                self._kept += _KEPT_STEP * (float(news.mean()) - self._kept)
            events = events[news]
            made += [events, self._regrets(events)]
            visits = join([population.caught(rng, events), population.answers(rng, events)], VISIT)
            visits = visits[: _CASCADE_FACTOR_MAX * self._slice_events]
        events = join(made, EVENT)
        return events[events["ts"] < world.scenario.end_ms]

    def _browse(self, first_ms: int, last_ms: int) -> Rows:
        bins = max(1, -(-(last_ms - first_ms) // _BIN_MS_MAX))
        edges = np.linspace(first_ms, last_ms, bins + 1).astype(np.int64).tolist()
        scenario, per_event = self._world.scenario, self._world.visits_per_event
        made = []
        for low, high in pairwise(edges):
            wanted = scenario.rate_per_s((low + high) / 2) * (high - low) / SECOND_MS * per_event / max(self._kept, 0.2)
            if scenario.warmup_e_fold_ms:
                # What is usual must not hang on the hour at which somebody starts it.
                wanted /= self._world.population.level((low + high) // 2)
            made.append(self._world.population.browse(self._rng, low, high, wanted))
        return join(made, VISIT)

    def _planned(self, last_ms: int) -> Rows:
        visits = self._world.visits
        until = int(np.searchsorted(visits["at"], last_ms))
        part = visits[self._next_visit : until]
        self._next_visit = until
        return part

    def _news(self, events: Rows) -> Bools:
        """Drop a second like of the same note or follow of the same account by the same actor."""
        once = np.flatnonzero(events["verb"] != Verb.SEARCH)
        once = once[np.argsort(events["ts"][once], kind="stable")]
        part = events[once]
        # Notes and accounts are told apart by the lowest bit.
        thing = np.where(
            part["verb"] == Verb.LIKE, 2 * part["note"].astype(np.int64), 2 * part["account"].astype(np.int64) + 1
        )
        keep = np.ones(len(events), dtype=np.bool_)
        keep[once] = self._seen.first_time(part["actor"].astype(np.int64), thing)
        return keep

    def _regrets(self, events: Rows) -> Rows:
        """Organic unlikes and unfollows: slips taken back at once, and changes of mind hours or days later."""
        rng, habits = self._rng, self._world.population.habits
        fickle = self._world.population.accounts.fickle[events["account"]]
        chance = np.where(
            events["verb"] == Verb.LIKE,
            habits.unlike,
            np.where(events["verb"] == Verb.FOLLOW, np.maximum(habits.unfollow, fickle), 0.0),
        )
        regret = events[rng.random(len(events)) < chance].copy()
        slip = rng.random(len(regret)) < 0.4
        wait_s = np.where(slip, np.exp(rng.normal(1.8, 1.0, len(regret))), np.exp(rng.normal(10.8, 1.5, len(regret))))
        regret["ts"] += (np.minimum(wait_s, 20.0 * DAY_MS / SECOND_MS) * SECOND_MS).astype(np.int64) + 400
        regret["verb"] += 1
        regret["surface"] = np.where(slip, regret["surface"], int(Surface.PROFILE))
        regret["attack"] = NOBODY
        return regret
