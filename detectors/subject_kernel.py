"""The one compiled loop that walks a batch of actions in order and comes back where something tips.

It returns before an action when time has come for something (an episode's deadline, the end of an epoch) or an
arena needs room, and after an action when a decision tipped, an update is due or hours that had passed the gate were
closed. Whoever calls it does that and calls again, so nothing depends on how the actions were cut into batches. Who
wants a name is only put down, for whoever calls: nothing waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.company import keep_company
from detectors.compiled import compiled, inlined
from detectors.crowd_onward import go_on
from detectors.deciding import (
    CLOSED,
    CROWDED,
    NAMED,
    Action,
    advance_row,
    comes_in,
    is_clear,
    is_suspicious,
    matters,
    on_platform,
    stays,
    suspect,
    weigh,
)
from detectors.hash_index import FREE, View, ask_row, ask_slot, find, find_or_insert, mix, touch
from detectors.onward import ONWARD, is_awaited
from detectors.second_look import look_until
from detectors.sketches import popcount
from detectors.subject_rows import CLICKS, FOLLOWS, LIKES, SEARCHES, SLOT_MS
from detectors.suspects import Suspects, give_back, take_place
from detectors.windows import U16_MAX
from schemas.columns import Verb

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL_DONE, TIME_DUE, NEEDS_ROOM, SPOKE, FOUND_OUT = 0, 1, 2, 3, 4
"""Why `walk` came back, in `State.out`: at the end; before an action, twice; after an action; before an action, with a
quiet suspect's place and when it was looked at (ms) from FIRST_CODE on."""

REASON, CLOCK, ROOM_LANE, AT, TOLD, WANTED, FIRST_CODE = 0, 1, 2, 3, 4, 5, 6
"""Places in `State.out`; AT is the action that it is at. TOLD is how many rows it speaks of, each with `SAID` numbers
from FIRST_CODE on: code, lane, row, and a bit for each gated hour that was closed. WANTED is how many want names, each
with `SAID` numbers from FIRST_WANTED on: action, place among the suspects, generation of that, and whether the actor
is new in the sample."""

SAID = 4
FIRST_WANTED = FIRST_CODE + 2 * SAID
WANTED_MAX = 256
OUT_SIZE = FIRST_WANTED + WANTED_MAX * SAID

AHEAD = 4
"""How many actions ahead it is asked for the memory in which rows are found."""

KEEP_CLICKS = 1.0 - 1.0 / 48.0
"""What a click leaves of the count before it: a result that has earned its clicks for months may be pushed today."""

LIKE, UNLIKE, FOLLOW, UNFOLLOW, SEARCH = (
    int(verb) for verb in (Verb.LIKE, Verb.UNLIKE, Verb.FOLLOW, Verb.UNFOLLOW, Verb.SEARCH)
)


class Columns(NamedTuple):
    """The columns of `Actions` that the loop reads."""

    ts: NDArray[np.int64]
    watermark: NDArray[np.int64]
    verb: NDArray[np.uint8]
    subject: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    item: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    position: NDArray[np.uint16]
    mark: NDArray[np.int8]
    traits: NDArray[np.uint16]


class State(NamedTuple):
    """Everything that the loop reads and changes."""

    follows: View
    likes: View
    searches: View
    clicks: View
    suspects: Suspects
    company: View
    rules: NDArray[Any]  # (LANES,) of RULE
    pools: NDArray[Any]  # (LANES,) of POOL
    out: NDArray[np.int64]  # (OUT_SIZE,)


@compiled
def pair_key(keyword: np.uint64, note: np.uint64) -> np.uint64:
    """Return the key of a (keyword, note) pair, never 0."""
    key = mix(keyword ^ mix(note, np.int64(1)), np.int64(2))
    return key if key != np.uint64(0) else np.uint64(1)


