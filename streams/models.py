"""`make models`: makes the shipped weights, thresholds and rhythms anew, by the very commands that anyone has.

Families and seeds stand here; what comes out is written where it is shipped from, with where it came from inside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streams import rhythm_models
from streams.cli import main as boostwatch

TRAINING: Final = tuple(zip(("metro", "campus", "bazaar", "newsroom") * 3, range(301, 313), strict=True))
"""Family and seed of what is learned from. Other families and seeds are kept out, for honest figures."""

CALIBRATED_ON: Final = TRAINING[:8]

EVENTS: Final = 350_000
START: Final = "2025-11-24T16:00"

SHIPPED: Final = Path(__file__).resolve().parent.parent / "detectors" / "shipped"


def steps(work: Path, out: Path, events: int) -> list[list[str]]:
    """Return the commands, in their order, that make weights and thresholds; traffic that is there is used again."""
    found: list[list[str]] = []
    for family, seed in TRAINING:
        directory = work / f"{family}-{seed}"
        if not directory.exists():
            told = ["--family", family, "--seed", str(seed), "--events", str(events), "--start", START]
            found.append(["simulate", str(directory), *told])
    learned = [str(work / f"{family}-{seed}") for family, seed in TRAINING]
    marks, thresholds = str(out / "marks.json"), str(out / "thresholds.json")
    found.append(["train", *learned, "--out", marks])
    found.append(["calibrate", *learned[: len(CALIBRATED_ON)], "--marks", marks, "--out", thresholds])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the three files; return the exit code of the first command that fails, 0 without any."""
    parser = argparse.ArgumentParser(prog="python -m streams.models", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="in each directory (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("build/models"), help="where the traffic goes")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the three files go")
    chosen = parser.parse_args(arguments)
    for step in steps(chosen.work, chosen.out, chosen.events):
        sys.stdout.write(f"boostwatch {' '.join(step)}\n")
        sys.stdout.flush()
        if code := boostwatch(step):
            return code
    sys.stdout.write("python -m streams.rhythm_training\n")
    return rhythm_models.make(chosen.work, chosen.out)


if __name__ == "__main__":
    sys.exit(main())
