"""The actor stage's loop: one event after the other, from its columns to its outcome and its mark."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.actions import MARK_SCALE
from detectors.actor_features import REMOVAL, describe, place_of
from detectors.actor_rows import SECONDS_MAX, age_row, learn, learn_device, met_before
from detectors.actor_traits import traits_of
from detectors.compiled import compiled, inlined
from detectors.dedup import REPEATED, TOO_FULL, SeenView, ask_seen, note, seek
from detectors.faded import recall
from detectors.hash_index import NO_ROOM, View, ask_row, ask_slot, find_or_insert
from detectors.onward import ONWARD, await_onward, went_on
from detectors.population import GROUPS, count_on, keep_up
from detectors.rhythm_model import KEPT_RATIO, judge
from detectors.rhythm_rows import FROM_ACTIONS, keep_rhythm
from detectors.watermark import is_late, watermark_after
from schemas.columns import Topic, Verb

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARK_MAX = 127
"""A mark is an int8: 7.9 nats either way. One action may not decide alone."""


AHEAD = 3
"""How many events of a topic ahead memory is asked for: one takes longer than memory does."""

LIKES, FOLLOWS, SEARCHES = Topic.LIKES.value, Topic.FOLLOWS.value, Topic.SEARCHES.value
Seen = tuple[SeenView, SeenView, SeenView]
"""The event ids that were seen, by topic."""


class Outcome(IntEnum):
    """What became of an event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


class Need(IntEnum):
    """Why the loop came back."""

    NOTHING = 0  # it is through
    ROWS = 1
    SEEN = 2
    RHYTHMS = 3
    HEARING = 4  # a rhythm was judged, or something is due


class EventColumns(NamedTuple):
    """The columns of a batch of n events that the loop reads (`schemas.columns.Events`)."""

    ts: NDArray[np.int64]
    arrival: NDArray[np.int64]
    verb: NDArray[np.uint8]
    event: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    subject: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    item: NDArray[np.uint64]
    position: NDArray[np.uint16]
    created_at: NDArray[np.int64]
    device: NDArray[np.uint64]
    surface: NDArray[np.uint8]


class MarkedColumns(NamedTuple):
    """What the loop writes, an entry an event; mark, traits and features only where accepted."""

    outcome: NDArray[np.uint8]
    watermark: NDArray[np.int64]
    mark: NDArray[np.int8]
    traits: NDArray[np.uint16]
    onward: NDArray[np.uint64]  # what its actor had hit just before and goes on from, 0 for nothing
    onward_verb: NDArray[np.uint8]  # of that, `onward.ONWARD` added
    features: NDArray[np.float32]  # (n, features) centred, or (0, features) where nobody asked
    habits: NDArray[np.float32]  # (n, banks, habits) where a rhythm was judged, or (0, banks, habits)


class Rhythms(NamedTuple):
    """The rhythms of the actors that act often enough to have one, and what the loop says of them."""

    table: View
    model: NDArray[Any]  # (1,) `rhythm_model.MODEL`
    due_ms: NDArray[np.int64]  # (1,) the clock at which it comes back
    said: NDArray[np.int64]  # (4,) see `SAID_ROW` and the like
    ratio: NDArray[np.float64]  # (1,) of the row said, over the threshold


SAID_ROW, ACCEPTED, FIRST_MS, CLOCK_MS = 0, 1, 2, 3
"""Places in `Rhythms.said`: row judged, -1 for none; actions accepted, first one's time, greatest watermark, so far."""


class Times(NamedTuple):
    """How long things last, ms."""

    lateness_ms: int
    late_after_ms: int
    remembered_ms: int


def weights_dtype(features: int) -> np.dtype[Any]:
    """Return the type of the one record that holds a mark model as the loop applies it.

    mark = offset + weights . (features - the population's means), by verb group. "raw" is the loop's scratch.
    """
    return np.dtype(
        [("weights", np.float64, (GROUPS, features)), ("offsets", np.float64, GROUPS), ("raw", np.float64, features)]
    )


