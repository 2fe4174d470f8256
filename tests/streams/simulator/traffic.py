"""One small run that several tests look at, read back as a stranger would read it."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson

from streams.simulator import TOPICS, Scenario, write_directory
from streams.simulator.columns import DAY_MS

START_MS = 1_764_000_000_000
Line = dict[str, Any]


def small(**changes: Any) -> Scenario:
    """Two days, some 40,000 events, an attack of every kind and shape, a benign episode of every family."""
    settings: dict[str, Any] = {
        "start_ms": START_MS, "duration_ms": 2 * DAY_MS, "accounts": 3_000, "notes": 1_500, "keywords": 300,
        "events_per_s": 0.15, "attacks": 28, "benign": 10,
    }  # fmt: skip
    return Scenario(**{**settings, **changes})


def read_lines(path: Path) -> list[bytes]:
    """Read the lines of a file, compressed or not."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()


@cache
def written() -> tuple[dict[str, list[Line]], list[Line], list[Line]]:
    """Events by topic, attacks and benign episodes of `small()`, seed 5."""
    place = Path(mkdtemp(prefix="simulated-"))
    write_directory(place, small(), seed=5)
    events = {topic: [orjson.loads(line) for line in read_lines(place / f"{topic}.jsonl.gz")] for topic in TOPICS}
    attacks = [orjson.loads(line) for line in read_lines(place / "attacks.jsonl")]
    benign = [orjson.loads(line) for line in read_lines(place / "benign.jsonl")]
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    return events, attacks, benign
