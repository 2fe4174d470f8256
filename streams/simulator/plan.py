"""What is decided before the first event: campaigns, episodes, whom they need, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streams.simulator.accounts import Accounts, Society, make_people
from streams.simulator.columns import HOUR_MS, MINUTE_MS, VISIT, Goal, Ints, Rows, rows
from streams.simulator.population import Population
from streams.simulator.scenario import BenignFamily, Kind, Scenario, Shape

_CHURN = 0.7
"""Share of the newcomers of an episode that are not seen again, about what app stores tell of first weeks."""


@dataclass(slots=True)
class Attack:
    """The truth about one attack: whom it hits (`subject` indexes accounts, notes or keywords)."""

    kind: Kind
    shape: Shape
    subject: int
    vendor: int
    note: int = -1
    bought_share: float = 1.0


@dataclass(slots=True)
class Episode:
    """The truth about one benign episode; `note` and `keyword` are -1 when not concerned."""

    family: BenignFamily
    account: int
    note: int
    keyword: int
    start_ms: int
    end_ms: int
    visitors: int


@dataclass(slots=True)
class Plan:
    """Collects visits, paid events and accounts while campaigns are planned.

    Accounts that do not exist yet are numbered on from the last one (`recruit`, `enlist`). A vendor's
    accounts make at most `cover_visits_max` ordinary visits, lest they become the population.
    """

    scenario: Scenario
    population: Population
    society: Society
    rng: np.random.Generator
    visits: list[Rows] = field(default_factory=list)
    paid: list[Rows] = field(default_factory=list)
    blocks: list[Accounts] = field(default_factory=list)
    attacks: list[Attack] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    taken: set[tuple[str, int]] = field(default_factory=set)
    cover_visits_max: float = 1e9

    @property
    def account_count(self) -> int:
        """Accounts so far, the planned ones included."""
        return len(self.population.accounts) + sum(len(block) for block in self.blocks)

    def enlist(self, block: Accounts) -> int:
        """Append accounts; the number of the first."""
        first = self.account_count
        self.blocks.append(block)
        return first

    def recruit(self, joined_ms: Ints) -> Ints:
        """Ordinary newcomers made at these instants; their numbers."""
        block = make_people(self.rng, self.population.habits, self.society, joined_ms)
        # Most who join for one thing never come back.
        block.weight[self.rng.random(len(joined_ms)) < _CHURN] *= np.float32(0.02)
        return np.arange(len(joined_ms)) + self.enlist(block)

    def come(self, at_ms: Ints, community: int, *, inside: float, narrow: float, newcomers: float) -> tuple[Ints, Ints]:
        """Who comes to an episode at these instants, and when (those asleep come hours later or never).

        `narrow` is the share drawn from everybody alike, so mostly seldom seen people; `newcomers`
        the share that joins the platform for it, a little before.
        """
        rng, population = self.rng, self.population
        fresh = rng.random(len(at_ms)) < newcomers
        groups = np.full(len(at_ms), community, dtype=np.int64)
        busy = population.visitors(rng, at_ms, groups, inside)
        anyone = population.crowd.by_presence.draw_mixed(rng, groups, inside)
        anyone = np.where(population.alive(np.maximum(anyone, 0), at_ms), anyone, -1)
        actor = np.where(rng.random(len(at_ms)) < narrow, anyone, busy)
        joined = at_ms[fresh] - (np.exp(rng.normal(1.0, 1.3, int(fresh.sum()))) * MINUTE_MS).astype(np.int64)
        actor[fresh] = self.recruit(joined)
        keep = actor >= 0
        return at_ms[keep], actor[keep]

    def visit(self, at_ms: Ints, actor: Ints, goal: Goal, **values: object) -> None:
        """Add visits, as far as they start within the scenario."""
        made = rows(VISIT, len(at_ms), at=at_ms, actor=actor, goal=goal, **values)
        self.visits.append(made[(at_ms >= self.scenario.start_ms) & (at_ms < self.scenario.end_ms)])

    def pick_account(self, low: float, high: float) -> int:
        """Pick an old enough account, not yet used, between two quantiles of fame."""
        accounts = self.population.accounts
        old = np.flatnonzero(accounts.created < self.scenario.start_ms - HOUR_MS)
        ranked = old[np.argsort(accounts.fame[old], kind="stable")]
        return self._pick("account", ranked[int(low * len(ranked)) : max(int(high * len(ranked)), 1)])

    def pick_note(self, at_ms: int, age_ms_max: int, author: int | None = None) -> int:
        """Pick a note written shortly before, not yet used, whose author was not used either (unless given)."""
        notes = self.population.notes
        age = at_ms - notes.created
        for bound in (age_ms_max, 20 * age_ms_max, 10**15):
            able = (age >= 0) & (age < bound)
            able &= notes.author == author if author is not None else notes.community >= 0
            choices = np.flatnonzero(able)
            if len(choices):
                note = self._pick("note", choices)
                self.taken.add(("account", int(notes.author[note])))
                return note
        return -1

    def pick_keyword(self, low: float, high: float) -> int:
        """Pick a keyword between two quantiles of rarity (0: the most searched), on a log scale."""
        size = len(self.population.keywords)
        return self._pick("keyword", np.arange(int(size**low) - 1, max(int(size**high) - 1, int(size**low))))

    def _pick(self, what: str, choices: Ints) -> int:
        for _ in range(60):
            chosen = int(choices[int(self.rng.integers(len(choices)))])
            if (what, chosen) in self.taken:
                continue
            if what == "note" and ("account", int(self.population.notes.author[chosen])) in self.taken:
                continue
            break
        self.taken.add((what, chosen))
        return chosen
