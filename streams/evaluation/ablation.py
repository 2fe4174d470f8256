"""The same replay without one group of evidence: what that group is worth.

A weight of 0 stands for a feature that is as usual, so nothing else has to be fitted anew; thresholds stay as shipped.
Without a group fewer flags come, false ones too, so a drop of recall is the upper bound of what it brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.calibration import Thresholds
from detectors.marks import MarkFile, MarkModel
from streams.evaluation.scoring import score
from streams.pipeline import build_actor_stage, build_subject_stage, shipped_marks, shipped_thresholds
from streams.recorded import Recording
from streams.replay import BATCH_EVENTS, Totals, replay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.comparison import Benign
    from streams.evaluation.results import Evaluated
    from streams.evaluation.traffic import Purchase
    from streams.settings import Settings

GROUPS: dict[str, tuple[str, ...]] = {
    "without device marks": ("device_new", "device_shared"),
    "without age marks": ("first", "newness", "account_newness"),
    "without timing marks": ("gap_short", "gap_long", "dormancy", "regular", "recent", "shallow", "deep", "hasty"),
    "without habit marks": (
        "session_other", "met", "same_owner", "same_subject", "narrow", "new_owners", "inactive", "active", "removes",
        "searches", "clicks", "surface", "surface_new", "position",
    ),
}  # fmt: skip
"""Features of the marks by what they look at."""

NO_MIX = "without mixes"
_NEVER_NATS = -1e6
"""A Bayes factor that every mix reaches."""


def run_ablations(
    settings: Settings, directory: Path, attacks: Sequence[Purchase], benign: Sequence[Benign]
) -> list[Evaluated]:
    """Replay one directory once for each group and score what comes."""
    found: list[Evaluated] = []
    for name, features in GROUPS.items():
        about = f"mark weights of {', '.join(features)} set to 0"
        marks = without_features(shipped_marks(), features)
        found.append(_scored(name, about, settings, directory, attacks, benign, marks, shipped_thresholds()))
    thresholds = without_mixes(shipped_thresholds())
    about = "only the sequential test and the gate decide, not the mix of the last marks"
    found.append(_scored(NO_MIX, about, settings, directory, attacks, benign, shipped_marks(), thresholds))
    return found


def without_features(marks: MarkModel, features: Sequence[str]) -> MarkModel:
    """Return the marks with the weights of some features set to 0; features that are not there are passed over."""
    file = msgspec.json.decode(marks.to_json(), type=MarkFile)
    groups = {
        name: msgspec.structs.replace(
            group,
            features={
                feature: msgspec.structs.replace(entry, weight=0.0) if feature in features else entry
                for feature, entry in group.features.items()
            },
        )
        for name, group in file.groups.items()
    }
    return MarkModel.from_file(msgspec.structs.replace(file, groups=groups))


def without_mixes(thresholds: Thresholds) -> Thresholds:
    """Return thresholds at which the mix of the last marks never holds a flag back."""
    open_ = (_NEVER_NATS,) * len(next(iter(thresholds.kinds.values())).factor)
    kinds = {kind: msgspec.structs.replace(learned, factor=open_) for kind, learned in thresholds.kinds.items()}
    return msgspec.structs.replace(thresholds, kinds=kinds)


def _scored(
    name: str, about: str, settings: Settings, directory: Path, attacks: Sequence[Purchase],
    benign: Sequence[Benign], marks: MarkModel, thresholds: Thresholds,
) -> Evaluated:  # fmt: skip
    stages = build_actor_stage(settings, marks), build_subject_stage(settings, thresholds)
    recording = Recording(directory)
    flags = [flag for tipped in replay(settings, recording, BATCH_EVENTS, Totals(), stages) for flag in tipped]
    evaluated, _ = score(name, directory.resolve().name, flags, attacks, benign)
    evaluated.about = about
    return evaluated
