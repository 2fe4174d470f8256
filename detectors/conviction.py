"""Conviction: what the looks at a crowd said, one after another.

A single look says much by chance. Of a celebrity's thousand new followers some forty in a row will look bought, and
whoever is looked at a hundred times is unlucky once; a crowd that was bought looks like it each time. So what counts is
the mean of all looks, begun with a few at which nothing was found and never slower than one in `LOOK_SHARE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKS_BEFORE: Final = 3.0
"""Looks that count as made before the first, so that one alone has to say four times as much."""

NATS_BEFORE: Final = -1.0
"""What they said: a little below what the trees say of a crowd of which they know nothing."""

LOOK_SHARE: Final = 0.04
"""Least weight of the last look: a crowd that turns is seen to within some twenty."""

FORGOTTEN_MS: Final = 21_600_000
"""After so long without a look the next one begins anew."""

LOOKS_MOST: Final = 1000
"""Looks that are counted; the weight of one has long stopped falling."""


@compiled
def mean_after(mean: float, looks: int, nats: float) -> float:
    """Return the mean of all looks after one more that said `nats`; `looks` came before it, with that mean."""
    before = mean if looks > 0 else NATS_BEFORE
    return before + max(1.0 / (looks + 1.0 + LOOKS_BEFORE), LOOK_SHARE) * (nats - before)


@compiled
def looks_before(held: Any, ts: int) -> int:
    """Return how many looks at a suspect still count at `ts`."""
    return 0 if ts - held["look_ms"] > FORGOTTEN_MS else int(held["looks"])


@compiled
def conviction(held: Any, nats: float, ts: int, alone: float) -> float:
    """Return what the looks at a suspect say with one at `ts` that says `nats`.

    A look by itself counts too where it says `alone` nats more than the mean would have to.
    """
    return max(mean_after(held["look_nats"], looks_before(held, ts), nats), nats - alone)


@compiled
def note_look(held: Any, nats: float, ts: int) -> None:
    """Note down on a suspect what a look at `ts` said."""
    looks = looks_before(held, ts)
    held["look_nats"] = mean_after(held["look_nats"], looks, nats)
    held["looks"] = min(looks + 1, LOOKS_MOST)
    held["look_ms"] = ts


@compiled
def convictions(subject: Any, looks: Any, nats: Any, alone: float, means: Any, out: Any) -> None:
    """Fill `out`, shape (n,), with what the looks say that stand in `nats`, in the order in which they were made.

    Args:
        subject: place of each look's subject in `means`.
        looks: how many still counted before each.
        nats: what each said.
        alone: as of `conviction`.
        means: shape (subjects,), scratch.
        out: filled.

    """
    for at in range(len(nats)):
        means[subject[at]] = mean_after(means[subject[at]], looks[at], nats[at])
        out[at] = max(means[subject[at]], nats[at] - alone)


def after_each_look(
    subject: NDArray[np.int64], looks: NDArray[np.int64], nats: NDArray[np.float64], alone: float
) -> NDArray[np.float64]:
    """Return what all looks said by each, shape (n,), nats; subjects are numbered from 0 on.

    Examples:
        >>> once, often = np.zeros(1, np.int64), np.zeros(30, np.int64)
        >>> round(float(after_each_look(once, once, np.array([5.0]), 9.0)[0]), 2)
        0.5
        >>> round(float(after_each_look(often, np.arange(30), np.full(30, 5.0), 9.0)[-1]), 2)
        4.48

    """
    out = np.zeros(len(nats))
    convictions(subject, looks, nats, alone, np.zeros(int(subject.max(initial=-1)) + 1), out)
    return out
