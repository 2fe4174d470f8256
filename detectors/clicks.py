"""What clicks say of a keyword and of its results, beside who searches and who clicks."""

from __future__ import annotations

from math import exp, log
from typing import Any

from detectors.compiled import compiled

PUSHED_MAX = 0.5
"""Share of a keyword's suspicious searches that may push one result: above it that is what they are for."""

LIFT_PRIOR = 1.0
"""Clicks, and earned ones, before any: what three clicks say by chance is little."""

USUAL_MOST = 0.9
"""Clicks that a search brings where a search without one says the most."""

READ_SEARCHES = 24.0
"""Searches over which it is averaged whether they bring clicks."""


@compiled
def lift_nats(row: Any, rule: Any) -> float:
    """Return what a click says by itself, where its result gets more clicks than its position earns.

    Who clicks may look like anybody; that many search for one thing and pass over whatever stands above it does not.
    """
    lift = (float(row["clicks"]) + LIFT_PRIOR) / (float(row["earned"]) + LIFT_PRIOR)
    if lift <= rule["lift_min"]:
        return 0.0
    return min(float(rule["lift"][0]) * log(lift / rule["lift_min"]), float(rule["lift"][1]))


@compiled
def is_lifted(row: Any, rule: Any) -> bool:
    """Return whether a pair got more clicks than its position earns: by a factor, and by more than chance brings.

    Chance is a Poisson's: the log-likelihood ratio of as many clicks as came over as many as were earned. Ten clicks
    where four are earned happen somewhere whenever many people search for something new.
    """
    clicks, earned = float(row["clicks"]), float(row["earned"])
    if clicks <= 0.0 or clicks < rule["lift_min"] * earned:  # where there are clicks something was earned
        return False
    return bool(clicks * log(clicks / earned) - (clicks - earned) >= rule["lift_sure"])


@compiled
def click_nats(row: Any, rule: Any, usual: float, clicked: bool) -> float:  # noqa: FBT001
    """Return what it says that a search brought a click or none, and note it down.

    Args:
        row: of the keyword.
        rule: of its lane.
        usual: clicks that a search brings here, at any position.
        clicked: whether this one did.

    """
    read = 1.0 if row["total"] <= 1 else float(row["read"])
    row["read"] = read + ((1.0 / usual if clicked else 0.0) - read) / READ_SEARCHES
    if clicked:
        return float(rule["clicked"])
    here, quiet = min(usual, USUAL_MOST), max(1.0 - read, 0.0)
    nats = log((1.0 - exp(rule["clicked"]) * here) / (1.0 - here))
    return nats * (1.0 + float(rule["unread"]) * quiet * quiet)


@compiled
def pushes_result(row: Any) -> bool:
    """Return whether the suspicious searches for a keyword are there to push a result, not to make a trend."""
    return bool(row["earned"] > PUSHED_MAX * row["clicks"])
