"""What an actor's row says about its next action: the features of the mark, and the traits in words.

Every feature works with the optional fields absent: what cannot be said is NaN here and counts as "as usual". None
grows with uptime: they are ranks against the current population (`detectors.population`), shares shrunk by how
much is known, or saturate. None is about the subject: whoever acts on something popular is no likelier bought.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from detectors.actor_rows import met_before
from detectors.compiled import inlined
from detectors.population import (
    Measure,
    activity_bin,
    actors_on,
    age_bin,
    depth_bin,
    gap_bin,
    known_bin,
    position_bin,
)
from schemas.columns import Verb

LIKE, FOLLOW, CLICK, SEARCH = 0, 1, 2, 3
"""Verb groups: compared with their own kind, and with mark weights of their own."""

REMOVAL = 4
"""First of the places of unlikes and unfollows, which have no mark."""


class Feature(IntEnum):
    """The features, in the order of their column. A surprise is -log of the share of the population's actions."""

    FIRST = 0  # 1 where this is the actor's first action
    NEWNESS = 1  # surprise at knowing the actor for so short a time
    ACCOUNT_NEWNESS = 2  # surprise at so young an account
    GAP_SHORT = 3  # surprise at so short a gap
    GAP_LONG = 4
    DORMANCY = 5  # log of the gap over the actor's usual one, where it was days
    REGULAR = 6  # how evenly its gaps are spread, shrunk
    RECENT = 7  # log of its actions in the last minutes
    SHALLOW = 8  # surprise at so few actions in the session
    DEEP = 9
    SESSION_OTHER = 10  # share of other verbs in the session, shrunk
    MET = 11  # 1 where it met the owner before
    SAME_OWNER = 12  # 1 where its last action that had an owner hit the same one
    SAME_SUBJECT = 13  # 1 where its last action but removals hit the same subject
    NARROW = 14  # share of this verb in all it does, shrunk
    NEW_OWNERS = 15  # share of its actions that hit owners not met before, shrunk
    INACTIVE = 16  # surprise at so little activity
    ACTIVE = 17
    REMOVES = 18  # unlikes and unfollows to likes and follows, shrunk
    SEARCHES = 19  # share of searches in all it does, shrunk
    CLICKS = 20  # share of its searches that led to a click, shrunk
    SURFACE = 21  # surprise at the surface, for this verb
    SURFACE_NEW = 22  # how seldom the actor itself came from there, shrunk
    POSITION = 23  # surprise at a click so far down
    DEVICE_NEW = 24  # 1 where the device is not one of its last two
    DEVICE_SHARED = 25  # log of the actors on the device
    HASTY = 26  # sessions to actions: 1 where each visit is for one action, shrunk


FEATURES = len(Feature)

SHRINK = 4.0
"""A share of n actions counts n / (n + 4): what four actions say is half of what many would."""

_DAY_MS = 86_400_000
_SESSION_S_MAX = 1_800.0
_USUAL_SD = 1.8
"""Standard deviation of people's log gaps, within and between sessions; 0 is a clock (RSC 2015, fig. 3: people's
inter-arrival times spread over orders of magnitude)."""


@inlined
def place_of(verb: int, item: np.uint64) -> int:
    """Return the verb group of an action, or the place of a removal's count."""
    if verb == Verb.LIKE:
        return LIKE
    if verb == Verb.FOLLOW:
        return FOLLOW
    if verb == Verb.SEARCH:
        return SEARCH if item == np.uint64(0) else CLICK
    return REMOVAL if verb == Verb.UNLIKE else REMOVAL + 1


@inlined
def describe(
    row: Any,
    population: Any,
    group: int,
    ts: int,
    subject: np.uint64,
    owner: np.uint64,
    position: int,
    created_ms: int,
    surface: int,
    device: np.uint64,
    raw: Any,
) -> None:
    """Fill `raw`, shape (features,), for an action that the row, aged to `ts`, has not learned yet.

    On the way the action is counted in the population's histograms.
    """
    raw[:] = np.nan
    actions = row["actions"]
    first = actions == 0
    raw[Feature.FIRST] = 1.0 if first else 0.0
    known_ms = ts - row["first_s"] * 1000.0
    place = 0 if first else known_bin(max(known_ms, 0.0))
    raw[Feature.NEWNESS] = population["low"][Measure.KNOWN, group, place]
    population["counts"][Measure.KNOWN, group, place] += 1.0
    if created_ms >= 0:
        place = age_bin(max(float(ts - created_ms), 0.0))
        raw[Feature.ACCOUNT_NEWNESS] = population["low"][Measure.AGE, group, place]
        population["counts"][Measure.AGE, group, place] += 1.0
    if group == CLICK:
        place = position_bin(float(position))
        raw[Feature.POSITION] = population["high"][Measure.POSITION, group, place]
        population["counts"][Measure.POSITION, group, place] += 1.0
    if surface > 0:
        raw[Feature.SURFACE] = population["alone"][Measure.SURFACE, group, surface]
        population["counts"][Measure.SURFACE, group, surface] += 1.0
    if device != np.uint64(0):
        raw[Feature.DEVICE_SHARED] = np.log(max(float(actors_on(population, device)), 1.0))
    if not first:
        _describe_time(row, population, group, ts, raw)
        _describe_session(row, population, group, raw)
        _describe_habits(row, group, subject, owner, surface, raw)
        if device != np.uint64(0) and row["device"] != 0:
            short = np.uint32(device & np.uint64(0xFFFFFFFF)) | np.uint32(1)
            raw[Feature.DEVICE_NEW] = 0.0 if short in (row["device"], row["device_before"]) else 1.0


