"""One action on one row: it is counted, weighed, and may tip a decision. Leaf functions of the compiled loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.clicks import click_nats, is_lifted, lift_nats, pushes_result
from detectors.company import company_factor
from detectors.compiled import allocating, compiled
from detectors.composition import (
    accumulate,
    contribute,
    corrected,
    fade,
    keep_pace,
    leading_level,
    mix_factor,
    relative,
    remember,
    suspicious_share,
    tagged,
)
from detectors.conviction import conviction, looks_before, note_look
from detectors.crowd import SIGNS, describe_crowd, mixed_nats, plain_nats, plain_weights, remember_crowd
from detectors.crowd_onward import await_actor
from detectors.gate import GATE_SLOW, SETTLE_HOURS, gate, settle
from detectors.onward import AWAITED_MARK, ONWARD_MS
from detectors.sketches import SMALL_BITS, distinct, mark_seen, popcount, small_bit
from detectors.subject_rows import CLICKS, HOURS, LEVELS, SEARCHES, SLOT_MS, SLOTS_HOUR
from detectors.suspects import JUDGED, Suspects, look_later, observe
from detectors.trees import walk_trees
from detectors.windows import count, in_day, roll, start

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMED, TIPPED, GREW, CLOSED, CROWDED = 1, 2, 4, 8, 16
"""What is said of a row: an actor is new in the sample; open an episode; update it; gated hours were closed; no more
room in `company`."""

QUIET_MS, QUIET_GAPS, QUIET_MS_MAX = 0, 1, 2
"""Places in `Suspects.limits`."""

NO_EXCESS = 3.0
"""What trees are told for the gate's factor where neither door is open."""

SUSPECTED = 0.75
"""Share of the threshold from which on an hour is not learned as usual. Lower ones would keep a subject whose
audience is merely odd from ever getting a baseline."""

CAP = 1.5
"""The statistic stops at this multiple of the threshold."""


ODD_ACTIONS = 8.0
"""Actions over which the suspicious share is averaged: a crowd shows in it after half a dozen."""

ODD_ENTER, ODD_LEAVE = 0.5, 0.3
"""Suspicious shares at which a subject comes under suspicion and leaves it, where trees judge the crowd."""

COLD_MS = 86_400_000.0
"""How long clearer evidence is asked for of a crowd, less and less, after the first action ever (`Spec.cold_nats`)."""

JUDGED_FIRST = 7
"""Column of `Suspects.judged` from which the signs stand; before it lane, the subject's actions so far, event time
in ms, actions in a day, the two halves of the subject's hash, and the looks that counted before this one."""


class Action(NamedTuple):
    """One action, as the loop hands it down."""

    ts: int
    subject: np.uint64
    actor: np.uint64
    item: np.uint64
    owner: np.uint64
    mark: int
    traits: int
    plain: int  # the mark before it was held against what is usual on this platform (`on_platform`)


@compiled
def on_platform(action: Action, pool: Any) -> Action:
    """Return an action with its mark less what known actors are odder by on this platform than where it was learned."""
    mark = relative(action.plain, action.traits, pool)
    return Action(action.ts, action.subject, action.actor, action.item, action.owner, mark, action.traits, action.plain)


@compiled
def is_clear(rule: Any, mark: int, nats: float) -> bool:
    """Return whether an action is suspicious by itself, for its mark (units) and what is left of it corrected."""
    return bool(mark >= rule["clear"] * 16 and nats > 0.0)


@compiled
def is_suspicious(rule: Any, mark: int, nats: float) -> bool:
    """Return whether an action is suspicious, by itself or where the crowd it is in is."""
    return bool(mark >= rule["suspicious"] * 16 and (nats > 0.0 or rule["trees"] > 0))


@compiled
def comes_in(row: Any, rule: Any, greatest: float) -> bool:
    """Return whether a row is to be a suspect: the statistic rose, or trees are to look at who all came lately."""
    return bool(greatest >= rule["enter"] or (rule["trees"] > 0 and row["odd"] >= ODD_ENTER))


@compiled
def stays(row: Any, rule: Any, greatest: float) -> bool:
    """Return whether a row that is a suspect goes on being one."""
    return bool(greatest > 0.0 or (rule["trees"] > 0 and row["odd"] >= ODD_LEAVE))


@compiled
def tier_of(actions_day: float) -> int:
    """Return the size tier of a subject: by its actions in a day under 30, 300, 3,000, 30,000, and more."""
    tier = 0
    bound = 30.0
    while actions_day >= bound and tier < 4:
        bound *= 10.0
        tier += 1
    return tier


@compiled
def threshold_of(row: Any, rule: Any) -> float:
    """Return the threshold of a row of this size, nats."""
    return float(rule["threshold"][tier_of(in_day(row))])


