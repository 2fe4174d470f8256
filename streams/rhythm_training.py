"""Learns from recorded directories what makes a rhythm a program's, where `attacks.jsonl` says which accounts are.

    python -m streams.rhythm_training DIR... --held-out DIR... --out detectors/shipped/rhythm.json

The habits come from the actor stage itself, fed as `replay` feeds it. What is held out is only reported on.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import orjson

from detectors.actors import ActorStage
from detectors.marks import MarkModel
from detectors.rhythm_model import RhythmModel, RhythmModelError, write_rhythm_model
from detectors.rhythm_training import RhythmExamples, greatest_by_account, joined, train
from detectors.settings import DAY_MS, ActorSettings
from schemas.flags import Kind
from schemas.hashing import hash_id
from streams.errors import BoostwatchError, RecordedTrafficError
from streams.recorded import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_EVENTS = 20_000
BUDGET_PER_MILLION = 10.0
"""False flags per million account-days."""

SCHEDULER_WEIGHT = 10.0
"""People with planning tools are few and easily mistaken."""


class _Subject(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    """What is read of a line of attacks.jsonl or benign.jsonl."""

    subject: _Subject
    kind: str = ""
    shape: str = ""
    family: str = ""
    actors: list[str] = []


def read_rhythms(directory: Path) -> tuple[RhythmExamples, dict[int, str]]:
    """Run the actor stage over a directory; return every rhythm judged, and the shape of each program's account.

    Accounts that other attacks employ are left out: whether a program runs them nobody says.

    Raises:
        RecordedTrafficError: the directory is not there, holds no event, or is not labelled.

    """
    attacks = _lines(directory / "attacks.jsonl")
    shapes = {hash_id(line.subject.id): line.shape for line in attacks if line.kind == Kind.AUTOMATION}
    hired = {hash_id(name) for line in attacks if line.kind != Kind.AUTOMATION for name in line.actors} - shapes.keys()
    benign = _lines(directory / "benign.jsonl") if (directory / "benign.jsonl").exists() else []
    planners = {hash_id(line.subject.id) for line in benign if line.family == "scheduler"}
    stage = ActorStage(ActorSettings(), MarkModel.flat({}))
    habits, accounts = [], []
    seen: set[int] = set()
    first_ms = last_ms = 0
    for batches, turns in Recording(directory).in_turns(BATCH_EVENTS):
        for batch, (marked, judged) in zip(batches, stage.apply_and_judge(batches, turns), strict=True):
            rows = np.flatnonzero(~np.isnan(judged).all(axis=(1, 2)))
            habits.append(judged[rows])
            accounts.append(batch.actor[rows])
            seen.update(np.unique(marked.actions.actor).tolist())
            first_ms, last_ms = first_ms or int(batch.arrival[0]), max(last_ms, int(batch.arrival[-1]))
    if not seen:
        raise RecordedTrafficError(f"{directory} holds no event that can be read: there is nothing to learn from")
    account = np.concatenate(accounts)
    kept = ~np.isin(account, np.array(sorted(hired), np.uint64))
    account = account[kept]
    program = np.isin(account, np.array(sorted(shapes), np.uint64))
    heavy = np.where(np.isin(account, np.array(sorted(planners), np.uint64)), SCHEDULER_WEIGHT, 1.0)
    days = len(seen - hired - shapes.keys()) * max((last_ms - first_ms) / DAY_MS, 1e-3)
    return RhythmExamples(np.concatenate(habits)[kept], account, program, heavy, days), shapes


def _lines(path: Path) -> list[_Line]:
    try:
        return [msgspec.json.decode(line, type=_Line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise RecordedTrafficError(f"cannot read {path}: {error.strerror}; only labelled traffic teaches") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordedTrafficError(f"{path} cannot be read: {error}; mend or drop the line") from None


def report(model: RhythmModel, parts: Sequence[tuple[RhythmExamples, dict[int, str]]]) -> dict[str, Any]:
    """Say which share of the programs is found, by shape, and how many people's accounts are."""
    found: dict[str, list[bool]] = defaultdict(list)
    wrong, planners, days = 0, [], 0.0
    for examples, shapes in parts:
        accounts, greatest, program = greatest_by_account(model, examples)
        over = dict(zip(accounts.tolist(), (greatest >= model.threshold).tolist(), strict=True))
        for account, shape in shapes.items():
            found[shape].append(over.get(account, False))
        wrong += int((greatest[~program] >= model.threshold).sum())
        planned = np.unique(examples.account[examples.heavy > 1.0])
        planners += [over[account] for account in planned.tolist()]
        days += examples.account_days
    return {
        "found": {shape: f"{sum(each)}/{len(each)}" for shape, each in sorted(found.items())},
        "people_flagged": wrong,
        "planners_flagged": f"{sum(planners)}/{len(planners)}",
        "account_days": round(days),
        "false_per_million_account_days": round(1e6 * wrong / max(days, 1.0), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn from the command line; return the exit status."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m streams.rhythm_training", description=summary)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="recorded traffic with attacks.jsonl")
    parser.add_argument("--held-out", nargs="*", type=Path, default=[], metavar="DIR", help="only reported on")
    parser.add_argument("--out", type=Path, required=True, help="the model file to write")
    chosen = parser.parse_args(arguments)
    try:
        parts = [read_rhythms(directory) for directory in chosen.directories]
        held_out = [read_rhythms(directory) for directory in chosen.held_out]
        examples = joined([part for part, _ in parts])
        provenance: dict[str, Any] = {
            "command": "python -m streams.rhythm_training",
            "directories": [directory.name for directory in chosen.directories],
            "held_out": [directory.name for directory in chosen.held_out],
            "rhythms": len(examples),
            "budget_per_million_account_days": BUDGET_PER_MILLION,
        }
        model = train(examples, BUDGET_PER_MILLION, provenance)
        model.provenance["report"] = report(model, held_out or parts)
        chosen.out.write_bytes(write_rhythm_model(model))
    except (BoostwatchError, RhythmModelError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(orjson.dumps(model.provenance["report"], option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