@compiled
def follow(state: State, lane: int, place: int, action: Action, gated: int, greatest: float, nats: float) -> None:
    """Handle an action that matters, and put what is to be said of it into the outbox."""
    row = (state.follows.rows, state.likes.rows, state.searches.rows, state.clicks.rows)[lane][place]
    rule = state.rules[lane]
    code = CLOSED if gated else 0
    if not stays(row, rule, greatest):
        held = int(row["suspect"])
        if held >= 0 and not state.suspects.places[held]["open"]:
            give_back(state.suspects, held)
            row["suspect"] = -1
    else:
        if row["suspect"] < 0 and comes_in(row, rule, greatest) and enter(state, row, lane, place, action):
            code |= NAMED
        if row["suspect"] >= 0:
            if lane != SEARCHES and is_suspicious(rule, action.mark, nats):
                held = state.suspects.places[int(row["suspect"])]
                clear = is_clear(rule, action.mark, nats)
                keep_company(state.company, state.suspects, row, held, action.actor, action.owner, action.ts, clear)
                code |= CROWDED if state.company.counters[FREE] == 0 else 0
            code |= suspect(state.suspects, row, rule, state.pools[lane], action, lane, greatest, nats)
    if code == NAMED and state.out[TOLD] == 0:
        want_names(state.out, int(row["suspect"]), state.suspects.places[int(row["suspect"])], action.actor)
    elif code:
        tell(state.out, code, lane, place, gated)


@compiled
def want_names(out: NDArray[np.int64], place: int, held: Any, actor: np.uint64) -> None:
    """Put down that the suspect in a place wants the names of this action; there is room for one of each lane."""
    at = FIRST_WANTED + int(out[WANTED]) * SAID
    sampled = int(held["sampled"])
    out[at] = out[AT]
    out[at + 1] = place
    out[at + 2] = held["generation"]
    out[at + 3] = sampled > 0 and held["sample"][sampled - 1] == actor
    out[WANTED] += 1


@compiled
def enter(state: State, row: Any, lane: int, place: int, action: Action) -> bool:
    """Give a warm row a place among the suspects. Return whether it got one."""
    every = (state.follows, state.likes, state.searches, state.clicks)
    taken = take_place(state.suspects, every, lane, place, action.ts)
    if taken < 0:
        return False
    held = state.suspects.places[taken]
    held["subject"] = action.subject
    held["item"] = action.item
    held["suspicious"] = max(popcount(row["seen_suspicious"]) - 1, 0)
    held["actions"] = max(int(row["run"]) - 1, 0)
    return True


@compiled
def note_click(row: Any, pool: Any, position: int, searches: int, plain: bool) -> None:  # noqa: FBT001
    """Count a click on a pair and what its position earned since its last one; of a plain one, where it was.

    The position of a note is known when it is clicked and taken to hold since the last click.
    """
    fresh = row["born"] == 0
    since = 1 if fresh else max(searches - int(row["searches_seen"]), 1)
    at = min(position, len(pool["earns"]) - 1)
    row["place"] = at
    if plain:
        pool["clicked_at"][at] += 1.0
    row["searches_seen"] = searches
    row["clicks"] = float(row["clicks"]) * KEEP_CLICKS + 1.0
    row["earned"] = float(row["earned"]) * KEEP_CLICKS + float(pool["earns"][at]) * since


@compiled
def tell(out: NDArray[np.int64], code: int, lane: int, place: int, gated: int) -> None:
    """Put what is to be said of a row into the outbox: at most one of a subject and one of a pair an action."""
    at = FIRST_CODE + int(out[TOLD]) * SAID
    out[at] = code
    out[at + 1] = lane
    out[at + 2] = place
    out[at + 3] = gated
    out[TOLD] += 1


@compiled
def action_at(columns: Columns, index: int) -> Action:
    """Return one action of a batch."""
    return Action(
        int(columns.ts[index]),
        columns.subject[index],
        columns.actor[index],
        columns.item[index],
        columns.owner[index] if columns.owner[index] != np.uint64(0) else columns.subject[index],
        int(columns.mark[index]),
        int(columns.traits[index]),
        int(columns.mark[index]),
    )