@inlined
def _describe_time(row: Any, population: Any, group: int, ts: int, raw: Any) -> None:
    actions = float(row["actions"])
    gap_ms = abs(ts - row["last_ms"])
    place = gap_bin(float(gap_ms))
    raw[Feature.GAP_SHORT] = population["low"][Measure.GAP, group, place]
    raw[Feature.GAP_LONG] = population["high"][Measure.GAP, group, place]
    population["counts"][Measure.GAP, group, place] += 1.0
    raw[Feature.DORMANCY] = 0.0
    if gap_ms > _DAY_MS:
        over = np.log(gap_ms / 1000.0) - max(float(row["gap_mean"]), np.log(3600.0))
        raw[Feature.DORMANCY] = min(max(over, 0.0), 6.0) * actions / (actions + SHRINK)
    spread = np.sqrt(float(row["gap_var"])) / _USUAL_SD
    raw[Feature.REGULAR] = max(0.0, 1.0 - spread) * min(max(actions - 2.0, 0.0) / 8.0, 1.0)
    raw[Feature.RECENT] = np.log1p(float(row["recent"]))
    counts = row["counts"]
    activity = 0.0
    for count in counts:
        activity += float(count)
    place = activity_bin(activity)
    raw[Feature.INACTIVE] = population["low"][Measure.ACTIVITY, group, place]
    raw[Feature.ACTIVE] = population["high"][Measure.ACTIVITY, group, place]
    population["counts"][Measure.ACTIVITY, group, place] += 1.0


@inlined
def _describe_session(row: Any, population: Any, group: int, raw: Any) -> None:
    session = row["session"]
    depth = 0.0
    for count in session:
        depth += float(count)
    place = depth_bin(depth)
    raw[Feature.SHALLOW] = population["low"][Measure.DEPTH, group, place]
    raw[Feature.DEEP] = population["high"][Measure.DEPTH, group, place]
    population["counts"][Measure.DEPTH, group, place] += 1.0
    raw[Feature.SESSION_OTHER] = (depth - float(session[group])) / (depth + 2.0)


@inlined
def _describe_habits(row: Any, group: int, subject: np.uint64, owner: np.uint64, surface: int, raw: Any) -> None:
    counts = row["counts"]
    same = float(counts[group])
    total = 0.0
    for count in counts:
        total += float(count)
    raw[Feature.NARROW] = same / (total + SHRINK)
    searches = float(counts[SEARCH]) + float(counts[CLICK])
    raw[Feature.HASTY] = float(row["sessions"]) / (total + SHRINK)
    raw[Feature.SEARCHES] = searches / (total + SHRINK)
    raw[Feature.CLICKS] = float(counts[CLICK]) / (searches + SHRINK) if searches > 0.1 else np.nan
    removals = float(counts[REMOVAL]) + float(counts[REMOVAL + 1])
    raw[Feature.REMOVES] = removals / (float(counts[LIKE]) + float(counts[FOLLOW]) + SHRINK)
    raw[Feature.NEW_OWNERS] = float(row["new_owners"]) / (float(row["owner_actions"]) + SHRINK)
    raw[Feature.SAME_SUBJECT] = 1.0 if row["last_subject"] == (subject & np.uint64(0xFFFFFFFF)) else 0.0
    if owner != np.uint64(0):
        raw[Feature.MET] = 1.0 if met_before(row, owner) else 0.0
        raw[Feature.SAME_OWNER] = 1.0 if row["last_owner"] == (owner & np.uint64(0xFFFFFFFF)) else 0.0
    if surface > 0:
        surfaces = row["surfaces"]
        seen = 0.0
        for count in surfaces:
            seen += float(count)
        if seen > 0.0:
            raw[Feature.SURFACE_NEW] = (1.0 - float(surfaces[surface]) / seen) * seen / (seen + SHRINK)
