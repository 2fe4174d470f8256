"""A run as records to be sent: what goes to which topic under which key, and when it is due."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from streams.simulator.columns import SECOND_MS, TOPICS
from streams.simulator.scenario import Scenario
from streams.simulator.simulate import Slice, simulate
from streams.simulator.world import World


class Record(NamedTuple):
    """One record: the topic's name in `TOPICS`, key and value as sent, and when the event arrives."""

    topic: str
    key: bytes
    value: bytes
    arrival_ms: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in arrival order, due `due_s` seconds after the start of what is live (0: at once)."""

    due_s: float
    records: list[Record]


def stream(scenario: Scenario | World, seed: int = 0, *, speed: float = 1.0) -> Iterator[Batch]:
    """Give a run in batches of about a second of sending, at `speed` times real time.

    With `live_from_ms` everything before it is due at once and the rest from 0 on; without, the whole run
    is live. `speed` 0 means as fast as possible. The slices are shorter than a file's, so the same seed
    gives other events here than in a directory, with the same attacks.

    >>> short = Scenario(start_ms=1_764_000_000_000, duration_ms=5_000, accounts=500, notes=200, keywords=50)
    >>> [batch.due_s for batch in stream(short, speed=2.0)]
    [1.0, 2.0, 2.5]
    """
    world = scenario if isinstance(scenario, World) else World.build(scenario, seed)
    plan = world.scenario
    origin_ms = plan.start_ms if plan.live_from_ms is None else plan.live_from_ms
    paced_ms = None if speed <= 0 else int(max(speed, 1.0) * SECOND_MS)
    for part in simulate(world, live_slice_ms=paced_ms):
        late_ms = part.end_ms - origin_ms
        yield Batch(max(late_ms, 0) / SECOND_MS / speed if speed > 0 else 0.0, records(part))


def records(part: Slice) -> list[Record]:
    """All topics of a slice, merged by arrival."""
    columns = (
        [
            Record(topic, key, value, arrival)
            for key, value, arrival in zip(
                part.keys(topic), part.lines(topic), part.topics[topic]["arrival"].tolist(), strict=True
            )
        ]
        for topic in TOPICS
    )
    return list(heapq.merge(*columns, key=_arrival))


def _arrival(record: Record) -> int:
    return record.arrival_ms
