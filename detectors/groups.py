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
from detectors.compiled import compiled, inlined
from detectors.hash_index import FREE, NO_ROOM, View, ask_slot, find, find_or_insert, mix, rows_for, touch
from detectors.restraint import LEVEL, count_pair, is_watched, keep_pace, place_of_owner
from detectors.visits import OTHERS
from schemas.words import prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.restraint import Restraint

PAIRS_MAX, ACTORS_MAX = 400_000, 1_000_000

LINES_MAX, CELLS = 524_288, 3
"""Where first meetings are remembered, 1.5 million of them: nearly all pairs never meet again, so a first meeting is a
cell of 16 bytes in a line, found without an index, in which the oldest makes way. Only a second one makes a row."""

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
LINE_FIELDS: list[tuple[Any, ...]] = [
    ("cells", np.uint64, 2 * CELLS),  # the pair's key, and when: ms, the owner's bit (6 bits), the crowd (14 bits)
]
WORDS = 2 + 2 * CELLS
"""Of a line: key, touched, cells."""

ACTOR_FIELDS: list[tuple[Any, ...]] = [("meetings", np.float32), ("grouped", np.uint8), ("linked", np.uint8)]
VERSION = 3

_CROWD_BITS, _CROWD_SCALE, _WHEN_SHIFT = 14, 256.0, 20

THROUGH, NEEDS_ROOM, HEARING = 0, 1, 2
"""Why `take_meetings` came back: at the end; before a meeting; after one that linked accounts or moved a group."""


class Tables(NamedTuple):
    """The tables that the loop works on: pairs that met twice, accounts that meet, first meetings by line.

    The lines come as words, shape (lines, WORDS), since compiled code is slow with arrays inside of records.
    """

    pairs: View
    actors: View
    lines: NDArray[np.uint64]
    lines_dirty: NDArray[np.uint8]
    restraint: NDArray[np.float64]  # `restraint.STATE`
    owners: NDArray[np.uint8]  # (restraint.OWNERS,)


class Heard(NamedTuple):
    """What the loop tells: whom the last meeting linked to its actor, then 0; who is to be named from which meeting.

    `again` has the places of the meetings at which two accounts met for the second time, `many[0]` of them.
    """

    linked: NDArray[np.uint64]
    again: NDArray[np.int64]
    many: NDArray[np.int64]


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


def make_lines(lines: int = LINES_MAX) -> Arena:
    """Return the lines for first meetings. All are there from the start: line i is row i, under key i + 1."""
    table = Arena(LINE_FIELDS, lines, VERSION)
    table.reserve(lines)
    rows_for(table.view(), np.arange(1, lines + 1, dtype=np.uint64), 0, np.empty(lines, np.int32))
    table.mark_kept()
    return table


def tables_of(pairs: Arena, actors: Arena, lines: Arena, restraint: Restraint) -> Tables:
    """Return the arrays of the tables for the loop; ask again after room was made."""
    view = lines.view()
    words = view.rows.view(np.uint64).reshape(-1, WORDS)
    return Tables(pairs.view(), actors.view(), words, view.dirty, restraint.state, restraint.owners)


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


@inlined
def _line_of(lines: NDArray[np.uint64], key: np.uint64) -> int:
    return int(np.int64(key >> np.uint64(32))) & (len(lines) - 1)


@inlined
def _meet_first(
    lines: NDArray[np.uint64], dirty: NDArray[np.uint8], key: np.uint64, ts: np.int64, when: np.uint64
) -> tuple[int, int]:
    """Remember that two met who have no row. Return line and cell where they did before, at another place and time.

    Return (-1, 0) where they did not.
    """
    line = _line_of(lines, key)
    at = 2
    for cell in range(2, WORDS, 2):
        if lines[line, cell] == key:
            at = cell
            break
        if lines[line, cell + 1] < lines[line, at + 1]:
            at = cell
    if lines[line, at] != key:
        lines[line, at], lines[line, at + 1] = key, when
        lines[line, 1] = np.uint64(max(ts, np.int64(lines[line, 1])))
        dirty[line] = 1
        return -1, 0
    before = lines[line, at + 1]
    same_owner = ((before ^ when) >> np.uint64(_CROWD_BITS)) & np.uint64(63) == np.uint64(0)
    if same_owner or abs(ts - np.int64(before >> np.uint64(_WHEN_SHIFT))) < APART_MS:
        return -1, 0
    return line, at


@compiled
def _meet_again(pairs: View, one: np.uint64, other: np.uint64, before: np.uint64, when: np.uint64) -> bool:
    """Make a row of two meetings. False where there is no room: then the pair waits for its next meeting."""
    shift, owners = np.uint64(_WHEN_SHIFT), np.uint64(_CROWD_BITS)
    # Partitions are read at different paces, so the meeting that is heard of first need not be the first.
    one_ms, other_ms = np.int64(before >> shift), np.int64(when >> shift)
    first_ms, last_ms = min(one_ms, other_ms), max(one_ms, other_ms)
    found, _ = find_or_insert(pairs, pair_of(one, other), last_ms)
    if found == NO_ROOM:
        return False
    row = pairs.rows[found]
    row["low"], row["high"], row["met"] = min(one, other), max(one, other), 2
    row["first_ms"], row["last_ms"] = first_ms, last_ms
    bits = np.uint64(1) << ((before >> owners) & np.uint64(63)) | np.uint64(1) << ((when >> owners) & np.uint64(63))
    row["owners"] = bits
    mask = np.uint64(2**_CROWD_BITS - 1)
    row["crowd"] = (float(before & mask) + float(when & mask)) / _CROWD_SCALE
    return True


