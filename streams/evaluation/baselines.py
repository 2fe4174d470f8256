"""Simpler methods on the same events, each at the threshold that gives no more false flags than is allowed.

Allowed is what boostwatch itself gave there, or the budget where that is more. The threshold is chosen on the very
traffic that it is judged by, from the subjects that no attack hits: an advantage that boostwatch is not given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
from river import anomaly

from schemas.flags import Kind
from streams.evaluation.midas import DECAY, THRESHOLD, midas_f
from streams.evaluation.results import AttackResult, BenignResult, Evaluated, FalseFlag
from streams.evaluation.traffic import KINDS_OF_SUBJECTS, key_of
from streams.evaluation.windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from streams.comparison import Benign
    from streams.evaluation.traffic import Purchase, Traffic

    Statistic = Callable[[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]], NDArray[np.float64]]
    """From subject, actor and time (ms) of n actions to a number for each, (n,), that grows with suspicion."""

BUDGET = 10.0
"""False flags per million account-days and kind that are allowed at the least."""

TICK_MS = 60_000
BUCKETS = 16_384
TREES_WINDOW_LEAST = 5
"""Actions in a window at the least for the trees to look at it."""

QUIET_MS = 1_800_000
"""An alarm so long after the last bought action is still about the attack."""


def count_zscore(subject: NDArray[np.uint64], _: NDArray[np.uint64], ts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many deviations the count of the running 5 minutes lies above the subject's mean, one at the least."""
    windows = windows_of(subject, ts)
    which = windows.window_of
    found = np.empty(len(ts))
    found[windows.order] = (windows.running - windows.mean[which]) / np.maximum(windows.deviation[which], 1.0)
    return found


