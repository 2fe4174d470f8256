"""Notes and the attention they get: popular authors, old notes forgotten, some notes catching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.simulator.accounts import Accounts
from streams.simulator.columns import DAY_MS, HOUR_MS, Floats, Ints
from streams.simulator.habits import Habits
from streams.simulator.sampling import GroupedWeights, heavy


@dataclass(slots=True)
class Notes:
    """Columns over notes; `catching` is the mean number of further likes that a like brings when fresh."""

    author: npt.NDArray[np.int32]
    community: npt.NDArray[np.int16]
    created: Ints
    fitness: npt.NDArray[np.float32]
    catching: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.author)


def make_notes(
    rng: np.random.Generator, habits: Habits, accounts: Accounts, count: int, start_ms: int, end_ms: int
) -> Notes:
    """`count` notes of before the start and what is written until the end.

    Only accounts that exist write; a note's fitness goes with the fame of its author.
    """
    written = int(habits.notes_per_account_day * len(accounts) * (end_ms - start_ms) / DAY_MS)
    age_ms = np.minimum(rng.exponential(25.0, count), 600.0) * DAY_MS
    created = np.concatenate([start_ms - age_ms.astype(np.int64), rng.integers(start_ms, end_ms, written)])
    total = count + written
    pull = np.sqrt(accounts.weight.astype(np.float64)) * (0.2 + np.sqrt(accounts.fame.astype(np.float64)))
    author = rng.choice(len(accounts), size=total, p=pull / pull.sum())
    unborn = accounts.created[author] > created
    elders = np.flatnonzero(accounts.created <= int(created.min()))
    if len(elders) == 0:
        elders = np.argsort(accounts.created)[: max(1, len(accounts) // 50)]
    author[unborn] = rng.choice(elders, size=int(unborn.sum()))
    fitness = heavy(rng, total, "pareto", habits.note_tail) * (0.1 + accounts.fame[author].astype(np.float64)) ** 0.6
    spread = habits.contagion_spread
    catching = habits.contagion * np.exp(spread * rng.standard_normal(total) - 0.5 * spread**2)
    community = np.where(
        rng.random(total) < 0.85, accounts.community[author], rng.integers(0, habits.communities, total)
    )
    return Notes(
        author=author.astype(np.int32),
        community=community.astype(np.int16),
        created=created,
        fitness=np.minimum(fitness, 0.01 * fitness.sum()).astype(np.float32),
        catching=np.minimum(catching, 0.85).astype(np.float32),
    )


class Attention:
    """Which notes are seen at an instant: fitness, forgotten as a power of age (as in most platforms' data)."""

    def __init__(self, notes: Notes, habits: Habits, account_count: int) -> None:
        self._notes, self._habits = notes, habits
        nothing = np.zeros(len(notes))
        self.by_community = GroupedWeights(notes.community, habits.communities, nothing)
        self.by_author = GroupedWeights(notes.author, account_count, nothing)
        self._at_ms: int | None = None

    def refresh(self, at_ms: int, stale_ms: int) -> None:
        """Recompute when the last time is more than `stale_ms` ago."""
        if self._at_ms is not None and 0 <= at_ms - self._at_ms < stale_ms:
            return
        self._at_ms = at_ms
        weights = self.weights(at_ms)
        self.by_community.reweigh(weights)
        self.by_author.reweigh(weights)

    def weights(self, at_ms: int) -> Floats:
        """Give the attention weight of every note; 0 before it exists."""
        age_h = (at_ms - self._notes.created) / HOUR_MS
        fresh = (1.0 + np.maximum(age_h, 0.0) / self._habits.note_half_life_h) ** -self._habits.note_decay
        return np.asarray(np.where(age_h >= 0.0, self._notes.fitness * fresh, 0.0))
