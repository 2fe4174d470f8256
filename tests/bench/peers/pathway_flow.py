"""Pathway: JSON decoded in its Rust engine, a stateful reducer by target, sums over all targets as its output.

Run as `python -m tests.bench.peers.pathway_flow BOOTSTRAP EXPECTED TOPIC`, in the peers' environment.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import pathway as pw

from tests.bench.peers.stopwatch import Stopwatch
from tests.bench.peers.windowed_count import WINDOW_MS, WindowedCount

COMMIT_MS = 500
"""How often it takes what has arrived; its default, 1500 ms, is coarse for a run of seconds, and no faster."""


class Event(pw.Schema):
    """The fields that the job needs."""

    ts: int
    note_id: str | None = pw.column_definition(default_value=None)
    target_id: str | None = pw.column_definition(default_value=None)
    query: str | None = pw.column_definition(default_value=None)


def run(bootstrap: str, expected: int, topic: str) -> None:
    """Read until `expected` records have passed."""
    job, stopwatch = WindowedCount(), Stopwatch(expected)

    @pw.reducers.stateful_many
    def count(state: tuple[Any, ...] | None, rows: list[tuple[list[int], int]]) -> tuple[Any, ...]:
        inner = list(state[1:6]) if state is not None else None
        spikes = state[6] if state is not None else 0
        windows = [row[0] for row, times in rows for _ in range(times)]  # equal rows come as one
        windows.sort()  # what came in one go has no order
        for window in windows:
            inner, spike = job.step(inner, window)
            spikes += spike
        assert inner is not None  # there are no groups without rows
        window, seen, closed, mean, m2 = inner
        return ((state[0] if state is not None else 0) + len(windows), int(window), int(seen), int(closed),
                float(mean), float(m2), spikes)  # fmt: skip

    events = pw.io.kafka.read(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "check.crcs": "false",
        },
        topic=topic,
        schema=Event,
        format="json",
        autocommit_duration_ms=COMMIT_MS,
    )
    keyed = events.select(
        target=pw.coalesce(events.note_id, events.target_id, events.query, ""), window=events.ts // WINDOW_MS
    )
    states = keyed.groupby(keyed.target).reduce(state=count(keyed.window))
    figures = states.select(
        events=pw.declare_type(int, states.state[0]),
        closed=pw.declare_type(int, states.state[3]),
        spikes=pw.declare_type(int, states.state[6]),
    )
    total = figures.reduce(
        events=pw.reducers.sum(figures.events),
        closed=pw.reducers.sum(figures.closed),
        spikes=pw.reducers.sum(figures.spikes),
    )

    def look(key: Any, row: dict[str, int], time: int, is_addition: bool) -> None:  # noqa: FBT001
        if is_addition:
            # It reads a good part before it gives anything out: timed is what follows.
            stopwatch.start(skipped=row["events"])
        if is_addition and stopwatch.done(row["events"] - stopwatch.seen):
            stopwatch.tell(closed=row["closed"], spikes=row["spikes"])
            os._exit(0)

    pw.io.subscribe(total, on_change=look)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
