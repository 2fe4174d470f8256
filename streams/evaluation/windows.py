"""The 5-minute windows of each subject: how much came, and how that compares with the windows before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOT_MS = 300_000


@dataclass(frozen=True, slots=True)
class SubjectWindows:
    """n actions in m windows that are not empty, ordered by subject and time.

    Attributes:
        order: (n,) places of the actions so ordered.
        window_of: (n,) the window of each action so ordered.
        running: (n,) the count within the window, the action included.
        first: (m,) place of each window's first action in `order`.
        count: (m,) actions in each window.
        slot: (m,) its number since the epoch.
        mean, deviation: (m,) of all earlier windows of the subject, empty ones too; 0 without any.

    """

    order: NDArray[np.intp]
    window_of: NDArray[np.intp]
    running: NDArray[np.int64]
    first: NDArray[np.intp]
    count: NDArray[np.int64]
    slot: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def windows_of(key: NDArray[np.uint64], ts: NDArray[np.int64], slot_ms: int = SLOT_MS) -> SubjectWindows:
    """Cut n actions, at least one, into the windows of their subjects."""
    slot = ts // slot_ms
    order = np.lexsort((ts, key))
    keys, slots = key[order], slot[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (keys[1:] != keys[:-1]) | (slots[1:] != slots[:-1])
    first = np.flatnonzero(begins)
    window_of = np.cumsum(begins) - 1
    count = np.diff(np.append(first, len(order)))
    running = np.arange(len(order)) - first[window_of] + 1
    of_key = np.ones(len(first), np.bool_)
    of_key[1:] = keys[first][1:] != keys[first][:-1]
    start = np.maximum.accumulate(np.where(of_key, np.arange(len(first)), 0))
    sums, squares = _before(count, start), _before(count * count, start)
    elapsed = np.maximum(slots[first] - slots[first][start], 1)
    mean = sums / elapsed
    deviation = np.sqrt(np.maximum(squares / elapsed - mean * mean, 0.0))
    return SubjectWindows(order, window_of, running, first, count, slots[first], mean, deviation)


def _before(values: NDArray[np.int64], start: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sum of the values from `start` up to, but without, each."""
    total = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(total[:-1] - total[start], np.float64)
