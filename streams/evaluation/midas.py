"""MIDAS-F: bursts of similar edges in a stream of them, in constant memory, not learning from what is anomalous.

Bhatia, Liu, Hooi, Yoon, Shin, Faloutsos (2022), Real-time Anomaly Detection in Edge Streams, TKDD 16(4), Algorithm 3:
counts of the edge, its source and its destination in count-min sketches, decayed at each tick, each compared by
chi-squared with what came before; what scores above a threshold is merged as its own past mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.compiled import allocating, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = 1_000.0
DECAY = 0.5
"""Both as in the paper's experiments, sec. 6.1."""

ROWS = 2


@compiled
def _place(key: np.uint64, row: int, seed: np.uint64, buckets: int) -> int:
    mixed = (key ^ (seed + np.uint64(row) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return int((mixed >> np.uint64(20)) % np.uint64(buckets))


@compiled
def _merge(
    now: NDArray[np.float64], past: NDArray[np.float64], scores: NDArray[np.float64], tick: int, threshold: float,
    decay: float,
) -> None:  # fmt: skip
    for row in range(now.shape[0]):
        for place in range(now.shape[1]):
            if scores[row, place] < threshold:
                past[row, place] += now[row, place]
            elif tick > 1:
                past[row, place] += past[row, place] / (tick - 1)
            now[row, place] *= decay


@compiled
def _score(
    key: np.uint64, seed: np.uint64, tick: int, now: NDArray[np.float64], past: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> float:  # fmt: skip
    """Count one and return chi-squared of the count against the past."""
    least_now, least_past = np.inf, np.inf
    for row in range(now.shape[0]):
        place = _place(key, row, seed, now.shape[1])
        now[row, place] += 1.0
        least_now = min(least_now, now[row, place])
        least_past = min(least_past, past[row, place])
    found = 0.0
    if least_past > 0.0 and tick > 1:
        found = (least_now + least_past - least_now * tick) ** 2 / (least_past * (tick - 1))
    for row in range(now.shape[0]):
        scores[row, _place(key, row, seed, now.shape[1])] = found
    return float(found)


@allocating
def midas_f(
    source: NDArray[np.uint64], destination: NDArray[np.uint64], tick: NDArray[np.int64], buckets: int, seed: int,
    threshold: float, decay: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the score of each of n edges, shape (n,): the greatest of the edge's, its source's and its destination's.

    `tick` counts from 1 and does not fall.
    """
    scores = np.zeros(len(tick))
    now = np.zeros((3, 2, buckets))
    past = np.zeros((3, 2, buckets))
    held = np.zeros((3, 2, buckets))
    current = 1
    for index in range(len(tick)):
        if tick[index] > current:
            for which in range(3):
                _merge(now[which], past[which], held[which], current, threshold, decay)
            current = tick[index]
        edge = source[index] * np.uint64(0x9E3779B97F4A7C15) ^ destination[index]
        best = 0.0
        for which in range(3):
            key = edge if which == 0 else (source[index] if which == 1 else destination[index])
            mixed = np.uint64(seed) + np.uint64(which) * np.uint64(0xA24BAED4963EE407)
            found = _score(key, mixed, current, now[which], past[which], held[which])
            best = max(best, found)
        scores[index] = best
    return scores
