"""Learning the subject stage's numbers from marked traffic whose truth is known. Offline; nothing here decides.

Traffic comes as `Labelled` columns. From it come, lane by lane, the usual mix of marks, what organic and bought
surges look like (`detectors.mixes`), and the map from strength to score.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from detectors.composition import NEW_TRAITS, PACE_ACTIONS, PACE_FIRST, TEMPO_EDGES, bin_of, tagged
from detectors.mixes import Mix, fit_mix
from detectors.subject_rows import BINS, BOUGHT, CLICKS, FOLLOWS, LIKES, RECENT, SEARCHES, TEMPOS, TRAITS
from schemas.columns import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USUAL_MAX: Final = 400
"""Ordinary subjects looked at in one recording and lane."""

WINDOW_LEAST: Final = 16
"""Marks in the shortest window of what is organic."""

AT_BOUGHT: Final = (12, 24, 48, 96, 192, 400)
"""Bought actions after which a window of an attack ends: it should be seen early and late."""

TEMPO_PRIOR: Final = 2.0
"""Weight of an even tempo, in surges: a pace that was never seen is not impossible."""

SURGES_LEAST: Final = 3
"""Surges of a kind that are needed to know how they scatter."""

CONTRIBUTIONS: Final = 8
"""Actions of a subject in an hour that count in the usual mix, as in the running system."""


@dataclass(frozen=True, slots=True)
class Surge:
    """What surged, when, and what it was called: an attack's shape or a benign family."""

    name: str
    lane: int
    subject: int
    item: int  # of a pair, else 0
    start_ms: int
    end_ms: int
    attack: int = 0  # number of the attack, 0 for a benign one


@dataclass(frozen=True, slots=True)
class Labelled:
    """One recording's actions as columns, in order, and its surges. `attack` is 0 for what is organic."""

    ts: NDArray[np.int64]
    verb: NDArray[np.uint8]
    subject: NDArray[np.uint64]
    item: NDArray[np.uint64]
    mark: NDArray[np.int8]
    traits: NDArray[np.uint16]
    attack: NDArray[np.int32]
    surges: tuple[Surge, ...]

    def in_lane(self, lane: int) -> NDArray[np.bool_]:
        """Return which actions count in a lane."""
        verb = {FOLLOWS: Verb.FOLLOW, LIKES: Verb.LIKE, SEARCHES: Verb.SEARCH, CLICKS: Verb.SEARCH}[lane]
        chosen = self.verb == verb
        return np.asarray(chosen & (self.item != 0) if lane == CLICKS else chosen, np.bool_)

    def newcomer(self, lane: int) -> float:
        """Return the mean mark of new organic actors, nats."""
        new = self.in_lane(lane) & (self.attack == 0) & ((self.traits & NEW_TRAITS) > 0)
        return float(self.mark[new].mean() / 16) if new.any() else 0.0


Window = tuple[NDArray[np.int64], int]
"""Counts by bin, shape (BINS,), and class of tempo, of the last marks at one action."""


def binned(traffic: Labelled, lane: int) -> NDArray[np.int64]:
    """Return the bin of every action's mark, as the running system puts it in a lane."""
    newcomer = traffic.newcomer(lane)
    table = np.array(
        [[bin_of(tagged(mark, traits), newcomer) for mark in range(-128, 128)] for traits in (0, NEW_TRAITS)]
    )
    new = ((traffic.traits & NEW_TRAITS) > 0).astype(np.int64)
    return np.asarray(table[new, traffic.mark.astype(np.int64) + 128], np.int64)


