"""`make bench`: one worker with everything on, beside a stock agent and a bare read loop, in one run.

A real Kafka is started (or `BOOSTWATCH_TEST_KAFKA` used), simulated traffic is loaded into fresh topics, and
every contestant reads all of it, one after the other, `--repeats` times in turn; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.bench import report, runs, traffic

STOCK_SHARE = 0.15
"""A stock agent is an order of magnitude slower, so it reads a part; its rate is steady from the first second."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="300,000 events, once: a couple of minutes")
    parser.add_argument("--events", type=int, default=None, help="events to load (default 1,500,000)")
    parser.add_argument("--repeats", type=int, default=None, help="how often each contestant runs (default 3)")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of every topic (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the traffic (default 1)")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file too")
    options = parser.parse_args(arguments)
    options.events = options.events or (300_000 if options.quick else 1_500_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Load, run everyone in turn, print the table."""
    options = parse(arguments)
    console = Console(stderr=True)
    measured: dict[str, list[runs.Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="boostwatch-bench-") as scratch, traffic.broker(Path(scratch)) as bootstrap:
        loaded = traffic.load(bootstrap, options.events, options.partitions, options.seed, console)
        for repeat in range(options.repeats):
            for contestant in _contestants(bootstrap, loaded, Path(scratch), repeat):
                console.print(f"  run {repeat + 1} of {options.repeats}: {contestant.name} ...", end=" ")
                run = contestant.run()
                console.print(f"{run.events_per_s:,.0f} events/s")
                measured[run.name].append(run)
    figures = report.medians(measured)
    report.print_table(figures, Console())
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


@dataclass(frozen=True, slots=True)
class _Contestant:
    """One thing to run: its name for the progress line, and how."""

    name: str
    run: Callable[[], runs.Run]


def _contestants(bootstrap: str, loaded: traffic.Loaded, scratch: Path, repeat: int) -> list[_Contestant]:
    total = str(loaded.events)
    peers = "tests.bench.peers"
    stock = str(int(loaded.events * STOCK_SHARE))

    def ours() -> runs.Run:
        group = {"BOOSTWATCH_GROUP_ID": f"bench-{repeat}"}
        return runs.worker(
            report.OURS, {**loaded.environment, **group}, loaded.events, scratch / f"worker-{repeat}.log",
            notes="all detectors, both hops, flags, metrics",
        )  # fmt: skip

    return [
        _Contestant(report.OURS, ours),
        _Contestant(
            "stock Faust agent, small job",
            lambda: runs.peer("stock Faust agent, small job", f"{peers}.stock_faust",
                              [bootstrap, stock, *loaded.topics], notes="plain dict, no changelog"),
        ),
        _Contestant(
            "bare aiokafka loop, small job",
            lambda: runs.peer("bare aiokafka loop, small job", f"{peers}.aiokafka_loop",
                              [bootstrap, total, "job", *loaded.topics], notes="orjson, plain dict"),
        ),
        _Contestant(
            "bare aiokafka loop, reading only",
            lambda: runs.peer("bare aiokafka loop, reading only", f"{peers}.aiokafka_loop",
                              [bootstrap, total, "read", *loaded.topics], notes="the limit"),
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
