"""Many workers on paper: what 16 or 64 of them would do, from what one was seen to need, checked against what two do.

What grows with the number of partitions is the number of blocks: n actions that go together go to P partitions in
B = P (1 - (1 - 1/P)^n) of them on average. An event costs a, and b for each block that it makes, where a and b come
from the runs with the fewest and the most partitions; those between say whether that is true. A worker of many does as
much less than one alone as an event costs it more. Partitions are 16 a worker; what a worker makes of all its
partitions of one round of fetches goes together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.outgoing import ROWS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTITIONS_A_WORKER = 16
FIXED_POINT_ROUNDS = 50

ROUND_S = 0.05
"""What goes together at 200,000 events/s: a fetch of 1 MiB (`streams.consumer_thread.COLLECT_BYTES`)."""
"""Rate and batch depend on each other; this many rounds are far more than they need to agree."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an event cost a worker (us of its processors) with so many partitions, which made so many blocks of it."""

    partitions: int
    blocks_an_event: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Of an event: `event_us` in any case, `block_us` for each block that it makes."""

    event_us: float
    block_us: float

    def of_event(self, blocks: float) -> float:
        """Return what an event costs that makes so many blocks, us."""
        return self.event_us + self.block_us * blocks


def blocks_an_event(partitions: int, records: float) -> float:
    """Return how many blocks are made for an event, when so many actions go together to partitions."""
    untouched: float = (1.0 - 1.0 / partitions) ** records
    return partitions * (1.0 - untouched) / records


def fitted(seen: Sequence[Seen]) -> Costs:
    """Return the costs by the first and the last of these; none for a block where more of them made nothing dearer."""
    few, many = seen[0], seen[-1]
    fewer, more = few.blocks_an_event, many.blocks_an_event
    block_us = max(0.0, (many.cpu_us - few.cpu_us) / (more - fewer)) if more > fewer else 0.0
    return Costs(few.cpu_us - block_us * fewer, block_us)


def rate_of(workers: int, costs: Costs, processors_a_worker: float) -> tuple[float, float]:
    """Return events/s of so many workers, each with so many processors busy, and how many actions then go together."""
    partitions = PARTITIONS_A_WORKER * workers
    records = float(ROWS_MAX)
    rate = 0.0
    for _ in range(FIXED_POINT_ROUNDS):
        rate = workers * processors_a_worker * 1e6 / costs.of_event(blocks_an_event(partitions, records))
        made = max(1.0, rate / workers * ROUND_S)
        records = min(ROWS_MAX, (records + made) / 2)
    return rate, records


def rows(
    seen: Sequence[Seen], processors_a_worker: float, broker_us: float, counts: Sequence[int] = (1, 2, 16, 64)
) -> list[dict[str, Any]]:
    """Return what so many workers would do, each on processors of its own, and what the brokers would need."""
    costs = fitted(seen)
    found = []
    for workers in counts:
        rate, records = rate_of(workers, costs, processors_a_worker)
        partitions = PARTITIONS_A_WORKER * workers
        blocks = blocks_an_event(partitions, records)
        found.append(
            {
                "workers": workers,
                "partitions": partitions,
                "events_per_s": round(rate, -3),
                "actions_together": round(records),
                "blocks_an_event": round(blocks, 3),
                "cpu_us_an_event": round(costs.of_event(blocks), 2),
                "broker_processors": round(rate * broker_us / 1e6, 1),
            }
        )
    return found


def checked(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Return what was measured beside what the model says, for the runs that it was not made from too."""
    costs = fitted(seen)
    return [
        {
            "partitions": one.partitions,
            "blocks_an_event": round(one.blocks_an_event, 4),
            "measured_us": round(one.cpu_us, 2),
            "model_us": round(costs.of_event(one.blocks_an_event), 2),
        }
        for one in seen
    ]
