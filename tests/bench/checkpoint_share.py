"""What checkpoints cost of throughput: the same worker on the same traffic with them and without, in turn.

A machine that others use too is faster at one time than at another, so each run is held against its neighbour alone,
the order changes from turn to turn, and of the turns the one in the middle counts. Processor time is compared, not
time. Most accounts of this traffic are new, so nearly all that is kept changes from one checkpoint to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench import growth_traffic, runs, traffic
from tests.bench.growth_traffic import Growth
from tests.bench.processes import BenchWorker
from tests.bench.report import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.bench.brokers import Broker

SHARE_MAX = 0.15
"""As asked for."""

CHECKPOINT_MS = 10_000
"""The default."""

INPUTS = ("BOOSTWATCH_TOPIC_LIKES", "BOOSTWATCH_TOPIC_FOLLOWS", "BOOSTWATCH_TOPIC_SEARCHES")
TURNS = 3
SETTLED = 0.1
"""Part of the events that is not timed: the worker has just come up."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What an event costs with checkpoints and without, s of processor time, by turn."""

    with_s: list[float]
    without_s: list[float]

    @property
    def shares(self) -> list[float]:
        """Part of the processor time that goes into checkpoints, by turn."""
        return [1.0 - without / kept for without, kept in zip(self.without_s, self.with_s, strict=True)]

    @property
    def share(self) -> float:
        """That of the turn in the middle."""
        return median(self.shares)


def measure(broker: Broker, events: int, scratch: Path, console: Console, partitions: int = 4) -> Shared:
    """Run both in turn. Raises RunFailed."""
    growth = Growth(max(1_000, events // 10), events)
    variables = traffic.environment(broker.bootstrap, partitions)
    traffic.create(variables)
    growth_traffic.load(growth, variables, console)
    shared = Shared([], [])
    pair = ((0, shared.without_s), (CHECKPOINT_MS, shared.with_s))
    for turn in range(TURNS):
        for checkpoint_ms, found in pair if turn % 2 == 0 else pair[::-1]:
            # The same inputs, and nothing else of what another run has left.
            own = traffic.environment(broker.bootstrap, partitions, checkpoint_ms=checkpoint_ms)
            traffic.create(own)
            console.print(f"  checkpoint_ms {checkpoint_ms}: {growth.total:,} events ...")
            log = scratch / f"share-{turn}-{checkpoint_ms}.log"
            with BenchWorker(own | {name: variables[name] for name in INPUTS}, log) as worker:
                looks = runs.watch([worker], growth.total, broker)
            traffic.delete(own)
            run = runs.between(f"checkpoint_ms {checkpoint_ms}", looks, after=int(SETTLED * growth.total))
            found.append(run.cpu_seconds / run.events)
    traffic.delete(variables)
    return shared


def rows(shared: Shared) -> list[dict[str, Any]]:
    """Return the figures by name."""
    return [
        {"checkpoints": told, "worker_us_an_event": round(median(found) * 1e6, 2), "runs": len(found)}
        for told, found in (("none", shared.without_s), (f"every {CHECKPOINT_MS // 1000} s", shared.with_s))
    ]


def asked(shared: Shared) -> Sequence[Wanted]:
    """Return what was asked for."""
    least, most = (round(100 * edge) for edge in (min(shared.shares), max(shared.shares)))
    told = f"% of a worker's time, checkpoints every 10 s ({least} to {most} in {len(shared.shares)} turns)"
    return [Wanted(told, round(100 * shared.share, 1), 100 * SHARE_MAX, at_least=False)]
