"""Single episodes over time, a few of each fate: what came, what was to be expected, and when it was said."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schemas.flags import Flag, Kind, SubjectType
from streams.evaluation.results import Point, Timeline
from streams.evaluation.traffic import DAY_MS, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.comparison import Comparison, Episode, Found
    from streams.evaluation.traffic import Traffic

PER_FATE = 4
"""Episodes shown of each fate."""

BINS = 60
STEPS_MS = (60_000, 300_000, 900_000, 3_600_000, 3 * 3_600_000, 6 * 3_600_000)
"""Widths of a bin: the least of these that shows an episode in `BINS` bins."""

FALSE, MISSED, FOUND, SPARED = "false flag", "missed", "found", "rightly left alone"
FATES = (FALSE, FOUND, MISSED, SPARED)
_KIND_OF = {SubjectType.ACCOUNT: Kind.FOLLOWER_SPIKE, SubjectType.NOTE: Kind.LIKE_BOOST}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A timeline that could be shown, and how much one would want to see it."""

    timeline: Timeline
    weight: float


def candidates_of(directory: str, traffic: Traffic, comparison: Comparison, flags: Sequence[Flag]) -> list[Candidate]:
    """Return the episodes of a directory that are worth showing, at most `PER_FATE` of each fate."""
    drawn = _Drawn(directory, traffic, flags)
    found = sorted((hit for hit in comparison.attacks if hit.episodes), key=lambda hit: -len(hit.attack.times))
    missed = sorted((hit for hit in comparison.attacks if not hit.episodes), key=lambda hit: -len(hit.attack.times))
    made = [drawn.attack(hit, FOUND) for hit in _one_a_kind(found)]
    made += [drawn.attack(hit, MISSED) for hit in _one_a_kind(missed)]
    wrong = [(episode, quiet.family) for quiet, hits in comparison.benign for episode in hits]
    wrong += [(episode, "nobody's episode") for episode in comparison.others]
    wrong.sort(key=lambda pair: -pair[0].first.score)
    made += [drawn.false(episode, family) for episode, family in wrong[:PER_FATE]]
    for quiet, hits in comparison.benign:
        kind = _KIND_OF.get(quiet.subject.type, Kind.KEYWORD_TREND)
        if not hits:
            title = f"{quiet.family}, {quiet.subject.type.value} {quiet.subject.id}"
            made.append(drawn.line(title, SPARED, kind, quiet.subject.id, None, quiet.start, quiet.end, (), []))
    shown = [candidate for candidate in made if candidate is not None]
    spared = sorted((one for one in shown if one.timeline.outcome == SPARED), key=lambda one: -one.weight)[:PER_FATE]
    return [one for one in shown if one.timeline.outcome != SPARED] + spared


def choose(candidates: Sequence[Candidate]) -> list[Timeline]:
    """Choose the weightiest of each fate, of different kinds where there are."""
    chosen: list[Timeline] = []
    for fate in FATES:
        by_kind: defaultdict[Kind | None, list[Candidate]] = defaultdict(list)
        for one in sorted(candidates, key=lambda one: -one.weight):
            if one.timeline.outcome == fate:
                by_kind[one.timeline.kind].append(one)
        turns = [one for rank in range(PER_FATE) for line in by_kind.values() for one in line[rank : rank + 1]]
        chosen += [one.timeline for one in turns[:PER_FATE]]
    return chosen


class _Drawn:
    def __init__(self, directory: str, traffic: Traffic, flags: Sequence[Flag]) -> None:
        self._directory, self._traffic = directory, traffic
        self._flags: defaultdict[str, list[Flag]] = defaultdict(list)
        for flag in flags:
            self._flags[flag.flag_id].append(flag)
        self._subjects: dict[Kind, tuple[NDArray[np.intp], NDArray[np.uint64]]] = {}

    def attack(self, hit: Found, outcome: str) -> Candidate | None:
        attack = hit.attack
        shape = getattr(attack, "label", attack.shape)
        title = f"{attack.kind.value} by {shape}, {attack.subject.type.value} {attack.subject.id}"
        return self.line(
            title, outcome, attack.kind, attack.subject.id, attack.note_id, attack.start, attack.end, attack.times,
            hit.episodes,
        )  # fmt: skip

    def false(self, episode: Episode, family: str) -> Candidate | None:
        flag = episode.first
        title = f"{flag.kind.value} on {family}, {flag.subject.type.value} {flag.subject.id}"
        note, end = flag.evidence.note_id, episode.last.window.end
        return self.line(title, FALSE, flag.kind, flag.subject.id, note, flag.window.start, end, (), [episode])

    def line(
        self, title: str, outcome: str, kind: Kind, subject: str, note: str | None, start_ms: int, end_ms: int,
        bought: tuple[int, ...], episodes: list[Episode],
    ) -> Candidate | None:  # fmt: skip
        """Draw one; None where the kind is not about a subject whose actions can be counted."""
        if kind in {Kind.AUTOMATION, Kind.LOCKSTEP}:
            return None
        if kind not in self._subjects:
            self._subjects[kind] = self._traffic.subjects_of(kind)
        rows, keys = self._subjects[kind]
        at = self._traffic.ts[rows[keys == np.uint64(key_of(kind, subject, note))]]
        margin = max((end_ms - start_ms) // 3, 600_000)
        first, last = max(start_ms - margin, int(self._traffic.ts[0])), min(end_ms + margin, int(self._traffic.ts[-1]))
        step = next((width for width in STEPS_MS if (last - first) / width <= BINS), STEPS_MS[-1])
        edges = np.arange(first - first % step, last + step, step)
        observed = np.histogram(at, edges)[0]
        points = [
            Point(flag.detected_at, flag.status.value, flag.evidence.observed, flag.evidence.expected)
            for episode in episodes
            for flag in self._flags[episode.first.flag_id]
            if first <= flag.detected_at <= last
        ]
        timeline = Timeline(
            title=title, directory=self._directory, kind=kind, outcome=outcome, start_ms=start_ms, end_ms=end_ms,
            bin_ms=step, times_ms=edges[:-1].tolist(), observed=observed.tolist(),
            bought=np.histogram(np.asarray(bought, np.int64), edges)[0].tolist(),
            expected=self._expected(at, edges, step, start_ms).tolist(), flags=points,
        )  # fmt: skip
        return Candidate(timeline, float(observed.sum()))

    def _expected(
        self, at: NDArray[np.int64], edges: NDArray[np.int64], step: int, start_ms: int
    ) -> NDArray[np.float64]:
        """Return what the week before lets expect in each bin; while the episode lasts, what went before it."""
        begun = int(self._traffic.ts[0])
        upto = np.minimum(edges[:-1], start_ms)
        since = np.maximum(upto - 7 * DAY_MS, begun)
        came = np.searchsorted(at, upto) - np.searchsorted(at, since)
        return np.asarray(came * step / np.maximum(upto - since, step), np.float64)


def _one_a_kind(hits: Sequence[Found]) -> list[Found]:
    """Return the first of each kind, then the second, up to `PER_FATE`."""
    by_kind: defaultdict[Kind, list[Found]] = defaultdict(list)
    for hit in hits:
        by_kind[hit.attack.kind].append(hit)
    turns = [hit for rank in range(PER_FATE) for line in by_kind.values() for hit in line[rank : rank + 1]]
    return turns[:PER_FATE]
