from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.actor_features import FEATURES, Feature
from detectors.mark_training import (
    EFFECTIVE_ACTIONS,
    RIDGE,
    SIGNS,
    UNSURE,
    WEIGHT_MAX,
    Examples,
    auc,
    fit,
    joined,
    marks_of,
    recall_at,
    train,
)
from detectors.marks import GROUP_NAMES, NATS_MAX, MarkModel


def toy(shifts: dict[Feature, float], n: int = 4_000, seed: int = 1, share: float = 0.2) -> Examples:
    """Make normal features in which bought actions are shifted, the same in every verb group."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0.0, 1.0, (n, FEATURES)).astype(np.float32)
    bought = rng.random(n) < share
    for feature, shift in shifts.items():
        features[bought, feature] += shift
    group = (np.arange(n) % len(GROUP_NAMES)).astype(np.uint8)
    return Examples(features, group, bought, np.ones(n), np.full((len(GROUP_NAMES), FEATURES), 0.25), np.full(n, -1))


def weights_of(model: MarkModel, group: str = "follow") -> NDArray[np.float64]:
    weights = model.groups[group].pipeline["LogisticRegression"].weights
    return np.array([weights[feature.name.lower()] for feature in Feature])


SEPARABLE = {Feature.GAP_LONG: 1.2, Feature.MET: -1.0, Feature.HASTY: 0.8, Feature.ACTIVE: -0.9}


def test_what_tells_them_apart_is_learned_with_the_right_sign() -> None:
    model = train(toy(SEPARABLE, n=16_000), {})
    other = toy(SEPARABLE, seed=2)
    for name in GROUP_NAMES.values():
        weights = weights_of(model, name)
        for feature, shift in SEPARABLE.items():
            assert weights[feature] * np.sign(shift) > 0.3
        rest = [feature for feature in Feature if feature not in SEPARABLE]
        assert np.abs(weights[rest]).max() < 0.2
    marks = marks_of(model, other.features, other.group)
    assert auc(marks[other.bought], marks[~other.bought]) > 0.85
    assert marks[other.bought].mean() > 0 > marks[~other.bought].mean()


def test_a_feature_that_contradicts_its_meaning_is_dropped() -> None:
    against = {feature: -1.0 * sign for feature, sign in SIGNS.items()}
    weights = weights_of(train(toy({**against, Feature.RECENT: 1.0}), {}))
    assert not weights[list(SIGNS)].any()
    assert weights[Feature.RECENT] > 0.3


def test_a_feature_that_may_speak_either_way_does() -> None:
    for shift in (-1.0, 1.0):
        assert weights_of(train(toy({Feature.DEEP: shift}), {}))[Feature.DEEP] * shift > 0.3


def test_no_weight_exceeds_its_bound_however_well_it_tells() -> None:
    examples = toy({Feature.GAP_LONG: 30.0, Feature.RECENT: -30.0})
    weights = weights_of(train(examples, {}))
    assert np.abs(weights).max() <= WEIGHT_MAX
    assert weights[Feature.GAP_LONG] > 0 > weights[Feature.RECENT]


def test_what_is_unsure_to_carry_over_is_held_closer_to_nothing() -> None:
    for feature in UNSURE:
        weights = weights_of(train(toy({feature: 0.5, Feature.NEWNESS: 0.5}, n=8_000), {}))
        assert 0 < weights[feature] < weights[Feature.NEWNESS]


def test_the_mean_likelihood_ratio_of_honest_actions_is_one() -> None:
    examples = toy(SEPARABLE, n=8_000, share=0.5)
    marks = marks_of(train(examples, {}), examples.features, examples.group)
    for group in GROUP_NAMES:
        honest = marks[(examples.group == group) & ~examples.bought]
        assert np.exp(honest).mean() == pytest.approx(1.0, abs=0.01)


def test_the_fit_is_where_the_penalised_loss_is_flat() -> None:
    examples = toy(SEPARABLE)
    scaled, bought = examples.features.astype(np.float64), examples.bought
    weight = np.full(len(bought), EFFECTIVE_ACTIONS / len(bought))
    coefficients = fit(scaled, bought, weight)
    share = 1.0 / (1.0 + np.exp(-(coefficients[0] + scaled @ coefficients[1:])))
    gradient = scaled.T @ (weight * (share - bought)) + RIDGE * coefficients[1:]
    free = [f for f in SEPARABLE if f not in UNSURE and abs(coefficients[1 + f]) < WEIGHT_MAX - 1e-6]
    assert len(free) == len(SEPARABLE)
    assert np.abs(gradient[free]).max() < 1e-2
    assert abs(float((weight * (share - bought)).sum())) < 1e-2


def test_training_is_deterministic_and_keeps_what_it_is_told() -> None:
    one, other = (train(toy(SEPARABLE), {"from": ["a", 1]}) for _ in range(2))
    assert one.to_json() == other.to_json()
    assert one.provenance == {"from": ["a", 1]}
    assert (one.usual() == 0.25).all()
    assert MarkModel.from_json(one.to_json()).to_json() == one.to_json()


def test_the_order_of_the_examples_makes_no_difference() -> None:
    examples = toy(SEPARABLE)
    order = np.random.default_rng(7).permutation(len(examples))
    shuffled = Examples(
        examples.features[order], examples.group[order], examples.bought[order], examples.weight[order],
        examples.usual, examples.bag,
    )  # fmt: skip
    assert np.abs(weights_of(train(examples, {})) - weights_of(train(shuffled, {}))).max() < 1e-4


def test_features_that_never_vary_or_are_never_there_are_no_trouble() -> None:
    examples = toy(SEPARABLE)
    examples.features[:, [Feature.FIRST, Feature.POSITION]] = [1.0, 0.0]
    model = train(examples, {})
    assert np.isfinite(model.fold()["weights"]).all()
    assert not weights_of(model)[[Feature.FIRST, Feature.POSITION]].any()


def test_each_directory_and_each_class_weighs_the_same_whatever_its_size() -> None:
    large, small = toy(SEPARABLE, n=8_000, share=0.1), toy(SEPARABLE, n=800, seed=3, share=0.4)
    both = joined([large, replace(small, weight=small.weight * 17.0)])
    assert len(both) == 8_800
    parts = np.arange(8_800) < 8_000
    for group in GROUP_NAMES:
        for bought in (False, True):
            for part in (parts, ~parts):
                chosen = (both.group == group) & (both.bought == bought) & part
                assert both.weight[chosen].sum() == pytest.approx(1.0)
    assert large.weight.max() == 1.0, "the examples given were changed"


def test_too_few_examples_are_refused_by_name_and_number() -> None:
    examples = toy(SEPARABLE)
    few = (examples.group == 2) & examples.bought & (np.arange(len(examples)) > 200)
    with pytest.raises(ValueError, match=r"search_click: \d+ bought and \d+ honest actions; 100 of each are needed"):
        train(replace(examples, bought=examples.bought & ~few), {})


def test_marks_are_held_to_what_a_mark_can_say() -> None:
    examples = toy({Feature.GAP_LONG: 1.0})
    model = train(examples, {})
    far = np.zeros((2, FEATURES), np.float32)
    far[:, Feature.GAP_LONG] = [1e6, -1e6]
    assert marks_of(model, far, np.zeros(2, np.uint8)).tolist() == [NATS_MAX, -NATS_MAX]


def test_auc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(9)
    bought, honest = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 50).astype(float)
    pairs = [(b > h) + 0.5 * (b == h) for b in bought for h in honest]
    assert auc(bought, honest) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc(bought, np.array([])))


def test_recall_is_of_those_above_what_few_honest_ones_exceed() -> None:
    honest = np.arange(1_000.0)
    assert recall_at(np.array([985.0, 995.0, 999.5, 2_000.0]), honest, 0.01) == 0.75
    assert np.isnan(recall_at(np.array([]), honest, 0.01))
