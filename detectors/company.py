"""Company: whether those who are odd here were odd elsewhere too.

A pool of accounts that serves many small customers shows on none of them: a dozen odd followers are no proof. But
people who are odd by chance are not the same ones twice. So it is kept, for every suspicious actor on a small
suspect, whom it served; where many of a suspect's suspicious actors lately served others too, that is evidence, a
Bayes factor beside that of the mix. And where many of them served one and the same other it is more: newcomers turn up
here and there, but not together. Two audiences are compared only once both are under suspicion, which is cheap;
both sides are credited, for a pool may serve its customers at once. Large audiences overlap by chance: subjects
with more than `COMPANY_BITS` suspicious actors neither give nor take evidence.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.compiled import compiled
from detectors.hash_index import View, find_or_insert
from detectors.sketches import SMALL_BITS, distinct, popcount, small_bit
from detectors.subject_rows import TOGETHER_WITH
from detectors.suspects import look_sooner

if TYPE_CHECKING:
    from detectors.arena import Field
    from detectors.suspects import Suspects

COMPANY_MS: Final = 3 * 86_400_000
"""How long it counts that an actor served another: a pool is used for days, then banned or resold."""

COMPANY_BITS: Final = 44
"""Set bits, of 64, above which a bitmap of actors is too full to compare: some 75 actors."""

COMPANY_LEAST: Final = 4
"""Fewer shared actors than these are chance."""

IN_POOL, BY_CHANCE = 0.65, 0.3
"""Share of a customer's actors who were seen on another, in a pool and among people who are odd by chance. Chance is
not small: in simulated traffic a third of the newcomers whom a campaign brings turn up on several suspects."""

MET_NATS: Final = log(IN_POOL / BY_CHANCE)
UNMET_NATS: Final = log((1.0 - IN_POOL) / (1.0 - BY_CHANCE))

COMPANY_MOST: Final = 10.0
"""Nats that company adds at the most."""

WITH_MOST: Final = 60_000
WITH_PRIOR: Final = 2.0
"""Actors that are shared with nobody, before any: so that two of three say little."""

LOOK_AFTER_MS: Final = 60_000
"""How long after an actor of an earlier suspect served another that one is looked at again: others follow."""

COMPANY_ROWS: Final = 131_072
"""Actors remembered in a partition at the most; the ones touched longest ago make way."""

COMPANY_VERSION: Final = 2
COMPANY_FIELDS: Final[list[Field]] = [
    ("owner", np.uint64),  # whom the actor served last
    ("before", np.uint64),  # the one before that, another one
    ("place", np.int32),  # the suspect's
    ("generation", np.uint32),  # of the suspect's place
    ("clear", np.uint8),  # bit 0 where it was suspicious by itself on `owner`, bit 1 on `before`
]
"""Fields of an actor's row after the arena's own."""


@compiled
def keep_company(
    company: View,
    suspects: Suspects,
    row: Any,
    held: Any,
    actor: np.uint64,
    owner: np.uint64,
    ts: int,
    clear: bool,  # noqa: FBT001
) -> None:
    """Note that a suspicious actor served `owner`, and credit both sides where it lately served another.

    It is told apart whether it was suspicious by itself (`clear`), here and there, or only might be one of a crowd.
    Without room for a row nothing is noted: whoever calls makes room as soon as the last row is taken.
    """
    if popcount(row["seen_suspicious"]) > COMPANY_BITS and popcount(held["odd"]) > COMPANY_BITS:
        return
    place, bit = int(row["suspect"]), small_bit(actor)
    held["odd"] |= bit
    at, fresh = find_or_insert(company, actor, np.int64(0))
    if at < 0:
        return
    known = company.rows[at]
    if ts - known["touched"] > COMPANY_MS:
        known["owner"] = 0
        known["before"] = 0
        known["clear"] = 0
    known["touched"] = max(ts, int(known["touched"]))
    was_clear = int(known["clear"])
    newest = known["owner"] != owner
    if newest:
        held["with_of"] = min(int(held["with_of"]) + 1, WITH_MOST)
        _count_with(held, known["owner"], owner)
        _count_with(held, known["before"], owner)
    if not fresh:
        other = known["owner"] if newest else known["before"]
        if other != np.uint64(0):
            both = clear and was_clear & (1 if newest else 2) != 0
            _meet(held, bit, both)
            if newest:
                _credit(suspects, int(known["place"]), int(known["generation"]), bit, both, owner, ts)
    if known["owner"] != owner:
        known["before"] = known["owner"]
        known["owner"] = owner
        was_clear = (was_clear & 1) << 1
    known["clear"] = was_clear | (1 if clear else 0)
    known["place"] = place
    known["generation"] = held["generation"]


@compiled
def _meet(held: Any, bit: np.uint64, both: bool) -> bool:  # noqa: FBT001
    """Note that an actor was on another suspect too, and if it was clear on both. Return whether that is new."""
    new = held["met"] & bit == np.uint64(0) or (both and held["shared"] & bit == np.uint64(0))
    held["met"] |= bit
    if both:
        held["shared"] |= bit
    return bool(new)


@compiled
def _credit(
    suspects: Suspects,
    place: int,
    generation: int,
    bit: np.uint64,
    both: bool,  # noqa: FBT001
    owner: np.uint64,
    ts: int,
) -> None:
    if 0 <= place < len(suspects.places):
        other = suspects.places[place]
        if other["key"] != np.uint64(0) and int(other["generation"]) == generation:
            _count_with(other, owner, np.uint64(0))
            new = _meet(other, bit, both)
            if new and not other["open"]:
                look_sooner(suspects, place, ts + LOOK_AFTER_MS)


@compiled
def _count_with(held: Any, other: np.uint64, own: np.uint64) -> None:
    """Count an actor whom a suspect, `own`, shares with `other`: the most frequent ones, of Misra and Gries (1982)."""
    if other in (np.uint64(0), own):
        return
    whom = np.uint32(other & np.uint64(0xFFFFFFFF)) | np.uint32(1)
    free = -1
    for place in range(TOGETHER_WITH):
        if held["with_whom"][place] == whom:
            held["with_many"][place] = min(int(held["with_many"][place]) + 1, WITH_MOST)
            return
        if held["with_many"][place] == 0:
            free = place
    if free >= 0:
        held["with_whom"][free], held["with_many"][free] = whom, 1
        return
    for place in range(TOGETHER_WITH):
        held["with_many"][place] -= 1


@compiled
def together(held: Any) -> tuple[float, float, float]:
    """Return how many actors a suspect shares with the one it shares most with, their share, and that with three."""
    first, second, third = 0, 0, 0
    for many in held["with_many"]:
        if many > first:
            first, second, third = int(many), first, second
        elif many > second:
            second, third = int(many), second
        elif many > third:
            third = int(many)
    among = int(held["with_of"]) + WITH_PRIOR
    return float(first), first / among, (first + second + third) / among


@compiled
def odd_company(held: Any) -> tuple[float, float]:
    """Return about how many distinct actors could be bought ones and were on other suspects too, and their share.

    The share is 0 where they are too many to tell apart.
    """
    bits = popcount(held["odd"])
    met = distinct(popcount(held["met"] & held["odd"]), SMALL_BITS)
    if bits == 0 or bits > COMPANY_BITS:
        return min(met, 400.0), 0.0
    return met, met / distinct(bits, SMALL_BITS)


@compiled
def company_factor(row: Any, held: Any) -> float:
    """Return what company says for a suspect, in nats: 0 or more, since to be alone speaks for nobody."""
    bits = popcount(row["seen_suspicious"])
    if bits > COMPANY_BITS:
        return 0.0
    # Actors, not bits: as a bitmap fills up, a bit of one who was elsewhere is set by others too.
    among = distinct(bits, SMALL_BITS)
    shared = distinct(popcount(held["shared"] & row["seen_suspicious"]), SMALL_BITS)
    if shared < COMPANY_LEAST:
        return 0.0
    return min(max(shared * MET_NATS + (among - shared) * UNMET_NATS, 0.0), COMPANY_MOST)


def shared_actors(row: Any, held: Any) -> int:
    """Return about how many distinct suspicious actors were on other suspects too, 0 where that may be chance."""
    met, share = odd_company(held)
    many = round(met) if met >= COMPANY_LEAST and share >= IN_POOL else 0
    if company_factor(row, held) > 0.0:
        many = max(many, round(distinct(popcount(held["shared"] & row["seen_suspicious"]), SMALL_BITS)))
    return many
