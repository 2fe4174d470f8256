"""Learns mark weights from labelled actions: a ridge logistic regression a verb group, by Newton's method.

Offline and all at once, where River learns event by event: with a few million actions the exact optimum costs
seconds, and it does not depend on the order. Guards against learning the simulator instead of the trade:

- every directory weighs the same, and so do both classes; a large attack weighs as the root of its size;
- a feature whose learned sign contradicts what it means (`SIGNS`) is an artefact and is dropped;
- features that others found not to carry over (device, account age) are regularised harder;
- no weight may exceed `WEIGHT_MAX`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.actor_features import Feature
from detectors.marks import (
    FEATURE_NAMES,
    GROUP_NAMES,
    MODEL_VERSION,
    NATS_MAX,
    FeatureEntry,
    GroupEntry,
    MarkFile,
    MarkModel,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 1_000.0
"""Penalty on squared weights per standard deviation, against `EFFECTIVE_ACTIONS` of each class."""

RIDGE_UNSURE = 4_000.0
EFFECTIVE_ACTIONS = 10_000.0
WEIGHT_MAX = 1.2
"""Nats per standard deviation of one feature: no single habit decides."""

NEWTON_STEPS_MAX = 60
TOLERANCE = 1e-7
UNSURE = frozenset({Feature.ACCOUNT_NEWNESS, Feature.DEVICE_NEW, Feature.DEVICE_SHARED})

SIGNS = {
    Feature.FIRST: 1, Feature.NEWNESS: 1, Feature.ACCOUNT_NEWNESS: 1, Feature.GAP_LONG: 1, Feature.DORMANCY: 1,
    Feature.REGULAR: 1, Feature.SHALLOW: 1, Feature.SESSION_OTHER: -1, Feature.MET: -1, Feature.NEW_OWNERS: 1,
    Feature.INACTIVE: 1, Feature.REMOVES: 1, Feature.SURFACE: 1, Feature.SURFACE_NEW: 1, Feature.POSITION: 1,
    Feature.DEVICE_NEW: 1, Feature.DEVICE_SHARED: 1, Feature.NARROW: 1, Feature.HASTY: 1,
    Feature.SAME_SUBJECT: 1,
}  # fmt: skip
"""Which way a feature may speak, where only one way makes sense: 1 for bought, -1 for honest."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled actions of length m, from one or several directories."""

    features: NDArray[np.float32]  # (m, features), as `ActorStage.apply_and_describe` gives them
    group: NDArray[np.uint8]  # verb group
    bought: NDArray[np.bool_]
    weight: NDArray[np.float64]
    usual: NDArray[np.float64]  # (groups, features) means of the raw features, for a new stage

    def __len__(self) -> int:
        return len(self.group)


def joined(parts: list[Examples]) -> Examples:
    """Return the examples of several directories, each class of each weighing the same."""
    weights = []
    for part in parts:
        weight = part.weight.copy()
        for group in GROUP_NAMES:
            for bought in (False, True):
                chosen = (part.group == group) & (part.bought == bought)
                weight[chosen] /= max(float(weight[chosen].sum()), 1e-12)
        weights.append(weight)
    return Examples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.bought for part in parts]),
        np.concatenate(weights),
        np.mean([part.usual for part in parts], axis=0),
    )


def train(examples: Examples, provenance: dict[str, Any]) -> MarkModel:
    """Return the model that fits the examples.

    Raises:
        ValueError: a verb group has fewer than a hundred bought or honest actions.

    """
    groups: dict[str, GroupEntry] = {}
    for group, name in GROUP_NAMES.items():
        chosen = examples.group == group
        bought = examples.bought[chosen]
        if min(bought.sum(), (~bought).sum()) < 100:
            raise ValueError(
                f"{name}: {bought.sum()} bought and {(~bought).sum()} honest actions; 100 of each are needed"
            )
        groups[name] = _train_group(
            examples.features[chosen].astype(np.float64), bought, examples.weight[chosen], examples.usual[group]
        )
    return MarkModel.from_file(MarkFile(MODEL_VERSION, provenance, groups))