@inlined
def _take_first(
    pairs: View,
    lines: NDArray[np.uint64],
    dirty: NDArray[np.uint8],
    one: np.uint64,
    other: np.uint64,
    ts: np.int64,
    when: np.uint64,
) -> bool:
    """Take a meeting of two that have no row. Return whether it gave them one, being their second."""
    line, at = _meet_first(lines, dirty, pair_of(one, other), ts, when)
    if line < 0 or not _meet_again(pairs, one, other, lines[line, at + 1], when):
        return False
    lines[line, at], lines[line, at + 1] = np.uint64(0), np.uint64(0)
    dirty[line] = 1
    return True


@compiled
def _count(pairs: View, found: int, ts: np.int64, bit: np.uint64, crowd: float) -> bool:
    """Count a meeting of two that have a row. Return whether they are to be looked at."""
    touch(pairs, found, ts)
    row = pairs.rows[found]
    if row["owners"] & bit or abs(ts - row["last_ms"]) < APART_MS:
        return False
    row["owners"] |= bit
    row["first_ms"], row["last_ms"] = min(ts, row["first_ms"]), max(ts, row["last_ms"])
    row["met"] = min(row["met"] + 1, 60_000)
    row["crowd"] += crowd
    return not row["linked"] and row["met"] >= OWNERS_MIN


@compiled
def _links(pairs: View, found: int, actors: View, own: int, other: np.uint64, actions: float) -> bool:
    """Return whether two have met so often that they are linked from now on."""
    theirs = find(actors, other)
    busy = float(actors.rows[theirs]["meetings"]) if theirs >= 0 else 1.0
    row = pairs.rows[found]
    if excess(row, float(actors.rows[own]["meetings"]), busy, actions) < LINK_NATS:
        return False
    row["linked"] = 1
    actors.rows[own]["linked"] = 1
    if theirs >= 0:
        actors.rows[theirs]["linked"] = 1
        actors.dirty[theirs] = 1
    return True


@inlined
def _is_left_out(
    actors: View, own: int, actor: np.uint64, other: np.uint64, popular: bool, level: int,  # noqa: FBT001
) -> bool:  # fmt: skip
    """Say whether a first meeting is left out at this pace: never that of an account that is linked to any."""
    if actors.rows[own]["linked"]:
        return False
    if not popular and (level == 0 or (is_watched(actor, level) and is_watched(other, level))):
        return False
    theirs = find(actors, other)
    return not (theirs >= 0 and actors.rows[theirs]["linked"])


@inlined
def _ask_for(pairs: View, lines: NDArray[np.uint64], meetings: Columns, place: int) -> None:
    """Ask for the memory of all pairs of a meeting: nearly all are in a table of 32 MB, each somewhere else."""
    if place >= len(meetings.ts):
        return
    for each in range(OTHERS):
        other = meetings.others[place, each]
        if other == np.uint64(0):
            break
        key = pair_of(meetings.actor[place], other)
        ask_slot(pairs, key)
        prefetch(lines.ctypes.data + _line_of(lines, key) * lines.itemsize * WORDS)


@compiled
def take_meetings(tables: Tables, meetings: Columns, start: int, due_ms: int, heard: Heard) -> tuple[int, int]:
    """Count meetings from `start` on. Return how far it came, and why it came back."""
    heard.linked[:] = 0
    heard.many[0] = 0
    # Taken apart once: each use of a tuple of arrays in the inner loop would cost more than the work there.
    pairs, actors, lines, dirty, state, owners = tables
    cells = CELLS * len(lines)
    others, columns = meetings.others, meetings
    for place in range(start, len(columns.ts)):
        _ask_for(pairs, lines, columns, place + 1)
        ts, actor = columns.ts[place], columns.actor[place]
        keep_pace(state, owners, ts, cells)
        if actors.counters[FREE] < 1 or pairs.counters[FREE] < OTHERS:
            return place, NEEDS_ROOM
        own, _ = find_or_insert(actors, actor, ts)
        if own == NO_ROOM:
            return place, NEEDS_ROOM
        actors.rows[own]["meetings"] += 1.0
        level = int(state[LEVEL])
        owner = mix(columns.owner[place], np.int64(8)) & np.uint64(63)
        counter = place_of_owner(columns.owner[place])
        crowd = np.uint64(min(columns.crowd[place] * _CROWD_SCALE, 2.0**_CROWD_BITS - 1.0))
        when = np.uint64(max(ts, 1)) << np.uint64(_WHEN_SHIFT) | owner << np.uint64(_CROWD_BITS) | crowd
        again, linked = False, 0
        for each in range(OTHERS):
            other = others[place, each]
            if other == np.uint64(0):
                break
            found = find(pairs, pair_of(actor, other))
            if found < 0:
                popular = not count_pair(state, owners, counter)
                if _is_left_out(actors, own, actor, other, popular, level):
                    continue
                again |= _take_first(pairs, lines, dirty, actor, other, ts, when)
            elif _count(pairs, found, ts, np.uint64(1) << owner, columns.crowd[place]) and _links(
                pairs, found, actors, own, other, float(columns.actions[place])
            ):
                heard.linked[linked] = other
                linked += 1
        heard.again[heard.many[0]] = place
        heard.many[0] += again
        if linked or actors.rows[own]["grouped"] or ts >= due_ms:
            return place + 1, HEARING
    return len(columns.ts), THROUGH
