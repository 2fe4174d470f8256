"""The mark: how much likelier an action like this is among bought ones than among honest ones, as a log ratio.

One logistic regression a verb group over the features of `detectors.actor_features`, learned offline from labelled
traffic and shipped. River's own `StandardScaler | LogisticRegression` is the model of record, so verdicts can
go on teaching it; the actor stage's loop applies it folded into one row of weights a group.

A regression's intercept holds the share of bought actions in what it was taught from. That prior is taken out
again (`offset`), so that the mark is a log-likelihood ratio and its exponential averages 1 over honest actions,
which is what a sequential test accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from river import compose, linear_model, optim, preprocessing
from river.utils.vectordict import VectorDict

from detectors.actions import MARK_SCALE
from detectors.actor_features import CLICK, FEATURES, FOLLOW, LIKE, SEARCH, Feature
from detectors.actor_kernel import MARK_MAX, weights_dtype
from schemas.readable import write_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

GROUP_NAMES = {LIKE: "like", FOLLOW: "follow", CLICK: "search_click", SEARCH: "search"}
FEATURE_NAMES = tuple(feature.name.lower() for feature in Feature)
MODEL_VERSION = 1
NATS_MAX = MARK_MAX / MARK_SCALE

LEARNING_RATE = 0.002
"""Of the online adjustment: a hundred verdicts that agree move a weight by at most a fifth."""


class MarkModelError(ValueError):
    """A model file is not one, or of features that this version does not have: train it anew."""


class FeatureEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feature of one verb group. `usual` is its mean before, `mean` and `sd` after the population's was taken."""

    weight: float
    usual: float
    mean: float
    sd: float


class GroupEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One verb group: the regression, and what of its intercept is the prior of the training data."""

    actions: int
    intercept: float
    offset: float
    features: dict[str, FeatureEntry]


class MarkFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `marks.json` holds. `provenance` says from what it was learned and how well it did on the rest."""

    version: int
    provenance: dict[str, Any]
    groups: dict[str, GroupEntry]


@dataclass(slots=True)
class MarkGroup:
    """The model of one verb group.

    A feature that is absent is given as 0, the population's mean.
    """

    pipeline: compose.Pipeline
    offset: float
    usual: dict[str, float]
    actions: int

    def score_one(self, x: Mapping[str, float]) -> float:
        """Return the mark in nats; changes nothing."""
        scaled = self.pipeline["StandardScaler"].transform_one(x)
        regression = self.pipeline["LogisticRegression"]
        nats = regression.intercept + sum(regression.weights.get(name, 0.0) * z for name, z in scaled.items())
        return float(min(max(nats - self.offset, -NATS_MAX), NATS_MAX))

    def learn_one(self, x: Mapping[str, float], bought: bool) -> None:  # noqa: FBT001 River's own shape
        """Learn that an action was bought or not, as River's pipeline does."""
        self.pipeline.learn_one(dict(x), bought)


