"""A second look: at suspects that have gone quiet, when more is known of who was there than when they last acted.

A purchase is often over within minutes, and whether its accounts went on to anything else is known only after it; and
a pool that sold to this subject in the morning shows when it serves others in the afternoon. So a suspect is looked at
once more when its last actors have had their time to go on, and when it turns out that they were on others too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.compiled import compiled
from detectors.deciding import judge_crowd
from detectors.gate import gate
from detectors.subject_rows import SLOT_MS
from detectors.suspects import FIRST_LOOK, NO_LOOK, holds

if TYPE_CHECKING:
    from detectors.subject_kernel import State


@compiled
def look_until(state: State, clock: int) -> tuple[int, int]:
    """Look at the suspects whose time has come by `clock`, in the order of their times, until one is found out.

    Return its place, -1 for none, and when it was looked at, ms. Called again it goes on with the others.
    """
    looks = state.suspects.looks
    # None is due before this: a pass that finds none at it says when the first one is.
    due_ms = int(state.suspects.counters[FIRST_LOOK])
    while due_ms <= clock:
        following = NO_LOOK
        for place in range(len(looks)):
            if looks[place] > due_ms:
                following = min(following, int(looks[place]))
                continue
            looks[place] = NO_LOOK
            if is_found_out(state, place, due_ms):
                return place, due_ms
        due_ms = following
        state.suspects.counters[FIRST_LOOK] = due_ms
    return -1, 0


@compiled
def is_found_out(state: State, place: int, now_ms: int) -> bool:
    """Return whether the crowd on a quiet suspect is a bought one, by what is known at `now_ms`.

    The row stands as its last action left it.
    """
    held = state.suspects.places[place]
    lane = int(held["lane"])
    rule, pool = state.rules[lane], state.pools[lane]
    if held["key"] == 0 or held["open"] or rule["trees"] == 0:
        return False
    rows = (state.follows, state.likes, state.searches, state.clicks)[lane].rows
    if not holds(rows, held, place):
        return False
    row = rows[int(held["row"])]
    if now_ms // SLOT_MS < row["cooldown"]:
        return False
    return bool(judge_crowd(state.suspects, row, rule, pool, gate(row, rule, pool), lane, now_ms))
