"""Actions made by hand for the subject stage: organic audiences, bought ones, and how to feed them in pieces."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detectors.actions import MARK_SCALE, Actions, Names, Trait
from detectors.calibration import Thresholds, untrained
from detectors.settings import DetectorSettings
from detectors.subjects import SPECS, SubjectStage
from schemas.columns import Verb
from schemas.hashing import hash_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemas.flags import Flag

START_MS = 1_764_000_000_000
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
LATENESS_MS = 120_000
THRESHOLDS = Thresholds(1, {}, {spec.kind: untrained() for spec in SPECS})


NO_TRAIT = Trait(0)


@dataclass
class Known(Names):
    """The names behind the hashes of a batch."""

    strings: dict[int, str] = field(default_factory=dict)

    def find(self, key: int) -> str | None:
        return self.strings.get(key)

    def take(self, name: str | None) -> int:
        if not name:
            return 0
        key = hash_id(name)
        self.strings[key] = name
        return key


@dataclass(frozen=True)
class Act:
    """One action; `mark` in nats."""

    ts: int
    verb: Verb
    subject: str
    actor: str
    mark: float = -1.5
    owner: str | None = None
    item: str | None = None
    position: int = 0
    traits: Trait = NO_TRAIT


def actions_of(acts: Iterable[Act], greatest_ms: int | None = None) -> Actions:
    """Columns of the acts in the given order, with the watermark of a source that has seen `greatest_ms` before."""
    listed = list(acts)
    names = Known()
    ts = np.array([act.ts for act in listed], np.int64)
    greatest = np.maximum.accumulate(np.concatenate([[greatest_ms or 0], ts]))[1:]
    return Actions(
        ts=ts,
        watermark=greatest - LATENESS_MS,
        verb=np.array([act.verb for act in listed], np.uint8),
        subject=np.array([names.take(act.subject) for act in listed], np.uint64),
        actor=np.array([names.take(act.actor) for act in listed], np.uint64),
        owner=np.array([names.take(act.owner) for act in listed], np.uint64),
        item=np.array([names.take(act.item) for act in listed], np.uint64),
        position=np.array([act.position for act in listed], np.uint16),
        device=np.zeros(len(listed), np.uint32),
        mark=np.clip(np.round([act.mark * MARK_SCALE for act in listed]), -127, 127).astype(np.int8),
        traits=np.array([int(act.traits) for act in listed], np.uint16),
        names=names,
    )


def stage(thresholds: Thresholds = THRESHOLDS, **settings: int) -> SubjectStage:
    return SubjectStage(DetectorSettings(**settings), thresholds)  # type: ignore[arg-type]


def feed(target: SubjectStage, actions: Actions, cuts: Sequence[int] = (), source: str = "likes-0") -> list[Flag]:
    """Apply actions in pieces that end at `cuts`."""
    flags: list[Flag] = []
    edges = [0, *sorted(min(cut, len(actions)) for cut in cuts), len(actions)]
    for first, last in itertools.pairwise(edges):
        flags += target.apply(actions.take(np.arange(first, last)), source)
    return flags


def crowd(
    rng: np.random.Generator, count: int, start_ms: int, length_ms: int, verb: Verb, subject: str, *,
    mean: float, deviation: float = 1.0, who: str = "a", owner: str | None = None, item: str | None = None,
    position: int = 0, traits: Trait = NO_TRAIT,
) -> list[Act]:  # fmt: skip
    """Distinct actors at even chances over a time, their marks normal."""
    times = np.sort(rng.integers(start_ms, start_ms + length_ms, count)).tolist()
    marks = np.clip(rng.normal(mean, deviation, count), -7.9, 7.9).tolist()
    return [
        Act(at, verb, subject, f"{who}{subject}{number}", mark, owner, item, position, traits)
        for number, (at, mark) in enumerate(zip(times, marks, strict=True))
    ]


def organic(
    rng: np.random.Generator, count: int, start_ms: int, length_ms: int, verb: Verb, subject: str, **more: object
) -> list[Act]:
    return crowd(rng, count, start_ms, length_ms, verb, subject, mean=-1.5, who="o", **more)  # type: ignore[arg-type]


def bought(
    rng: np.random.Generator, count: int, start_ms: int, length_ms: int, verb: Verb, subject: str, **more: object
) -> list[Act]:
    return crowd(rng, count, start_ms, length_ms, verb, subject, mean=2.2, who="b", **more)  # type: ignore[arg-type]


def in_time(*parts: list[Act]) -> list[Act]:
    return sorted((act for part in parts for act in part), key=lambda act: act.ts)


def mixed_traffic(seed: int = 2) -> list[Act]:
    """Attacks of every kind among ordinary traffic, out of order by up to a minute."""
    rng = np.random.default_rng(seed)
    at = START_MS + 6 * HOUR_MS
    parts = [
        bought(rng, 60, at, HOUR_MS, Verb.FOLLOW, "u1"),
        bought(rng, 60, at, HOUR_MS, Verb.LIKE, "n1", owner="u2"),
        bought(rng, 60, at, HOUR_MS, Verb.SEARCH, "tea", item="n2", owner="u3", position=14),
        bought(rng, 70, at, HOUR_MS, Verb.SEARCH, "hat"),
    ]  # fmt: skip
    for subject in range(12):
        parts.append(organic(rng, 30, START_MS, 14 * HOUR_MS, Verb.FOLLOW, f"u{subject}"))
        parts.append(organic(rng, 30, START_MS, 14 * HOUR_MS, Verb.LIKE, f"n{subject}", owner=f"u{subject}"))
        parts.append(
            organic(rng, 20, START_MS, 14 * HOUR_MS, Verb.SEARCH, f"q{subject}", item="n9", owner="u9", position=1)
        )
        parts.append(organic(rng, 5, START_MS, 14 * HOUR_MS, Verb.UNFOLLOW, f"u{subject}"))
    acts = in_time(*parts)
    order = np.argsort([act.ts + shift for act, shift in zip(acts, rng.integers(0, MINUTE_MS, len(acts)), strict=True)])
    return [acts[place] for place in order]


MIXED = actions_of(mixed_traffic())
