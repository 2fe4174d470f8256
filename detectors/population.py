"""What is usual at the moment: how the actions of one partition are spread, with a half-life of hours.

A mark compares an actor with this and not with a constant, so that what all do is no evidence: after a start
everybody is first seen, in an influx many are new, and each product has its own usual surfaces. It is fed with
every accepted action, whoever made it: an attack is a small share of a partition's traffic, an influx is not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectors.compiled import compiled, inlined
from detectors.hash_index import mix
from detectors.kept_state import array_of, layout_of, raw, read_part, same_layout, write_part

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Measure(IntEnum):
    """What is kept as a histogram per verb group."""

    KNOWN = 0  # time since the actor was first seen; bin 0 is its first action
    AGE = 1  # of the account, where the event says when it was made
    GAP = 2  # since the actor's action before
    DEPTH = 3  # actions of the actor's session before this one
    ACTIVITY = 4  # decayed count of the actor's actions
    POSITION = 5  # of a click
    SURFACE = 6


MEASURES = len(Measure)
GROUPS = 4
"""Like, follow, search with a click, search without: verbs that are compared with their own kind."""

BINS = 16
HALF_LIFE_MS = 2 * 3_600_000
"""Short enough to follow the day and an influx, long enough for some thousand actions at five a second."""

REFRESH_ACTIONS = 512
"""Actions between two recomputations of the surprises; counted in actions, so batch cuts do not matter."""

PRIOR_ACTIONS = 24.0
"""Actions that a histogram pretends to have seen, evenly spread (KNOWN: all first), so that no share is 0."""

PRIOR_MEAN_ACTIONS = 200.0
"""Actions for which the shipped means stand."""

VERSION = 1
"""Raised when a measure or a count changes its meaning: older snapshots are then refused."""

CELLS = 1 << 17
"""Counters in each of the two rows of the device sketch (Cormode and Muthukrishnan 2005, count-min)."""

SHARE_MIN = 1e-4
"""Nothing surprises more than one in ten thousand: 9.2 nats."""

DEVICES_HALF_LIFE_MS = 86_400_000

NOW_MS, REFRESHED_MS, SINCE_REFRESH, HALVED_MS = 0, 1, 2, 3
"""Places in "clock"."""

_SECOND, _MINUTE, _HOUR, _DAY = 1_000.0, 60_000.0, 3_600_000.0, 86_400_000.0
_KNOWN_EDGES = np.array([_MINUTE, 10 * _MINUTE, _HOUR, 3 * _HOUR, 12 * _HOUR, *(_DAY * np.array([1, 2, 4, 8, 16, 32]))])
_AGE_EDGES = np.array([_HOUR, 6 * _HOUR, *(_DAY * np.array([1, 3, 7, 14, 30, 60, 120, 365, 730, 1460]))])
_GAP_EDGES = np.array([
    *(_SECOND * np.array([1, 3, 10, 30])), *(_MINUTE * np.array([2, 10, 30])),
    *(_HOUR * np.array([2, 8, 24])), *(_DAY * np.array([3, 7, 30])),
])  # fmt: skip
_DEPTH_EDGES = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 15.0, 31.0])
_ACTIVITY_EDGES = np.array([0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0, 144.0, 233.0])
_POSITION_EDGES = np.array([2.0, 3.0, 4.0, 6.0, 9.0, 13.0, 21.0, 41.0])


def population_dtype(features: int) -> np.dtype[Any]:
    """Return the type of the one record that holds a population.

    A record, since a compiled loop passes it on as one pointer; a tuple of arrays would be counted, array by
    array, at every call. Surprises are nats: -log of the share of actions.
    """
    tables = (MEASURES, GROUPS, BINS)
    means = (GROUPS, features)
    return np.dtype(
        [
            ("counts", np.float64, tables),  # decayed actions
            ("low", np.float64, tables),  # surprise at a bin this low or lower
            ("high", np.float64, tables),  # surprise at a bin this high or higher
            ("alone", np.float64, tables),  # surprise at exactly this bin
            ("sums", np.float64, means),  # decayed sums of the raw features
            ("weights", np.float64, means),  # decayed actions in which they were there
            ("means", np.float64, means),  # as of the last refresh
            ("usual", np.float64, means),  # the shipped ones
            ("clock", np.int64, 4),
            ("devices", np.uint8, (2, CELLS)),  # actors that came with a device
        ]
    )


@inlined
def _bin(edges: NDArray[np.float64], value: float) -> int:
    """Return how many edges lie at or below the value."""
    below = 0
    while below < len(edges) and edges[below] <= value:
        below += 1
    return below


@inlined
def known_bin(known_ms: float) -> int:
    """Return the bin of an actor that was first seen so long ago (0 is kept for its first action)."""
    return 1 + _bin(_KNOWN_EDGES, known_ms)


@inlined
def age_bin(age_ms: float) -> int:
    """Return the bin of an account of this age."""
    return _bin(_AGE_EDGES, age_ms)


@inlined
def gap_bin(gap_ms: float) -> int:
    """Return the bin of a gap."""
    return _bin(_GAP_EDGES, gap_ms)


@inlined
def depth_bin(actions: float) -> int:
    """Return the bin of a session's length."""
    return _bin(_DEPTH_EDGES, actions)