def midas(subject: NDArray[np.uint64], actor: NDArray[np.uint64], ts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return MIDAS-F's score of each edge from actor to subject, a tick a minute."""
    return np.asarray(midas_f(actor, subject, ts // TICK_MS - ts[0] // TICK_MS + 1, BUCKETS, 7, THRESHOLD, DECAY))


def half_space_trees(
    subject: NDArray[np.uint64], actor: NDArray[np.uint64], ts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return River's HalfSpaceTrees of each closed window, said with its last action; 0 for the others."""
    windows = windows_of(subject, ts)
    trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=7)
    found = np.zeros(len(ts))
    ends = np.append(windows.first[1:], len(ts))
    for window in np.argsort(windows.slot, kind="stable").tolist():
        count = int(windows.count[window])
        if count < TREES_WINDOW_LEAST:
            continue
        places = windows.order[windows.first[window] : ends[window]]
        size, usual = np.log1p(count), np.log1p(windows.mean[window])
        features = {
            "size": size / (4.0 + size),
            "lift": max(size - usual, 0.0) / (2.0 + max(size - usual, 0.0)),
            "actors": len(np.unique(actor[places])) / count,
        }
        found[places[-1]] = trees.score_one(features)
        trees.learn_one(features)
    return found


METHODS: dict[str, tuple[str, Statistic]] = {
    "count z-score": ("actions of a subject in 5 minutes against its own earlier windows", count_zscore),
    "MIDAS-F": (f"edges actor to subject, 2 x {BUCKETS:,} sketches, a tick a minute, alarm on the subject", midas),
    "HalfSpaceTrees": ("River's, on size, lift and distinct actors of closed 5-minute windows", half_space_trees),
}
"""Name, what it is, and the statistic."""


def run_baselines(
    directory: str, traffic: Traffic, attacks: Sequence[Purchase], benign: Sequence[Benign], ours: Evaluated,
) -> list[Evaluated]:  # fmt: skip
    """Run every method on one directory."""
    return [
        judge(name, about, statistic, directory, traffic, attacks, benign, ours)
        for name, (about, statistic) in METHODS.items()
    ]


def judge(
    name: str, about: str, statistic: Statistic, directory: str, traffic: Traffic, attacks: Sequence[Purchase],
    benign: Sequence[Benign], ours: Evaluated,
) -> Evaluated:  # fmt: skip
    """Judge one method on one directory, as `scoring.score` judges flags."""
    result = Evaluated(name=name, about=about)
    wronged: defaultdict[str, set[Kind]] = defaultdict(set)
    allowed = Counter(flag.kind for flag in ours.false_flags)
    days = traffic.accounts * traffic.days
    for kind in KINDS_OF_SUBJECTS:
        mine = [attack for attack in attacks if attack.kind is kind]
        rows, keys = traffic.subjects_of(kind)
        if not len(rows):
            continue
        at = traffic.ts[rows]
        value = statistic(keys, traffic.actor[rows], at)
        alarms = _Alarms(kind, keys, at, value, attacks)
        alarms.allow(max(allowed[kind], int(BUDGET * days / 1e6)))
        result.attacks += [alarms.of_attack(directory, attack) for attack in mine]
        result.right[kind] = sum(attack.detected_ms is not None for attack in result.attacks if attack.kind is kind)
        result.false_flags += alarms.false_flags(directory, benign, wronged)
    result.benign = [
        BenignResult(directory, quiet.benign_id, quiet.family, sorted(wronged[quiet.benign_id])) for quiet in benign
    ]
    return result


class _Alarms:
    """The alarms of one kind: where the statistic reaches the threshold."""

    def __init__(
        self, kind: Kind, keys: NDArray[np.uint64], at: NDArray[np.int64], value: NDArray[np.float64],
        attacks: Sequence[Purchase],
    ) -> None:  # fmt: skip
        self._kind, self.threshold = kind, np.inf
        order = np.argsort(keys, kind="stable")
        self._keys, self._at, self._value = keys[order], at[order], value[order]
        hit = [key_of(kind, attack.subject.id, attack.note_id) for attack in attacks if attack.kind is kind]
        hit += [key_of(kind, also.subject.id, None) for attack in attacks for also in attack.also if also.kind is kind]
        first = np.flatnonzero(np.append(True, self._keys[1:] != self._keys[:-1]))
        self._most = np.maximum.reduceat(self._value, first)
        self._subjects = self._keys[first]
        self._clean = ~np.isin(self._subjects, np.array(hit, np.uint64))

    def allow(self, count: int) -> None:
        """Set the least threshold at which no more than `count` clean subjects give an alarm."""
        most = np.sort(self._most[self._clean])[::-1]
        self.threshold = float(np.nextafter(most[count], np.inf)) if count < len(most) else 0.0

    def of_attack(self, directory: str, attack: Purchase) -> AttackResult:
        at, value = self._of(key_of(self._kind, attack.subject.id, attack.note_id))
        within = (at >= attack.start) & (at <= attack.end + QUIET_MS) & (value >= self.threshold)
        found = AttackResult(
            directory=directory, attack_id=attack.attack_id, kind=attack.kind, shape=attack.label,
            subject=attack.subject.id, start_ms=attack.start, end_ms=attack.end, bought=len(attack.times),
        )  # fmt: skip
        if not within.any():
            return found
        first = int(at[within][0])
        share = float(np.searchsorted(attack.times, first, "right") / len(attack.times)) if attack.times else None
        return AttackResult(
            directory=directory, attack_id=attack.attack_id, kind=attack.kind, shape=attack.label,
            subject=attack.subject.id, start_ms=attack.start, end_ms=attack.end, bought=len(attack.times), episodes=1,
            delay_ms=first - attack.start, delivered=share, detected_ms=first,
            score=self._score(float(value[within].max())),
        )  # fmt: skip

    def false_flags(
        self, directory: str, benign: Sequence[Benign], wronged: defaultdict[str, set[Kind]]
    ) -> list[FalseFlag]:
        quiet_of = defaultdict(list)
        for quiet in benign:
            for _, name in quiet.ids:
                quiet_of[key_of(self._kind, name, quiet.note_id)].append(quiet)
        found: list[FalseFlag] = []
        for key in self._subjects[self._clean & (self._most >= self.threshold)].tolist():
            at, value = self._of(key)
            first = int(at[value >= self.threshold][0])
            hit = [quiet for quiet in quiet_of[key] if quiet.start <= first <= quiet.end + QUIET_MS]
            for quiet in hit:
                wronged[quiet.benign_id].add(self._kind)
            found.append(
                FalseFlag(
                    directory=directory, kind=self._kind, subject=f"{key:016x}", detected_ms=first,
                    score=self._score(float(value.max())), reasons=[], family=hit[0].family if hit else None,
                )
            )  # fmt: skip
        return found

    def _of(self, key: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        low = int(np.searchsorted(self._keys, np.uint64(key), "left"))
        high = int(np.searchsorted(self._keys, np.uint64(key), "right"))
        return self._at[low:high], self._value[low:high]

    def _score(self, value: float) -> float:
        """Squash a statistic into [0, 1], the threshold to a half."""
        scale = max(self.threshold, 1e-9)
        return value / (value + scale) if value > 0 else 0.0
