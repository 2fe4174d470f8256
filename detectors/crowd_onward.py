"""Of a suspect's last actions, whose actors went on (`detectors.onward`), beside what is usual.

They are noted in two banks that take turns. One fills, and takes nobody more until of its last action it is known too:
of what comes at hundreds a minute only some is noted, but of that the end is seen. Of the other all is known.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Final

import numpy as np

from detectors.compiled import compiled
from detectors.onward import ONWARD_MS
from detectors.subject_rows import AWAITED

PRIOR: Final = 4.0
"""Actions that the share of those who stayed away is shrunk by."""

KNOWN_AFTER_S: Final = ONWARD_MS // 1000


@compiled
def await_actor(held: Any, actor: np.uint64, ts: int) -> None:
    """Note an action after which it is of interest whether its actor goes on, where there is a place for it."""
    bank = int(held["await_bank"])
    count = int(held["await_held"][bank])
    now_s = max(ts, 0) // 1000
    if count == AWAITED:
        if now_s - int(held["await_s"][bank * AWAITED + AWAITED - 1]) < KNOWN_AFTER_S:
            return
        bank, count = 1 - bank, 0
        held["await_bank"] = bank
        held["await_gone"][bank] = 0
    held["await_s"][bank * AWAITED + count] = now_s
    held["await_who"][bank * AWAITED + count] = actor & np.uint64(0xFFFF)
    held["await_held"][bank] = count + 1


@compiled
def go_on(held: Any, actor: np.uint64) -> None:
    """Note that an actor went on from its action, if that is one of those noted: from the newest of them."""
    who = np.uint16(actor & np.uint64(0xFFFF))
    for turn in range(2):
        bank = (int(held["await_bank"]) + turn) % 2
        for place in range(int(held["await_held"][bank]) - 1, -1, -1):
            bit = np.uint64(1) << np.uint64(place)
            if held["await_who"][bank * AWAITED + place] == who and held["await_gone"][bank] & bit == np.uint64(0):
                held["await_gone"][bank] |= bit
                return


@compiled
def onward_counts(held: Any, ts: int) -> tuple[int, int, int]:
    """Return of how many actions it is known at `ts` whether their actors went on, how many did, and how many others.

    The others went on within less than `ONWARD_MS`, and there are some of whom nothing is known yet.
    """
    known, gone_on, early = 0, 0, 0
    now_s = max(ts, 0) // 1000
    for bank in range(2):
        for place in range(int(held["await_held"][bank])):
            gone = 1 if held["await_gone"][bank] >> np.uint64(place) & np.uint64(1) else 0
            if now_s - int(held["await_s"][bank * AWAITED + place]) >= KNOWN_AFTER_S:
                known += 1
                gone_on += gone
            else:
                early += gone
    return known, gone_on, early


@compiled
def stayed_away(held: Any, ts: int, usual: float) -> tuple[float, float]:
    """Return how many fewer of those known went on than usually do: as a share, and in standard deviations.

    Of those of whom it is not known yet, who already went on counts: in the first minutes that is what tells people.
    """
    known, gone_on, early = onward_counts(held, ts)
    missing = usual * known - gone_on - early
    return missing / (known + PRIOR), missing / sqrt(known * usual * (1.0 - usual) + 1.0)
