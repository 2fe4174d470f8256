"""What stood out about an actor when it acted, as bits: for evidence in words, and to group an ablation.

Traits decide nothing by themselves; their thresholds are what a reviewer would call worth saying.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.actions import Trait
from detectors.actor_features import SHRINK, Feature
from detectors.compiled import inlined

NEW_MS = 3 * 86_400_000
NEW_SHARE_NATS = 1.6
"""Known for so short a time as one action in five: only then is "first seen lately" worth saying."""

RARE_PATH_NATS = 3.0
"""A surface that one action in twenty comes from."""

BUSY_ACTIONS = 60.0
"""Decayed actions in ten minutes of half-life: one every fifteen seconds for a quarter of an hour."""

REGULAR_SCORE = 0.75
"""Of `Feature.REGULAR`: log gaps with less than a quarter of people's usual spread."""

SHARED_ACTORS = 4
"""More actors than a household on one device."""

DORMANT_NATS = 3.0
"""Twenty times its usual gap, for an actor whose habits are known."""


@inlined
def traits_of(row: Any, group: int, ts: int, created_ms: int, raw: Any) -> int:
    """Return the bits of `Trait` for an action described by `raw` (`actor_features.describe`)."""
    first = row["actions"] == 0
    traits = 0
    if first:
        traits |= Trait.FIRST_SEEN.value
    if created_ms >= 0:
        if ts - created_ms < NEW_MS:
            traits |= Trait.NEW_ACCOUNT.value
    elif not first and ts - row["first_s"] * 1000.0 < NEW_MS and raw[Feature.NEWNESS] >= NEW_SHARE_NATS:
        traits |= Trait.NEW_ACCOUNT.value
    if raw[Feature.SURFACE] >= RARE_PATH_NATS:
        traits |= Trait.UNUSUAL_PATH.value
    if raw[Feature.DEVICE_SHARED] >= np.log(SHARED_ACTORS):
        traits |= Trait.SHARED_DEVICE.value
    return traits if first else traits | _habit_traits(row, group, raw)


@inlined
def _habit_traits(row: Any, group: int, raw: Any) -> int:
    traits = 0
    counts = row["counts"]
    total = 0.0
    for count in counts:
        total += float(count)
    others = total - float(counts[group])
    owner_share = float(row["new_owners"]) / max(float(row["owner_actions"]), 0.5)
    if row["actions"] >= SHRINK and others < 0.1 * total and owner_share < 0.5:
        traits |= Trait.NARROW.value
    if row["actions"] >= SHRINK and others < 0.05 * total:
        traits |= Trait.NO_BROWSING.value
    if raw[Feature.REGULAR] >= REGULAR_SCORE:
        traits |= Trait.REGULAR.value
    if row["recent"] >= BUSY_ACTIONS:
        traits |= Trait.BUSY.value
    if raw[Feature.MET] == 0.0:
        traits |= Trait.STRANGER.value
    if raw[Feature.DORMANCY] >= DORMANT_NATS:
        traits |= Trait.DORMANT.value
    return traits
