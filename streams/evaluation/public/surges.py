"""How surprising an edge from an actor to a subject is: the gate's tail on what both did lately, in constant time.

Each end keeps a count that decays by the tick and a baseline of it, forgotten slowly and not taught by what scores
high (conditional merge). The score of an edge is the greatest tail over both ends and three memories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.compiled import allocating
from detectors.gate import tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUBJECT_KEEP = 0.98
"""What of a subject's count is left after a tick: a memory of about 50 ticks."""

ACTOR_KEEP = (0.5, 0.9)
"""The same of an actor, for bursts and for what goes on."""

BASELINE_KEEP = 0.9997
"""What of a baseline is left after a tick: a half-life of about 1.6 days of minutes."""

LEARN_NATS_MAX = 20.0
"""Above it a count is not learned."""

SHAPE = 1.0
"""Of the negative binomial: counts scatter as much as an exponential does."""

PRIOR_COUNT, PRIOR_TICKS = 0.2, 2.0
"""What a key that was never seen is taken to have done before."""

SLOTS = 1 << 19
"""Places of the table; two keys that fall on one are taken for one (a sketch of one row)."""


@allocating
def _surge(
    key: NDArray[np.uint64], tick: NDArray[np.int64], keep: float, slots: int, found: NDArray[np.float64]
) -> None:
    now, past, ticks, held = np.zeros(slots), np.zeros(slots), np.zeros(slots), np.zeros(slots)
    last = np.zeros(slots, np.int64)
    for index in range(len(key)):
        mixed = key[index] * np.uint64(0x9E3779B97F4A7C15)
        place = int((mixed ^ (mixed >> np.uint64(32))) % np.uint64(slots))
        gone = tick[index] - last[place]
        if gone > 0:
            if last[place] > 0:
                kept = BASELINE_KEEP**gone
                past[place] *= kept
                if held[place] < LEARN_NATS_MAX:
                    past[place] += now[place] * (1.0 - keep)
                ticks[place] = ticks[place] * kept + (1.0 - kept) / (1.0 - BASELINE_KEEP)
            now[place] *= keep**gone
            last[place] = tick[index]
        now[place] += 1.0
        usual = (past[place] + PRIOR_COUNT) / (ticks[place] + PRIOR_TICKS) / (1.0 - keep)
        held[place] = tail(now[place], usual, SHAPE)
        found[index] = max(found[index], held[place])


def surge_scores(
    actor: NDArray[np.uint64], subject: NDArray[np.uint64], tick: NDArray[np.int64], slots: int = SLOTS
) -> NDArray[np.float64]:
    """Return the score of each of n edges in nats, shape (n,), from it and the edges before it.

    `tick` counts from 1 and does not fall.
    """
    found = np.zeros(len(tick))
    _surge(subject, tick, SUBJECT_KEEP, slots, found)
    for keep in ACTOR_KEEP:
        _surge(actor, tick, keep, slots, found)
    return found
