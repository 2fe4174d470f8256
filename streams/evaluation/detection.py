"""`make detection`: how much is found and how much wronged, on simulated families that nothing was fitted on.

Families and seeds stand here, those of training stand in `streams.models`, and the two have none in common. Twice:
with every optional field, and with none. Benign episodes and attacks are denser than in other recordings, since
what is rare says little in a few minutes; what they do to each other is part of the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console

from streams.errors import BoostwatchError
from streams.evaluation.command import Request, evaluate
from streams.evaluation.tables import print_evaluation, print_in_short
from streams.settings import Settings
from streams.simulator import HELD_OUT_FAMILIES, Family, Scenario, write_directory
from streams.simulator.columns import DAY_MS, SECOND_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.evaluation.results import Evaluation
    from streams.simulator.scenario import OptionalFields

EVENTS: Final = 250_000
DAYS: Final = 5.0
"""Of each directory, before what attacks and episodes add: drips of days and a baseline before them have room."""

START_MS: Final = 1_764_000_000_000

SEED: Final = 901
"""The first of the seeds: these recordings have been looked at, so others say more of a change (`--seed`)."""

DENSER: Final = 2.0
"""Attacks and benign episodes for each that a recording of this size otherwise has."""


@dataclass(frozen=True, slots=True)
class Part:
    """Directories that are judged together."""

    title: str
    fields: OptionalFields
    rounds: int  # of every family
    families: tuple[Family, ...] = HELD_OUT_FAMILIES


PARTS: Final = (
    Part("every optional field there", "all", 2),
    Part("every optional field absent", "none", 1),
)


def scenario_of(seed: int, family: Family, fields: OptionalFields, events: int, days: float) -> Scenario:
    """Draw a scenario of a family, as long as asked for and with the fields asked for."""
    drawn = Scenario.randomised(seed, family, start_ms=START_MS, events=events)
    duration_ms = int(days * DAY_MS)
    return replace(
        drawn,
        duration_ms=duration_ms,
        events_per_s=events / (duration_ms / SECOND_MS),
        optional_fields=fields,
    ).denser(DENSER)


def simulated(
    part: Part, work: Path, events: int, days: float, rounds: int | None = None, first_seed: int = SEED
) -> list[Path]:
    """Write the directories of a part; those that are there already are used again."""
    found: list[Path] = []
    for number in range(part.rounds if rounds is None else rounds):
        for place, family in enumerate(part.families):
            seed = first_seed + number * len(part.families) + place
            path = work / f"{family}-{seed}-{part.fields}-{events}"
            if not (path / "attacks.jsonl").exists():
                write_directory(path, scenario_of(seed, family, part.fields, events, days), seed)
            found.append(path)
    return found


def judged(part: Part, directories: Sequence[Path], request: Request) -> Evaluation:
    """Replay and score the directories of a part, and print what came of it."""
    evaluation = evaluate(Settings(), replace(request, directories=list(directories)))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty())
    console.print(f"\n== {part.title}: {', '.join(path.name for path in directories)}", highlight=False)
    print_evaluation(console, evaluation)
    return evaluation


def run(
    parts: Sequence[Part],
    work: Path,
    *,
    events: int,
    days: float,
    rounds: int | None,
    request: Request,
    first_seed: int = SEED,
) -> list[Evaluation]:
    """Simulate, replay, score and print the parts; write what was asked for, with the part's fields in its name."""
    found: list[tuple[Part, Evaluation]] = []
    for part in parts:
        sys.stderr.write(f"simulating: {part.title}\n")
        evaluation = judged(part, simulated(part, work, events, days, rounds, first_seed), request)
        found.append((part, evaluation))
        if request.json is not None:
            _beside(request.json, part).write_bytes(msgspec.json.encode(evaluation))
        if request.report is not None:
            from streams.evaluation.report import render  # noqa: PLC0415 -- only where a report is asked for

            _beside(request.report, part).write_text(render(evaluation), encoding="utf-8")
    console = Console(file=sys.stdout, width=200, soft_wrap=True)
    for part, evaluation in found:
        account_days = f"{evaluation.account_days:,.0f} account-days"
        print_in_short(console, f"in short, {part.title} ({account_days})", evaluation)
    return [evaluation for _, evaluation in found]


def _beside(path: Path, part: Part) -> Path:
    return path.with_name(f"{path.stem}-{part.fields}{path.suffix}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge from the command line; return the exit status."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m streams.evaluation.detection", description=summary)
    parser.add_argument("--events", type=int, default=EVENTS, help="in each directory (default: %(default)s)")
    parser.add_argument("--days", type=float, default=DAYS, help="of each directory (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first directory (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="directories of each family and part (default: two, and one bare)")
    parser.add_argument("--work", type=Path, help="keep the traffic here and use it again (default: thrown away)")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all results as JSON, a file a part")
    parser.add_argument("--report", type=Path, metavar="OUT.html", help="write a page with plots a part")
    parser.add_argument("--ablate", action="store_true", help="replay again without each group of evidence")
    parser.add_argument("--baselines", action="store_true", help="run simpler methods beside it")
    chosen = parser.parse_args(arguments)
    request = Request([], None, chosen.report, chosen.json, chosen.baselines, chosen.ablate)
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        work = chosen.work or Path(scratch)
        try:
            run(
                PARTS, work, events=chosen.events, days=chosen.days, rounds=chosen.rounds, request=request,
                first_seed=chosen.seed,
            )  # fmt: skip
        except (BoostwatchError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
