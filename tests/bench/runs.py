"""One measured run each: boostwatch's worker and every peer, as processes of their own, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.processes import READY_S, ROOT, BenchWorker, RunFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.bench.brokers import Broker
    from tests.bench.traffic import Outcome

POLL_S = 0.25
"""Between two looks at a worker's metrics: rendering them is work of the worker's own, so it is not asked often."""

QUIET_S = 2.5
"""Without progress for so long, a worker that says that nothing waits is believed: it counts that once a second."""

STALL_S = 60.0
"""A run that makes no progress for this long has failed; every healthy one moves often once it has begun."""

PEER_S = 600.0
"""How long a peer may take."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process did: `events` records in `seconds` of wall and `cpu_seconds` of processor time.

    `broker_cpu_seconds` is what the broker took meanwhile, 0 where its process is not ours. `wrong` says what came out
    of a peer's job that should not have.
    """

    name: str
    events: int
    seconds: float
    cpu_seconds: float
    broker_cpu_seconds: float = 0.0
    notes: str = ""
    wrong: str = ""

    @property
    def events_per_s(self) -> float:
        """Throughput over the measured stretch."""
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a worker found."""

    at_s: float
    events: int
    cpu_s: float
    broker_cpu_s: float


def peer(
    name: str,
    module: str,
    arguments: Sequence[str],
    broker: Broker,
    *,
    due: Outcome | None = None,
    python: str = sys.executable,
    notes: str = "",
) -> Run:
    """Run a peer's module to its end, read the figures that it prints, and compare what it found with what is due.

    Raises RunFailed where it ends without figures.
    """
    began_cpu_s = broker.cpu_s()
    try:
        done = subprocess.run(
            [python, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PEER_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"{name} was not done within {PEER_S:.0f} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
    if not lines:
        raise RunFailed(f"{name} ended with {done.returncode} and no figures: {done.stderr[-800:]}")
    figures = json.loads(lines[-1])
    taken_s = broker.cpu_s() - began_cpu_s
    if not figures["timed"]:
        raise RunFailed(f"{name} took everything at once, too soon to be timed: give more --events")
    timed = figures["timed"] / figures["events"]
    return Run(
        name, figures["timed"], figures["seconds"], figures["cpu_seconds"], taken_s * timed, notes,
        wrong=due.differs(figures) if due is not None else "",
    )  # fmt: skip


def worker(
    name: str, environment: Mapping[str, str], expected: int, log: Path, broker: Broker, *, notes: str = ""
) -> Run:
    """Run `boostwatch worker` until all of `expected` records are through both hops.

    Timed between the first and the last look that find it at work; starting, compiling and joining the group are left
    out, as they are for the peers.
    """
    with BenchWorker(environment, log) as process:
        looks = watch([process], expected, broker)
    return between(name, looks, notes)


def watch(workers: Sequence[BenchWorker], expected: int, broker: Broker) -> list[Look]:
    """Look at workers until together they have read `expected` records and nothing of them waits in any stage.

    Returns each look that found progress; the last is the one that found all done. Raises RunFailed.
    """
    looks: list[Look] = []
    before, moved_at_s = (0, 0), time.perf_counter()
    while True:
        for worker in workers:
            worker.check()
        found = [worker.progress() for worker in workers]
        now_s = time.perf_counter()
        events, later = sum(one.events for one in found), sum(one.later for one in found)
        if (events, later) != before and events:
            looks.append(Look(now_s, events, sum(worker.cpu_s() for worker in workers), broker.cpu_s()))
            before, moved_at_s = (events, later), now_s
        elif events >= expected and not any(one.waiting for one in found) and now_s - moved_at_s > QUIET_S:
            return looks
        if now_s - moved_at_s > (STALL_S if looks else READY_S):
            raise RunFailed(f"stands at {events} of {expected}: {workers[0].last_words()}")
        time.sleep(POLL_S)


def between(name: str, looks: Sequence[Look], notes: str = "", *, after: int = 0) -> Run:
    """Return the run between the first look that had seen `after` records and the last one. Raises RunFailed."""
    some = [look for look in looks if look.events >= after]
    if len(some) < 2:
        raise RunFailed(f"{name} was done at once, too soon to be timed: give more --events")
    first, last = some[0], some[-1]
    return Run(
        name,
        last.events - first.events,
        last.at_s - first.at_s,
        last.cpu_s - first.cpu_s,
        last.broker_cpu_s - first.broker_cpu_s,
        notes,
    )