@compiled
def search(state: State, action: Action, position: int, clock: int) -> bool:
    """Apply a search to its keyword and, where a result was clicked, to the pair. False where there is no room."""
    place, _ = find_or_insert(state.searches, action.subject, np.int64(action.ts))
    if place < 0:
        state.out[ROOM_LANE] = SEARCHES
        return False
    pair = -1
    if action.item != np.uint64(0):
        # Both rows must have room before either is changed: the loop comes back with the same action.
        pair, _ = find_or_insert(state.clicks, pair_key(action.subject, action.item), np.int64(action.ts))
        if pair < 0:
            state.out[ROOM_LANE] = CLICKS
            return False
    rule, pool = state.rules[SEARCHES], state.pools[SEARCHES]
    row = state.searches.rows[place]
    contributed = row["contributed"]
    usual = float(state.pools[CLICKS]["click_rate"])
    pool["click_rate"] = usual
    action = on_platform(action, pool)
    gated, greatest, nats = weigh(row, rule, pool, action, SEARCHES, clock, usual)
    if greatest > 0.0 and action.mark >= rule["suspicious"] * 16:
        row["clicks"] = float(row["clicks"]) + 1.0
        if pair >= 0 and state.clicks.rows[pair]["suspect"] >= 0:
            row["earned"] = float(row["earned"]) + 1.0
    if matters(row, rule, gated, greatest):
        follow(state, SEARCHES, place, action, gated, greatest, nats)
    rule, pool = state.rules[CLICKS], state.pools[CLICKS]
    plain = row["contributed"] > contributed
    if plain:
        pool["searched"] += 1.0
    if pair >= 0:
        searches = int(row["total"])
        row = state.clicks.rows[pair]
        note_click(row, pool, position, searches, plain)
        action = on_platform(action, pool)
        gated, greatest, nats = weigh(row, rule, pool, action, CLICKS, clock, 1.0)
        if matters(row, rule, gated, greatest):
            follow(state, CLICKS, pair, action, gated, greatest, nats)
    return True


