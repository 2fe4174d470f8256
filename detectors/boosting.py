"""Fits the trees of `detectors.trees`: gradient boosting of the logistic loss, second order. Offline; decides nothing.

After Friedman (2001, Greedy function approximation) with the regularised leaf values of Chen and Guestrin (2016,
XGBoost, sec. 2.2) on histograms. A sign that may only speak one way is held to it: a split against it is not taken,
and what a branch may say ends half way to what its sibling says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.compiled import compiled
from detectors.trees import ANSWERS, QUESTIONS, Forest, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ROUNDS: Final = 110
RATE: Final = 0.07
RIDGE: Final = 20.0
"""Penalty on a leaf, in cases' curvature."""

LEAF_LEAST: Final = 6.0
"""Curvature in a leaf at the least: about 24 undecided cases."""

GRADES: Final = 32
"""Grades that a sign is cut into, of equal numbers of cases."""

ASKED_SHARE: Final = 0.5
"""Of the signs, drawn for every tree: the trees then lean on many signs and not on the one that is best here."""


def boost(
    signs: NDArray[np.floating[Any]],
    bought: NDArray[np.bool_],
    weight: NDArray[np.float64],
    names: Sequence[str],
    rising: Sequence[int],
    seed: int = 11,
) -> Forest:
    """Fit a forest to cases, shape (n, signs); its nats are log odds where both classes weigh the same.

    >>> rng = np.random.default_rng(1)
    >>> cases = rng.normal(size=(4000, 2))
    >>> fitted = boost(cases, cases[:, 0] > 0.3, np.ones(4000), ("one", "other"), (1, 0))
    >>> bool((fitted.nats_of(np.array([[1.0, 0.0], [-1.0, 0.0]])) > 0).tolist() == [True, False])
    True
    """
    rng = np.random.default_rng(seed)
    balanced = weight.astype(np.float64).copy()
    for label in (False, True):
        balanced[bought == label] *= 0.5 * len(bought) / balanced[bought == label].sum()
    edges = [_edges(column) for column in signs.T]
    grades = np.column_stack(
        [np.searchsorted(edge, column, "right") for edge, column in zip(edges, signs.T, strict=True)]
    ).astype(np.uint8)
    log_odds = np.zeros(len(signs))
    trees = []
    for _ in range(ROUNDS):
        share = 1.0 / (1.0 + np.exp(-log_odds))
        slope, curve = balanced * (bought - share), balanced * share * (1.0 - share)
        asked = np.sort(rng.permutation(signs.shape[1])[: max(int(ASKED_SHARE * signs.shape[1]), 1)])
        tree, leaf = _grow(grades, edges, slope, curve, asked, rising)
        log_odds += np.array(tree.nats)[leaf]
        trees.append(tree)
    return Forest(tuple(names), tuple(trees))


def _edges(column: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    cuts = np.unique(np.quantile(column, np.linspace(0.0, 1.0, GRADES + 1)[1:-1]).astype(np.float32))
    return np.asarray(cuts, np.float64)


def _grow(
    grades: NDArray[np.uint8],
    edges: Sequence[NDArray[np.float64]],
    slope: NDArray[np.float64],
    curve: NDArray[np.float64],
    asked: NDArray[np.intp],
    rising: Sequence[int],
) -> tuple[Tree, NDArray[np.intp]]:
    """Grow one tree; return it and the leaf of every case."""
    signs, limits = [0] * QUESTIONS, [float("inf")] * QUESTIONS
    bounds = {0: (-np.inf, np.inf)}
    node = np.zeros(len(slope), np.intp)
    for inner in range(QUESTIONS):
        here = np.flatnonzero(node == inner)
        low, high = bounds[inner]
        sign, grade, left, right = _best(grades, here, slope, curve, asked, rising, (low, high))
        bounds[2 * inner + 1] = bounds[2 * inner + 2] = (low, high)
        if grade >= 0:
            signs[inner], limits[inner] = sign, float(edges[sign][grade])
            middle = 0.5 * (left + right)
            if rising[sign] > 0:
                bounds[2 * inner + 1], bounds[2 * inner + 2] = (low, middle), (middle, high)
            elif rising[sign] < 0:
                bounds[2 * inner + 1], bounds[2 * inner + 2] = (middle, high), (low, middle)
            node[here] = 2 * inner + 1 + (grades[here, sign] > grade)
        else:
            node[here] = 2 * inner + 1  # no question worth asking: an endless limit leads to the left
    leaf = node - QUESTIONS
    sums = np.bincount(leaf, slope, ANSWERS), np.bincount(leaf, curve, ANSWERS)
    values = sums[0] / (sums[1] + RIDGE)
    nats = [RATE * float(np.clip(values[each], *bounds[each + QUESTIONS])) for each in range(ANSWERS)]
    finite = [limit if np.isfinite(limit) else 3.0e38 for limit in limits]
    return Tree(tuple(signs), tuple(finite), tuple(round(value, 5) for value in nats)), leaf


def _best(
    grades: NDArray[np.uint8],
    here: NDArray[np.intp],
    slope: NDArray[np.float64],
    curve: NDArray[np.float64],
    asked: NDArray[np.intp],
    rising: Sequence[int],
    bounds: tuple[float, float],
) -> tuple[int, int, float, float]:
    """Return the sign and grade whose split of the cases `here` gains most, and what both sides would say.

    The grade is -1 where none does.
    """
    best = (0, -1, 0.0, 0.0)
    total_slope, total_curve = slope[here].sum(), curve[here].sum()
    gained = total_slope**2 / (total_curve + RIDGE) + 1e-9
    sums = np.zeros((len(asked), 2, GRADES + 1))
    _sum_up(grades, here, slope, curve, asked, sums)
    for sign, (below, under) in zip(asked.tolist(), np.cumsum(sums, axis=2)[:, :, :-1], strict=True):
        left = np.clip(below / (under + RIDGE), *bounds)
        right = np.clip((total_slope - below) / (total_curve - under + RIDGE), *bounds)
        gain = below**2 / (under + RIDGE) + (total_slope - below) ** 2 / (total_curve - under + RIDGE)
        fits = (under >= LEAF_LEAST) & (total_curve - under >= LEAF_LEAST) & (rising[sign] * (right - left) >= 0)
        gain = np.where(fits, gain, -np.inf)
        grade = int(np.argmax(gain))
        if gain[grade] > gained:
            gained = float(gain[grade])
            best = (sign, grade, float(left[grade]), float(right[grade]))
    return best


@compiled
def _sum_up(
    grades: NDArray[np.uint8],
    here: NDArray[np.intp],
    slope: NDArray[np.float64],
    curve: NDArray[np.float64],
    asked: NDArray[np.intp],
    sums: NDArray[np.float64],
) -> None:
    """Add the slope and the curvature of the cases `here` by sign and grade to `sums`, (asked, 2, grades)."""
    for case in here:
        for place in range(len(asked)):
            grade = grades[case, asked[place]]
            sums[place, 0, grade] += slope[case]
            sums[place, 1, grade] += curve[case]
