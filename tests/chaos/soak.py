"""`make soak`: one worker at half of what it can do, for hours, while strangers keep coming; memory must be flat.

The bounds are small, so that they are reached in the warm-up and hold from then on. The warm-up is to be longer than
the ten minutes for which event ids are kept: until then memory grows because it must.
Exit code 0 only where the worker's resident memory stayed within 5% of where the warm-up left it, it kept up and lived.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from deploy.kafka.errors import LocalKafkaError
from streams.errors import BoostwatchError
from tests.chaos.cluster import given_cluster, own_cluster
from tests.chaos.plot import as_page, in_characters
from tests.chaos.strangers import Strangers
from tests.integration.worker_process import WorkerProcess
from tests.kafka_broker import given_broker

FLAT = 0.05
SAMPLE_S = 2.0
WARM_UP_MIN = 15.0
WARM_UP_SHARE = 0.4
STRETCHES = 10
"""Into so many stretches is cut what follows the warm-up; their medians are compared, not single samples."""

BURST = 300_000
"""Events of the backlog that is measured; one of the same size before it fills the tables."""

LAG_S_MAX = 30.0
MIB = 1 << 20
LOG_BOUNDS = {"retention.bytes": str(512 * MIB), "segment.bytes": str(64 * MIB)}
"""What is kept of each partition: hours of traffic would fill the disk."""

BOUNDS = {"actors_max": 20_000, "subjects_max": 10_000, "session_timeout_ms": 30_000}


@dataclass(slots=True)
class Soak:
    """What was seen. Samples are (seconds since the load began, value)."""

    rate_per_s: float
    warm_up_s: float
    rss_mib: list[tuple[float, float]] = field(default_factory=list)
    lag: list[tuple[float, float]] = field(default_factory=list)
    read: int = 0
    ended: int | None = None

    @property
    def levels(self) -> list[float]:
        """Medians of the stretches after the warm-up, MiB."""
        warm = [value for at_s, value in self.rss_mib if at_s >= self.warm_up_s]
        size = max(1, len(warm) // STRETCHES)
        return [median(warm[first : first + size]) for first in range(0, len(warm) - size + 1, size)]

    @property
    def growth(self) -> float:
        """The greatest distance of a stretch from the first, as a share of it."""
        levels = self.levels
        return max((abs(level / levels[0] - 1.0) for level in levels), default=1.0)

    @property
    def wrongs(self) -> list[str]:
        """What is not as it must be."""
        found = []
        if self.ended is not None:
            found.append(f"the worker ended by itself with {self.ended}")
        if self.growth > FLAT:
            found.append(f"memory moved by {self.growth:.1%} after the warm-up; {FLAT:.0%} is allowed")
        behind_s = self.lag[-1][1] / self.rate_per_s if self.lag else 0.0
        if behind_s > LAG_S_MAX:
            found.append(f"the worker is {behind_s:.0f} s of traffic behind: it can't keep up with this rate")
        return found

    def figures(self) -> dict[str, object]:
        """Return the figures for JSON."""
        levels = self.levels
        return {
            "rate_per_s": round(self.rate_per_s),
            "events_read": self.read,
            "minutes": round(self.rss_mib[-1][0] / 60, 1) if self.rss_mib else 0,
            "warm_up_minutes": round(self.warm_up_s / 60, 1),
            "rss_after_warm_up_mib": round(levels[0], 1) if levels else None,
            "rss_at_the_end_mib": round(levels[-1], 1) if levels else None,
            "rss_greatest_mib": round(max((value for _, value in self.rss_mib), default=0.0), 1),
            "moved": f"{self.growth:.2%}",
            "wrong": self.wrongs,
        }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="how long (default 120)")
    parser.add_argument("--rate", type=float, default=None, help="events a second (default: half of what is measured)")
    parser.add_argument(
        "--warm-up-minutes", type=float, default=None, help="default 15, in short runs 40%% of the minutes"
    )
    parser.add_argument("--partitions", type=int, default=4, help="partitions of every topic (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the traffic (default 1)")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file too")
    parser.add_argument("--html", type=Path, default=None, help="write the plots to this page too")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and return 0 where memory was flat, 1 where it was not, 2 where it could not be run."""
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that nothing that was started stays behind
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="boostwatch-soak-") as scratch:
        try:
            soak = carry_out(options, Path(scratch), console)
        except (AssertionError, BoostwatchError, LocalKafkaError) as error:
            console.print(f"soak: {error}", markup=False)
            return 2
        except KeyboardInterrupt:
            console.print("soak: ended early", markup=False)
            return 130
    show(soak, console)
    if options.json:
        options.json.write_text(json.dumps(soak.figures(), indent=2) + "\n", encoding="utf-8")
    if options.html:
        series = {"resident memory, MiB": soak.rss_mib, "lag, records": soak.lag}
        options.html.write_text(as_page("boostwatch soak", series, soak.figures()), encoding="utf-8")
    return 1 if soak.wrongs else 0