def windows(bins: NDArray[np.int64], ts: NDArray[np.int64], ends: Sequence[int]) -> list[Window]:
    """Return the windows of one subject's actions that end at the given ones."""
    pace, last_ms = PACE_FIRST, int(ts[0])
    wanted, found = set(ends), []
    for place, at in enumerate(ts.tolist()):
        if place:
            pace += (log(max(at - last_ms, 1_000)) - pace) / PACE_ACTIONS
            last_ms = max(at, last_ms)
        if place in wanted:
            counts = np.bincount(bins[max(0, place - RECENT + 1) : place + 1], minlength=BINS)
            hourly = 3_600_000 / np.exp(pace)
            found.append((counts, int(np.searchsorted(TEMPO_EDGES, hourly, side="right"))))
    return found


def rows_of(traffic: Labelled, surge: Surge) -> NDArray[np.intp]:
    """Return the actions on a surge's subject while it lasts."""
    chosen = traffic.in_lane(surge.lane) & (traffic.subject == np.uint64(surge.subject))
    if surge.item:
        chosen &= traffic.item == np.uint64(surge.item)
    return np.flatnonzero(chosen & (traffic.ts >= surge.start_ms) & (traffic.ts <= surge.end_ms))


def surge_windows(traffic: Labelled, lane: int) -> dict[tuple[bool, str], list[list[Window]]]:
    """Return the windows of every surge of a lane and of ordinary subjects, by (bought, name)."""
    bins = binned(traffic, lane)
    found: dict[tuple[bool, str], list[list[Window]]] = defaultdict(list)
    attacked = {surge.subject for surge in traffic.surges if surge.attack}
    for surge in traffic.surges:
        rows = rows_of(traffic, surge) if surge.lane == lane else np.empty(0, np.intp)
        if surge.attack:
            bought = np.cumsum(traffic.attack[rows] == surge.attack)
            ends = [int(np.searchsorted(bought, at)) for at in AT_BOUGHT if len(bought) and bought[-1] >= at]
        elif surge.subject in attacked or len(rows) < WINDOW_LEAST:
            ends = []
        else:
            ends = np.unique(np.linspace(WINDOW_LEAST - 1, len(rows) - 1, 6).astype(int)).tolist()
        if ends:
            found[bool(surge.attack), surge.name].append(windows(bins[rows], traffic.ts[rows], ends))
    surging = {surge.subject for surge in traffic.surges}
    found[False, "usual"] += _usual_windows(traffic, lane, bins, surging)
    return found


