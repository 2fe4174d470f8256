"""`make bench`: one worker with everything on, beside what others offer for a small part of it, in one run.

A real Kafka is started (or `BOOSTWATCH_TEST_KAFKA` used) and simulated traffic is loaded. Then, part by part:
throughput (every contestant reads the same, one after the other, `--repeats` times in turn; medians are compared),
latency at half and four fifths of the rate just measured, growth, two workers beside one, checkpoints.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from deploy.kafka.errors import LocalKafkaError
from tests.bench import brokers, checkpoint_share, contestants, growth, latency, paper, report, several, traffic
from tests.bench.processes import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.brokers import Broker
    from tests.bench.runs import Run

PARTS = ("throughput", "latency", "growth", "workers", "checkpoints")
LOADS = (0.5, 0.8)
REPORT_WIDTH = 120
"""Characters a line of the report, where no terminal says otherwise."""

LATENCY_MS_MAX = 500.0
"""p99 at half load, as asked for."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, once: some minutes")
    parser.add_argument("--growth", action="store_true", help="growth in full: up to ten million accounts and keywords")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (default all)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="contestants with one of these words in their names")
    parser.add_argument("--events", type=int, help="events to load (default 2,000,000; quick 600,000)")
    parser.add_argument("--repeats", type=int, help="how often each contestant runs (default 3; quick 1)")
    parser.add_argument("--seconds", type=float, help="length of a latency run (default 60; quick 25)")
    parser.add_argument("--rate", type=float, help="events/s taken for full load, where throughput is not measured")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of every topic (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the traffic (default 1)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args(arguments)
    options.events = options.events or (600_000 if options.quick else 2_000_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.seconds = options.seconds or (25.0 if options.quick else 60.0)
    return options


@dataclass(slots=True)
class Bench:
    """One run of the benchmark: what was measured so far, and what of it was asked for."""

    options: argparse.Namespace
    broker: Broker
    scratch: Path
    progress: Console
    out: Console
    figures: dict[str, Any] = field(default_factory=report.machine)
    asked: list[report.Wanted] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    partitions_seen: list[paper.Seen] = field(default_factory=list)

    def run(self) -> None:
        """Measure every part that was chosen; one that fails is told of and does not keep the rest from running."""
        parts: dict[str, Callable[[], None]] = {
            "throughput": self.throughput,
            "latency": self.latency,
            "growth": self.growth,
            "workers": self.workers,
            "checkpoints": self.checkpoints,
        }
        for name, part in parts.items():
            if name in self.options.parts:
                self.progress.print(f"[bold]{name}[/bold]")
                self._try(name, part)

    def throughput(self) -> None:
        """Let everyone read the same."""
        options = self.options
        loaded = traffic.load(self.broker.bootstrap, options.events, options.partitions, options.seed, self.progress)
        measured: dict[str, list[Run]] = defaultdict(list)
        chosen = contestants.contestants(self.broker, loaded, self.scratch, self.progress, options.only)
        for repeat in range(options.repeats):
            for contestant in chosen:
                self.progress.print(f"  {repeat + 1} of {options.repeats}: {contestant.name} ...", end=" ")
                self._try(contestant.name, lambda: self._one(contestant, repeat, measured))  # noqa: B023 - called at once
        traffic.delete(loaded.environment, loaded.small.name, loaded.slow.name)
        rates = report.summary(measured)
        report.print_throughput(rates, self.out)
        self.figures["throughput"] = rates
        self.asked += report.asked_of_throughput(rates)

    def _one(self, contestant: contestants.Contestant, repeat: int, measured: dict[str, list[Run]]) -> None:
        run = contestant.run(repeat)
        self.progress.print(f"{run.events_per_s:,.0f} events/s {run.wrong}")
        measured[run.name].append(run)

    def latency(self) -> None:
        """Measure flags under load."""
        rates = self.figures.get("throughput", {}).get(contestants.OURS, {})
        rate = self.options.rate or rates.get("events_per_s")
        if not rate:
            raise RunFailed("no rate to take half of: measure throughput too, or say --rate")
        measured = [
            latency.measure(self.broker, load, load * rate, self.options.seconds, self.scratch, self.progress)
            for load in LOADS
        ]
        rows = [latency.row(one) for one in measured]
        report.print_rows("event to acknowledged flag", rows, self.out)
        self.figures["latency"] = rows
        self.asked.append(
            report.Wanted(
                "p99 of event to acknowledged flag at half load, ms", measured[0].p99_ms, LATENCY_MS_MAX, at_least=False
            )
        )

    def growth(self) -> None:
        """Grow accounts, then everything else."""
        full = self.options.growth
        accounts = list(growth.measure(growth.accounts_cases(full), self.broker, self.scratch, self.progress))
        others = list(growth.measure(growth.other_cases(full), self.broker, self.scratch, self.progress))
        for title, some in (("what an event costs as accounts grow", accounts), ("and otherwise", others)):
            report.print_rows(title, growth.rows(some), self.out)
        self.partitions_seen = growth.seen(others)
        self.figures["growth"] = {
            "accounts": growth.rows(accounts),
            "others": growth.rows(others),
            "bytes_per_tracked_account": round(growth.bytes_per_account(accounts)),
        }
        self.asked += growth.asked(accounts)

    def workers(self) -> None:
        """Compare two workers with one."""
        measured = several.measure(self.broker, self.options.events, self.scratch, self.progress)
        rows = several.rows(measured)
        report.print_rows("workers of one group, on this machine with the broker", rows, self.out)
        self.figures["workers"] = rows
        self.asked += several.asked(measured)
        if self.partitions_seen:
            one, two = measured[0], measured[-1]
            parts = {
                "costs_checked": paper.checked(self.partitions_seen),
                "on_paper": paper.rows(self.partitions_seen, one.run.cpu_seconds / one.run.seconds, two.broker_cpu_us),
            }
            report.print_rows("what an event costs, and what the model makes of it", parts["costs_checked"], self.out)
            report.print_rows("more workers on paper, each with processors of its own", parts["on_paper"], self.out)
            self.figures |= parts

    def checkpoints(self) -> None:
        """Checkpoint and restore a million rows, and let a worker run with checkpoints and without."""
        from tests.bench import checkpoints

        measured = checkpoints.run(self.broker.bootstrap)
        rows = checkpoints.rows(measured)
        report.print_rows("checkpoints of one stage through the broker", rows, self.out)
        self.figures["checkpoints"] = rows
        self.asked += checkpoints.asked(measured)
        shared = checkpoint_share.measure(self.broker, self.options.events, self.scratch, self.progress)
        report.print_rows("what checkpoints cost of throughput", checkpoint_share.rows(shared), self.out)
        self.figures["checkpoint_share"] = checkpoint_share.rows(shared)
        self.asked += checkpoint_share.asked(shared)

    def _try(self, name: str, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 - what was measured before must not be lost with it
            self.failed.append(name)
            self.progress.print(f"[red]{name} failed:[/red] {error!r}", soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where something could not be measured, 2 where nothing could."""
    options = parse(arguments)
    progress, out = Console(stderr=True, highlight=False), _console()
    with tempfile.TemporaryDirectory(prefix="boostwatch-bench-") as place:
        scratch = Path(place)
        try:
            with brokers.broker(scratch) as broker:
                bench = Bench(options, broker, scratch, progress, out)
                bench.run()
        except LocalKafkaError as error:
            progress.print(f"no real Kafka here: {error} (or name one in BOOSTWATCH_TEST_KAFKA)")
            return 2
    report.print_asked(bench.asked, out)
    bench.figures["asked"] = [
        {"what": one.what, "measured": one.value, "wanted": one.mark, "met": one.met} for one in bench.asked
    ]
    bench.figures["failed"] = bench.failed
    if options.json:
        options.json.write_text(json.dumps(bench.figures, indent=2) + "\n", encoding="utf-8")
    return 1 if bench.failed else 0


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=REPORT_WIDTH)


if __name__ == "__main__":
    sys.exit(main())
