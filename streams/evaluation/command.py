"""`boostwatch evaluate`: replay recorded traffic, or take the flags of it, and score them against the truth."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from schemas.flags import Flag
from streams.comparison import read_benign, read_truth
from streams.errors import ConfigurationError, RecordedTrafficError
from streams.evaluation.results import Evaluated, Evaluation
from streams.evaluation.scoring import check, exposure_of, merged, score
from streams.evaluation.tables import print_evaluation
from streams.evaluation.timelines import Candidate, candidates_of, choose
from streams.evaluation.traffic import Purchase, WatchedRecording
from streams.pipeline import warm_up
from streams.recorded import Recording
from streams.replay import BATCH_EVENTS, Totals, replay
from streams.replay_report import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.comparison import Benign
    from streams.evaluation.traffic import Traffic
    from streams.settings import Settings

OURS = "boostwatch"


@dataclass(frozen=True, slots=True)
class Case:
    """One directory, replayed: what came, what was bought, what was honest, and what was flagged."""

    name: str
    path: Path
    traffic: Traffic
    attacks: list[Purchase]
    benign: list[Benign]
    flags: list[Flag]


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    directories: list[Path]
    flags: Path | None = None
    report: Path | None = None
    json: Path | None = None
    baselines: bool = False
    ablate: bool = False


def run(settings: Settings, request: Request) -> Evaluation:
    """Evaluate, print the tables and write what was asked for.

    Raises:
        RecordedTrafficError: a directory, its truth or the flags cannot be read.
        ConfigurationError: what was asked for does not go together, or cannot be written.

    """
    if request.flags is not None and len(request.directories) != 1:
        raise ConfigurationError(
            f"--flags are those of one directory and {len(request.directories)} were given; evaluate them one by one"
        )
    if request.flags is not None and request.ablate:
        raise ConfigurationError("--ablate replays with parts left out, and --flags are replayed already; drop one")
    evaluation = evaluate(settings, request)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty())
    print_evaluation(console, evaluation)
    if request.json is not None:
        _write(request.json, msgspec.json.format(msgspec.json.encode(evaluation), indent=1) + b"\n")
        console.print(f"\n{request.json}", markup=False, highlight=False)
    if request.report is not None:
        from streams.evaluation.report import render  # noqa: PLC0415 -- only where a report is asked for

        _write(request.report, render(evaluation).encode())
        console.print(f"\n{request.report}", markup=False, highlight=False)
    return evaluation


def evaluate(settings: Settings, request: Request) -> Evaluation:
    """Evaluate directory by directory; no more than one is held at a time."""
    for directory in request.directories:
        Recording(directory)  # every path is tried before the first minute is spent
        read_truth(directory / "attacks.jsonl", Purchase)
    warm_up(settings)
    evaluation = Evaluation(ours=Evaluated(name=OURS, about="everything on, as shipped"))
    checks, candidates = [], list[Candidate]()
    for directory in request.directories:
        case = read_case(settings, directory, request.flags)
        scored, comparison = score(OURS, case.name, case.flags, case.attacks, case.benign)
        evaluation.ours.add(scored)
        evaluation.exposure.append(exposure_of(case.name, case.traffic))
        checks.append(check(case.flags))
        candidates += candidates_of(case.name, case.traffic, comparison, case.flags)
        if request.baselines:
            from streams.evaluation.baselines import run_baselines  # noqa: PLC0415 -- they compile loops of their own

            found = run_baselines(case.name, case.traffic, case.attacks, case.benign, scored)
            _pool(evaluation.baselines, found)
        if request.ablate:
            from streams.evaluation.ablation import run_ablations  # noqa: PLC0415 -- only where it is asked for

            _pool(evaluation.ablations, run_ablations(settings, case.path, case.attacks, case.benign))
    evaluation.consistency = merged(checks)
    evaluation.timelines = choose(candidates)
    return evaluation


def read_case(settings: Settings, directory: Path, flags_path: Path | None) -> Case:
    """Replay a directory, or read its flags; either way its traffic is read once."""
    attacks = read_truth(directory / "attacks.jsonl", Purchase)
    benign = read_benign(directory / "benign.jsonl")
    recording = WatchedRecording(directory)
    totals = Totals()
    flags: list[Flag] = []
    with Progress(recording, totals) as progress:
        if flags_path is not None:
            flags = read_truth(flags_path, Flag)
            for _ in recording.batches(BATCH_EVENTS):
                progress.update()
        else:
            for tipped in replay(settings, recording, BATCH_EVENTS, totals):
                flags += tipped
                progress.update()
    traffic = recording.traffic()
    if not len(traffic):
        raise RecordedTrafficError(f"{directory} holds no event that can be read: there is nothing to evaluate")
    return Case(directory.resolve().name, directory, traffic, traffic.with_times(attacks), benign, flags)


def _pool(known: list[Evaluated], found: Sequence[Evaluated]) -> None:
    """Add what methods did on one more directory to what they did before."""
    for method in found:
        before = next((one for one in known if one.name == method.name), None)
        if before is None:
            known.append(method)
        else:
            before.add(method)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; give another path") from None
