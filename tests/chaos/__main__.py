"""`make chaos`: a seeded stream, faults at random moments, and the comparison with an uninterrupted run.

Exit code 0 only where the flags and the accounts are those of a run to which nothing happened.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from deploy.kafka.errors import LocalKafkaError
from streams.errors import BoostwatchError
from tests.chaos.run import ChaosFailed, Plan, carry_out


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the part under fire (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of traffic and faults (default 1)")
    parser.add_argument("--rate", type=float, default=60.0, help="organic events a second (default 60)")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of every topic (default 4)")
    parser.add_argument("--workers", type=int, default=2, help="workers at the start (default 2, at most 3 later)")
    parser.add_argument("--checkpoint-ms", type=int, default=2_000, help="the workers' setting (default 2000)")
    parser.add_argument("--calm", action="store_true", help="no faults: two runs over one log")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file too")
    parser.add_argument("--keep", type=Path, default=None, help="keep logs and the broker's data in this directory")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and return 0 where nothing is wrong, 1 where something is, 2 where it could not be run."""
    options = parse(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that nothing that was started stays behind
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    directory = options.keep or Path(tempfile.mkdtemp(prefix="boostwatch-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        seconds=options.minutes * 60.0,
        seed=options.seed,
        rate_per_s=options.rate,
        partitions=options.partitions,
        workers=options.workers,
        checkpoint_ms=options.checkpoint_ms,
        faults=not options.calm,
    )
    try:
        verdict = carry_out(plan, directory, lambda text: console.print(text, markup=False))
    except (ChaosFailed, AssertionError, BoostwatchError, LocalKafkaError) as error:
        console.print(f"chaos: {error} (logs: {directory})", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("chaos: ended early", markup=False)
        return 130
    verdict.show(console)
    if options.json:
        options.json.write_text(json.dumps(verdict.figures(), indent=2) + "\n", encoding="utf-8")
    if verdict.wrongs:
        console.print(f"logs: {directory}", markup=False)
    elif options.keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if verdict.wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