def _usual_windows(traffic: Labelled, lane: int, bins: NDArray[np.int64], surging: set[int]) -> list[list[Window]]:
    rng = np.random.default_rng(lane)
    rows = np.flatnonzero(traffic.in_lane(lane) & (traffic.attack == 0))
    key = traffic.subject[rows]
    if lane == CLICKS:
        key = key ^ (traffic.item[rows] * np.uint64(0x9E3779B97F4A7C15))
    order = rows[np.argsort(key, kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(np.sort(key))) + 1)
    large = [part for part in parts if len(part) >= WINDOW_LEAST and int(traffic.subject[part[0]]) not in surging]
    chosen = rng.permutation(len(large))[:USUAL_MAX]
    found = []
    for place in chosen.tolist():
        part = large[place]
        ends = rng.integers(WINDOW_LEAST - 1, len(part), min(4, len(part) // WINDOW_LEAST)).tolist()
        found.append(windows(bins[part], traffic.ts[part], ends))
    return found


def mix_of(surges: Sequence[Sequence[Window]]) -> Mix:
    """Fit one kind of surge."""
    counts = np.array([window[0] for surge in surges for window in surge])
    tempo = np.full(TEMPOS, TEMPO_PRIOR / TEMPOS)
    for surge in surges:
        for _, pace in surge:
            tempo[pace] += 1 / len(surge)
    marks = fit_mix(counts)
    return Mix(tuple(marks.round(4).tolist()), tuple((tempo / tempo.sum()).round(5).tolist()))


def organic_mixes(found: Mapping[tuple[bool, str], list[list[Window]]]) -> dict[str, Mix]:
    """Fit every organic kind that occurs often enough."""
    kinds = sorted(name for bought, name in found if not bought and len(found[bought, name]) >= SURGES_LEAST)
    return {name: mix_of(found[False, name]) for name in kinds}


def bought_mixes(found: Mapping[tuple[bool, str], list[list[Window]]], rounds: int = 12) -> dict[str, Mix]:
    """Fit what bought surges look like: those mixed into a rise, and the others in clusters by hard assignment."""
    mixed = found.get((True, "mixed"), [])
    pure = [surge for (bought, name), surges in sorted(found.items()) if bought and name != "mixed" for surge in surges]
    with_mixed = len(mixed) >= SURGES_LEAST
    clusters = min(BOUGHT - with_mixed, len(pure) // SURGES_LEAST)
    if clusters == 0:
        return {}
    shares = np.array([np.sum([window[0] for window in surge], axis=0) + 0.1 for surge in pure])
    shares /= shares.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    centres = shares[rng.choice(len(pure), clusters, replace=False)]
    for _ in range(rounds):
        nearest = np.argmin(((shares[:, None, :] - centres[None]) ** 2).sum(axis=2), axis=1)
        centres = np.array(
            [shares[nearest == one].mean(axis=0) if (nearest == one).any() else centres[one] for one in range(clusters)]
        )
    groups = [[pure[place] for place in np.flatnonzero(nearest == one)] for one in range(clusters)]
    fitted = {f"bought_{place}": mix_of(group) for place, group in enumerate(groups, 1) if len(group) >= SURGES_LEAST}
    fitted = fitted or {"bought_1": mix_of(pure)}
    return fitted | ({"mixed": mix_of(mixed)} if with_mixed else {})


def usual_mix(traffic: Labelled, lane: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return counts by bin, counts by trait and the actions behind them, each subject bounded in an hour."""
    rows = np.flatnonzero(traffic.in_lane(lane) & (traffic.attack == 0))
    hour = (traffic.ts[rows] // 3_600_000).astype(np.uint64)
    key = traffic.subject[rows] ^ (hour * np.uint64(0x9E3779B97F4A7C15))
    order = np.argsort(key, kind="stable")
    first = np.r_[True, np.diff(key[order]) != 0]
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    kept = rows[order[place < CONTRIBUTIONS]]
    traits = np.array([float(((traffic.traits[kept] >> bit) & 1).sum()) for bit in range(TRAITS)])
    counts = np.bincount(binned(traffic, lane)[kept], minlength=BINS).astype(np.float64)
    return counts, traits, float(len(kept))


def fit_score(strengths: Sequence[float], confirmed: Sequence[bool], knots: int = 8) -> tuple[tuple[float, float], ...]:
    """Return a monotone map from strength to the share that is confirmed: isotonic means of quantile groups.

    Even with few cases no score is 0 or 1: two of each are added to every group.

    >>> fit_score([0.5, 1, 1.5, 2, 2.5, 3], [False, False, True, True, True, True], knots=2)
    ((0.0, 0.0), (1.0, 0.4286), (2.5, 0.7143), (6.0, 1.0))
    """
    order = np.argsort(strengths, kind="stable")
    parts = [part for part in np.array_split(order, knots) if len(part)]
    x = [float(np.mean([strengths[place] for place in part])) for part in parts]
    blocks = [[sum(confirmed[place] for place in part) + 2.0, len(part) + 4.0, 1] for part in parts]
    merged: list[list[float]] = []
    for block in blocks:
        merged.append(list(block))
        while len(merged) > 1 and merged[-2][0] / merged[-2][1] >= merged[-1][0] / merged[-1][1]:
            last = merged.pop()
            merged[-1] = [one + other for one, other in zip(merged[-1], last, strict=True)]
    levels = [block[0] / block[1] for block in merged for _ in range(int(block[2]))]
    inner = {round(at, 3): round(level, 4) for at, level in zip(x, levels, strict=True)}
    return ((0.0, 0.0), *((at, level) for at, level in inner.items() if 0.0 < at < 6.0), (6.0, 1.0))
