"""Keywords, how often each is searched, and which notes its result page shows."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streams.simulator.columns import DAY_MS, HOUR_MS, Floats, Ints
from streams.simulator.habits import Habits
from streams.simulator.notes import Notes
from streams.simulator.sampling import GroupedWeights, pair_words, share
from streams.simulator.words import make_keywords

RESULTS: Final = 40
"""Results that a page can be scrolled through, in notes."""

_CANDIDATES: Final = 64
_RERANK_MS: Final = 3 * HOUR_MS


class Keywords:
    """Zipf-distributed keywords, each at home in a community, with slowly changing interest and results."""

    def __init__(self, rng: np.random.Generator, habits: Habits, count: int, notes: Notes) -> None:
        self.texts = make_keywords(rng, count)
        self.community: Ints = rng.integers(0, habits.communities, count)
        self.weight: Floats = (np.arange(count, dtype=np.float64) + 2.7) ** np.float64(-habits.keyword_tail)
        self._phase = rng.uniform(0.0, 2.0 * np.pi, count)
        self._period_ms = rng.uniform(1.5, 9.0, count) * DAY_MS
        self._sway = rng.uniform(0.0, 0.5, count)
        self._notes = notes
        self._candidates = self._draw_candidates(rng, habits, count)
        self._noise = rng.standard_normal(self._candidates.shape).astype(np.float32)
        self.index = GroupedWeights(self.community, habits.communities, self.weight)
        self.results: npt.NDArray[np.int32] = np.full((count, RESULTS), -1, dtype=np.int32)
        rank = np.arange(1, RESULTS + 1, dtype=np.float64) ** -habits.position_tail
        self._positions = np.cumsum(rank) / rank.sum()
        self._at_ms: int | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def refresh(self, at_ms: int) -> None:
        """Rank the results again when the last ranking is hours old; notes of the future are not shown."""
        if self._at_ms is not None and 0 <= at_ms - self._at_ms < _RERANK_MS:
            return
        self._at_ms = at_ms
        sway = self._sway * np.sin(2.0 * np.pi * at_ms / self._period_ms + self._phase)
        self.index.reweigh(self.weight * np.exp(sway))
        age_days = (at_ms - self._notes.created[self._candidates]) / DAY_MS
        merit = np.log(self._notes.fitness[self._candidates]) + 0.8 * self._noise - 0.03 * np.maximum(age_days, 0.0)
        merit = np.where(age_days < 0.0, -np.inf, merit)
        best = np.argsort(-merit, axis=1, kind="stable")[:, :RESULTS]
        shown = np.take_along_axis(self._candidates, best, axis=1)
        self.results = np.where(np.isneginf(np.take_along_axis(merit, best, axis=1)), -1, shown).astype(np.int32)

    def click(self, rng: np.random.Generator, keyword: Ints, deeper: float = 1.0) -> tuple[Ints, Ints]:
        """Draw the position clicked (from 1) and the note there (-1: the page is not that long)."""
        place = np.searchsorted(self._positions, rng.random(len(keyword)) ** (1.0 / deeper))
        place = np.minimum(place, RESULTS - 1)
        return place + 1, self.results[keyword, place].astype(np.int64)

    def _draw_candidates(self, rng: np.random.Generator, habits: Habits, count: int) -> Ints:
        index = GroupedWeights(
            self._notes.community, habits.communities, np.sqrt(self._notes.fitness.astype(np.float64))
        )
        groups = np.repeat(self.community, _CANDIDATES)
        drawn = index.draw_mixed(rng, groups, 0.8)
        drawn = np.where(drawn < 0, index.draw_any(rng, len(drawn)), drawn).reshape(count, _CANDIDATES)
        drawn.sort(axis=1)
        repeated = np.zeros(drawn.shape, dtype=np.bool_)
        repeated[:, 1:] = drawn[:, 1:] == drawn[:, :-1]
        fallback = share(pair_words(np.arange(count)[:, None], np.arange(_CANDIDATES)[None, :]))
        return np.where(repeated, (fallback * len(self._notes)).astype(np.int64), drawn)
