"""Who went on: whether an account does anything else within minutes of an action that could be a bought one.

People who come for one thing stay for others: they scroll on, search, like what stands beside it. Accounts that were
sent do what was paid for and leave; analytics calls such a visit a bounce. An account that nobody has seen before has
no past to be judged by, and this is the first that is known of it.

The actor stage sees all that an account does, and tells it to whom the action hit: a row among the actions whose verb
is that of the action with `ONWARD` added, at the time at which the account went on. So only those who go on cost
anything, and of these only whose action was suspicious: some 5% of the events of simulated traffic.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from detectors.compiled import inlined
from schemas.columns import Verb

ONWARD: Final = 8
"""Added to the verb of a like or a follow whose actor went on."""

ONWARD_MS: Final = 120_000
"""Within this time of its action an account goes on, or it does not."""

AWAITED_MARK: Final = -8
"""Mark (sixteenths of a nat) from which on that is of interest: where the trees begin to take one for suspicious."""

VERB_MAX: Final = int(Verb.FOLLOW) + ONWARD
"""The greatest verb that an action can have."""

LIKE, FOLLOW = int(Verb.LIKE), int(Verb.FOLLOW)


@inlined
def is_awaited(verb: int, mark: int) -> bool:
    """Return whether it is of interest if the actor of such an action goes on."""
    return verb in (LIKE, FOLLOW) and mark >= AWAITED_MARK


@inlined
def await_onward(row: Any, verb: int, subject: np.uint64, mark: int) -> None:
    """Note in an actor's row what its newest action hit, where it is of interest whether the actor goes on."""
    if is_awaited(verb, mark):
        row["awaited"] = subject
        row["awaited_verb"] = verb


@inlined
def went_on(row: Any, ts: int, subject: np.uint64) -> np.uint64:
    """Return what the actor had hit when it now goes on to `subject`, 0 for nothing; ask before the row learns of it.

    To take an action back, or to do it again, is not going on. The verb is the row's "awaited_verb".
    """
    hit = row["awaited"]
    if hit == np.uint64(0) or hit == subject:
        return np.uint64(0)
    row["awaited"] = np.uint64(0)
    return hit if abs(ts - row["last_ms"]) <= ONWARD_MS else np.uint64(0)
