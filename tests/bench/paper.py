"""Many workers on paper: what 16 or 64 of them would do, from what one was seen to need, checked against what two do.

Work comes in pieces: a batch of an agent, a block of actions. An event costs a, a piece b whatever is in it; both are
fitted to runs that differ in the number of partitions alone, so the runs between the first and the last say whether
that is true. Workers share nothing but the broker. In a round each of n workers takes one batch from each of its input
partitions, makes a block for every subject partition there is, and gets the blocks of all n for its own subject
partitions, up to `PACKED_MAX` of them as one batch. So a round has the more pieces the more partitions there are, and
where they would take more than half of a worker's time, rounds become longer instead: flags are later then.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from streams.consumer import PACKED_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTITIONS_A_WORKER = 16

ROUND_S = 0.1
"""How long a round is at the least: `fetch_wait_ms`."""

PIECES_SHARE = 0.5
"""Of a worker's time goes to what pieces cost at the most, by longer rounds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an event cost a worker (us of its processors) with so many partitions, when it came in so many pieces."""

    partitions: int
    pieces_an_event: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Of an event: `event_us` in any case, `piece_us` for each piece that it makes."""

    event_us: float
    piece_us: float

    def of_event(self, pieces: float) -> float:
        """Return what an event costs that makes so many pieces, us."""
        return self.event_us + self.piece_us * pieces


def fitted(seen: Sequence[Seen]) -> Costs:
    """Return the costs by the first and the last of these; none for a piece where more of them made nothing dearer."""
    few, many = seen[0], seen[-1]
    fewer, more = few.pieces_an_event, many.pieces_an_event
    piece_us = max(0.0, (many.cpu_us - few.cpu_us) / (more - fewer)) if more > fewer else 0.0
    # Where they say that nothing but pieces costs anything, the fit has failed: then all is the event's.
    event_us = few.cpu_us - piece_us * fewer
    return Costs(event_us, piece_us) if event_us > 0 else Costs(few.cpu_us, 0.0)


def pieces_a_round(workers: int) -> int:
    """Return how many pieces one of so many workers has in a round: batches of inputs, blocks, batches of blocks."""
    return PARTITIONS_A_WORKER * (1 + workers + ceil(workers / PACKED_MAX))


def rate_of(workers: int, costs: Costs, processors_a_worker: float) -> tuple[float, float]:
    """Return events/s of so many workers, each with so many processors busy, and how long their rounds are, s."""
    pieces_s = pieces_a_round(workers) * costs.piece_us / 1e6
    round_s = max(ROUND_S, pieces_s / (PIECES_SHARE * processors_a_worker))
    left = processors_a_worker - pieces_s / round_s
    return workers * left * 1e6 / costs.event_us, round_s


def rows(
    seen: Sequence[Seen], processors_a_worker: float, broker_us: float, counts: Sequence[int] = (1, 2, 16, 64)
) -> list[dict[str, Any]]:
    """Return what so many workers would do, each on processors of its own, and what the brokers would need."""
    costs = fitted(seen)
    found = []
    for workers in counts:
        rate, round_s = rate_of(workers, costs, processors_a_worker)
        pieces = pieces_a_round(workers) * workers / (rate * round_s)
        found.append(
            {
                "workers": workers,
                "partitions": PARTITIONS_A_WORKER * workers,
                "events_per_s": round(rate, -3),
                "round_ms": round(round_s * 1000),
                "cpu_us_an_event": round(costs.of_event(pieces), 2),
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
            "pieces_per_1000_events": round(1000 * one.pieces_an_event, 2),
            "measured_us": round(one.cpu_us, 2),
            "model_us": round(costs.of_event(one.pieces_an_event), 2),
        }
        for one in seen
    ]
