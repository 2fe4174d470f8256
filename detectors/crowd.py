"""The crowd on a suspect: what its last actions look like together, as the signs that the trees ask for.

The marks say of each actor how odd it is; a crowd has more to it. Bought accounts are alike: hardly one among them is
plainly a person. Those who spread the word are not: strangers, newcomers and regulars mixed. How fast they came, what
stood out about them and whether they were on other suspects too goes in beside that.
"""

from __future__ import annotations

from enum import IntEnum
from math import log, sqrt
from typing import Any, Final, NamedTuple

import numpy as np

from detectors.actions import Trait
from detectors.company import company_factor, odd_company, together
from detectors.compiled import compiled
from detectors.composition import KNOWN_NATS, NEW_BINS, leading_level, mix_factor
from detectors.crowd_onward import stayed_away
from detectors.gate import tails
from detectors.sketches import SMALL_BITS, distinct, popcount
from detectors.subject_rows import BINS, RECENT, TRAITS

MARK_LIMITS: Final = (-48, -16, 8, 24, 40, 56)
"""Marks (sixteenths of a nat) at or above which shares are taken."""

PLAIN_NATS, PLAIN_WEIGHT = 8.0, 0.1
"""What mix and company say together beyond so many nats counts, by that share, beside the trees: no tree goes on rising
beyond what it has seen, and a purchase plainer than any that was learned from must not be let go for that."""

SHARED_USUAL = 0.4
"""Share of a crowd's suspicious actors on devices or addresses that serve many from which on that counts beside the
trees too, where a kind says so (`PlainWeights.shared`, `rack`): whoever is merely new has a telephone of their own."""

RACK_LOG_S: Final = log(150.0)
"""Log of the seconds within which the shorter window's actions came (of a young crowd: all there are), where devices
that serve many act at once."""

VARIED_FROM: Final = 0.5
"""Standard deviation of a crowd's marks, nats, from which on its actors are no longer alike."""

STAYED_LEAST: Final = 0.5
"""By how many standard deviations more than usual have to have stayed away, that a crowd of all sorts may be bought."""

LEISURE_NATS, LEISURE_MOST = 3.0, 2.0
"""A crowd for which the gate finds less than so many nats is none that came at once; and how much counts against it."""

LEISURE_STAYED: Final = 0.3
"""What `STAYED_LEAST` is for such a crowd."""

EXCESS_MOST: Final = 8.0
"""Nats beyond which it says no more that more came than usual: how much more tells fame, not purchases."""

SHORT: Final = 16
"""Actions in the shorter window; the longer one has `RECENT`."""

MARKS, KINDS = len(MARK_LIMITS), TRAITS

SEARCHED_ONLY: Final = 1 << 15
"""Beside the traits of an actor in the ring: the action was a search that brought no click."""

TELLING: Final = 0.3
"""Clicks that a search usually brings from which on it says all it can that a keyword's bring none."""

ODDER_PRIOR: Final = 6.0
"""Actions with usual marks that count beside those of a crowd, where only its new or its known actors are looked at."""

ODD_MARK: Final = 8
"""Mark (sixteenths of a nat) from which on a searcher could be a bought one."""


