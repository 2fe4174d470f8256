from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.actor_features import FEATURES
from detectors.mark_training import SIGNS, WEIGHT_MAX, marks_of
from detectors.marks import (
    FEATURE_NAMES,
    GROUP_NAMES,
    LEARNING_RATE,
    MODEL_VERSION,
    NATS_MAX,
    MarkGroup,
    MarkModel,
    MarkModelError,
)

TEXT = (resources.files("detectors") / "shipped" / "marks.json").read_text()


def shipped() -> MarkModel:
    return MarkModel.from_json(TEXT)


def named(values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, values.tolist(), strict=True))


def by_river(group: MarkGroup, x: dict[str, float]) -> float:
    """Return the mark as River's own pipeline gives it: the log odds less the prior, held to what a mark can say."""
    share = group.pipeline.predict_proba_one(x)[True]
    with np.errstate(divide="ignore"):
        nats = np.log(share) - np.log1p(-share)
    return float(np.clip(nats - group.offset, -NATS_MAX, NATS_MAX))


def folded_marks(model: MarkModel, features: NDArray[np.float64], group: int) -> NDArray[np.float64]:
    return marks_of(model, features.astype(np.float32), np.full(len(features), group, np.uint8))


def test_a_model_file_is_written_as_it_was_read() -> None:
    assert shipped().to_json() == TEXT
    assert MarkModel.from_json(TEXT.encode()).to_json() == TEXT


@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 1.0, 5.0]), group=st.sampled_from(sorted(GROUP_NAMES)))
@settings(max_examples=40, deadline=None)
def test_the_folded_weights_say_what_rivers_pipeline_says(seed: int, scale: float, group: int) -> None:
    model = shipped()
    entry = model.groups[GROUP_NAMES[group]]
    features = np.random.default_rng(seed).normal(0.0, scale, (8, FEATURES)).astype(np.float32).astype(np.float64)
    expected = [by_river(entry, named(row)) for row in features]
    assert [entry.score_one(named(row)) for row in features] == pytest.approx(expected, abs=1e-6)
    assert folded_marks(model, features, group).tolist() == pytest.approx(expected, abs=1e-6)


def test_scoring_changes_nothing() -> None:
    model = shipped()
    for name in GROUP_NAMES.values():
        first = model.groups[name].score_one(dict.fromkeys(FEATURE_NAMES, 0.7))
        assert model.groups[name].score_one(dict.fromkeys(FEATURE_NAMES, 0.7)) == first
    assert model.to_json() == TEXT


@pytest.mark.parametrize("bought", [True, False])
@pytest.mark.parametrize("group", sorted(GROUP_NAMES))
def test_a_lesson_moves_the_fold_its_way_and_only_its_own_group(group: int, bought: bool) -> None:  # noqa: FBT001
    model, before = shipped(), shipped()
    features = np.random.default_rng(3).normal(0.0, 0.3, (1, FEATURES))
    for _ in range(20):
        model.groups[GROUP_NAMES[group]].learn_one(named(features[0]), bought)
    for each in GROUP_NAMES:
        moved = float((folded_marks(model, features, each) - folded_marks(before, features, each))[0])
        if each != group:
            assert moved == 0.0
        else:
            assert moved > 0.01 if bought else moved < -0.01


def test_a_model_that_has_learned_is_read_again_as_it_was_written() -> None:
    model = shipped()
    for row in np.random.default_rng(4).normal(0.0, 0.5, (50, FEATURES)):
        model.groups["follow"].learn_one(named(row), bought=True)
    again = MarkModel.from_json(model.to_json())
    assert model.to_json() == again.to_json() != TEXT
    assert np.abs(again.fold()["weights"] - model.fold()["weights"]).max() < 1e-3


def test_a_hundred_verdicts_that_agree_move_no_weight_by_more_than_a_fifth() -> None:
    model, before = shipped(), shipped()
    for name in GROUP_NAMES.values():
        group = model.groups[name]
        scaler = group.pipeline["StandardScaler"]
        x = {feature: scaler.means[feature] + scaler.vars[feature] ** 0.5 for feature in FEATURE_NAMES}
        for _ in range(100):
            group.learn_one(x, bought=False)
        weights, kept = (each.groups[name].pipeline["LogisticRegression"].weights for each in (model, before))
        away = [abs(weights[feature] - kept[feature]) for feature in FEATURE_NAMES]
        assert 0.001 < max(away) <= 100 * LEARNING_RATE + 1e-9


