"""Learning to judge crowds: from what the subject stage looked at on labelled traffic to trees and what to ask for.

What is asked is set on directories that the trees were not fitted on, in turns, since on its own cases a forest is
surer than it should be; the forest that is shipped is then fitted on all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.boosting import boost
from detectors.conviction import after_each_look
from detectors.crowd import RISING, SIGN_NAMES, plain_nats
from detectors.deciding import JUDGED_FIRST
from detectors.fitting import fit_score
from detectors.subject_rows import CLICKS, RECENT, SEARCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.crowd import PlainWeights
    from detectors.fitting import Labelled
    from detectors.trees import Forest

BOUGHT_LEAST: Final = 4
"""Bought actions among the last `RECENT` from which on a crowd counts as bought; with fewer it counts as nothing."""

LONG_AFTER: Final = 200
"""Actions after a bought one for which a crowd does not count as organic."""

EPISODE_WEIGHT: Final = 5.0
"""How much a benign episode's case weighs: a false flag is raised on a surge."""

FOLDS: Final = 4


@dataclass(frozen=True, slots=True)
class Cases:
    """What was looked at of one lane in one directory, n times.

    `attack` is the number of the attack behind a bought crowd, 0 for an organic one, -1 for neither; `episode` that of
    the benign episode, -1 for none; `subject` a number for each subject; `looks` how many
    looks at it counted before. They stand in the order in which they were made.
    """

    signs: NDArray[np.float64]  # (n, SIGNS)
    attack: NDArray[np.int64]
    episode: NDArray[np.int64]
    subject: NDArray[np.int64]
    looks: NDArray[np.int64]

    @property
    def weight(self) -> NDArray[np.float64]:
        """Return what each case weighs: a subject that is looked at often weighs as the root of how often."""
        _, place, often = np.unique(self.subject, return_inverse=True, return_counts=True)
        return np.asarray(np.where(self.episode >= 0, EPISODE_WEIGHT, 1.0) / np.sqrt(often[place]))


def cases_of(traffic: Labelled, lane: int, judged: NDArray[np.float64]) -> Cases:
    """Return the cases of a lane; `judged` are the rows of `Suspects.judged`."""
    rows = judged[judged[:, 0] == lane]
    key = (rows[:, 4].astype(np.uint64) << np.uint64(32)) | rows[:, 5].astype(np.uint64)
    mine = np.flatnonzero(traffic.in_lane(lane))
    paid = traffic.attack
    if lane == SEARCHES:
        # Searches that were bought to push a result make no trend: a crowd of those is to be let alone here.
        pushing = [surge.attack for surge in traffic.surges if surge.attack and surge.lane == CLICKS]
        paid = np.where(np.isin(paid, pushing), 0, paid)
    order = mine[np.argsort(traffic.subject[mine], kind="stable")]
    keys = traffic.subject[order]
    at = np.searchsorted(keys, key) + rows[:, 1].astype(np.int64) - 1
    begins = np.searchsorted(keys, key)
    bought = np.r_[0, np.cumsum(paid[order] > 0)]
    lately = bought[at + 1] - bought[np.maximum(at + 1 - RECENT, begins)]
    long = bought[at + 1] - bought[np.maximum(at + 1 - LONG_AFTER, begins)]
    last = np.maximum.accumulate(np.where(paid[order] > 0, np.arange(len(order)), 0))[at]
    attack = np.where(lately >= BOUGHT_LEAST, paid[order][last], np.where(long == 0, 0, -1))
    episode = np.full(len(rows), -1)
    for number, surge in enumerate(traffic.surges):
        if surge.lane == lane and not surge.attack:
            here = (key == np.uint64(surge.subject)) & (rows[:, 2] >= surge.start_ms) & (rows[:, 2] <= surge.end_ms)
            episode[here] = number
    _, subject = np.unique(key, return_inverse=True)
    looks = rows[:, 6].astype(np.int64)
    return Cases(rows[:, JUDGED_FIRST:], attack.astype(np.int64), episode, subject.astype(np.int64), looks)


def fit_crowds(parts: Sequence[Cases], seed: int = 11) -> Forest:
    """Fit a forest to the cases of several directories."""
    known = [part.attack >= 0 for part in parts]
    signs = np.concatenate([part.signs[chosen] for part, chosen in zip(parts, known, strict=True)])
    bought = np.concatenate([part.attack[chosen] > 0 for part, chosen in zip(parts, known, strict=True)])
    weight = np.concatenate([part.weight[chosen] for part, chosen in zip(parts, known, strict=True)])
    return boost(signs, bought, weight, SIGN_NAMES, RISING, seed)


def judged_by_others(parts: Sequence[Cases], weights: PlainWeights) -> list[NDArray[np.float64]]:
    """Return the nats of every directory's cases by forests that were fitted on the others, and what is plain."""
    found: list[NDArray[Any]] = [np.empty(0)] * len(parts)
    folds = min(FOLDS, len(parts))
    for fold in range(folds):
        forest = fit_crowds([part for place, part in enumerate(parts) if folds < 2 or place % folds != fold])
        for place, part in enumerate(parts):
            if place % folds == fold:
                found[place] = forest.nats_of(part.signs) + [plain_nats(signs, weights) for signs in part.signs]
    return found


def convinced_by(
    parts: Sequence[Cases], nats: Sequence[NDArray[np.float64]], alone_nats: float
) -> list[NDArray[np.float64]]:
    """Return what all looks so far say at each case, as it is asked for (`detectors.conviction`)."""
    return [
        after_each_look(part.subject, part.looks, found, alone_nats) for part, found in zip(parts, nats, strict=True)
    ]


def strongest(nats: NDArray[np.float64], chosen: NDArray[np.bool_], group: NDArray[np.int64]) -> list[float]:
    """Return the greatest nats of each group among the chosen cases, the greatest first."""
    if not chosen.any():
        return []
    ids, place = np.unique(group[chosen], return_inverse=True)
    most = np.full(len(ids), -np.inf)
    np.maximum.at(most, place, nats[chosen])
    return sorted(most.tolist(), reverse=True)


def asked_of(
    parts: Sequence[Cases], nats: Sequence[NDArray[np.float64]], flags_most: int, episodes_most: int, more: float = 0.0
) -> tuple[float, tuple[tuple[float, float], ...], int]:
    """Return the nats to ask for, what nats mean as a score, and the false flags that are left.

    `nats` are of all looks so far (`convinced_by`). What is asked is `more` than the bounds on flags and on episodes
    need: other traffic costs more.
    """
    false: list[float] = []
    episodes: list[float] = []
    right: list[float] = []
    for part, found in zip(parts, nats, strict=True):
        organic = part.attack == 0
        false += strongest(found, organic, part.subject)
        episodes += strongest(found, organic & (part.episode >= 0), part.episode)
        right += strongest(found, part.attack > 0, part.attack)
    false.sort(reverse=True)
    episodes.sort(reverse=True)
    least = max(_beyond(false, flags_most), _beyond(episodes, episodes_most)) + more
    near = least - 1.5
    strengths = [value for value in right + false if value >= near]
    confirmed = [True for value in right if value >= near] + [False for value in false if value >= near]
    score = fit_score(strengths, confirmed) if len(strengths) >= 2 else ((0.0, 0.0), (6.0, 1.0))
    return least, score, sum(value >= least for value in false)


def _beyond(cases: Sequence[float], most: int) -> float:
    """Return what at most so many cases reach."""
    return cases[most] + 1e-3 if len(cases) > most else 0.0