class Sign(IntEnum):
    """The signs that are not shares; before them come the shares of marks and of traits, in both windows."""

    RATIO = 0  # greatest statistic over its threshold
    SMALL = 1  # statistic of the smallest share, nats
    GREAT = 2  # of the greatest
    LEADING = 3  # which share fits best
    MIX = 4  # Bayes factor of the mix, nats
    SHARED = 5  # suspicious actors who were on other suspects too
    COMPANY = 6  # what that says, nats
    PACE = 7  # usual log gap between actions, ms
    SPAN_SHORT = 8  # log of the seconds over which the short window reaches
    SPAN = 9
    REMOVED = 10  # actions that suspicious actors took back lately
    NEED = 11  # factor that the gate asks for: a drip is above 1
    SUSPICIOUS = 12  # suspicious share of all actions under suspicion
    MEAN_SHORT = 13  # of the marks in the shorter window, nats
    MEAN = 14
    SPREAD_SHORT = 15  # their standard deviation: bought accounts are alike
    SPREAD = 16
    STAYED_AWAY = 17  # share of those awaited who did not go on, over what is usual here, shrunk (`detectors.onward`)
    STAYED_AWAY_FAR = 18  # the same in standard deviations
    EXCESS_FAST = 19  # how far more came than usual in 5 minutes or an hour, nats
    EXCESS_SLOW = 20  # the same of a day or a week
    SHARED_SHARE = 21  # share of the suspicious actors who were on other suspects too
    MET = 22  # actors who could be bought ones and were on other suspects too
    MET_SHARE = 23  # their share
    CLICKED_SHORT = 24  # how many of the last searches brought a click, over what is usual, shrunk
    CLICKED = 25
    UNREAD_ODD_SHORT = 26  # share of searches without one by searchers who could be bought, beyond what is usual
    UNREAD_ODD = 27
    READ = 28  # how many of a keyword's searches brought a click lately, over what is usual, 1 where nobody's do
    WITH = 29  # actors shared with the one other suspect with which most are
    WITH_SHARE = 30  # their share of those who could be bought
    WITH_THREE = 31  # the same of the three with which most are
    NEW_ODDER = 32  # how much odder its new actors are than new ones are everywhere now, nats, shrunk
    KNOWN_ODDER = 33  # the same of those who are not new
    ODDER = 34  # how far the mean of its marks is above that of everybody's actions now, nats


SHARES: Final = 2 * (MARKS + KINDS) + 2 * KINDS
SIGNS: Final = SHARES + len(Sign)
ON_SHARED_DEVICES: Final = SHARES - 2 * KINDS + Trait.SHARED_DEVICE.bit_length() - 1

SIGN_NAMES: Final[tuple[str, ...]] = (
    *(f"marks_{limit}_{window}" for window in (SHORT, RECENT) for limit in MARK_LIMITS),
    *(f"trait_{trait}_{window}" for window in (SHORT, RECENT) for trait in range(KINDS)),
    *(f"trait_{trait}_suspicious" for trait in range(KINDS)),
    *(f"trait_{trait}_unusual" for trait in range(KINDS)),
    *(sign.name.lower() for sign in Sign),
)

_SPEAKING: Final = {
    Sign.RATIO, Sign.SMALL, Sign.GREAT, Sign.MIX, Sign.SHARED, Sign.COMPANY, Sign.REMOVED, Sign.SUSPICIOUS,
    Sign.MEAN_SHORT, Sign.MEAN, Sign.STAYED_AWAY, Sign.STAYED_AWAY_FAR, Sign.EXCESS_FAST, Sign.EXCESS_SLOW,
    Sign.SHARED_SHARE, Sign.MET, Sign.MET_SHARE, Sign.UNREAD_ODD_SHORT, Sign.UNREAD_ODD,
    Sign.WITH, Sign.WITH_SHARE, Sign.WITH_THREE, Sign.NEW_ODDER, Sign.KNOWN_ODDER, Sign.ODDER,
}  # fmt: skip

RISING: Final[tuple[int, ...]] = (
    *(1 for _ in range(2 * MARKS)),
    *(0 for _ in range(4 * KINDS)),
    *(1 if sign in _SPEAKING else 0 for sign in Sign),
)
"""Signs of which more may only speak for a bought crowd: the trees must not learn a simulator's opposite."""


@compiled
def remember_crowd(held: Any, ts: int, traits: int, searched_only: bool) -> None:  # noqa: FBT001
    """Note when an action on a suspect came, what stood out about its actor, and whether it brought a click."""
    at = int(held["crowd_at"])
    held["crowd_traits"][at] = traits | (SEARCHED_ONLY if searched_only else 0)
    held["crowd_s"][at] = max(ts, 0) // 1000
    held["crowd_at"] = (at + 1) % RECENT
    held["crowd_held"] = min(int(held["crowd_held"]) + 1, RECENT)


