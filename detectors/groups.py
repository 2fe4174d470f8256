"""Groups: accounts that meet again and again on targets of different owners, far beyond chance, and all of them.

Two accounts are linked when they met on several owners' targets, minutes to days apart, more often than two accounts
that are as busy at such places would (a Poisson likelihood ratio). A group is at least four accounts of which nearly
all pairs are linked. A fan club meets on one owner's notes only, and a crowd is no meeting at all.

Method: co-actions in shared time slots and their discount by popularity from SynchroTrap (Cao et al. 2014, sec. 4)
and CopyCatch (Beutel et al. 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.arena import Arena
from detectors.compiled import compiled
from detectors.hash_index import FREE, NO_ROOM, View, find, find_or_insert, mix
from detectors.meetings import OTHERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS_MAX, ACTORS_MAX = 400_000, 200_000

APART_MS = 60_000
"""Meetings closer than this are one."""

OWNERS_MIN = 3
"""Different owners on whose targets two accounts must have met."""

CLUSTERED = 40.0
"""How much likelier two accounts meet than if all were alike: people keep to communities and to what is new. Chosen
on simulated traffic so that the tail of honest pairs follows the Poisson law."""

LINK_NATS = 7.0
"""Of the likelihood ratio: with it some honest pairs are linked in a recording, but hardly four to each other."""

PAIR_FIELDS: list[tuple[Any, ...]] = [
    ("low", np.uint64),
    ("high", np.uint64),
    ("first_ms", np.int64),
    ("last_ms", np.int64),
    ("owners", np.uint64),  # a Bloom filter of the owners that were met on
    ("met", np.uint16),
    ("crowd", np.float32),  # sum over the meetings
    ("linked", np.uint8),
]
ACTOR_FIELDS: list[tuple[Any, ...]] = [("meetings", np.float32), ("grouped", np.uint8)]
VERSION = 1

NAMED_FROM = 2
"""Meetings of a pair at which it is worth knowing who they are."""

THROUGH, NEEDS_ROOM, HEARING = 0, 1, 2
"""Why `take_meetings` came back: at the end; before a meeting; after one that linked, named or moved a group."""


class Columns(NamedTuple):
    """The columns of `detectors.meetings.Meetings` that the loop reads."""

    ts: NDArray[np.int64]
    owner: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    others: NDArray[np.uint64]
    crowd: NDArray[np.float32]
    actions: NDArray[np.int64]


def make_pairs(pairs_max: int = PAIRS_MAX) -> Arena:
    """Return an empty table of pairs."""
    return Arena(PAIR_FIELDS, pairs_max, VERSION)


def make_actors(actors_max: int = ACTORS_MAX) -> Arena:
    """Return an empty table of accounts that meet."""
    return Arena(ACTOR_FIELDS, actors_max, VERSION)


def make_way(table: Arena, rows: int) -> None:
    """Make room for so many rows at once: grow, or at the bound let the coldest go."""
    table.reserve(rows)
    if table.capacity - len(table) < rows:
        table.remove(table.coldest(max(rows, len(table) // 16)))


@compiled
def pair_of(one: np.uint64, other: np.uint64) -> np.uint64:
    """Return the key of two accounts, whichever comes first; never 0."""
    low, high = min(one, other), max(one, other)
    return mix(low ^ mix(high, np.int64(5)), np.int64(6)) | np.uint64(1)


@compiled
def excess(row: Any, one: float, other: float, actions: float) -> float:
    """Return the nats by which two accounts met more often than chance, 0 where not; see `CLUSTERED`."""
    met = float(row["met"])
    expected = CLUSTERED * one * other * float(row["crowd"]) / max(met, 1.0) / max(actions, 1.0)
    expected = max(expected, 1e-3)
    return float(met * np.log(met / expected) - met + expected) if met > expected else 0.0


@compiled
def take_meetings(
    pairs: View, actors: View, meetings: Columns, start: int, due_ms: int, linked: NDArray[np.uint64]
) -> tuple[int, int]:
    """Count meetings from `start` on. Return how far it came, and why it came back.

    `linked`, shape (OTHERS,), holds those whom the last meeting linked to its actor, then 0.
    """
    linked[:] = 0
    for place in range(start, len(meetings.ts)):
        ts, actor = meetings.ts[place], meetings.actor[place]
        if actors.counters[FREE] < 1 or pairs.counters[FREE] < OTHERS:
            return place, NEEDS_ROOM
        own, _ = find_or_insert(actors, actor, ts)
        if own == NO_ROOM:
            return place, NEEDS_ROOM
        actors.rows[own]["meetings"] += 1.0
        heard = _meet_others(pairs, actors, own, meetings, place, linked)
        if heard or actors.rows[own]["grouped"] or ts >= due_ms:
            return place + 1, HEARING
    return len(meetings.ts), THROUGH


@compiled
def _meet_others(
    pairs: View, actors: View, own: int, meetings: Columns, place: int, linked: NDArray[np.uint64]
) -> bool:
    """Count a meeting for each pair. Return whether one of them is worth a look."""
    ts, actor, others = meetings.ts[place], meetings.actor[place], meetings.others[place]
    bit = np.uint64(1) << (mix(meetings.owner[place], np.int64(8)) & np.uint64(63))
    heard, told = False, 0
    for each in range(len(others)):
        if others[each] == np.uint64(0):
            break
        found, new = find_or_insert(pairs, pair_of(actor, others[each]), ts)
        if found == NO_ROOM:
            continue
        row = pairs.rows[found]
        if new:
            row["low"], row["high"], row["first_ms"] = min(actor, others[each]), max(actor, others[each]), ts
        if row["owners"] & bit or (not new and abs(ts - row["last_ms"]) < APART_MS):
            continue
        row["owners"] |= bit
        row["last_ms"] = max(ts, row["last_ms"])
        row["met"] = min(row["met"] + 1, 60_000)
        row["crowd"] += meetings.crowd[place]
        heard = heard or row["met"] == NAMED_FROM
        if row["linked"] or row["met"] < OWNERS_MIN:
            continue
        theirs = find(actors, others[each])
        busy = float(actors.rows[theirs]["meetings"]) if theirs >= 0 else 1.0
        if excess(row, float(actors.rows[own]["meetings"]), busy, float(meetings.actions[place])) >= LINK_NATS:
            row["linked"] = 1
            linked[told] = others[each]
            told += 1
    return heard or told > 0
