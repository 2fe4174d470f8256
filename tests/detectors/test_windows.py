"""Buckets in event time: what is counted where, and what a late event still reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arena import Arena
from detectors.subject_rows import DAYS, HOURS, ROW_FIELDS, SLOTS_DAY, SLOTS_HOUR
from detectors.windows import count, in_day, in_hour, in_slot, in_week, roll, since, start

FIRST = 5_880_000


def fresh() -> Any:
    row = np.zeros(1, Arena(ROW_FIELDS, 1).view().rows.dtype)[0]
    start(row, FIRST)
    return row


def counted(slots: list[int]) -> Any:
    row = fresh()
    for slot in slots:
        roll(row, slot)
        count(row, slot)
    return row


@given(st.lists(st.integers(0, 12 * SLOTS_DAY), min_size=1, max_size=60))
@settings(deadline=None)
def test_in_order_every_scale_counts_what_its_buckets_hold(offsets: list[int]) -> None:
    slots = sorted(FIRST + offset for offset in offsets)
    row, newest = counted(slots), slots[-1]
    assert in_slot(row) == slots.count(newest)
    assert in_hour(row) == sum(slot > newest - SLOTS_HOUR for slot in slots)
    assert in_day(row) == sum(slot // SLOTS_HOUR > newest // SLOTS_HOUR - HOURS for slot in slots)
    assert in_week(row) == sum(slot // SLOTS_DAY > newest // SLOTS_DAY - DAYS + 1 for slot in slots)
    assert int(row["total"]) == len(slots)


@given(st.lists(st.integers(0, 3 * SLOTS_HOUR), min_size=1, max_size=40))
@settings(deadline=None)
def test_late_actions_count_where_their_buckets_live(offsets: list[int]) -> None:
    slots = [FIRST + offset for offset in offsets]
    row, newest = counted(slots), max(slots)
    assert in_day(row) == len(slots)
    seen = 0
    alive = 0
    for slot in slots:
        seen = max(seen, slot)
        alive += slot > seen - SLOTS_HOUR and slot > newest - SLOTS_HOUR
    assert in_hour(row) == alive


def test_time_never_runs_back() -> None:
    row = counted([FIRST + 10, FIRST + 3])
    assert int(row["slot"]) == FIRST + 10


def test_counts_stop_at_their_greatest_value() -> None:
    row = fresh()
    row["slots"][:] = row["hours"][:] = 65_535
    count(row, FIRST)
    assert in_slot(row) == 65_535


def test_since_tells_as_finely_as_the_buckets_that_live() -> None:
    slots = [FIRST, FIRST + 5, FIRST + 2 * SLOTS_HOUR, FIRST + 2 * SLOTS_HOUR + 3]
    row = counted(slots)
    assert since(row, FIRST + 2 * SLOTS_HOUR + 1) == 1
    assert since(row, FIRST + 2 * SLOTS_HOUR) == 2
    assert since(row, FIRST) == 4


def test_removals_are_kept_for_today_and_yesterday() -> None:
    row = fresh()
    row["removals"][0] = 7
    roll(row, FIRST + SLOTS_DAY)
    assert row["removals"].tolist() == [0, 7]
    roll(row, FIRST + 3 * SLOTS_DAY)
    assert row["removals"].tolist() == [0, 0]