@dataclass(slots=True)
class MarkModel:
    """The marks of all verb groups.

    >>> model = MarkModel.from_json(MarkModel.flat({"follow": {"first": 2.0}}).to_json())
    >>> model.groups["follow"].score_one({"first": 1.0}), model.groups["like"].score_one({"first": 1.0})
    (2.0, 0.0)
    """

    groups: dict[str, MarkGroup]
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def flat(cls, weights: Mapping[str, Mapping[str, float]]) -> MarkModel:
        """Return a model with the given nats per unit of a feature, by verb group, and 0 for what is not named."""
        entries = {
            group: GroupEntry(
                0,
                0.0,
                0.0,
                {name: FeatureEntry(weights.get(group, {}).get(name, 0.0), 0.0, 0.0, 1.0) for name in FEATURE_NAMES},
            )
            for group in GROUP_NAMES.values()
        }
        return cls.from_file(MarkFile(MODEL_VERSION, {}, entries))

    @classmethod
    def from_file(cls, file: MarkFile) -> MarkModel:
        """Build the model that a file describes.

        Raises:
            MarkModelError: another version, other verb groups or other features.

        """
        if file.version != MODEL_VERSION:
            raise MarkModelError(
                f"mark model has version {file.version}, this program reads {MODEL_VERSION}: train it anew"
            )
        if set(file.groups) != set(GROUP_NAMES.values()):
            raise MarkModelError(f"mark model has groups {sorted(file.groups)}, not {sorted(GROUP_NAMES.values())}")
        return cls({name: _group(name, entry) for name, entry in file.groups.items()}, file.provenance)

    @classmethod
    def from_json(cls, text: str | bytes) -> MarkModel:
        """Read a model from the text of a model file.

        Raises:
            MarkModelError: it is not JSON, or not of this form or version.

        """
        try:
            file = msgspec.json.decode(text, type=MarkFile)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise MarkModelError(f"mark model cannot be read: {error}") from None
        return cls.from_file(file)

    def to_json(self) -> str:
        """Write the model as the text of a model file."""
        file = MarkFile(MODEL_VERSION, self.provenance, {name: _entry(group) for name, group in self.groups.items()})
        return write_readable(file).decode()

    def usual(self) -> NDArray[np.float64]:
        """Return the means of the features before the population's are known, shape (groups, features)."""
        rows = [[self.groups[group].usual[name] for name in FEATURE_NAMES] for group in GROUP_NAMES.values()]
        return np.array(rows, np.float64)

    def fold(self) -> NDArray[Any]:
        """Return scaler, regression and offset as one weight a feature and one offset a group, for the loop."""
        folded = np.zeros(1, weights_dtype(FEATURES))
        weights, offsets = folded["weights"][0], folded["offsets"][0]
        for row, name in GROUP_NAMES.items():
            entry = _entry(self.groups[name])
            scaled = [(entry.features[feature], column) for column, feature in enumerate(FEATURE_NAMES)]
            offsets[row] = entry.intercept - entry.offset
            for feature, column in scaled:
                weights[row, column] = feature.weight / feature.sd if feature.sd > 0 else 0.0
                offsets[row] -= weights[row, column] * feature.mean
        return folded


def _group(name: str, entry: GroupEntry) -> MarkGroup:
    if set(entry.features) != set(FEATURE_NAMES):
        odd = sorted(set(entry.features) ^ set(FEATURE_NAMES))
        raise MarkModelError(f"mark model's group {name} differs from this program's features in {odd}: train it anew")
    if entry.actions < 0:
        raise MarkModelError(f"mark model's group {name} has {entry.actions} actions, which cannot be: train it anew")
    features = entry.features
    scaler = preprocessing.StandardScaler()
    for feature, values in features.items():
        if values.sd < 0:
            raise MarkModelError(f"mark model's {feature} of group {name} has sd {values.sd}, below 0: train it anew")
        scaler.counts[feature] = entry.actions
        scaler.means[feature] = values.mean
        scaler.vars[feature] = values.sd**2
    regression = linear_model.LogisticRegression(optim.SGD(LEARNING_RATE), intercept_init=entry.intercept)
    # River has no public way to start from known weights; a test holds that this one works.
    regression._weights = VectorDict({feature: values.weight for feature, values in features.items()})  # noqa: SLF001
    usual = {feature: values.usual for feature, values in features.items()}
    return MarkGroup(compose.Pipeline(scaler, regression), entry.offset, usual, entry.actions)


def _entry(group: MarkGroup) -> GroupEntry:
    scaler, regression = group.pipeline["StandardScaler"], group.pipeline["LogisticRegression"]
    weights = regression.weights
    features = {
        name: FeatureEntry(
            _short(weights.get(name, 0.0)),
            _short(group.usual[name]),
            _short(scaler.means[name]),
            _short(scaler.vars[name] ** 0.5),
        )
        for name in FEATURE_NAMES
    }
    return GroupEntry(group.actions, _short(regression.intercept), _short(group.offset), features)


def _short(value: float) -> float:
    """Round to what a mark of a sixteenth of a nat can show, so that the file stays readable."""
    return round(float(value), 5)