def _train_group(
    features: NDArray[np.float64], bought: NDArray[np.bool_], weight: NDArray[np.float64], usual: NDArray[np.float64]
) -> GroupEntry:
    weight = weight.copy()
    for label in (False, True):
        weight[bought == label] *= EFFECTIVE_ACTIONS / weight[bought == label].sum()
    honest = weight * ~bought
    mean = honest @ features / honest.sum()
    sd = np.sqrt(np.maximum(honest @ features**2 / honest.sum() - mean**2, 0.0))
    scaled = np.divide(features - mean, sd, out=np.zeros_like(features), where=sd > 1e-6)
    coefficients = fit(scaled, bought, weight)
    nats = np.clip(coefficients[0] + scaled @ coefficients[1:], -NATS_MAX, NATS_MAX)
    offset = float(np.log(honest @ np.exp(nats) / honest.sum()))
    entries = {
        name: FeatureEntry(float(coefficients[1 + at]), float(usual[at]), float(mean[at]), float(max(sd[at], 1e-6)))
        for at, name in enumerate(FEATURE_NAMES)
    }
    return GroupEntry(len(bought), float(coefficients[0]), offset, entries)


def fit(scaled: NDArray[np.float64], bought: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intercept and weights of the constrained ridge regression, shape (1 + features,).

    An active set: whoever breaks its sign is held at 0, whoever exceeds `WEIGHT_MAX` there, and the rest fitted
    anew, until nobody does.
    """
    columns = np.column_stack([np.ones(len(scaled)), scaled])
    ridge = np.array([0.0] + [RIDGE_UNSURE if feature in UNSURE else RIDGE for feature in Feature])
    held: dict[int, float] = {}
    while True:
        coefficients = _newton(columns, bought, weight, ridge, held)
        broken = {1 + feature: 0.0 for feature, sign in SIGNS.items() if coefficients[1 + feature] * sign < -1e-12}
        over = {
            at: float(np.sign(coefficients[at])) * WEIGHT_MAX
            for at in range(1, len(coefficients))
            if abs(coefficients[at]) > WEIGHT_MAX + 1e-9 and at not in broken
        }
        if not broken and not over:
            return coefficients
        held |= broken | over


def _newton(
    columns: NDArray[np.float64],
    bought: NDArray[np.bool_],
    weight: NDArray[np.float64],
    ridge: NDArray[np.float64],
    held: dict[int, float],
) -> NDArray[np.float64]:
    """Minimise the weighted log loss plus ridge over the coefficients that are not held (IRLS, damped)."""
    coefficients = np.zeros(columns.shape[1])
    for at, value in held.items():
        coefficients[at] = value
    free = np.array([at for at in range(columns.shape[1]) if at not in held])
    own = columns[:, free]
    for _ in range(NEWTON_STEPS_MAX):
        share = 1.0 / (1.0 + np.exp(-np.clip(columns @ coefficients, -30.0, 30.0)))
        gradient = own.T @ (weight * (share - bought)) + ridge[free] * coefficients[free]
        curvature = (own * (weight * share * (1.0 - share))[:, None]).T @ own + np.diag(ridge[free] + 1e-6)
        step = np.linalg.solve(curvature, gradient)
        coefficients[free] -= step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < TOLERANCE:
            break
    return coefficients


def marks_of(model: MarkModel, features: NDArray[np.float32], group: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mark of each example in nats, as the actor stage would but unrounded, shape (m,)."""
    folded = model.fold()[0]
    nats = np.einsum("ij,ij->i", features.astype(np.float64), folded["weights"][group]) + folded["offsets"][group]
    return np.asarray(np.clip(nats, -NATS_MAX, NATS_MAX))


def auc(bought: NDArray[np.float64], honest: NDArray[np.float64]) -> float:
    """Return the chance that a bought action's mark exceeds an honest one's (Mann and Whitney), ties counting half."""
    if len(bought) == 0 or len(honest) == 0:
        return float("nan")
    ordered = np.sort(honest)
    below = np.searchsorted(ordered, bought, "left")
    equal = np.searchsorted(ordered, bought, "right") - below
    return float(np.mean(below + 0.5 * equal) / len(honest))


def recall_at(bought: NDArray[np.float64], honest: NDArray[np.float64], false_share: float) -> float:
    """Return the share of bought actions above the mark that `false_share` of honest ones exceed."""
    if len(bought) == 0 or len(honest) == 0:
        return float("nan")
    return float(np.mean(bought > np.quantile(honest, 1.0 - false_share)))
