"""The last step of `make models`: simulates accounts that programs run, and learns their rhythm.

Programs are so few in other recordings that there would be too little to learn from, so these hold more of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from streams import rhythm_training
from streams.simulator import Family, Scenario, write_directory

LEARNED_FROM: Final[tuple[tuple[Family, int], ...]] = (
    ("metro", 601), ("campus", 602), ("bazaar", 603), ("newsroom", 604),
    ("metro", 605), ("campus", 606), ("bazaar", 607), ("newsroom", 608),
)  # fmt: skip
REPORTED_ON: Final[tuple[tuple[Family, int], ...]] = (
    ("harbour", 701),
    ("festival", 702),
    ("quiet", 703),
    ("plain", 704),
    ("harbour", 705),
    ("festival", 706),
)
"""Family and seed of what is learned from, and of what the report in the file is about."""

EVENTS: Final = 250_000
START_MS: Final = 1_764_000_000_000
PROGRAMS, PROGRAMS_REPORTED, GANGS = 60, 30, 8


def make(work: Path, out: Path, events: int = EVENTS) -> int:
    """Write `rhythm.json` to a directory; return the exit status. Traffic that is there already is used again."""
    learned = [_written(work, family, seed, PROGRAMS, events) for family, seed in LEARNED_FROM]
    reported = [_written(work, family, seed, PROGRAMS_REPORTED, events) for family, seed in REPORTED_ON]
    told = [*map(str, learned), "--held-out", *map(str, reported), "--out", str(out / "rhythm.json")]
    return rhythm_training.main(told)


def _written(work: Path, family: Family, seed: int, programs: int, events: int) -> Path:
    path = work / f"{family}-{seed}-{programs}-programs"
    if not (path / "attacks.jsonl").exists():
        drawn = Scenario.randomised(seed, family, start_ms=START_MS, events=events)
        write_directory(path, replace(drawn, programs=programs, gangs=GANGS), seed)
    return path