def test_a_flat_model_gives_its_nats_per_unit_and_nothing_else() -> None:
    model = MarkModel.flat({"search": {"hasty": -1.5}})
    features = np.zeros((1, FEATURES))
    features[0, FEATURE_NAMES.index("hasty")] = 2.0
    told = {name: folded_marks(model, features, group)[0] for group, name in GROUP_NAMES.items()}
    assert told == {"like": 0.0, "follow": 0.0, "search_click": 0.0, "search": -3.0}
    assert not model.usual().any()


def test_the_shipped_model_says_where_it_comes_from() -> None:
    provenance = shipped().provenance
    assert provenance["command"] == "boostwatch train"
    assert provenance["events"] > provenance["actions"] > 100_000
    learned = {name.split("-")[0] for name in provenance["directories"]}
    assert len(learned) >= 4
    assert not learned & {"harbour", "festival", "quiet"}, "families that are kept to see whether weights carry over"
    kinds = {name.split(" by ")[0] for name in provenance["report"]["kinds"]}
    assert kinds == {"follower_spike", "like_boost", "keyword_ranking", "keyword_trend"}


def test_no_shipped_weight_decides_alone_or_contradicts_what_its_feature_means() -> None:
    file = json.loads(TEXT)
    for group in file["groups"].values():
        weights = {name: entry["weight"] for name, entry in group["features"].items()}
        assert max(map(abs, weights.values())) <= WEIGHT_MAX
        assert np.count_nonzero(list(weights.values())) >= 8
        for feature, sign in SIGNS.items():
            assert weights[feature.name.lower()] * sign >= 0, feature.name
    assert np.isfinite(shipped().fold()["weights"]).all()
    assert np.isfinite(shipped().fold()["offsets"]).all()


ANY = {"weight": 0.0, "usual": 0.0, "mean": 0.0, "sd": 1.0}


def like_met(file: Any) -> dict[str, Any]:
    entry: dict[str, Any] = file["groups"]["like"]["features"]["met"]
    return entry


def changed(change: Callable[[Any], object]) -> str:
    file = json.loads(TEXT)
    change(file)
    return json.dumps(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        ("no JSON", "cannot be read: JSON is malformed"),
        (b"\xff\xfe{", "cannot be read"),
        (b'{"version": 1, "provenance": {"by": "\xff"}, "groups": {}}', "cannot be read"),
        ("[]", "cannot be read: Expected `object`"),
        ("{}", "missing required field `version`"),
        (changed(lambda file: file.update(version="1")), r"Expected `int`.*\$\.version"),
        (changed(lambda file: file.update(version=MODEL_VERSION + 1)), "has version 2, this program reads 1"),
        (changed(lambda file: file.pop("provenance")), "missing required field `provenance`"),
        (changed(lambda file: file.update(more=1)), "unknown field `more`"),
        (changed(lambda file: file["groups"].pop("like")), r"has groups \['follow', 'search', 'search_click'\]"),
        (changed(lambda file: file["groups"].update(dance=file["groups"]["like"])), "dance"),
        (changed(lambda file: file["groups"]["like"]["features"].pop("met")), r"group like .*\['met'\].*train it anew"),
        (changed(lambda file: file["groups"]["like"]["features"].update(luck=ANY)), r"group like .*\['luck'\]"),
        (changed(lambda file: file["groups"]["like"].pop("offset")), "missing required field `offset`"),
        (changed(lambda file: file["groups"]["like"].update(actions=-1)), "group like has -1 actions"),
        (changed(lambda file: like_met(file).update(weight="0.4")), "Expected `float`"),
        (changed(lambda file: like_met(file).update(weight=None)), "Expected `float`"),
        (changed(lambda file: like_met(file).update(sd=-0.5)), "met of group like has sd -0.5"),
        (changed(lambda file: like_met(file).update(weight=float("nan"))), "cannot be read: JSON is malformed"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_and_said_why(text: str | bytes, says: str) -> None:
    with pytest.raises(MarkModelError, match=says):
        MarkModel.from_json(text)


def test_a_number_beyond_all_bounds_is_refused() -> None:
    text = changed(lambda file: like_met(file).update(mean=123456.5))
    with pytest.raises(MarkModelError, match="out of range"):
        MarkModel.from_json(text.replace("123456.5", "1e999"))