@inlined
def activity_bin(actions: float) -> int:
    """Return the bin of a decayed count of actions."""
    return _bin(_ACTIVITY_EDGES, actions)


@inlined
def position_bin(position: float) -> int:
    """Return the bin of a clicked position."""
    return _bin(_POSITION_EDGES, position)


@inlined
def keep_up(population: Any, ts: int) -> None:
    """Count one action at event time `ts` (ms), and refresh means and surprises where they are due."""
    clock = population["clock"]
    clock[NOW_MS] = max(ts, clock[NOW_MS])
    clock[SINCE_REFRESH] += 1
    if clock[SINCE_REFRESH] >= REFRESH_ACTIONS or clock[REFRESHED_MS] == 0:
        refresh(population)


@compiled
def refresh(population: Any) -> None:
    """Decay the counts to the present and recompute what marks are compared with."""
    clock = population["clock"]
    now_ms = clock[NOW_MS]
    if clock[REFRESHED_MS] == 0:
        clock[REFRESHED_MS] = now_ms
        clock[HALVED_MS] = now_ms
    kept = 2.0 ** (-(now_ms - clock[REFRESHED_MS]) / HALF_LIFE_MS)
    clock[REFRESHED_MS] = now_ms
    clock[SINCE_REFRESH] = 0
    for measure in range(MEASURES):
        for group in range(GROUPS):
            _refresh_surprises(population, measure, group, kept)
    sums, weights, means, usual = population["sums"], population["weights"], population["means"], population["usual"]
    for group in range(GROUPS):
        for feature in range(sums.shape[1]):
            sums[group, feature] *= kept
            weights[group, feature] *= kept
            total = sums[group, feature] + PRIOR_MEAN_ACTIONS * usual[group, feature]
            means[group, feature] = total / (weights[group, feature] + PRIOR_MEAN_ACTIONS)
    if now_ms - clock[HALVED_MS] >= DEVICES_HALF_LIFE_MS:
        clock[HALVED_MS] = now_ms
        devices = population["devices"]
        for row in range(2):
            for cell in range(CELLS):
                devices[row, cell] >>= 1


@compiled
def _refresh_surprises(population: Any, measure: int, group: int, kept: float) -> None:
    counts, low = population["counts"], population["low"]
    high, alone = population["high"], population["alone"]
    total = PRIOR_ACTIONS
    for place in range(BINS):
        counts[measure, group, place] *= kept
        total += counts[measure, group, place]
    below = 0.0
    for place in range(BINS):
        prior = PRIOR_ACTIONS / BINS
        if measure == Measure.KNOWN:
            prior = PRIOR_ACTIONS if place == 0 else 0.0
        share = (counts[measure, group, place] + prior) / total
        if measure == Measure.SURFACE:
            alone[measure, group, place] = _surprise(share)
        if measure >= Measure.GAP:
            high[measure, group, place] = _surprise(1.0 - below)
        below += share
        low[measure, group, place] = _surprise(below)


@inlined
def _surprise(share: float) -> float:
    """Return -log of a share, which rounding may have put out of (0, 1]."""
    return float(-np.log(min(max(share, SHARE_MIN), 1.0)))


@inlined
def actors_on(population: Any, device: np.uint64) -> int:
    """Return about how many actors came with this device lately, at most 255; never too few but by decay."""
    devices = population["devices"]
    one = int(np.int64(devices[0, _cell(device, 1)]))
    other = int(np.int64(devices[1, _cell(device, 2)]))
    return min(one, other)


@inlined
def count_on(population: Any, device: np.uint64) -> None:
    """Count one more actor on this device, only where the sketch is lowest (conservative update)."""
    devices = population["devices"]
    least = actors_on(population, device)
    if least == 255:
        return
    for row in range(2):
        cell = _cell(device, row + 1)
        if devices[row, cell] == least:
            devices[row, cell] = least + 1


@inlined
def _cell(device: np.uint64, seed: int) -> int:
    return int(np.int64(mix(device, np.int64(seed)) & np.uint64(CELLS - 1)))


class PopulationKept(msgspec.Struct):
    """What is kept of a population: its record."""

    layout: int
    record: bytes


class Population:
    """The current population of one partition's actions.

    Args:
        usual: means of the raw features, shape (groups, features), for the time until it has its own.

    """

    def __init__(self, usual: NDArray[np.float64]) -> None:
        self._record = np.zeros(1, population_dtype(usual.shape[1]))
        self._record["usual"] = usual
        self._record["means"] = usual

    @property
    def bytes_resident(self) -> int:
        """Bytes of everything."""
        return self._record.nbytes

    def view(self) -> NDArray[Any]:
        """Return the array of one record for a compiled loop; it stays the same."""
        return self._record

    def snapshot(self) -> bytes:
        """Return everything as bytes."""
        return write_part(PopulationKept(layout_of(self._record.dtype), raw(self._record).tobytes()), VERSION)

    def restore(self, snapshot: bytes) -> None:
        """Put a snapshot in place of everything.

        Raises:
            SnapshotMismatchError: it is of another version, which has other measures or features, or was changed.

        """
        kept = read_part(snapshot, PopulationKept, VERSION)
        same_layout(kept.layout, self._record.dtype, "measures and features of a population")
        raw(self._record)[:] = raw(array_of(kept.record, self._record.dtype, 1))