@compiled
def remove(state: State, view: View, lane: int, action: Action, clock: int) -> None:
    """Count a removal; what was never counted cannot be taken back."""
    place = find(view, action.subject)
    if place < 0:
        return
    touch(view, place, np.int64(action.ts))
    row = view.rows[place]
    gated = advance_row(row, state.rules[lane], state.pools[lane], action.ts // SLOT_MS, clock)
    row["removals"][0] = min(int(row["removals"][0]) + 1, U16_MAX)
    if action.mark >= state.rules[lane]["clear"] * 16:
        row["suspect_removals"][0] = min(int(row["suspect_removals"][0]) + 1, U16_MAX)
    if row["suspect"] >= 0:
        state.suspects.places[int(row["suspect"])]["removed"] += np.uint32(1)
    if gated:
        tell(state.out, CLOSED, lane, place, gated)


@compiled
def note_onward(state: State, view: View, lane: int, action: Action) -> None:
    """Note that an actor whose action is of the last minutes went on from it to something else."""
    place = find(view, action.subject)
    held = int(view.rows[place]["suspect"]) if place >= 0 else -1
    if held >= 0:
        go_on(state.suspects.places[held], action.actor)
    else:
        state.pools[lane]["gone_on"] += 1.0


@compiled
def follow_on(state: State, verb: int, action: Action, clock: int) -> None:
    """Handle what follows on an action: that it is taken back, or that its actor went on."""
    if verb == UNFOLLOW:
        remove(state, state.follows, FOLLOWS, action, clock)
    elif verb == UNLIKE:
        remove(state, state.likes, LIKES, action, clock)
    elif verb == FOLLOW + ONWARD:
        note_onward(state, state.follows, FOLLOWS, action)
    elif verb == LIKE + ONWARD:
        note_onward(state, state.likes, LIKES, action)


@inlined
def _ask_for(state: State, columns: Columns, index: int, near: bool) -> None:  # noqa: FBT001
    """Ask for the memory of the rows of an action: when it is near for them, before for where they are found."""
    if index >= len(columns.ts):
        return
    verb, subject, item = columns.verb[index], columns.subject[index], columns.item[index]
    if verb == LIKE:
        _ask(state.likes, subject, near)
    elif verb == FOLLOW:
        _ask(state.follows, subject, near)
    elif verb == SEARCH:
        _ask(state.searches, subject, near)
        if item != np.uint64(0):
            _ask(state.clicks, pair_key(subject, item), near)


@inlined
def _ask(view: View, key: np.uint64, near: bool) -> None:  # noqa: FBT001
    if near:
        ask_row(view, key, view.rows.itemsize)
    else:
        ask_slot(view, key)


@compiled
def what_is_due(state: State, clock: int, due_ms: int) -> int:
    """Look at the quiet suspects whose time has come. Return why to come back before the next action, or ALL_DONE.

    Looks are due every few seconds of event time and hardly one finds anything, so they are no reason by themselves.
    """
    if clock >= due_ms:
        return TIME_DUE
    place, look_ms = look_until(state, clock)
    if place >= 0:
        state.out[FIRST_CODE], state.out[FIRST_CODE + 1] = place, look_ms
        return FOUND_OUT
    return ALL_DONE


@compiled
def walk(state: State, columns: Columns, start_at: int, others_ms: int, clock: int, due_ms: int) -> int:
    """Apply actions from `start_at` on. Return the first one that is not yet applied.

    Args:
        state: rows, pools and the outbox, in which the reason for coming back and the clock stand afterwards.
        columns: the batch.
        start_at: index to begin with.
        others_ms: least watermark of the other live sources.
        clock: event time that is complete in every source, before `start_at`; never falls.
        due_ms: clock at which something is to be done first.

    """
    out, pools, rules = state.out, state.pools, state.rules
    follows, likes = state.follows, state.likes
    out[TOLD] = out[WANTED] = 0
    for index in range(start_at, len(columns.ts)):
        clock = max(clock, min(columns.watermark[index], others_ms))
        out[CLOCK] = clock
        out[REASON] = what_is_due(state, clock, due_ms)
        if out[REASON] != ALL_DONE:
            return index
        out[AT] = index
        _ask_for(state, columns, index + AHEAD, False)
        _ask_for(state, columns, index + 1, True)
        action = action_at(columns, index)
        verb = columns.verb[index]
        room = True
        if verb in (LIKE, FOLLOW):
            lane = LIKES if verb == LIKE else FOLLOWS
            view = likes if verb == LIKE else follows
            place, _ = find_or_insert(view, action.subject, np.int64(action.ts))
            room = place >= 0
            if room:
                row = view.rows[place]
                if row["suspect"] < 0 and is_awaited(verb, action.mark):
                    pools[lane]["awaited"] += 1.0
                action = on_platform(action, pools[lane])
                gated, greatest, nats = weigh(row, rules[lane], pools[lane], action, lane, clock, 1.0)
                if matters(row, rules[lane], gated, greatest):
                    follow(state, lane, place, action, gated, greatest, nats)
            else:
                out[ROOM_LANE] = lane
        elif verb == SEARCH:
            room = search(state, action, int(columns.position[index]), clock)
        else:
            follow_on(state, verb, action, clock)
        if not room:
            out[REASON] = NEEDS_ROOM
            return index
        if out[TOLD] or out[WANTED] > WANTED_MAX - 2:
            out[REASON] = SPOKE
            return index + 1
    out[REASON] = ALL_DONE
    return len(columns.ts)
