"""The decision: whether the mix of those who act has changed from what is usual here, and to what.

Every action brings a mark, the log-likelihood ratio bought / organic of its actor. Two tests look at the marks.

*When did it change?* Against "a share `p` is bought" an action weighs `log(1 - p + p exp(mark))`; the sum of these
weights, never below zero, is Page's CUSUM (1954), kept for the shares in `SHARES`, since a burst on a quiet account
and a trickle into a loud one need different ones. A mark is first corrected for what is usual: where marks like it
are commoner than among the organic actions on which the marks were calibrated, whether here (own mix) or
everywhere now (population's mix), it loses the log of how much commoner. Corrections only take away, and are
bounded, so nobody can train a subject to be blind.

*What has it changed to?* Virality changes the mix too: it brings strangers and newcomers. So the counts of the last
`RECENT` marks by bin are held against what organic surges of every kind look like and what bought ones do, each a
Dirichlet-multinomial (Minka 2000, Estimating a Dirichlet distribution), whose scatter is that between one such
surge and the next. How fast actions come speaks for one kind of surge or another too: newcomers whom a campaign
brings trickle in, a crowd that comes at once is not all newcomers. The log ratio, bought over the likeliest organic
kind, is a Bayes factor. A surge never switches the test off; that there are surges makes its null wider.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.actions import Trait
from detectors.compiled import allocating, compiled
from detectors.subject_rows import BINS, BOUGHT, COMPONENTS, LEVELS, RECENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES: Final = (0.1, 0.3, 0.9)
"""Contamination levels, `LEVELS` of them."""

MARK_UNITS: Final = 16.0
"""Units of a mark in a nat, as in `detectors.actions.MARK_SCALE`."""

NEW_EDGES: Final = (2.0, 3.0)
"""Upper edges of the bins for new actors but the last, nats above the mark that newcomers have now. What being new
weighs depends on what else clients send, so it is taken off: what is left is what is odd about a newcomer."""

KNOWN_EDGES: Final = (-3.0, -1.0, 0.5, 1.5, 2.5, 3.5)
"""Upper edges of the bins for actors that are not new but the last, nats."""

NEW_BINS: Final = len(NEW_EDGES) + 1

KNOWN_NATS: Final = (-4.0, -2.0, -0.25, 1.0, 2.0, 3.0, 4.0)
"""What a mark is in the bins of known actors, nats."""

NEW_TRAITS: Final = int(Trait.FIRST_SEEN)

TEMPO_EDGES: Final = (6.0, 30.0, 120.0, 500.0, 2_000.0)
"""Upper edges of the classes of how fast actions come but the last, actions an hour."""

PACE_ACTIONS: Final = 8.0
"""Actions over which the pace is averaged: a burst shows in it after a dozen, whatever was before."""

PACE_FIRST: Final = log(3_600_000.0)
"""The pace before a second action: one an hour."""

FADE_SLOTS: Final = 1008.0
"""E-fold time of the statistic without actions: half a week in slots, since a drip comes daily at least."""

POPULATION_WEIGHT: Final = 8
"""Contributions of a subject to the population's mix in an hour at the most, so that no subject is the population."""


def increments() -> NDArray[np.float32]:
    """Return `log(1 - p + p exp(m))` for each level and corrected mark, shape (LEVELS, 256), indexed by m * 16 + 128.

    >>> table = increments()
    >>> table.shape, bool((table[:, 128] == 0).all())
    ((3, 256), True)
    """
    ratio = np.exp((np.arange(256) - 128) / MARK_UNITS)
    shares = np.array(SHARES)[:, None]
    return np.asarray(np.log(1.0 - shares + shares * ratio[None, :]), np.float32)


WEIGHTS: Final = increments()
"""A constant of the compiled loops, which read it without counting references."""


@compiled
def tagged(mark: int, traits: int) -> int:
    """Return a mark whose lowest bit says whether the actor is new: half a sixteenth of a nat is no loss."""
    return (mark & -2) | (1 if traits & NEW_TRAITS else 0)


@compiled
def bin_of(mark: int, newcomer: float) -> int:
    """Return the bin of a tagged mark, where new actors' marks are `newcomer` nats in the mean.

    >>> [bin_of(mark, 2.0) for mark in (-80, 60, 33, 61)]  # known at -5 nats and 3.75, new at 2.1 and 3.8
    [3, 9, 0, 0]
    """
    nats = mark / MARK_UNITS
    place = 0
    if mark & 1:
        while place < len(NEW_EDGES) and nats - newcomer >= NEW_EDGES[place]:
            place += 1
        return place
    while place < len(KNOWN_EDGES) and nats >= KNOWN_EDGES[place]:
        place += 1
    return place + NEW_BINS


@compiled
def known_nats(mark: int) -> float:
    """Return what a mark (units) of a known actor counts in the mean of theirs: that of its bin, nats."""
    return KNOWN_NATS[bin_of(mark & -2, 0.0) - NEW_BINS]


@compiled
def relative(mark: int, traits: int, pool: Any) -> int:
    """Return a mark (units) less what known actors' are odder by on this platform than where it was learned."""
    if traits & NEW_TRAITS:
        return mark
    return max(mark - int(pool["known_odder"] * MARK_UNITS), -128)


