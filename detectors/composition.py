"""The decision: whether the mix of those who act has changed from what is usual here.

Every action brings a mark, the log-likelihood ratio bought / organic of its actor. Against "a share `p` is bought"
an action weighs `log(1 - p + p exp(mark))`; the sum of these weights, never below zero, is Page's CUSUM (1954), kept
for the shares in `SHARES`, since a burst on a quiet account and a trickle into a loud one need different ones.

A mark is first corrected for what is usual. Where marks like it are commoner than among the organic actions on
which the marks were calibrated, whether here (own mix) or everywhere now (population's mix), it loses the log of
how much commoner: with the corrected reference the ratio has mean 1 again under "nothing is bought". A surge
widens the reference further, towards the mix that organic surges have: virality brings strangers and newcomers,
so it makes the test slower but never blind. Corrections only take away, and are bounded, so nobody can train a
subject to be blind.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.compiled import compiled
from detectors.subject_rows import BINS, LEVELS, RECENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES: Final = (0.1, 0.3, 0.9)
"""Contamination levels, `LEVELS` of them."""

MARK_UNITS: Final = 16.0
"""Units of a mark in a nat, as in `detectors.actions.MARK_SCALE`."""

EDGES: Final = np.array([-2.0, -1.0, 0.0, 0.75, 1.5, 2.25, 3.0], np.float64)
"""Upper edges of the mix's bins but the last, nats."""

BIN_OF: Final = np.searchsorted(EDGES, np.arange(-128, 128) / MARK_UNITS, side="right").astype(np.int8)
"""Bin of each mark, indexed by mark + 128."""

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
def corrected(row: Any, rule: Any, pool: Any, mark: int, surge: float) -> float:
    """Return a mark (units) in nats, corrected for what is usual here, now, and in a surge."""
    nats = min(mark / MARK_UNITS, float(rule["mark_max"]))
    if nats <= 0.0:
        return nats
    place = BIN_OF[mark + 128]
    held = 0
    for each in range(BINS):
        held += int(row["own"][each])
    weight = float(rule["own_weight"])
    usual = (int(row["own"][place]) + weight * float(pool["mix"][place])) / (held + weight)
    usual = max(usual, float(pool["mix"][place]))
    widened = surge * float(rule["surge_weight"])
    usual = max(usual, (1.0 - widened) * usual + widened * float(rule["surge"][place]))
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
def remember(row: Any, mark: int, learn: bool) -> None:  # noqa: FBT001
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
    place = BIN_OF[oldest + 128]
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
def leading_level(row: Any) -> int:
    """Return the level with the greatest statistic, the greater share on a tie."""
    best = 0
    for level in range(1, LEVELS):
        if row["stat"][level] >= row["stat"][best]:
            best = level
    return best


@compiled
def contribute(row: Any, pool: Any, mark: int, traits: int) -> None:
    """Add an unsuspected action to the population's new mix, as far as this subject may in this hour."""
    if row["contributed"] >= POPULATION_WEIGHT:
        return
    row["contributed"] = int(row["contributed"]) + 1
    pool["mix_new"][BIN_OF[mark + 128]] += 1.0
    pool["contributions"] += 1.0
    left = traits
    place = 0
    while left:
        if left & 1 and place < len(pool["traits_new"]):
            pool["traits_new"][place] += 1.0
        left >>= 1
        place += 1