@compiled
def describe_crowd(row: Any, held: Any, rule: Any, pool: Any, ratio: float, need: float, ts: int, signs: Any) -> None:
    """Fill `signs`, shape (SIGNS,), for a suspect as it stands at `ts`."""
    signs[:] = 0.0
    for window in range(2):
        last = SHORT if window == 0 else RECENT
        _share_marks(row, last, signs[window * MARKS : (window + 1) * MARKS])
        first = 2 * MARKS + window * KINDS
        mean, spread = _alike(row, last)
        signs[SHARES + Sign.MEAN_SHORT + window] = mean
        signs[SHARES + Sign.SPREAD_SHORT + window] = spread
        signs[SHARES + Sign.SPAN_SHORT + window] = _share_traits(held, last, signs[first : first + KINDS])
        clicked, unread_odd = _clicks(row, held, last, float(pool["click_rate"]))
        signs[SHARES + Sign.CLICKED_SHORT + window] = clicked
        signs[SHARES + Sign.UNREAD_ODD_SHORT + window] = unread_odd
    signs[SHARES + Sign.READ] = 1.0 + (float(row["read"]) - 1.0) * min(float(pool["click_rate"]) / TELLING, 1.0)
    signs[SHARES + Sign.RATIO] = ratio
    signs[SHARES + Sign.SMALL] = row["stat"][0]
    signs[SHARES + Sign.GREAT] = row["stat"][len(row["stat"]) - 1]
    signs[SHARES + Sign.LEADING] = leading_level(row)
    signs[SHARES + Sign.MIX] = mix_factor(row, rule, pool)
    shared = distinct(popcount(held["shared"] & row["seen_suspicious"]), SMALL_BITS)
    signs[SHARES + Sign.SHARED] = min(shared, 400.0)
    among = distinct(popcount(row["seen_suspicious"]), SMALL_BITS)
    signs[SHARES + Sign.SHARED_SHARE] = shared / among if 0.0 < among < 400.0 else 0.0
    met, met_share = odd_company(held)
    signs[SHARES + Sign.MET], signs[SHARES + Sign.MET_SHARE] = met, met_share
    with_one, share, with_three = together(held)
    signs[SHARES + Sign.WITH], signs[SHARES + Sign.WITH_SHARE] = min(with_one, 400.0), share
    signs[SHARES + Sign.WITH_THREE] = with_three
    new, known, all_ = _odder(row, pool)
    signs[SHARES + Sign.NEW_ODDER], signs[SHARES + Sign.KNOWN_ODDER], signs[SHARES + Sign.ODDER] = new, known, all_
    slot, hour, day, week = tails(row, rule, pool)
    signs[SHARES + Sign.EXCESS_FAST] = min(max(slot, hour), EXCESS_MOST)
    signs[SHARES + Sign.EXCESS_SLOW] = min(max(day, week), EXCESS_MOST)
    signs[SHARES + Sign.COMPANY] = company_factor(row, held)
    signs[SHARES + Sign.PACE] = row["pace"]
    signs[SHARES + Sign.REMOVED] = int(row["suspect_removals"][0]) + int(row["suspect_removals"][1])
    signs[SHARES + Sign.NEED] = need
    away, deviation = stayed_away(held, ts, float(pool["goes_on"]))
    signs[SHARES + Sign.STAYED_AWAY] = away
    signs[SHARES + Sign.STAYED_AWAY_FAR] = deviation
    suspicious = max(int(held["suspicious"]), 1)
    last, first, unusual = 2 * MARKS + KINDS, SHARES - 2 * KINDS, SHARES - KINDS
    for trait in range(KINDS):
        signs[first + trait] = int(held["traits"][trait]) / suspicious
        signs[unusual + trait] = signs[last + trait] - float(pool["traits"][trait])
    signs[SHARES + Sign.SUSPICIOUS] = suspicious / max(int(held["actions"]), suspicious)