@compiled
def corrected(row: Any, rule: Any, pool: Any, mark: int) -> float:
    """Return a mark (units) in nats, corrected for what is usual here and now."""
    nats = min(mark / MARK_UNITS, float(rule["mark_max"]))
    if nats <= 0.0:
        return nats
    place = bin_of(mark, float(pool["newcomer"]))
    held = 0
    for each in range(BINS):
        held += int(row["own"][each])
    weight = float(rule["own_weight"])
    usual = (int(row["own"][place]) + weight * float(pool["mix"][place])) / (held + weight)
    usual = max(usual, float(pool["mix"][place]))
    reference = float(rule["reference"][place])
    if usual > reference:
        nats -= min(log(usual / reference), float(rule["correction_max"]))
    return max(nats, 0.0)


@compiled
def fade(row: Any, slots: int) -> None:
    """Let the statistic fade over slots without an action."""
    keep = exp(-slots / FADE_SLOTS)
    for level in range(LEVELS):
        row["stat"][level] = float(row["stat"][level]) * keep


@compiled
def accumulate(row: Any, nats: float, slot: int, cap: float) -> float:
    """Add one action to every level. Return the greatest level.

    At `cap` a level stops, so that organic actions bring it down again soon after an attack, on a big account too.
    """
    place = int(min(max(nats, -7.9), 7.9) * MARK_UNITS + 128.5)
    greatest = 0.0
    for level in range(LEVELS):
        before = float(row["stat"][level])
        if before <= 0.0:
            row["onset"][level] = slot
        after = min(max(before + float(WEIGHTS[level, place]), 0.0), cap)
        row["stat"][level] = after
        greatest = max(greatest, after)
    return greatest


@compiled
def remember(row: Any, pool: Any, mark: int, learn: bool) -> None:  # noqa: FBT001
    """Put a mark into the ring; the one that leaves it joins the own mix, where nothing is suspected.

    So a mark is learned `RECENT` actions after it came: the first actions of an attack do not vouch for the next.
    """
    at = int(row["marks_at"])
    full = row["marks_held"] == RECENT
    oldest = int(row["marks"][at])
    row["marks"][at] = mark
    row["marks_at"] = (at + 1) % RECENT
    if not full:
        row["marks_held"] = int(row["marks_held"]) + 1
        return
    if not learn:
        return
    place = bin_of(oldest, float(pool["newcomer"]))
    if row["own"][place] == 255:
        for each in range(BINS):
            row["own"][each] = int(row["own"][each]) // 2
    row["own"][place] = int(row["own"][place]) + 1


@compiled
def suspicious_share(row: Any, last: int, suspicious: int) -> float:
    """Return the share of marks of at least `suspicious` (units) among the last `last` remembered, 0 without any."""
    held = min(int(row["marks_held"]), last)
    if held == 0:
        return 0.0
    high = 0
    for back in range(1, held + 1):
        if row["marks"][(int(row["marks_at"]) - back) % RECENT] >= suspicious:
            high += 1
    return high / held


@compiled
def keep_pace(row: Any, ts: int) -> None:
    """Learn the gap before an action. Gaps under a second count as one: clocks and deliveries are not finer."""
    if row["last_ms"] == 0:
        row["last_ms"] = ts
        row["pace"] = PACE_FIRST
        return
    gap = max(ts - int(row["last_ms"]), 1_000)
    row["pace"] = float(row["pace"]) + (log(gap) - float(row["pace"])) / PACE_ACTIONS
    row["last_ms"] = max(ts, int(row["last_ms"]))


@compiled
def tempo_of(row: Any) -> int:
    """Return the class of how fast actions come to a row now."""
    hourly = 3_600_000.0 / exp(float(row["pace"]))
    tempo = 0
    while tempo < len(TEMPO_EDGES) and hourly >= TEMPO_EDGES[tempo]:
        tempo += 1
    return tempo


@allocating
def mix_factor(row: Any, rule: Any, pool: Any) -> float:
    """Return the Bayes factor, in nats, of the marks since the statistic rose (the last `RECENT` at the most)."""
    held = min(int(row["marks_held"]), int(row["run"]), RECENT)
    counts = np.zeros(BINS, np.int64)
    newcomer = float(pool["newcomer"])
    for back in range(1, held + 1):
        counts[bin_of(int(row["marks"][(int(row["marks_at"]) - back) % RECENT]), newcomer)] += 1
    tempo = tempo_of(row)
    bought = -np.inf
    organic = -np.inf
    for component in range(COMPONENTS):
        fit = float(rule["norms"][component, held]) + float(rule["tempo"][component, tempo])
        for place in range(BINS):
            fit += float(rule["curves"][component, place, counts[place]])
        if component < BOUGHT:
            bought = max(bought, fit)
        else:
            organic = max(organic, fit)
    return bought - organic


@compiled
def leading_level(row: Any) -> int:
    """Return the level with the greatest statistic, the greater share on a tie."""
    best = 0
    for level in range(1, LEVELS):
        if row["stat"][level] >= row["stat"][best]:
            best = level
    return best


@compiled
def contribute(row: Any, pool: Any, mark: int, traits: int, plain: int) -> None:
    """Add an unsuspected action to the population's new mix, as far as this subject may in this hour.

    `plain` is the mark before it was held against what is usual on this platform (`relative`).
    """
    if row["contributed"] >= POPULATION_WEIGHT:
        return
    row["contributed"] = int(row["contributed"]) + 1
    pool["mix_new"][bin_of(mark, float(pool["newcomer"]))] += 1.0
    if mark & 1:
        pool["newcomer_sum"] += mark / MARK_UNITS
        pool["newcomer_count"] += 1.0
    else:
        pool["known_sum"] += known_nats(plain)
        pool["known_count"] += 1.0
    pool["contributions"] += 1.0
    left = traits
    place = 0
    while left:
        if left & 1 and place < len(pool["traits_new"]):
            pool["traits_new"][place] += 1.0
        left >>= 1
        place += 1
