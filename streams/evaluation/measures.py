"""The figures themselves: intervals, quantiles, projections and curves, from plain numbers."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959964
"""Normal quantile of a two-sided 95 % interval."""

MILLION = 1_000_000.0


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, without continuity correction); (0, 1) of nothing.

    >>> [round(edge, 3) for edge in wilson(9, 10)]
    [0.596, 0.982]
    """
    if total == 0:
        return 0.0, 1.0
    share, square = hits / total, Z_95 * Z_95
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = Z_95 / (1 + square / total) * sqrt(share * (1 - share) / total + square / (4 * total * total))
    low = 0.0 if hits == 0 else max(centre - half, 0.0)
    return low, 1.0 if hits == total else min(centre + half, 1.0)


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which a share of them lies, interpolated; None of nothing."""
    return float(np.quantile(np.asarray(values, np.float64), share)) if len(values) else None


def per_million(count: float, exposure: float) -> float | None:
    """Return a count per million of what it could have happened in; None where that is nothing."""
    return count * MILLION / exposure if exposure > 0 else None


def projected_precision(recall: float, false_rate: float, base_rate: float) -> float | None:
    """Return the precision where a share `base_rate` of what is looked at is bought.

    `recall` is the chance that a bought one is flagged, `false_rate` that an honest one is. None where nothing
    would be flagged at all.

    >>> projected_precision(0.9, 0.001, 0.01)
    0.9009...
    """
    right, wrong = recall * base_rate, false_rate * (1.0 - base_rate)
    return right / (right + wrong) if right + wrong > 0 else None


def upper_rate(count: int, exposure: float) -> float:
    """Return the upper 95 % limit of a rate of rare events: Poisson, one-sided, by Wilson and Hilferty's cube.

    >>> round(upper_rate(0, 1.0), 1), round(upper_rate(3, 1.0), 1)
    (3.0, 7.7)
    """
    if exposure <= 0:
        return float("inf")
    after = count + 1
    limit = after * (1 - 1 / (9 * after) + 1.6449 / (3 * sqrt(after))) ** 3
    return limit / exposure


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties counted half (Mann and Whitney).

    Raises:
        ValueError: one of the two is empty.

    >>> auc([3, 2], [1, 2])
    0.875
    """
    ours, theirs = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if not len(ours) or not len(theirs):
        raise ValueError(f"{len(ours)} positives and {len(theirs)} negatives; the AUC needs one of each")
    order = np.sort(theirs)
    below = np.searchsorted(order, ours, "left").astype(np.float64)
    upto = np.searchsorted(order, ours, "right").astype(np.float64)
    return float((below + upto).sum() / (2.0 * len(ours) * len(theirs)))


def precision_recall(right: Sequence[float], wrong: Sequence[float], total: int) -> list[tuple[float, float, float]]:
    """Return (score, recall, precision) from the strictest cut to the loosest.

    Args:
        right: the best score of each attack that was flagged.
        wrong: the score of each false flag.
        total: attacks in all, flagged or not.

    >>> precision_recall([0.9, 0.5], [0.7], 4)
    [(0.9, 0.25, 1.0), (0.7, 0.25, 0.5), (0.5, 0.5, 0.666...)]
    """
    mine, others = np.sort(np.asarray(right, np.float64)), np.sort(np.asarray(wrong, np.float64))
    curve: list[tuple[float, float, float]] = []
    for score in np.unique(np.concatenate([mine, others]))[::-1].tolist():
        hits = len(mine) - int(np.searchsorted(mine, score, "left"))
        misses = len(others) - int(np.searchsorted(others, score, "left"))
        curve.append((score, hits / total if total else 0.0, hits / (hits + misses)))
    return curve


def log_bins(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Return the edges of bins that are equally wide on a logarithmic scale, shape (count + 1,)."""
    return np.geomspace(max(low, 1e-9), max(high, low * 1.0001, 1e-8), count + 1)
