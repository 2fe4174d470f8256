"""The rhythm of one actor: when it acts and what it does then, in two banks that take turns of sixteen actions.

What only one bank shows may be chance, so a decision wants both. A bank that holds more than the last few turns is
halved before its next, so a row speaks of the last hundred or so actions. What is taken back is not counted: whoever
tidies up, one unfollow after another, keeps time as programs do and does one thing as they do. Rows are for actors
that have acted a few times (`FROM_ACTIONS`); most never do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.compiled import inlined

RHYTHM_VERSION = 3
"""Raise it when a field's meaning changes, so that an old snapshot is refused."""

FROM_ACTIONS = 8
"""Actions of an actor before it has a rhythm: a row for everybody would cost more than all else that is known."""

BANKS = 2
TURN = 16
"""Actions of a bank's turn, after which the row is judged: from the second turn on."""

BANK_MAX = 48
"""Actions in a bank from which on it is halved before its next turn."""

GAP_BINS, SECOND_BINS, HOURS = 10, 12, 24
VERBS, SURFACES = 4, 6  # like, follow, click, search; `schemas.columns.Surface`

# Places in "counts".
ACTIONS, ALIKE, NEARLY, PAUSES, OWNED, NEW, SAME, GAPS, SESSIONS = 0, 1, 2, 3, 4, 5, 6, 7, 8
COUNTS = 9

# Places in "sums": of log gaps within a session and their squares, of log session lengths, of log pauses.
WITHIN, WITHIN_2, LENGTH, LENGTH_2, PAUSE, PAUSE_2 = 0, 1, 2, 3, 4, 5
SUMS = 6

DAY_ACTIONS = 96
"""Actions after which the hours of the day are halved: an hour in which somebody was up once is not kept for ever."""

PAUSE_S = 1_800.0
"""A gap after which a new session begins (`detectors.actor_rows.SESSION_GAP_MS`)."""

ALIKE_NATS, NEARLY_NATS = 0.05, 0.35
"""Two successive gaps are alike within a twentieth, nearly alike within four tenths of each other."""

RHYTHM_FIELDS: list[tuple[Any, ...]] = [
    ("first_ms", np.int64),  # of the first action counted here
    ("last_ms", np.int64),
    ("turn_ms", np.int64, BANKS),  # when each bank's last turn began, not before the end of what an episode told of
    ("actions", np.uint32),
    ("told", np.uint32),  # of those, how many there were at the end of the last window
    ("log_gap", np.float32),  # of the last gap, in seconds
    ("session", np.uint16),  # actions of the session that runs
    ("open", np.uint8),  # an episode is open
    ("hours", np.uint8, HOURS),  # histogram of the hour, UTC; at most twice `DAY_ACTIONS`
    ("gaps", np.uint8, (BANKS, GAP_BINS)),  # of the log of the gap
    ("seconds", np.uint8, (BANKS, SECOND_BINS)),  # of the second of the minute
    ("verbs", np.uint8, (BANKS, VERBS)),
    ("surfaces", np.uint8, (BANKS, SURFACES)),
    ("counts", np.uint8, (BANKS, COUNTS)),
    ("sums", np.float32, (BANKS, SUMS)),
]


@inlined
def bank_of(actions: int) -> int:
    """Return the bank whose turn it is once so many actions were counted."""
    return (actions // TURN) % BANKS


@inlined
def keep_rhythm(row: Any, ts: int, place: int, surface: int, owned: bool, new: bool, same: bool) -> bool:  # noqa: FBT001
    """Count one action. Return whether the row is to be judged now.

    `place` is that of the verb (`detectors.actor_features.place_of`); `owned` says whether it hit somebody, `new`
    whether whom the actor had not met, `same` whether the one it hit last.
    """
    actions = int(np.int64(row["actions"]))
    bank = bank_of(actions)
    if actions % TURN == 0:
        _begin_turn(row, bank, ts)
    if actions % DAY_ACTIONS == 0:
        for each in range(HOURS):
            row["hours"][each] >>= 1
    counts = row["counts"]
    if actions == 0:
        row["first_ms"] = ts
    else:
        _keep_gap(row, bank, abs(ts - row["last_ms"]) / 1000.0)
    row["last_ms"] = max(ts, row["last_ms"])
    row["session"] = min(row["session"] + 1, 60_000)
    row["hours"][(ts // 3_600_000) % HOURS] += 1
    row["seconds"][bank, (ts // 5_000) % SECOND_BINS] += 1
    row["verbs"][bank, place] += 1
    row["surfaces"][bank, surface] += 1
    counts[bank, ACTIONS] += 1
    if owned:
        counts[bank, OWNED] += 1
        counts[bank, NEW] += 1 if new else 0
        counts[bank, SAME] += 1 if same else 0
    row["actions"] = min(actions + 1, 4_000_000_000)
    return (actions + 1) % TURN == 0 and actions + 1 >= BANKS * TURN


@inlined
def _keep_gap(row: Any, bank: int, gap_s: float) -> None:
    counts, sums = row["counts"], row["sums"]
    log_gap = np.log(gap_s + 0.1)
    away = abs(log_gap - row["log_gap"])
    counts[bank, GAPS] += 1
    counts[bank, ALIKE] += 1 if away < ALIKE_NATS else 0
    counts[bank, NEARLY] += 1 if away < NEARLY_NATS else 0
    row["gaps"][bank, min(max(int(log_gap), 0), GAP_BINS - 1)] += 1
    row["log_gap"] = log_gap
    if gap_s < PAUSE_S:
        sums[bank, WITHIN] += log_gap
        sums[bank, WITHIN_2] += log_gap * log_gap
        return
    counts[bank, PAUSES] += 1
    sums[bank, PAUSE] += log_gap
    sums[bank, PAUSE_2] += log_gap * log_gap
    length = np.log(float(max(row["session"], 1)))
    counts[bank, SESSIONS] += 1
    sums[bank, LENGTH] += length
    sums[bank, LENGTH_2] += length * length
    row["session"] = 0


@inlined
def _begin_turn(row: Any, bank: int, ts: int) -> None:
    row["turn_ms"][bank] = max(ts, row["turn_ms"][bank])
    if row["counts"][bank, ACTIONS] < BANK_MAX:
        return
    for each in range(GAP_BINS):
        row["gaps"][bank, each] >>= 1
    for each in range(SECOND_BINS):
        row["seconds"][bank, each] >>= 1
    for each in range(VERBS):
        row["verbs"][bank, each] >>= 1
    for each in range(SURFACES):
        row["surfaces"][bank, each] >>= 1
    for each in range(COUNTS):
        row["counts"][bank, each] >>= 1
    for each in range(SUMS):
        row["sums"][bank, each] *= 0.5
