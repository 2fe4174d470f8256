"""What is said of a group of accounts that act together: how sure it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from detectors.evidence import number
from detectors.settings import MINUTE_MS
from detectors.visits import WITHIN_MS
from schemas.flags import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS_MIN: Final = 4
"""Accounts all linked to each other that make a group."""

SCORE_LEAST, SCORE_SHARE, SCORE_MEMBER = 0.55, 0.3, 0.02
"""The score of a group: at the least, for the share of its pairs that are linked, and for each member beyond four as
far as they are. On two simulated recordings, with links asked for less clearly, 23 of 24 groups were hired and ended
with a third of their pairs linked or more; the one of other accounts had grown to 25 members with 28%."""


def score_of(members: int, linked: float) -> float:
    """Return the score of a group by its size and the share of its pairs that are linked.

    >>> score_of(5, 0.9), score_of(12, 1.0), score_of(25, 0.28)
    (0.838, 1.0, 0.7516)
    """
    return round(min(SCORE_LEAST + linked * (SCORE_SHARE + SCORE_MEMBER * (members - MEMBERS_MIN)), 1.0), 4)


def write(
    members: Sequence[str], members_total: int, targets: Sequence[str], targets_total: int, acts: int, links: int,
    hours: float,
) -> Evidence:  # fmt: skip
    """Return the evidence of a flag; `members` and `targets` are some of them, `links` pairs that are linked."""
    possible = members_total * (members_total - 1) // 2
    return Evidence(
        observed=acts,
        expected=0.0,
        actors=members_total,
        reasons=[
            f"{members_total} accounts met within {WITHIN_MS // MINUTE_MS} minutes again and again, for many owners",
            f"{links} of their {possible} pairs met far more often than two accounts as busy do by chance",
            f"{number(acts)} meetings on {number(max(targets_total, 1))} targets in {number(hours)} h",
        ],
        sample_actors=[*members],
        members=[*members],
        members_total=members_total,
        targets=[*targets],
        targets_total=targets_total,
        numbers={"links": float(links), "linked_share": round(links / max(possible, 1), 3)},
    )