@compiled
def mixed_nats(signs: Any) -> float:
    """Return what mix and company say together of signs, shape (SIGNS,)."""
    return float(signs[SHARES + Sign.MIX] + signs[SHARES + Sign.COMPANY])


class PlainWeights(NamedTuple):
    """What a kind adds to the trees' nats, or takes off, for what is plain about a crowd.

    Attributes:
        shared: added for each share of the suspicious actors beyond `SHARED_USUAL` whose device or address serves many.
        varied: taken off a crowd of all sorts that goes on as usual.
        leisurely: taken off a crowd that goes on as usual and is no more than usual, by how far it does.
        rack: added for the same share as `shared`, but only where the shorter window came within `RACK_LOG_S`.

    """

    shared: float = 0.0
    varied: float = 0.0
    leisurely: float = 0.0
    rack: float = 0.0


NOTHING_PLAIN: Final = PlainWeights()
"""Of a kind of which nothing is known but what the trees say."""


@compiled
def plain_weights(rule: Any) -> PlainWeights:
    """Return the weights of a record of `RULE`."""
    weights = rule["plain"]
    return PlainWeights(float(weights[0]), float(weights[1]), float(weights[2]), float(weights[3]))


@compiled
def plain_nats(signs: Any, weights: PlainWeights) -> float:
    """Return what is added to the trees' nats for signs, shape (SIGNS,), where something about a crowd is plain.

    For it: mix and company, or devices that serve many. Against it, where it is known who went on (`detectors.onward`)
    and as many did as usually do: that they are of all sorts, or that no more came than usual.

    >>> signs = np.zeros(SIGNS)
    >>> signs[SHARES + Sign.MIX], signs[SHARES + Sign.COMPANY] = 18.0, 10.0
    >>> plain_nats(signs, PlainWeights(5.0)), plain_nats(np.zeros(SIGNS), PlainWeights(5.0))
    (2.0, 0.0)
    >>> signs[ON_SHARED_DEVICES], signs[SHARES + Sign.SPAN_SHORT] = 1.0, log(3_600)
    >>> plain_nats(signs, PlainWeights(shared=5.0)), plain_nats(signs, PlainWeights(rack=5.0))
    (5.0, 2.0)
    >>> people = np.zeros(SIGNS)
    >>> people[SHARES + Sign.SPREAD], people[SHARES + Sign.STAYED_AWAY_FAR] = 1.5, -0.7
    >>> plain_nats(people, PlainWeights(varied=4.0)), plain_nats(people, PlainWeights(leisurely=2.0))
    (-4.0, -2.0)
    """
    shared = max(signs[ON_SHARED_DEVICES] - SHARED_USUAL, 0.0)
    at_once = signs[SHARES + Sign.SPAN_SHORT] < RACK_LOG_S
    per_share = weights.shared + (weights.rack if at_once else 0.0)
    nats = PLAIN_WEIGHT * max(mixed_nats(signs) - PLAIN_NATS, 0.0) + per_share * shared
    stayed = signs[SHARES + Sign.STAYED_AWAY_FAR]
    if stayed == 0.0:  # of nobody is it known
        return float(nats)
    varied = min(max(signs[SHARES + Sign.SPREAD] - VARIED_FROM, 0.0), 1.0)
    nats -= weights.varied * varied * min(max(1.0 - stayed / STAYED_LEAST, 0.0), 1.0)
    excess = max(signs[SHARES + Sign.EXCESS_FAST], signs[SHARES + Sign.EXCESS_SLOW])
    leisure = max(1.0 - excess / LEISURE_NATS, 0.0)
    return float(nats - weights.leisurely * leisure * min(max(LEISURE_STAYED - stayed, 0.0), LEISURE_MOST))