@compiled
def mark_events(
    arena: View,
    faded: View,
    seen: Seen,
    population: NDArray[Any],
    model: NDArray[Any],
    rhythms: Rhythms,
    times: Times,
    greatest_ms: NDArray[np.int64],
    turns: NDArray[np.int64],
    at: NDArray[np.int64],
    events: EventColumns,
    out: MarkedColumns,
) -> int:
    """Take events in turns from `at` on, and move it to where it came; return what it needs to go on (`Need`).

    A row of `turns`, shape (turns, 3), is a topic, the place of its first event in this turn and that after its last.
    `at`, shape (2,), is a turn and a place in it. An event is taken whole or not at all, so the caller makes room and
    calls again. Who has no row in `arena` is looked for in `faded`. `population` and `model` are arrays of one record;
    `greatest_ms`, shape (topics,), is the greatest accepted `ts` of each topic.
    """
    said = rhythms.said
    said[SAID_ROW] = -1
    for turn in range(at[0], len(turns)):
        topic = turns[turn, 0]
        for place in range(max(at[1], turns[turn, 1]), turns[turn, 2]):
            _ask_ahead(arena, seen, rhythms.table, topic, place, events)
            ts, arrival, event = events.ts[place], events.arrival[place], events.event[place]
            slot = _seek(seen, topic, event, arrival, times.remembered_ms)
            if slot == TOO_FULL:
                at[0], at[1] = turn, place
                return Need.SEEN.value
            late = is_late(ts, watermark_after(greatest_ms[topic], times.lateness_ms), times.late_after_ms)
            if slot == REPEATED:
                out.outcome[place] = Outcome.DUPLICATE.value
            elif late:
                _note(seen, topic, slot, event, arrival)
                out.outcome[place] = Outcome.LATE.value
            else:
                row, rhythm, need = _rows_of(arena, faded, rhythms.table, events.actor[place], ts, events.verb[place])
                if need != Need.NOTHING.value:
                    at[0], at[1] = turn, place
                    return need
                _note(seen, topic, slot, event, arrival)
                greatest_ms[topic] = max(ts, greatest_ms[topic])
                said[FIRST_MS] = min(ts, said[FIRST_MS])
                said[ACCEPTED] += 1
                said[CLOCK_MS] = max(watermark_after(greatest_ms[topic], times.lateness_ms), said[CLOCK_MS])
                _watch(
                    rhythms, rhythm, arena.rows[row], out.habits, place, ts, events.verb[place], events.subject[place],
                    events.owner[place], events.item[place], int(np.int64(events.surface[place])),
                )  # fmt: skip
                out.onward[place] = went_on(arena.rows[row], ts, events.subject[place])
                out.onward_verb[place] = arena.rows[row]["awaited_verb"] + ONWARD
                group, mark, traits = _mark_event(
                    arena.rows[row], population[0], model[0], ts, events.verb[place], events.subject[place],
                    events.owner[place], events.item[place], int(np.int64(events.position[place])),
                    events.created_at[place], events.device[place], int(np.int64(events.surface[place])),
                )  # fmt: skip
                await_onward(arena.rows[row], events.verb[place], events.subject[place], mark)
                out.mark[place] = mark
                out.traits[place] = traits
                if len(out.features) > 0 and group < REMOVAL:
                    _copy(model[0]["raw"], out.features[place])
            out.watermark[place] = watermark_after(greatest_ms[topic], times.lateness_ms)
            if said[SAID_ROW] >= 0 or said[CLOCK_MS] >= rhythms.due_ms[0]:
                at[0], at[1] = turn, place + 1
                return Need.HEARING.value
        at[1] = 0
    at[0] = len(turns)
    return Need.NOTHING.value


@inlined
def _ask_ahead(arena: View, seen: Seen, rhythms: View, topic: int, place: int, events: EventColumns) -> None:
    """Ask for the memory that this topic's next events need: others come between them, of which each does the same."""
    if place + AHEAD >= len(events.event):
        return
    later, next_one = place + AHEAD, place + 1
    ask_slot(arena, events.actor[later])
    ask_slot(rhythms, events.actor[later])
    if topic == LIKES:
        ask_seen(seen[LIKES], events.event[later])
    elif topic == FOLLOWS:
        ask_seen(seen[FOLLOWS], events.event[later])
    else:
        ask_seen(seen[SEARCHES], events.event[later])
    ask_row(arena, events.actor[next_one], arena.rows.itemsize)
    ask_row(rhythms, events.actor[next_one], rhythms.rows.itemsize)


@inlined
def _rows_of(
    arena: View, faded: View, rhythms: View, actor: np.uint64, ts: np.int64, verb: int
) -> tuple[int, int, int]:
    """Return an actor's row, that of its rhythm or -1 where this action counts in none, and what needs room first."""
    row, fresh = find_or_insert(arena, actor, ts)
    if row == NO_ROOM:
        return row, -1, Need.ROWS.value
    if fresh:
        recall(faded, actor, arena.rows[row])
    if arena.rows[row]["actions"] < FROM_ACTIONS or verb in (Verb.UNLIKE, Verb.UNFOLLOW):
        return row, -1, Need.NOTHING.value
    rhythm, _ = find_or_insert(rhythms, actor, ts)
    return row, rhythm, Need.RHYTHMS.value if rhythm == NO_ROOM else Need.NOTHING.value