def carry_out(options: argparse.Namespace, directory: Path, console: Console) -> Soak:
    """Start everything, find the rate, and sample until the time is over."""
    with ExitStack() as stack:
        given = given_broker()
        cluster = given_cluster(given) if given else stack.enter_context(own_cluster(directory / "kafka"))
        names = cluster.make_topics(options.partitions, settings=LOG_BOUNDS)
        worker = stack.enter_context(
            WorkerProcess(cluster.bootstrap, names, directory / "worker.log", partitions=options.partitions, **BOUNDS)
        )
        strangers = Strangers(cluster.bootstrap, names, 1.0, options.seed)
        stack.callback(strangers.stop)
        worker.wait_until_ready()
        rate = options.rate or measure(worker, strangers, console) / 2
        strangers.rate_per_s = rate
        minutes = options.minutes
        warm_up = min(WARM_UP_MIN, WARM_UP_SHARE * minutes)
        warm_up = warm_up if options.warm_up_minutes is None else options.warm_up_minutes
        console.print(f"{rate:,.0f} events a second for {minutes:g} minutes, of which {warm_up:g} are the warm-up")
        soak = Soak(rate, warm_up * 60.0)
        strangers.start()
        _sample(soak, worker, minutes * 60.0, console)
        return soak


def measure(worker: WorkerProcess, strangers: Strangers, console: Console) -> float:
    """Return how many events a second the worker takes from a backlog, once its tables are full.

    The first second of a worker and of empty tables says little about the hours after them.
    """
    drain(worker, strangers)
    rate = drain(worker, strangers)
    console.print(f"measured: {rate:,.0f} events a second from a backlog of {BURST:,}, after another as large")
    return rate


def drain(worker: WorkerProcess, strangers: Strangers) -> float:
    """Let a backlog gather while the worker is stopped; return how many of it the worker then takes a second."""
    worker.process.send_signal(signal.SIGSTOP)
    try:
        strangers.burst(BURST)
    finally:
        worker.process.send_signal(signal.SIGCONT)
    before, began_s = _read(worker), time.monotonic()
    while (now := _read(worker)) < strangers.sent and time.monotonic() - began_s < 120.0:
        time.sleep(0.2)
    return (now - before) / (time.monotonic() - began_s)


def _sample(soak: Soak, worker: WorkerProcess, seconds: float, console: Console) -> None:
    began_s = time.monotonic()
    told_s = 0.0
    while (at_s := time.monotonic() - began_s) < seconds:
        code = worker.process.poll()
        if code is not None:
            soak.ended = code
            console.print(worker.log[-2_000:], markup=False)
            return
        soak.rss_mib.append((at_s, rss_mib(worker.process.pid)))
        soak.lag.append((at_s, worker.lag()))
        soak.read = _read(worker)
        if at_s - told_s >= 30.0:
            told_s = at_s
            memory, behind = soak.rss_mib[-1][1], soak.lag[-1][1]
            console.print(f"{at_s / 60:6.1f} min  {memory:8.1f} MiB  {soak.read:,} read  {behind:,.0f} behind")
        time.sleep(SAMPLE_S)


def show(soak: Soak, console: Console) -> None:
    """Print the table and the plot."""
    table = Table(title="soak", show_header=False)
    for name, value in soak.figures().items():
        if name != "wrong":
            table.add_row(name.replace("_", " "), str(value))
    console.print(table)
    console.print(in_characters([value for _, value in soak.rss_mib], "MiB"), markup=False)
    for told in soak.wrongs:
        console.print(f"WRONG: {told}", markup=False)
    console.print("memory is flat" if not soak.wrongs else "not as it must be")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process (proc(5), VmRSS), MiB; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def _read(worker: WorkerProcess) -> int:
    return int(sum(worker.metrics()["boostwatch_events_total"].values()))


if __name__ == "__main__":
    sys.exit(main())