@compiled
def hour_bit(slot: int) -> np.uint32:
    """Return the bit of a slot's hour in a row's sets of hours."""
    return np.uint32(1) << np.uint32((slot // SLOTS_HOUR) % HOURS)


@compiled
def advance_row(row: Any, rule: Any, pool: Any, slot: int, clock: int) -> int:
    """Bring a row to an action's slot: learn closed hours, fade, roll. Return the gated ones, as `settle` does."""
    if row["born"] == 0:
        start(row, slot)
        return 0
    before = max(clock // (SLOT_MS * SLOTS_HOUR) - SETTLE_HOURS + 1, slot // SLOTS_HOUR - HOURS + 1)
    passed = settle(row, rule, pool, before)
    if slot > row["slot"]:
        fade(row, slot - int(row["slot"]))
        roll(row, slot)
    return passed


@compiled
def forget_run(row: Any, lane: int) -> None:
    """Forget what was noted down since the statistic rose."""
    row["run"] = 0
    row["seen"][:] = 0
    row["seen_suspicious"] = 0
    if lane == SEARCHES:
        row["clicks"] = 0.0
        row["earned"] = 0.0


@compiled
def need_factor(row: Any, rule: Any, passed: int) -> float:
    """Return the factor on the thresholds that the gate and removals ask for, 0 where the door is shut."""
    factor = 0.0
    if passed & ~GATE_SLOW:
        factor = 1.0
    elif passed:
        factor = float(rule["slow_factor"])
    removed = int(row["suspect_removals"][0]) + int(row["suspect_removals"][1])
    if removed >= rule["actors_min"] and removed >= rule["wave_share"] * in_day(row):
        factor = (factor if factor > 0.0 else 1.0) * float(rule["wave_factor"])
    return factor


@compiled
def is_looked_at(suspicious: int) -> bool:
    """Return whether a crowd is looked at after so many suspicious actions: more seldom as they grow many."""
    return suspicious % (1 + suspicious // 24) == 0


@compiled
def crowd_nats(row: Any, held: Any, rule: Any, pool: Any, passed: int, ts: int, signs: Any) -> float:
    """Fill `signs` and return what the trees and what is plain say of a suspect as it stands at `ts`.

    That the gate is shut (`passed`) is a sign among others: who buys little gets no more than others do by themselves.
    """
    need = need_factor(row, rule, passed)
    if need == 0.0:
        need = NO_EXCESS
    greatest = max(row["stat"][0], row["stat"][1], row["stat"][2])
    describe_crowd(row, held, rule, pool, greatest / threshold_of(row, rule), need, ts, signs)
    return walk_trees(rule, signs) + plain_nats(signs, plain_weights(rule))


@allocating
def judge_crowd(suspects: Suspects, row: Any, rule: Any, pool: Any, passed: int, lane: int, ts: int) -> bool:
    """Return whether the crowd on a suspect is a bought one, by what the trees say of it at this look and said before.

    The signs are noted down where somebody learns.
    """
    held = suspects.places[int(row["suspect"])]
    if held["suspicious"] < rule["actors_min"]:
        return False
    signs = np.zeros(SIGNS, np.float64)
    nats = crowd_nats(row, held, rule, pool, passed, ts, signs)
    at = int(suspects.counters[JUDGED])
    if at < len(suspects.judged):
        noted = suspects.judged[at]
        noted[0], noted[1], noted[2], noted[3] = lane, row["total"], ts, in_day(row)
        noted[JUDGED_FIRST:] = signs
        suspects.counters[JUDGED] = at + 1
        # What the subject is called does not fit a float64: its halves do.
        noted[4], noted[5] = held["subject"] >> np.uint64(32), held["subject"] & np.uint64(0xFFFFFFFF)
        noted[6] = looks_before(held, ts)
    said = conviction(held, nats, ts, rule["alone"])
    note_look(held, nats, ts)
    cold = coldness(pool, ts)
    if cold > 0.0 and mixed_nats(signs) < rule["cold"][1] * cold:
        return False
    return bool(said >= rule["factor"][tier_of(in_day(row))] + rule["cold"][0] * cold)


@compiled
def coldness(pool: Any, ts: int) -> float:
    """Return how little is known yet of who usually acts: 1 at the first action ever, 0 from `COLD_MS` on."""
    return max(1.0 - max(ts - int(pool["first_ms"]), 0) / COLD_MS, 0.0)


@compiled
def tips(row: Any, held: Any, rule: Any, pool: Any, passed: int, lane: int, ratio: float, ts: int) -> bool:
    """Return whether an action whose statistic is `ratio` of the threshold opens an episode."""
    factor = need_factor(row, rule, passed)
    if factor == 0.0 or ratio < min(factor, 1.0):
        return False
    if distinct(popcount(row["seen_suspicious"]), SMALL_BITS) < rule["actors_min"]:
        return False
    limit = int(rule["clear"] * 16)
    if max(suspicious_share(row, 16, limit), suspicious_share(row, 48, limit)) < rule["share_min"]:
        return False
    if lane == CLICKS and not is_lifted(row, rule):
        return False
    if lane == SEARCHES and pushes_result(row):
        return False
    nats = mix_factor(row, rule, pool) + company_factor(row, held)
    needed = rule["factor"][tier_of(in_day(row))] * factor
    if leading_level(row) < LEVELS - 1:
        needed += rule["diluted"]
    return bool(nats >= needed + rule["cold"][0] * coldness(pool, ts))


@compiled
def follow_up(held: Any, limits: NDArray[np.int64], ts: int) -> bool:
    """Move an open episode's deadline on after a suspicious action. Return whether it grew enough to say so."""
    quiet = min(max(int(held["gap_ms"] * limits[QUIET_GAPS]), limits[QUIET_MS]), limits[QUIET_MS_MAX])
    if ts <= held["deadline_ms"]:
        held["deadline_ms"] = max(int(held["deadline_ms"]), ts + quiet)
    return bool(held["suspicious"] >= held["update_from"] and ts >= held["update_after_ms"])


@compiled
def weigh(
    row: Any, rule: Any, pool: Any, action: Action, lane: int, clock: int, usual: float
) -> tuple[int, float, float]:
    """Count one action on one row and add its weight to the test; `usual` clicks come of a search.

    Return the gated hours that it closed (as `settle` does), the greatest level, and the corrected mark in nats.
    """
    slot = action.ts // SLOT_MS
    gated = advance_row(row, rule, pool, slot, clock)
    count(row, slot)
    keep_pace(row, action.ts)
    pool["actions"] += 1.0
    if pool["first_ms"] == 0:
        pool["first_ms"] = action.ts
    mark = tagged(action.mark, action.traits)
    nats = corrected(row, rule, pool, mark)
    if lane == SEARCHES:
        nats += click_nats(row, rule, usual, action.item != np.uint64(0))
    elif lane == CLICKS:
        nats += lift_nats(row, rule)
    # What a subject's first odd action says counts for the population: only what follows on suspicion does not.
    suspected = max(row["stat"][0], row["stat"][1], row["stat"][2]) >= rule["warm"]
    threshold = threshold_of(row, rule)
    greatest = accumulate(row, nats, slot, CAP * threshold)
    warm = greatest >= rule["warm"]
    remember(row, pool, mark, not warm)
    if greatest >= SUSPECTED * threshold:
        row["suspected"] |= hour_bit(slot)
    if not suspected:
        contribute(row, pool, mark, action.traits, action.plain)
    odd = is_suspicious(rule, action.mark, nats)
    row["odd"] = float(row["odd"]) + ((1.0 if odd else 0.0) - float(row["odd"])) / ODD_ACTIONS
    here = int(row["slots"][int(row["slot"]) % SLOTS_HOUR])
    if here >= rule["floors"][0] and here & (here - 1) == 0 and gate(row, rule, pool):
        row["gated"] |= hour_bit(slot)
    if stays(row, rule, greatest):
        row["run"] += np.uint32(1)
        mark_seen(row["seen"], action.actor)
        if is_clear(rule, action.mark, nats):
            row["seen_suspicious"] |= small_bit(action.actor)
    elif row["run"] > 0:
        forget_run(row, lane)
    return gated, greatest, nats


@compiled
def suspect(
    suspects: Suspects, row: Any, rule: Any, pool: Any, action: Action, lane: int, greatest: float, nats: float
) -> int:
    """Note down an action on a row under suspicion, and decide. Return what to say of it."""
    held = suspects.places[int(row["suspect"])]
    slot = action.ts // SLOT_MS
    suspicious = is_suspicious(rule, action.mark, nats)
    code = NAMED if observe(held, action.actor, action.ts, action.traits, suspicious) else 0
    if rule["trees"] > 0:
        remember_crowd(held, action.ts, action.traits, lane == SEARCHES and action.item == np.uint64(0))
        if action.plain >= AWAITED_MARK and lane != SEARCHES:
            await_actor(held, action.actor, action.ts)
            look_later(suspects, int(row["suspect"]), action.ts + ONWARD_MS)
    ratio = greatest / threshold_of(row, rule)
    held["peak"] = max(float(held["peak"]), ratio)
    if not suspicious:
        return code
    if held["open"]:
        row["suspected"] |= hour_bit(slot)
        return code | (GREW if follow_up(held, suspects.limits, action.ts) else 0)
    if slot < row["cooldown"] or (ratio < rule["wave_factor"] and rule["trees"] == 0):
        return code
    passed = gate(row, rule, pool)
    if passed:
        row["gated"] |= hour_bit(slot)
    if rule["trees"] > 0:
        if not is_looked_at(int(held["suspicious"])) or (lane == SEARCHES and pushes_result(row)):
            return code
        return code | (TIPPED if judge_crowd(suspects, row, rule, pool, passed, lane, action.ts) else 0)
    return code | (TIPPED if tips(row, held, rule, pool, passed, lane, ratio, action.ts) else 0)


@compiled
def matters(row: Any, rule: Any, gated: int, greatest: float) -> bool:
    """Return whether an action needs more than its weight: nearly none does."""
    return bool(gated != 0 or row["suspect"] >= 0 or comes_in(row, rule, greatest))