@inlined
def _seek(seen: Seen, topic: int, event: np.uint64, arrival: int, remembered_ms: int) -> int:
    if topic == LIKES:
        return seek(seen[LIKES], event, arrival, remembered_ms)
    if topic == FOLLOWS:
        return seek(seen[FOLLOWS], event, arrival, remembered_ms)
    return seek(seen[SEARCHES], event, arrival, remembered_ms)


@inlined
def _note(seen: Seen, topic: int, slot: int, event: np.uint64, arrival: int) -> None:
    if topic == LIKES:
        note(seen[LIKES], slot, event, arrival)
    elif topic == FOLLOWS:
        note(seen[FOLLOWS], slot, event, arrival)
    else:
        note(seen[SEARCHES], slot, event, arrival)


@inlined
def _copy(values: Any, out: NDArray[np.float32]) -> None:
    """Copy an array into another one; an assignment would make a third between them."""
    for place in range(len(values)):
        out[place] = values[place]


@inlined
def _watch(
    rhythms: Rhythms,
    rhythm: int,
    row: Any,
    habits: NDArray[np.float32],
    place: int,
    ts: int,
    verb: int,
    subject: np.uint64,
    owner: np.uint64,
    item: np.uint64,
    surface: int,
) -> None:
    """Count one action in its actor's rhythm, -1 for none, by what was known before; judge it where that is due."""
    if rhythm < 0:
        return
    if verb == Verb.FOLLOW:
        owner = subject
    owned = owner != np.uint64(0)
    new = owned and not met_before(row, owner)
    same = owned and row["last_owner"] == (owner & np.uint64(0xFFFFFFFF))
    kept = rhythms.table.rows[rhythm]
    if not keep_rhythm(kept, ts, place_of(verb, item), surface, owned, new, same):
        return
    ratio = judge(rhythms.table, rhythm, rhythms.model)
    if len(habits) > 0:
        for bank in range(habits.shape[1]):
            _copy(rhythms.model[0]["habits"][bank], habits[place, bank])
    if ratio >= 1.0 or (kept["open"] and ratio >= KEPT_RATIO):
        rhythms.said[SAID_ROW], rhythms.ratio[0] = rhythm, ratio


@inlined
def _mark_event(
    row: Any,
    population: Any,
    model: Any,
    ts: int,
    verb: int,
    subject: np.uint64,
    owner: np.uint64,
    item: np.uint64,
    position: int,
    created_ms: int,
    device: np.uint64,
    surface: int,
) -> tuple[int, int, int]:
    """Judge one accepted action by what was known before it, then learn it. Return its place, mark and traits."""
    group = place_of(verb, item)
    if verb in (Verb.FOLLOW, Verb.UNFOLLOW):
        owner = subject
    if created_ms >= 0:
        row["created_s"] = min(created_ms // 1000, SECONDS_MAX)
    elif row["created_s"] > 0:
        created_ms = int(np.int64(row["created_s"])) * 1000
    age_row(row, ts)
    mark, traits = 0, 0
    if group < REMOVAL:
        keep_up(population, ts)
        raw = model["raw"]
        describe(row, population, group, ts, subject, owner, position, created_ms, surface, device, raw)
        traits = traits_of(row, group, ts, created_ms, raw)
        mark = _mark_of(population, model, group)
    learn(row, ts, group, subject, owner, surface)
    if device != np.uint64(0) and learn_device(row, device):
        count_on(population, device)
    return group, mark, traits


@inlined
def _mark_of(population: Any, model: Any, group: int) -> int:
    """Return the mark of "raw", which becomes its distance from the population's means, 0 where absent."""
    raw, own = model["raw"], model["weights"]
    sums, weights, means = population["sums"], population["weights"], population["means"]
    nats = model["offsets"][group]
    for feature in range(len(raw)):
        value = raw[feature]
        if np.isnan(value):
            raw[feature] = 0.0
            continue
        sums[group, feature] += value
        weights[group, feature] += 1.0
        raw[feature] = value - means[group, feature]
        nats += own[group, feature] * raw[feature]
    return int(min(max(np.rint(nats * MARK_SCALE), -MARK_MAX), MARK_MAX))
