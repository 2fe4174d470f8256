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

FAMILIES: Final = ("metro", "campus", "bazaar", "newsroom")

TRAINING: Final = tuple(zip(FAMILIES * 3, range(301, 313), strict=True))
"""Family and seed of what is learned from. Other families and seeds are kept out, for honest figures."""

CALIBRATED_ON: Final = TRAINING[:8]

CROWDS: Final = tuple(zip(FAMILIES * 8, (*range(501, 517), *range(541, 557)), strict=True))
"""What the trees that judge crowds are fitted on: a crowd is one case, however many act in it, so it takes more."""

DENSE: Final = tuple(
    zip(
        FAMILIES * 4, (*range(721, 729), *range(741, 749)), (("none", "all") * 2 + ("all", "none") * 2) * 2, strict=True
    )
)
"""Besides: family, seed and optional fields of shorter ones with three episodes and attacks for each, half without any
optional field, where an influx and a bought crowd are the most alike."""

DENSE_EVENTS, DENSE_DAYS, DENSER = 220_000, 5, 3

FIELDS: Final = ("all", "none", "some", "none", "all", "all", "none", "all", "none", "all", "some", "none")

SPARSE: Final = tuple(zip(FAMILIES * 2, range(761, 769), FIELDS[:8], (1.5, 3, 5, 2, 4, 1.5, 3, 2), strict=True))
"""Besides: family, seed, optional fields and events for each account of platforms on which most are strangers."""

ALONE: Final = tuple(
    zip(
        ("arcade",) * 20, range(781, 801), FIELDS + FIELDS[:8],
        (4, 15, 8, 25, 15, 3, 8, 20, 10, 5, 30, 15, 40, 12, 60, 20, 6, 50, 25, 10), strict=True,
    )
)  # fmt: skip
"""The same of platforms where everybody is for themselves, as in the simplest simulations of others."""

HIRED: Final = tuple(
    zip(
        ("guild",) * 48, range(801, 849), FIELDS * 4,
        (15, 6, 25, 10, 40, 4, 15, 20, 8, 30, 12, 18, 5, 35, 10, 20, 50, 8, 25, 12, 6, 15, 30, 20) * 2, strict=True,
    )
)  # fmt: skip
"""The same of platforms where a few services share the market, so that their accounts meet again and again, and some
hire people, who live besides."""

SPARSE_EVENTS, SPARSE_DAYS, SPARSE_DENSER = 300_000, 5, 2

EVENTS: Final = 350_000
START: Final = "2025-11-24T16:00"

SHIPPED: Final = Path(__file__).resolve().parent.parent / "detectors" / "shipped"


def simulations(work: Path, events: int) -> list[tuple[Path, list[str]]]:
    """Return each directory that is learned from and how `boostwatch simulate` makes it: those of the marks first."""
    found = [
        (work / f"{family}-{seed}", ["--family", family, "--seed", str(seed), "--events", str(events)])
        for family, seed in (*TRAINING, *CROWDS)
    ]
    for family, seed, fields in DENSE:
        told = ["--family", family, "--seed", str(seed), "--events", str(int(events * DENSE_EVENTS / EVENTS))]
        told += ["--days", str(DENSE_DAYS), "--fields", fields, "--denser", str(DENSER)]
        found.append((work / f"{family}-{seed}-{fields}", told))
    for family, seed, fields, each in (*SPARSE, *ALONE, *HIRED):
        count = int(events * SPARSE_EVENTS / EVENTS)
        told = ["--family", family, "--seed", str(seed), "--events", str(count), "--accounts", str(int(count / each))]
        told += ["--days", str(SPARSE_DAYS), "--fields", fields, "--denser", str(SPARSE_DENSER)]
        found.append((work / f"{family}-{seed}-{fields}", told))
    return found


def steps(work: Path, out: Path, events: int) -> list[list[str]]:
    """Return the commands, in their order, that make weights and thresholds; traffic that is there is used again."""
    simulated = simulations(work, events)
    found = [
        ["simulate", str(directory), *told, "--start", START] for directory, told in simulated if not directory.exists()
    ]
    learned = [str(directory) for directory, _ in simulated[: len(TRAINING)]]
    marks, thresholds = str(out / "marks.json"), str(out / "thresholds.json")
    found.append(["train", *learned, "--out", marks])
    found.append(["calibrate", *learned[: len(CALIBRATED_ON)], "--marks", marks, "--out", thresholds])
    crowds = [str(directory) for directory, _ in simulated[len(TRAINING) :]]
    found.append(["calibrate", *crowds, "--crowds-only", "--marks", marks, "--base", thresholds, "--out", thresholds])
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
