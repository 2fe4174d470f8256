"""One day of edits, people and declared robots: what an actor's timing says, and what automation flags of it.

From the tutorial sample of Apache Druid. A user is a robot where one of its edits carries the bot flag; the stream
is a sample, so rhythms are broken up, and honest robots are a lower bar than bought ones.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from schemas.flags import Kind
from streams.evaluation.measures import auc
from streams.evaluation.public.cascades import Row, flags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streams.settings import Settings

EDITS_MIN = 10
"""Edits of a user to be judged at all."""

FIRST_GAPS = 9
"""Gaps looked at where all users are to be judged on as many."""

FLOOR = {"edits": 0.807, "entropy of the first 9 gaps": 0.615, "entropy over its most": 0.798}
"""AUC as measured on the same users."""


class User(Struct, frozen=True):
    """One user's edits in order of time."""

    name: str
    robot: bool
    times_ms: tuple[int, ...]
    pages: tuple[str, ...]


class TimingFigures(Struct, frozen=True):
    """AUC of each score over users with enough edits, and what was flagged as automation of robots and of others."""

    users: int
    robots: int
    auc: dict[str, float]
    flagged_robots: int
    flagged_others: int
    other_flags: int


def read_users(path: Path) -> list[User]:
    """Read `edits.csv.gz`."""
    edits: defaultdict[str, list[tuple[int, str, bool]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            edits[row["user"]].append((int(row["ts_ms"]), row["page"], row["is_robot"] == "1"))
    return [
        User(name, any(edit[2] for edit in found), tuple(edit[0] for edit in found), tuple(edit[1] for edit in found))
        for name, found in edits.items()
    ]


def gap_entropy(gaps_s: NDArray[np.float64]) -> float:
    """Return the Shannon entropy, bits, of gaps in bins that double from a second on.

    >>> gap_entropy(np.array([1.0, 1.0, 4.0, 4.0]))
    1.0
    """
    bins = Counter(np.floor(np.log2(np.maximum(gaps_s, 1.0))).tolist())
    shares = np.array(list(bins.values()), np.float64) / max(len(gaps_s), 1)
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _gaps(user: User) -> NDArray[np.float64]:
    return np.diff(np.array(user.times_ms, np.float64)) / 1_000.0


SCORES: Mapping[str, Callable[[User], float]] = {
    "edits": lambda user: float(len(user.times_ms)),
    "entropy of the first 9 gaps": lambda user: -gap_entropy(_gaps(user)[:FIRST_GAPS]),
    "entropy over its most": lambda user: -gap_entropy(_gaps(user)) / float(np.log2(max(len(user.times_ms) - 1, 2))),
    "distinct pages to edits": lambda user: len(set(user.pages)) / len(user.pages),
}
"""What says robot, by name; a detector's own timing score is one more line here."""


def evaluate_timing(settings: Settings, users: list[User]) -> TimingFigures:
    """Judge users by their timing, and by what the pipeline flags when each edit is a like of a page."""
    judged = [user for user in users if len(user.times_ms) >= EDITS_MIN]
    found = {
        name: auc([score(user) for user in judged if user.robot], [score(user) for user in judged if not user.robot])
        for name, score in SCORES.items()
    }
    rows = [
        Row(page, f"o{page}", user.name, at)
        for user in users
        for at, page in zip(user.times_ms, user.pages, strict=True)
    ]
    flags = flags_of(settings, sorted(rows, key=lambda row: row.ts_ms))
    flagged = {flag.subject.id for flag in flags if flag.kind is Kind.AUTOMATION}
    robots = {user.name for user in users if user.robot}
    others = {flag.flag_id for flag in flags if flag.kind is not Kind.AUTOMATION}
    return TimingFigures(
        len(judged),
        sum(user.robot for user in judged),
        found,
        len(flagged & robots),
        len(flagged - robots),
        len(others),
    )
