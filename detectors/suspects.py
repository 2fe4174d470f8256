"""Subjects under suspicion: a bounded pool of places in which it is noted who acts, so that a flag can say it.

A row whose statistic rises takes a place and gives it back when the statistic is down at zero. Where all places
are taken, the one untouched for longest among the next few makes way, unless its episode is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.sketches import register
from detectors.subject_rows import NOT_SUSPECT, SUSPECT, TRAITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.hash_index import View

FREE, HAND, JUDGED, FIRST_LOOK = 0, 1, 2, 3
"""Places in `Suspects.counters`: free places on the stack, where the next search begins, rows of `judged`, and a time
(ms) before which no look is due (`second_look`)."""

LOOK_STEP_MS = 5_000
"""Looks are due at multiples of this, so that many are done at a time."""

NO_LOOK = 1 << 62
"""In `Suspects.looks`: none is due."""

LOOKED_AT = 16
"""Places looked at to find one that makes way."""

SAMPLE = 20
"""Suspicious actors kept by id."""

GAP_SHARE = 0.2
"""Weight of the newest gap between suspicious actions in the usual one."""


class Suspects(NamedTuple):
    """The pool's arrays, as compiled loops take them."""

    places: NDArray[Any]  # (places,) records of `SUSPECT`, key 0 where free
    free: NDArray[np.int32]  # a stack of free places
    looks: NDArray[np.int64]  # (places,) when a quiet suspect is to be looked at again, ms; NO_LOOK for never
    counters: NDArray[np.int64]  # (4,)
    limits: NDArray[np.int64]  # (3,) how long an episode is given when it is quiet
    judged: NDArray[np.float64]  # (0, columns), or (n, columns) of what was judged, where somebody learns from it


def make_suspects(places: int, quiet_ms: int, quiet_gaps: int, quiet_ms_max: int) -> Suspects:
    """Return an empty pool; the times are those of `DetectorSettings`."""
    return Suspects(
        np.zeros(places, SUSPECT),
        np.arange(places - 1, -1, -1, dtype=np.int32),
        np.full(places, NO_LOOK, np.int64),
        np.array([places, 0, 0, NO_LOOK], np.int64),
        np.array([quiet_ms, quiet_gaps, quiet_ms_max], np.int64),
        np.empty((0, 1)),
    )


@compiled
def coldest_place(pool: Suspects) -> int:
    """Return the place untouched for longest among the next few without an open episode, -1 without any."""
    size = len(pool.places)
    best = -1
    hand = int(pool.counters[HAND])
    for step in range(min(LOOKED_AT, size)):
        place = (hand + step) % size
        if pool.places[place]["open"]:
            continue
        if best < 0 or pool.places[place]["touched_ms"] < pool.places[best]["touched_ms"]:
            best = place
    pool.counters[HAND] = (hand + LOOKED_AT) % size
    return best


@compiled
def empty(pool: Suspects, place: int) -> None:
    """Clear a place, but for its generation."""
    pool.looks[place] = NO_LOOK
    held = pool.places[place]
    held["key"] = 0
    held["open"] = 0
    held["sampled"] = 0
    held["first_ms"] = 0
    held["last_ms"] = 0
    held["deadline_ms"] = 0
    held["touched_ms"] = 0
    held["update_after_ms"] = 0
    held["update_from"] = 0
    held["actions"] = 0
    held["suspicious"] = 0
    held["removed"] = 0
    held["gap_ms"] = 0.0
    held["peak"] = 0.0
    held["look_ms"] = 0
    held["look_nats"] = 0.0
    held["looks"] = 0
    held["shared"] = 0
    held["odd"] = 0
    held["met"] = 0
    held["with_whom"][:] = 0
    held["with_many"][:] = 0
    held["with_of"] = 0
    held["crowd_at"] = 0
    held["crowd_held"] = 0
    held["await_bank"] = 0
    held["await_held"][:] = 0
    held["await_gone"][:] = 0
    held["traits"][:] = 0
    held["registers"][:] = 0
    held["sample"][:] = 0


@compiled
def take_place(pool: Suspects, views: tuple[View, View, View, View], lane: int, row: int, ts: int) -> int:
    """Give a row of a lane a place. Return it, or -1 where every place looked at has an open episode.

    `views` are those of all lanes, to tell the one that makes way.
    """
    if pool.counters[FREE] > 0:
        pool.counters[FREE] -= 1
        place = int(pool.free[pool.counters[FREE]])
    else:
        place = coldest_place(pool)
        if place < 0:
            return NOT_SUSPECT
        evict(pool, views, place)
        empty(pool, place)
    rows = views[lane].rows
    held = pool.places[place]
    held["key"] = rows[row]["key"]
    held["row"] = row
    held["lane"] = lane
    held["generation"] += np.uint32(1)
    held["first_ms"] = ts
    rows[row]["suspect"] = place
    return place


@compiled
def evict(pool: Suspects, views: tuple[View, View, View, View], place: int) -> None:
    """Tell the row that holds a place that it has it no more, if it is still the one that had it."""
    held = pool.places[place]
    row = int(held["row"])
    view = views[held["lane"]]
    if holds(view.rows, held, place):
        view.rows[row]["suspect"] = NOT_SUSPECT
        view.dirty[row] = 1


@compiled
def look_later(pool: Suspects, place: int, due_ms: int) -> None:
    """Let a suspect be looked at again once event time has come to `due_ms`, and not before."""
    due = (due_ms // LOOK_STEP_MS + 1) * LOOK_STEP_MS
    pool.looks[place] = due
    pool.counters[FIRST_LOOK] = min(int(pool.counters[FIRST_LOOK]), due)


@compiled
def look_sooner(pool: Suspects, place: int, due_ms: int) -> None:
    """Let a suspect be looked at again at `due_ms` at the latest."""
    if due_ms < pool.looks[place]:
        look_later(pool, place, due_ms)


@compiled
def holds(rows: Any, held: Any, place: int) -> bool:
    """Return whether a place's row is still there: a subject that came back after its row went has another one.

    By the place that the row knows of and not only by its key, since which row number is used again is chance.
    """
    row = int(held["row"])
    return bool(0 <= row < len(rows) and rows[row]["key"] == held["key"] and rows[row]["suspect"] == place)


@compiled
def give_back(pool: Suspects, place: int) -> None:
    """Free a place."""
    empty(pool, place)
    pool.free[pool.counters[FREE]] = place
    pool.counters[FREE] += 1


@compiled
def observe(held: Any, actor: np.uint64, ts: int, traits: int, suspicious: bool) -> bool:  # noqa: FBT001
    """Note down one action on a suspect. Return whether its actor is newly among the sample."""
    held["actions"] += np.uint32(1)
    held["touched_ms"] = max(int(held["touched_ms"]), ts)
    register(held["registers"], actor)
    if not suspicious:
        return False
    held["suspicious"] += np.uint32(1)
    for trait in range(TRAITS):
        if traits >> trait & 1:
            held["traits"][trait] += np.uint32(1)
    if held["last_ms"] > 0 and ts > held["last_ms"]:
        gap = float(ts - held["last_ms"])
        usual = float(held["gap_ms"])
        held["gap_ms"] = gap if usual == 0.0 else usual + GAP_SHARE * (gap - usual)
    held["last_ms"] = max(int(held["last_ms"]), ts)
    sampled = int(held["sampled"])
    if sampled >= SAMPLE:
        return False
    for place in range(sampled):
        if held["sample"][place] == actor:
            return False
    held["sample"][sampled] = actor
    held["sampled"] = sampled + 1
    return True
