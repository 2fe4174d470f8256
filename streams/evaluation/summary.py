"""Results put together: by kind, shape, size and family, with the intervals that say how much to believe."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from schemas.flags import Kind
from streams.evaluation.measures import (
    per_million,
    precision_recall,
    projected_precision,
    quantile,
    upper_rate,
    wilson,
)
from streams.evaluation.results import AttackResult, Evaluated, Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

BASE_RATES = (0.01, 0.001, 0.0001)
"""Shares of what is looked at that are bought, at which precision is projected."""

SHAPE_ORDER = ("burst", "poisoned", "follow_unfollow", "aged", "drip", "mixed 50%", "mixed 20%", "mixed 10%", "pool")
"""Known shapes, the loudest first; others follow by name."""


class Row(Struct, frozen=True, kw_only=True):
    """Attacks of one group: how many were found, with the 95 % interval, how late, and how much had come by then."""

    label: tuple[str, ...]
    attacks: int
    found: int
    recall: float
    low: float
    high: float
    delay_median_ms: float | None
    delay_p90_ms: float | None
    delivered_median: float | None

    @property
    def missed(self) -> float:
        """Share that was never detected."""
        return 1.0 - self.recall


class KindRow(Struct, frozen=True, kw_only=True):
    """One kind: what its flags were worth.

    `wrong_by_bought` are those of the wrong ones that name bought accounts. `projected` holds, by base rate, the
    precision where that share of account-days is bought; `projected_surges` the same of surges, by the benign episodes
    that were flagged. Both take the upper 95 % limit of the false rate, since none in a small recording proves little.
    """

    kind: Kind
    attacks: int
    right: int
    wrong: int
    wrong_by_bought: int
    precision: float | None
    low: float
    high: float
    per_million_account_days: float | None
    per_million_upper: float
    projected: dict[str, float | None]
    projected_surges: dict[str, float | None]


class FamilyRow(Struct, frozen=True, kw_only=True):
    """One family of benign episodes: how many there were and how many were flagged."""

    family: str
    episodes: int
    flagged: int
    high: float
    kinds: list[Kind]

    @property
    def per_200(self) -> float:
        """Flagged ones in 200 episodes: what a family is held to is at most one."""
        return 200.0 * self.flagged / self.episodes if self.episodes else 0.0


def row_of(label: tuple[str, ...], attacks: Sequence[AttackResult]) -> Row:
    """Put a group of attacks together."""
    found = [attack for attack in attacks if attack.detected_ms is not None]
    low, high = wilson(len(found), len(attacks))
    delays = [float(attack.delay_ms) for attack in found if attack.delay_ms is not None]
    shares = [attack.delivered for attack in found if attack.delivered is not None]
    return Row(
        label=label,
        attacks=len(attacks),
        found=len(found),
        recall=len(found) / len(attacks) if attacks else 0.0,
        low=low,
        high=high,
        delay_median_ms=quantile(delays, 0.5),
        delay_p90_ms=quantile(delays, 0.9),
        delivered_median=quantile(shares, 0.5),
    )


def grouped(attacks: Sequence[AttackResult], key: Callable[[AttackResult], tuple[str, ...]]) -> list[Row]:
    """Return a row for each group, kinds in the contract's order, shapes the loudest first."""
    groups: defaultdict[tuple[str, ...], list[AttackResult]] = defaultdict(list)
    for attack in attacks:
        groups[key(attack)].append(attack)
    return [
        row_of(label, groups[label]) for label in sorted(groups, key=lambda label: [_place(part) for part in label])
    ]


def by_shape(attacks: Sequence[AttackResult]) -> list[Row]:
    """Return a row for each kind and shape."""
    return grouped(attacks, lambda attack: (attack.kind.value, attack.shape))


def by_size(attacks: Sequence[AttackResult]) -> list[Row]:
    """Return a row for each kind and size tier."""
    return grouped(attacks, lambda attack: (attack.kind.value, attack.tier))


def by_kind(evaluated: Evaluated, evaluation: Evaluation) -> list[KindRow]:
    """Return a row for each kind that was bought or flagged."""
    wrong: defaultdict[Kind, int] = defaultdict(int)
    by_bought: defaultdict[Kind, int] = defaultdict(int)
    for flag in evaluated.false_flags:
        wrong[flag.kind] += 1
        by_bought[flag.kind] += flag.by_bought
    bought: defaultdict[Kind, list[AttackResult]] = defaultdict(list)
    for attack in evaluated.attacks:
        bought[attack.kind].append(attack)
    days, surges = evaluation.account_days, len(evaluated.benign)
    rows: list[KindRow] = []
    for kind in Kind:
        if not (bought[kind] or wrong[kind] or evaluated.right.get(kind)):
            continue
        right, false = evaluated.right.get(kind, 0), wrong[kind]
        low, high = wilson(right, right + false)
        recall = row_of((), bought[kind]).recall
        wronged = sum(kind in quiet.flagged for quiet in evaluated.benign)
        rows.append(
            KindRow(
                kind=kind,
                attacks=len(bought[kind]),
                right=right,
                wrong=false,
                wrong_by_bought=by_bought[kind],
                precision=right / (right + false) if right + false else None,
                low=low,
                high=high,
                per_million_account_days=per_million(false, days),
                per_million_upper=upper_rate(false, days / 1e6),
                projected=_projected(recall, upper_rate(false, days)),
                projected_surges=_projected(recall, wilson(wronged, surges)[1]),
            )
        )
    return rows


def by_family(evaluated: Evaluated) -> list[FamilyRow]:
    """Return a row for each family of benign episodes, those flagged most often first."""
    families: defaultdict[str, list[list[Kind]]] = defaultdict(list)
    for quiet in evaluated.benign:
        families[quiet.family].append(quiet.flagged)
    rows = [
        FamilyRow(
            family=family,
            episodes=len(found),
            flagged=sum(bool(kinds) for kinds in found),
            high=wilson(sum(bool(kinds) for kinds in found), len(found))[1],
            kinds=sorted({kind for kinds in found for kind in kinds}),
        )
        for family, found in families.items()
    ]
    return sorted(rows, key=lambda row: (-row.flagged / row.episodes, row.family))


def zero_below(attacks: Sequence[AttackResult]) -> int | None:
    """Return the size below which recall is zero: the fewest bought actions of an attack that was found."""
    return min((attack.bought for attack in attacks if attack.detected_ms is not None), default=None)


def curve_of(evaluated: Evaluated, kind: Kind) -> list[tuple[float, float, float]]:
    """Return (score, recall, precision) as the least score is lowered, for one kind."""
    mine = [attack for attack in evaluated.attacks if attack.kind is kind]
    return precision_recall(
        [attack.score for attack in mine if attack.score is not None],
        [flag.score for flag in evaluated.false_flags if flag.kind is kind],
        len(mine),
    )


def _projected(recall: float, false_rate: float) -> dict[str, float | None]:
    return {f"{rate:.2%}": projected_precision(recall, min(false_rate, 1.0), rate) for rate in BASE_RATES}


def _place(part: str) -> tuple[int, Hashable]:
    kinds = [kind.value for kind in Kind]
    for order in (kinds, SHAPE_ORDER, ("under 30", "30 to 299", "300 to 2,999", "3,000 to 29,999")):
        if part in order:
            return order.index(part), ""
    return len(kinds) + len(SHAPE_ORDER), part
