"""What is kept of one actor: 168 bytes, decayed, and enough to say how it usually behaves.

The compiled functions here change a row; what a row says about an action is `detectors.actor_features`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.compiled import inlined
from detectors.hash_index import mix

ROW_VERSION = 2
"""Raise it when a field's meaning changes, so that an old snapshot is refused."""

UNLIKES, UNFOLLOWS = 4, 5
"""Places in "counts" behind the verb groups."""

SECONDS_MAX = 2**32 - 1
"""Times of a row are capped here, in the year 2106: beyond it they would wrap to the past."""

GAP_BINS = 12
ROW_FIELDS: list[tuple[Any, ...]] = [
    ("last_ms", np.int64),  # greatest event time of its actions
    ("first_s", np.uint32),  # event time of the first, in seconds
    ("created_s", np.uint32),  # of the account, where an event ever said so, else 0
    ("actions", np.uint32),
    ("device", np.uint32),  # low bits of the last device's hash, 0 where none was given
    ("device_before", np.uint32),
    ("last_owner", np.uint32),  # low bits of what the last action hit
    ("last_subject", np.uint32),
    ("counts", np.float32, 6),  # decayed: by verb group, then unlikes and unfollows
    ("owner_actions", np.float32),  # decayed actions that had an owner
    ("new_owners", np.float32),  # decayed actions that had an owner not met before
    ("sessions", np.float32),  # decayed sessions that had more than removals in them
    ("recent", np.float32),  # actions, decayed by minutes
    ("gap_mean", np.float32),  # of the log of the gap in seconds, exponentially weighted
    ("gap_var", np.float32),
    ("awaited", np.uint64),  # what its last action hit, where it is told whether it goes on (`detectors.onward`)
    ("met", np.uint64, 4),  # owners met: two Bloom filters of 128 bits, the filling one and the full one before
    ("met_held", np.uint8),  # owners in the filling one
    ("session", np.uint8, 4),  # actions of this session by verb group
    ("gaps", np.uint8, GAP_BINS),  # histogram of the log of the gap, halved when a bin is full
    ("surfaces", np.uint8, 6),  # histogram, likewise
    ("awaited_verb", np.uint8),
]

HABIT_HALF_LIFE_MS = 3 * 86_400_000
"""What somebody usually does is that of the last days: weekdays and weekends both count."""

RECENT_HALF_LIFE_MS = 10 * 60_000
SESSION_GAP_MS = 30 * 60_000
"""A pause after which web analytics commonly counts a new session."""

GAPS_REMEMBERED = 16
"""Weight of the gap moments: about the last sixteen gaps."""

MET_MAX = 28
"""Owners in a filter before it is put aside: 3 x 28 draws set half of 128 bits, one wrong "met" in 9 look-ups."""


@inlined
def met_before(row: Any, owner: np.uint64) -> bool:
    """Whether the actor has met this owner: seldom a wrong yes, and an owner noted is known for 28 more at least.

    Who looked met by mistake was not noted, so a wrong no follows once the filter that was mistaken is gone.
    """
    return _in_filter(row, 0, owner) or _in_filter(row, 2, owner)


@inlined
def _in_filter(row: Any, half: int, owner: np.uint64) -> bool:
    word = mix(owner, np.int64(7))
    met = row["met"]
    for _ in range(3):
        bit = word & np.uint64(127)
        place = half + int(np.int64(bit >> np.uint64(6)))
        if (met[place] >> (bit & np.uint64(63))) & np.uint64(1) == np.uint64(0):
            return False
        word >>= np.uint64(7)
    return True


@inlined
def meet(row: Any, owner: np.uint64) -> None:
    """Remember an owner that the actor had not met."""
    met = row["met"]
    if row["met_held"] >= MET_MAX:
        met[2], met[3] = met[0], met[1]
        met[0], met[1] = np.uint64(0), np.uint64(0)
        row["met_held"] = 0
    word = mix(owner, np.int64(7))
    for _ in range(3):
        bit = word & np.uint64(127)
        place = int(np.int64(bit >> np.uint64(6)))
        met[place] |= np.uint64(1) << (bit & np.uint64(63))
        word >>= np.uint64(7)
    row["met_held"] += 1


@inlined
def age_row(row: Any, ts: int) -> None:
    """Decay the row to event time `ts` (ms) and close its session where it paused. Rows do not age backwards."""
    passed_ms = ts - row["last_ms"]
    if row["actions"] == 0 or passed_ms <= 0:
        return
    kept = 2.0 ** (-passed_ms / HABIT_HALF_LIFE_MS)
    counts = row["counts"]
    for place in range(len(counts)):
        counts[place] *= kept
    row["owner_actions"] *= kept
    row["new_owners"] *= kept
    row["sessions"] *= kept
    row["recent"] *= 2.0 ** (-passed_ms / RECENT_HALF_LIFE_MS)
    if passed_ms > SESSION_GAP_MS:
        session = row["session"]
        for place in range(len(session)):
            session[place] = 0


@inlined
def learn(row: Any, ts: int, place: int, subject: np.uint64, owner: np.uint64, surface: int) -> None:
    """Take one action into the row, which `age_row` has brought to `ts`.

    `place` is that of its count: the verb group, or of a removal. `owner` is whom it hit, 0 for nobody.
    """
    if row["actions"] == 0:
        row["first_s"] = min(max(ts // 1000, 0), SECONDS_MAX)
    else:
        _learn_gap(row, abs(ts - row["last_ms"]))
    row["last_ms"] = max(ts, row["last_ms"])
    row["actions"] = min(row["actions"] + 1, 4_000_000_000)
    row["recent"] += 1.0
    row["counts"][place] += 1.0
    session = row["session"]
    if place < len(session):
        if not session.any():
            row["sessions"] += 1.0
        session[place] = min(session[place] + 1, 255)
        row["last_subject"] = subject & np.uint64(0xFFFFFFFF)
    if owner != np.uint64(0):
        row["owner_actions"] += 1.0
        if not met_before(row, owner):
            row["new_owners"] += 1.0
            meet(row, owner)
        row["last_owner"] = owner & np.uint64(0xFFFFFFFF)
    if surface > 0:
        _count_small(row["surfaces"], surface)


@inlined
def _learn_gap(row: Any, gap_ms: int) -> None:
    log_gap = np.log(gap_ms / 1000.0 + 0.1)
    share = 1.0 / min(row["actions"], GAPS_REMEMBERED)
    away = log_gap - row["gap_mean"]
    # The exponentially weighted variance of West (1979), for which a first gap has none.
    row["gap_var"] = (1.0 - share) * (row["gap_var"] + share * away * away)
    row["gap_mean"] += share * away
    _count_small(row["gaps"], min(max(int(log_gap), 0), GAP_BINS - 1))


@inlined
def _count_small(counts: Any, place: int) -> None:
    if counts[place] == 255:
        for each in range(len(counts)):
            counts[each] >>= 1
    counts[place] += 1


@inlined
def learn_device(row: Any, device: np.uint64) -> bool:
    """Note the device that an action came with; return whether the actor had not come with it lately."""
    short = np.uint32(device & np.uint64(0xFFFFFFFF)) | np.uint32(1)
    if row["device"] == short:
        return False
    known = row["device_before"] == short
    row["device_before"] = row["device"]
    row["device"] = short
    return not known