@compiled
def _alike(row: Any, last: int) -> tuple[float, float]:
    """Return the mean and the standard deviation of the last marks, nats."""
    held = min(int(row["marks_held"]), last)
    if held == 0:
        return 0.0, 0.0
    total, squares = 0.0, 0.0
    for back in range(1, held + 1):
        mark = int(row["marks"][(int(row["marks_at"]) - back) % RECENT]) / 16.0
        total += mark
        squares += mark * mark
    mean = total / held
    return mean, sqrt(max(squares / held - mean * mean, 0.0))


@compiled
def _odder(row: Any, pool: Any) -> tuple[float, float, float]:
    """Return how far the last marks of new actors, of known ones and of all are above what is usual now, nats.

    Where everybody is a stranger, strangers say nothing; the first two are shrunk by `ODDER_PRIOR` actions.
    """
    newcomer = float(pool["newcomer"])
    usual, usual_known, known_share = 0.0, 0.0, 0.0
    for place in range(BINS):
        share = float(pool["mix"][place])
        if place < NEW_BINS:
            usual += share * newcomer
        else:
            usual_known += share * KNOWN_NATS[place - NEW_BINS]
            known_share += share
    usual += usual_known
    usual_known /= max(known_share, 1e-9)
    held = int(row["marks_held"])
    new, known, total_new, total_known = 0, 0, 0.0, 0.0
    for place in range(held):
        mark = int(row["marks"][place])
        if mark & 1:
            new += 1
            total_new += mark / 16.0
        else:
            known += 1
            total_known += mark / 16.0
    return (
        (total_new - new * newcomer) / (new + ODDER_PRIOR),
        (total_known - known * usual_known) / (known + ODDER_PRIOR),
        (total_new + total_known) / max(held, 1) - usual,
    )


@compiled
def _share_marks(row: Any, last: int, shares: Any) -> None:
    held = min(int(row["marks_held"]), last)
    for back in range(1, held + 1):
        mark = int(row["marks"][(int(row["marks_at"]) - back) % RECENT])
        for limit in range(MARKS):
            if mark >= MARK_LIMITS[limit]:
                shares[limit] += 1.0 / held


@compiled
def _clicks(row: Any, held: Any, last: int, usual: float) -> tuple[float, float]:
    """Return how many of the last searches brought a click over what is usual, and odd searchers' that did not.

    The latter as a share of all, less what would be so if they clicked as usual: where nobody's clicks are sent, both
    say nothing. Nor do they of likes and follows, where no search is to click.
    """
    if usual <= 0.0:
        return 1.0, 0.0
    count = min(int(held["crowd_held"]), int(row["marks_held"]), last)
    clicked, odd, unread_odd = 0, 0, 0
    for back in range(1, count + 1):
        unread = int(held["crowd_traits"][(int(held["crowd_at"]) - back) % RECENT]) & SEARCHED_ONLY
        is_odd = int(row["marks"][(int(row["marks_at"]) - back) % RECENT]) >= ODD_MARK
        clicked += 0 if unread else 1
        odd += 1 if is_odd else 0
        unread_odd += 1 if unread and is_odd else 0
    return (clicked + 1.0) / (count * usual + 1.0), (unread_odd - odd * (1.0 - usual)) / max(count, 1)


@compiled
def _share_traits(held: Any, last: int, shares: Any) -> float:
    """Fill the shares of the last actions that show each trait; return the log of the seconds they took."""
    count = min(int(held["crowd_held"]), last)
    if count == 0:
        return 0.0
    newest = int(held["crowd_s"][(int(held["crowd_at"]) - 1) % RECENT])
    oldest = int(held["crowd_s"][(int(held["crowd_at"]) - count) % RECENT])
    for back in range(1, count + 1):
        traits = int(held["crowd_traits"][(int(held["crowd_at"]) - back) % RECENT])
        for trait in range(KINDS):
            if traits >> trait & 1:
                shares[trait] += 1.0 / count
    return log(max(newest - oldest, 0) + 1.0)


assert np.array(RISING).shape == (SIGNS,) == (len(SIGN_NAMES),)  # noqa: S101 - each sign has its name
