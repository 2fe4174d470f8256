"""Writing a run as recorded traffic: three topic files and the truth beside them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streams.simulator.columns import TOPICS
from streams.simulator.scenario import Scenario
from streams.simulator.simulate import namer_of, simulate
from streams.simulator.truth import attack_lines, benign_lines
from streams.simulator.world import World

Progress = Callable[[int, float], None]

_GZIP_LEVEL: Final = 1
"""Level 1 writes ids (noise to a compressor) four times as fast as level 6 for a few per cent more bytes."""


@dataclass(slots=True)
class Written:
    """What a directory got: events by topic (duplicates included), labelled attacks and episodes."""

    path: Path
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOPICS, 0))
    attacks: int = 0
    benign: int = 0


def write_directory(
    path: str | Path,
    scenario: Scenario,
    seed: int = 0,
    *,
    compress: bool = True,
    progress: Progress | None = None,
    slice_events: int = 50_000,
) -> Written:
    """Simulate into `path` (made when missing): likes, follows, searches `.jsonl[.gz]`, attacks and benign `.jsonl`.

    `progress(events so far, part of the time done in [0, 1])` is called after every slice. The same
    arguments write the same bytes.

    >>> import tempfile
    >>> short = Scenario(start_ms=1_764_000_000_000, duration_ms=600_000, accounts=500, notes=200, keywords=50)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     sorted(file.name for file in write_directory(place, short, seed=1).path.iterdir())
    ['attacks.jsonl', 'benign.jsonl', 'follows.jsonl.gz', 'likes.jsonl.gz', 'searches.jsonl.gz']
    """
    written = Written(Path(path))
    written.path.mkdir(parents=True, exist_ok=True)
    world = World.build(scenario, seed)
    written.attacks, written.benign = write_truth(written.path, world)
    with ExitStack() as open_files:
        files = {topic: _open(open_files, written.path, topic, compress=compress) for topic in TOPICS}
        for part in simulate(world, slice_events=slice_events):
            for topic in TOPICS:
                lines = part.lines(topic)
                if lines:
                    files[topic].write(b"\n".join(lines) + b"\n")
                    written.events[topic] += len(lines)
            if progress is not None:
                done = (part.end_ms - scenario.start_ms) / scenario.duration_ms
                progress(sum(written.events.values()), done)
    return written


def write_truth(path: str | Path, world: World) -> tuple[int, int]:
    """Write attacks.jsonl and benign.jsonl of a world into `path`; how many lines each has."""
    place, namer = Path(path), namer_of(world)
    place.mkdir(parents=True, exist_ok=True)
    attacks = _write_lines(place / "attacks.jsonl", attack_lines(world, namer))
    return attacks, _write_lines(place / "benign.jsonl", benign_lines(world, namer))


def _open(open_files: ExitStack, path: Path, topic: str, *, compress: bool) -> io.BufferedIOBase | gzip.GzipFile:
    # A file of an earlier run under the other name would be read as well.
    (path / (f"{topic}.jsonl" if compress else f"{topic}.jsonl.gz")).unlink(missing_ok=True)
    raw = open_files.enter_context((path / f"{topic}.jsonl{'.gz' if compress else ''}").open("wb"))
    if not compress:
        return raw
    # No file name and no time in the header: same events, same bytes.
    return open_files.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0))


def _write_lines(path: Path, lines: Iterable[bytes]) -> int:
    count = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count
