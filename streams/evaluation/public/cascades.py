"""Organic cascades as hard negatives: reposts and comments as likes, through the real pipeline.

From Song, Tu, Yang, Liu, Sun (2018), CED, arXiv:1811.04175. Nothing here is known to be bought, so every flag
counts as false, in aggregate.
"""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
from msgspec import Struct

from streams.evaluation.measures import wilson
from streams.recorded import Recording
from streams.replay import BATCH_EVENTS, Totals, replay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.flags import Flag
    from streams.settings import Settings

CAVEAT = (
    "Nine actors in ten are seen once here, so strangers are usual: where planted bursts of strangers are not found "
    "either, few flags prove blindness on such traffic rather than judgement."
)
"""To be told with the figures."""

SHIFTED_DAYS = 7
"""Posts of five years moved into one week: traffic with real bursts in it, and a population to compare with."""

SHIFTED_START_MS = 1_763_942_400_000
SEED = 11

PLANTED_POSTS, PLANTED_LIKES, PLANTED_MS = 40, 200, 1_200_000
"""Posts that get a burst, likes of it, each by an account that does nothing else, and how long it takes."""

FLOOR = "a fixed rule of 50 rows in 5 min fires on 16.7%, of 100 in 5 min on 2.6%; a Gaussian at 0.99999 on 34.3%"
"""Share of the posts, as measured on the same rows."""


class Row(Struct, frozen=True):
    """One repost or comment."""

    note_id: str
    author_id: str
    actor_id: str
    ts_ms: int


class CascadeFigures(Struct, frozen=True):
    """Of one replay: how many posts there were, and how many were flagged, by kind.

    Where bursts were planted, `planted` says on how many posts and `found` how many of those were flagged.
    """

    name: str
    rows: int
    posts: int
    flagged: int
    high: float
    kinds: dict[str, int]
    planted: int = 0
    found: int = 0


def read_rows(path: Path) -> list[Row]:
    """Read `cascades.csv.gz`, in order of time."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [
            Row(row["note_id"], row["author_id"], row["actor_id"], int(row["ts"]) * 1_000)
            for row in csv.DictReader(file)
        ]


def shifted(rows: Iterable[Row], seed: int = SEED) -> list[Row]:
    """Return the rows with each post begun at an instant of the same week."""
    rng = np.random.default_rng(seed)
    by_post: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_post[row.note_id].append(row)
    moved: list[Row] = []
    for post in by_post.values():
        begin = SHIFTED_START_MS + int(rng.integers(0, SHIFTED_DAYS * 86_400_000))
        offset = begin - min(row.ts_ms for row in post)
        moved += [Row(row.note_id, row.author_id, row.actor_id, row.ts_ms + offset) for row in post]
    return sorted(moved, key=lambda row: row.ts_ms)


def evaluate_cascades(settings: Settings, rows: list[Row]) -> list[CascadeFigures]:
    """Replay the posts on their own clock, in one week, and so with bursts planted, since silence may be blindness."""
    week = shifted(rows)
    more, posts = planted(week)
    return [
        _replayed(settings, "on their own clock", rows),
        _replayed(settings, "moved into a week", week),
        _replayed(settings, "so, with bursts planted", more, posts),
    ]


def planted(rows: list[Row], seed: int = SEED) -> tuple[list[Row], frozenset[str]]:
    """Return the rows with likes of strangers planted on some posts as they go round, and which posts those are."""
    rng = np.random.default_rng([seed, 1])
    by_post = {row.note_id: row for row in rows[len(rows) // 4 : 3 * len(rows) // 4]}
    posts = sorted(by_post)
    chosen = [posts[place] for place in rng.choice(len(posts), min(PLANTED_POSTS, len(posts)), replace=False)]
    more = [
        Row(post, by_post[post].author_id, f"x{number}-{stranger}", by_post[post].ts_ms + int(after))
        for number, post in enumerate(chosen)
        for stranger, after in enumerate(rng.integers(0, PLANTED_MS, PLANTED_LIKES))
    ]
    return sorted([*rows, *more], key=lambda row: row.ts_ms), frozenset(chosen)


def as_likes(rows: Iterable[Row], directory: Path) -> Recording:
    """Write rows as recorded likes."""
    with (directory / "likes.jsonl").open("wb") as file:
        for number, row in enumerate(rows):
            event = {
                "event_id": f"e{number}",
                "ts": row.ts_ms,
                "actor_id": row.actor_id,
                "action": "like",
                "note_id": row.note_id,
                "author_id": row.author_id,
            }
            file.write(orjson.dumps(event) + b"\n")
    return Recording(directory)


def flags_of(settings: Settings, rows: Iterable[Row]) -> list[Flag]:
    """Run the stages over rows as likes."""
    with tempfile.TemporaryDirectory(prefix="boostwatch-public-") as place:
        recording = as_likes(rows, Path(place))
        return [flag for tipped in replay(settings, recording, BATCH_EVENTS, Totals()) for flag in tipped]


def _replayed(settings: Settings, name: str, rows: list[Row], chosen: frozenset[str] = frozenset()) -> CascadeFigures:
    owner = {row.note_id: row.author_id for row in rows}
    flags = {(flag.kind.value, flag.subject.id) for flag in flags_of(settings, rows)}
    subjects = {subject for _, subject in flags}
    hit = {note for note, author in owner.items() if note in subjects or author in subjects}
    wrong, posts = len(hit - chosen), len(owner) - len(chosen)
    kinds = Counter(kind for kind, subject in flags if subject not in chosen)
    return CascadeFigures(
        name, len(rows), posts, wrong, wilson(wrong, posts)[1], dict(kinds), len(chosen), len(hit & chosen)
    )
