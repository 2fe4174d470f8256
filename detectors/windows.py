"""Counts of a row at four scales: rings of 5-minute, hourly and daily buckets in event time.

A row's newest slot moves forward with the events that hit it; buckets that fall behind are reused. A late event
counts where its bucket still lives: an hour back in slots, a day in hours, a week in days.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.compiled import compiled
from detectors.subject_rows import DAYS, HOURS, SLOTS_DAY, SLOTS_HOUR

U16_MAX = 65_535
"""An hour or five minutes above it count as it: such a subject is judged by its days, and by who acts."""

SCALES = 4
SCALE_NAMES = ("5 minutes", "hour", "24 hours", "7 days")
SCALE_HOURS = (1 / 12, 1.0, 24.0, 168.0)


@compiled
def start(row: Any, slot: int) -> None:
    """Begin a fresh row at its first slot.

    Its first hour is not learned from: the row exists because something came, so that hour says too much.
    """
    row["slot"] = slot
    row["born"] = slot
    row["merged"] = slot // SLOTS_HOUR + 1
    row["suspect"] = -1


@compiled
def roll(row: Any, slot: int) -> None:
    """Move the newest slot forward to `slot` and clear what that reuses. Earlier slots change nothing."""
    newest = int(row["slot"])
    if slot <= newest:
        return
    for late in range(max(newest + 1, slot - SLOTS_HOUR + 1), slot + 1):
        row["slots"][late % SLOTS_HOUR] = 0
    hour = slot // SLOTS_HOUR
    newest_hour = newest // SLOTS_HOUR
    if hour > newest_hour:
        row["contributed"] = 0
        for late in range(max(newest_hour + 1, hour - HOURS + 1), hour + 1):
            row["hours"][late % HOURS] = 0
            bit = ~(np.uint32(1) << np.uint32(late % HOURS))
            row["suspected"] &= bit
            row["gated"] &= bit
        day = slot // SLOTS_DAY
        newest_day = newest // SLOTS_DAY
        if day > newest_day:
            for late in range(max(newest_day + 1, day - DAYS + 1), day + 1):
                row["days"][late % DAYS] = 0
            one_day = day == newest_day + 1
            row["removals"][1] = row["removals"][0] if one_day else np.uint16(0)
            row["suspect_removals"][1] = row["suspect_removals"][0] if one_day else np.uint16(0)
            row["removals"][0] = 0
            row["suspect_removals"][0] = 0
    row["slot"] = slot


@compiled
def count(row: Any, slot: int) -> None:
    """Count one action in every bucket of `slot` that still lives."""
    newest = int(row["slot"])
    row["total"] += np.uint32(1)
    if slot > newest - SLOTS_HOUR:
        place = slot % SLOTS_HOUR
        row["slots"][place] = min(int(row["slots"][place]) + 1, U16_MAX)
    hour = slot // SLOTS_HOUR
    if hour > newest // SLOTS_HOUR - HOURS:
        place = hour % HOURS
        row["hours"][place] = min(int(row["hours"][place]) + 1, U16_MAX)
    day = slot // SLOTS_DAY
    if day > newest // SLOTS_DAY - DAYS:
        row["days"][day % DAYS] += np.uint32(1)


@compiled
def in_slot(row: Any) -> float:
    """Actions in the newest slot (up to 5 minutes)."""
    return float(row["slots"][int(row["slot"]) % SLOTS_HOUR])


@compiled
def in_hour(row: Any) -> float:
    """Actions in the last 12 slots (55 to 60 minutes)."""
    total = 0
    for place in range(SLOTS_HOUR):
        total += int(row["slots"][place])
    return float(total)


@compiled
def in_day(row: Any) -> float:
    """Actions in the last 24 hourly buckets (23 to 24 hours)."""
    total = 0
    for place in range(HOURS):
        total += int(row["hours"][place])
    return float(total)


@compiled
def in_week(row: Any) -> float:
    """Actions in the day that runs and the six before it (6 to 7 days)."""
    total = 0
    oldest = (int(row["slot"]) // SLOTS_DAY + 1) % DAYS
    for place in range(DAYS):
        if place != oldest:
            total += int(row["days"][place])
    return float(total)


@compiled
def since(row: Any, slot: int) -> float:
    """Actions from `slot` on, as finely as the buckets that still live tell."""
    newest = int(row["slot"])
    if slot > newest - SLOTS_HOUR:
        total = 0
        for late in range(slot, newest + 1):
            total += int(row["slots"][late % SLOTS_HOUR])
        return float(total)
    hour = slot // SLOTS_HOUR
    newest_hour = newest // SLOTS_HOUR
    if hour > newest_hour - HOURS:
        total = 0
        for late in range(hour, newest_hour + 1):
            total += int(row["hours"][late % HOURS])
        return float(total)
    total = 0
    newest_day = newest // SLOTS_DAY
    for late in range(max(slot // SLOTS_DAY, newest_day - DAYS + 1), newest_day + 1):
        total += int(row["days"][late % DAYS])
    return float(total)
