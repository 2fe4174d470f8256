"""Two workers beside one, whether they do twice as much, and what is short where they do not.

On two cores with the broker on them too, the whole is bound by what all of them need for an event. So beside the rates
stands what a worker needs for an event: where that stays the same, more workers do as much more as there are cores.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench import runs, traffic
from tests.bench.processes import BenchWorker, RunFailed
from tests.bench.report import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.bench.brokers import Broker
    from tests.bench.traffic import Loaded

WORKERS = (1, 2)

SETTLED = 0.25
"""Part of the events that is not timed at the beginning, while the group may still be sharing partitions out."""


@dataclass(frozen=True, slots=True)
class Several:
    """A run of so many workers."""

    workers: int
    run: runs.Run

    @property
    def cpu_us(self) -> float:
        """Processor time of the workers for an event, in millionths of a second."""
        return self.run.cpu_seconds / self.run.events * 1e6

    @property
    def broker_cpu_us(self) -> float:
        """The same of the broker."""
        return self.run.broker_cpu_seconds / self.run.events * 1e6

    @property
    def busy(self) -> float:
        """Processors that workers and broker kept busy."""
        return (self.run.cpu_seconds + self.run.broker_cpu_seconds) / self.run.seconds


def measure(
    broker: Broker, events: int, scratch: Path, console: Console, partitions: int = 8, seed: int = 1
) -> list[Several]:
    """Run one worker, then two, on the same traffic. Raises RunFailed."""
    loaded = traffic.load(broker.bootstrap, events, partitions, seed, console)
    try:
        return [_measure(count, loaded, broker, scratch, console) for count in WORKERS]
    finally:
        traffic.delete(loaded.environment, loaded.small.name, loaded.slow.name)


def _measure(count: int, loaded: Loaded, broker: Broker, scratch: Path, console: Console) -> Several:
    variables = traffic.afresh(loaded.environment, count)
    traffic.create(variables)
    console.print(f"  {count} worker{'s' if count > 1 else ''}: {loaded.events:,} events ...")
    with ExitStack() as stack:
        workers = [
            stack.enter_context(BenchWorker(variables, scratch / f"several-{count}-{number}.log"))
            for number in range(count)
        ]
        looks = runs.watch(workers, loaded.events, broker)
        if count > 1 and min(worker.progress().events for worker in workers) < loaded.events / (4 * count):
            raise RunFailed("one of the workers had next to nothing to do: the group did not share the partitions out")
    traffic.delete_written(variables, loaded.environment)
    return Several(count, runs.between(f"{count} workers", looks, after=int(SETTLED * loaded.events)))


def rows(several: Sequence[Several]) -> list[dict[str, Any]]:
    """Return the figures by name."""
    return [
        {
            "workers": one.workers,
            "events_per_s": round(one.run.events_per_s),
            "times_one": round(one.run.events_per_s / several[0].run.events_per_s, 2),
            "worker_us_an_event": round(one.cpu_us, 2),
            "broker_us_an_event": round(one.broker_cpu_us, 2),
            "processors_busy": round(one.busy, 2),
            "model_says": round(modelled(several[0], one.workers, os.cpu_count() or 1)),
        }
        for one in several
    ]


def modelled(one: Several, workers: int, processors: int) -> float:
    """Return events/s of so many workers, from what one worker and the broker need for an event.

    A worker is bound by its one busiest thread, all of them with the broker by the processors.
    """
    every = processors / (one.cpu_us + one.broker_cpu_us) * 1e6
    return min(workers * one.run.events_per_s, every)


def asked(several: Sequence[Several]) -> list[Wanted]:
    """Return what was asked for of two workers.

    Where the broker and one worker leave less than a second one needs, the whole cannot be 1.7 times as fast. Then
    what counts is that two do it at one's cost.
    """
    one, two = several[0], several[-1]
    return [
        Wanted("times one worker, two workers", round(two.run.events_per_s / one.run.events_per_s, 2), 1.7),
        Wanted(
            "times one worker, two workers with a processor each, by their cost",
            round(2 * one.cpu_us / two.cpu_us, 2),
            1.7,
        ),
    ]
