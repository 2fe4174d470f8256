"""Learns mark weights from labelled actions: a ridge logistic regression a verb group, by Newton's method.

What is decided about is not an action but a surge of them. In an influx all are new, on a viral post all come from
outside: what tells one action from another is not what tells one surge from another. So the same weights are fitted
to two kinds of cases at once, single actions and the means of `BAG_ACTIONS` actions in a row on one subject, each
with its own intercept; then scale and intercept are fitted to single actions, whose log-likelihood ratio a mark is.

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

BAG_ACTIONS, BAG_LEAST = 32, 8
"""Actions in a row on one subject that are judged by their mean, and the fewest for which that says anything."""

BAGS_LEAST = 20
"""Bags of each class without which single actions are all that is learned from."""

BAG_SHARE = 0.7
"""Of the weight, carried by bags."""

BAG_BOUGHT_LEAST = 0.25
"""Share of bought actions from which on a bag counts as bought; with less, but any, it counts as nothing."""

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
    bag: NDArray[np.int64]  # which actions came in a row on one subject, -1 for those in no bag

    def __len__(self) -> int:
        return len(self.group)


def joined(parts: list[Examples]) -> Examples:
    """Return the examples of several directories, each class of each weighing the same."""
    weights, bags, first = [], [], 0
    for part in parts:
        bags.append(np.where(part.bag >= 0, part.bag + first, -1))
        first += int(part.bag.max(initial=-1)) + 1
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
        np.concatenate(bags),
    )


def bags_of(key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the bag of each action, given what it hit: shape (m,), in the order in which they came.

    >>> bags_of(np.array([5] * 9 + [7] * 3 + [5], np.uint64)).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, 0]
    """
    order = np.argsort(key, kind="stable")
    fresh = np.r_[True, np.diff(key[order]) != 0] if len(key) else np.empty(0, np.bool_)
    steps = np.arange(len(order))
    place = steps - np.maximum.accumulate(np.where(fresh, steps, 0))
    number = np.cumsum(place % BAG_ACTIONS == 0) - 1
    large = np.bincount(number, minlength=1)[number] >= BAG_LEAST
    bag = np.empty(len(order), np.int64)
    bag[order] = np.where(large, number, -1)
    return bag


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
            examples.features[chosen].astype(np.float64),
            bought,
            examples.weight[chosen],
            examples.usual[group],
            examples.bag[chosen],
        )
    return MarkModel.from_file(MarkFile(MODEL_VERSION, provenance, groups))


def _train_group(
    features: NDArray[np.float64],
    bought: NDArray[np.bool_],
    weight: NDArray[np.float64],
    usual: NDArray[np.float64],
    bag: NDArray[np.int64],
) -> GroupEntry:
    weight = _balanced(bought, weight)
    honest = weight * ~bought
    mean = honest @ features / honest.sum()
    sd = np.sqrt(np.maximum(honest @ features**2 / honest.sum() - mean**2, 0.0))
    scaled = np.divide(features - mean, sd, out=np.zeros_like(features), where=sd > 1e-6)
    bags, bags_bought, bags_weight = _bags(scaled, bought, weight, bag)
    if min(bags_bought.sum(), (~bags_bought).sum()) < BAGS_LEAST:
        coefficients = fit(scaled, bought, weight)
    else:
        cases = np.concatenate([scaled, bags])
        share = np.r_[weight * (1.0 - BAG_SHARE), _balanced(bags_bought, bags_weight) * BAG_SHARE]
        kind = np.r_[np.zeros(len(scaled)), np.ones(len(bags))]
        joint = fit(cases, np.r_[bought, bags_bought], share, kind)
        coefficients = _rescaled(scaled @ joint[1:], joint, bought, weight)
    nats = np.clip(coefficients[0] + scaled @ coefficients[1:], -NATS_MAX, NATS_MAX)
    offset = float(np.log(honest @ np.exp(nats) / honest.sum()))
    entries = {
        name: FeatureEntry(float(coefficients[1 + at]), float(usual[at]), float(mean[at]), float(max(sd[at], 1e-6)))
        for at, name in enumerate(FEATURE_NAMES)
    }
    return GroupEntry(len(bought), float(coefficients[0]), offset, entries)


def _balanced(bought: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of which each class has `EFFECTIVE_ACTIONS`."""
    balanced = weight.copy()
    for label in (False, True):
        balanced[bought == label] *= EFFECTIVE_ACTIONS / weight[bought == label].sum()
    return balanced


def _bags(
    scaled: NDArray[np.float64], bought: NDArray[np.bool_], weight: NDArray[np.float64], bag: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return mean features, label and weight of every bag whose label is clear; it weighs what its actions weigh."""
    chosen = bag >= 0
    ids, at = np.unique(bag[chosen], return_inverse=True)
    size = np.bincount(at, minlength=len(ids)).astype(np.float64)
    means = np.column_stack([np.bincount(at, column, len(ids)) for column in scaled[chosen].T]) / size[:, None]
    share = np.bincount(at, bought[chosen], len(ids)) / size
    clear = (share == 0.0) | (share >= BAG_BOUGHT_LEAST)
    return means[clear], np.asarray(share[clear] > 0.0), np.bincount(at, weight[chosen], len(ids))[clear]


def _rescaled(
    along: NDArray[np.float64], joint: NDArray[np.float64], bought: NDArray[np.bool_], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights scaled so that they give a single action's log odds, given its scores along them."""
    columns = np.column_stack([np.ones(len(along)), along])
    intercept, scale = _newton(columns, bought, weight, np.zeros(2), {})
    return np.asarray(np.r_[intercept, joint[1:] * max(float(scale), 0.0)], np.float64)


def fit(
    scaled: NDArray[np.float64],
    bought: NDArray[np.bool_],
    weight: NDArray[np.float64],
    kind: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return intercept and weights of the constrained ridge regression, shape (1 + features,).

    Cases whose `kind` is 1 have an intercept of their own, which is not returned.

    An active set: whoever breaks its sign is held at 0, whoever exceeds `WEIGHT_MAX` there, and the rest fitted
    anew, until nobody does.
    """
    own = np.zeros(len(scaled)) if kind is None else kind
    columns = np.column_stack([np.ones(len(scaled)), scaled, own])
    ridge = np.array([0.0] + [RIDGE_UNSURE if feature in UNSURE else RIDGE for feature in Feature] + [0.0])
    held: dict[int, float] = {}
    while True:
        coefficients = _newton(columns, bought, weight, ridge, held)
        broken = {1 + feature: 0.0 for feature, sign in SIGNS.items() if coefficients[1 + feature] * sign < -1e-12}
        over = {
            at: float(np.sign(coefficients[at])) * WEIGHT_MAX
            for at in range(1, len(coefficients) - 1)
            if abs(coefficients[at]) > WEIGHT_MAX + 1e-9 and at not in broken
        }
        if not broken and not over:
            return coefficients[:-1]
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
