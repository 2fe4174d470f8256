"""The evaluation in a terminal: false flags first, then what was found, how soon, and what else there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from streams.evaluation.summary import (
    BASE_RATES,
    FamilyRow,
    KindRow,
    Row,
    by_family,
    by_kind,
    by_shape,
    by_size,
    row_of,
)
from streams.flag_text import duration_text
from streams.logs import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from streams.evaluation.results import Evaluated, Evaluation

FALSE_SHOWN_MAX = 12

DEFINITION = (
    "Account-days: distinct accounts that acted at least once, times the days from the first to the last event. "
    "A false flag is a flagged episode about no attack; 'by bought' are those of them that name accounts of attacks. "
    "'Precision at' a base rate is projected from the recall and "
    "the upper 95% limit of the false flags: for bought account-days among all, and for bought surges among surges."
)
CAUTION = "Figures of simulated traffic say how methods compare, not what they would reach on real traffic."


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print everything."""
    ours = evaluation.ours
    events = sum(part.events for part in evaluation.exposure)
    console.print(
        f"\n{events:,} events in {len(evaluation.exposure)} directories, {evaluation.account_days:,.0f} account-days, "
        f"{len(ours.attacks)} attacks, {len(ours.benign)} benign episodes"
    )
    console.print(_families(by_family(ours)))
    console.print(_kinds(by_kind(ours, evaluation)))
    console.print(Text(f"{DEFINITION} {CAUTION}", style="dim"))
    console.print(_attacks("by kind and shape", ("kind", "shape"), by_shape(ours.attacks)))
    console.print(_attacks("by kind and size", ("kind", "bought actions"), by_size(ours.attacks)))
    _print_false(console, ours)
    consistency = evaluation.consistency
    style = "green" if consistency.total == 0 else "bold red"
    console.print(
        f"\n{consistency.repeated} repeated, {consistency.contradicting} contradicting, "
        f"{consistency.hasty_updates} hasty and {consistency.overlapping} overlapping flags",
        style=style,
    )
    for example in consistency.examples:
        console.print(f"  {printable(example)}", markup=False)
    if evaluation.rivals:
        console.print(_rivals(evaluation))
        for rival in evaluation.rivals:
            console.print(Text(f"{rival.name}: {rival.about}", style="dim"))


def print_in_short(console: Console, title: str, evaluation: Evaluation) -> None:
    """Print what the tables say of each kind in one line, as a table that Markdown takes."""
    rows = by_kind(evaluation.ours, evaluation)
    console.print(f"\n{title}\n", style="bold", highlight=False)
    lines = [
        "| kind | found | recall (95%) | delay, median | delivered before | false per M account-days |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        whole = row_of((), [attack for attack in evaluation.ours.attacks if attack.kind is row.kind])
        lines.append(
            f"| {row.kind.value} | {whole.found} of {whole.attacks} "
            f"| {share_text(whole.recall)} ({interval_text(whole.low, whole.high)}) | {_delay(whole.delay_median_ms)} "
            f"| {share_text(whole.delivered_median)} | {rate_text(row.per_million_account_days)} |"
        )
    families = by_family(evaluation.ours)
    told = ", ".join(f"{row.family} {row.flagged} of {row.episodes}" for row in families if row.flagged)
    silent = ", ".join(f"{row.family} ({row.episodes})" for row in families if not row.flagged)
    lines += ["", f"Benign episodes flagged: {told or 'none'}. Never flagged: {silent or 'none'}."]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def share_text(value: float | None) -> str:
    """Tell a share in per cent."""
    if value is None:
        return "-"
    return f"{value:.0%}" if value in {0.0, 1.0} or 0.1 <= value < 0.995 else f"{value:.1%}"


def interval_text(low: float, high: float) -> str:
    """Tell an interval of shares."""
    return f"{share_text(low)} to {share_text(high)}"


def rate_text(value: float | None) -> str:
    """Tell a rate per million."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < left else "right", no_wrap=True)
    return table


def _families(rows: Sequence[FamilyRow]) -> Table:
    table = _table("\nfalse flags on benign episodes", "family", "episodes", "flagged", "in 200", "at most (95%)", "as")
    table.columns[-1].justify = "left"
    for row in rows:
        flagged = Text(str(row.flagged), style="bold red" if row.flagged else "green")
        kinds = ", ".join(kind.value for kind in row.kinds)
        table.add_row(row.family, f"{row.episodes:,}", flagged, f"{row.per_200:.1f}", share_text(row.high), kinds)
    return table


def _kinds(rows: Sequence[KindRow]) -> Table:
    rates = [f"{rate:.2%}" for rate in BASE_RATES]
    table = _table(
        "\nflags by kind",
        "kind", "right", "wrong", "by bought", "precision", "95%", "false per M account-days", "at most",
        *(f"precision at {rate}" for rate in rates), *(f"surges {rate}" for rate in rates),
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.kind.value, f"{row.right:,}", f"{row.wrong:,}", f"{row.wrong_by_bought:,}", share_text(row.precision),
            interval_text(row.low, row.high),
            rate_text(row.per_million_account_days), rate_text(row.per_million_upper),
            *(share_text(row.projected[rate]) for rate in rates),
            *(share_text(row.projected_surges[rate]) for rate in rates),
        )  # fmt: skip
    return table


def _attacks(title: str, labels: tuple[str, str], rows: Sequence[Row]) -> Table:
    table = _table(
        f"\n{title}", *labels, "attacks", "found", "recall", "95%", "never", "delay median", "p90", "delivered before",
        left=2,
    )  # fmt: skip
    for row in rows:
        table.add_row(
            *row.label, f"{row.attacks:,}", f"{row.found:,}", share_text(row.recall),
            interval_text(row.low, row.high), share_text(row.missed),
            _delay(row.delay_median_ms), _delay(row.delay_p90_ms), share_text(row.delivered_median),
        )  # fmt: skip
    return table


def _rivals(evaluation: Evaluation) -> Table:
    table = _table(
        "\nbeside others on the same events",
        "method", "recall", "95%", "delay median", "delivered before", "false flags", "per M account-days",
        "benign flagged",
    )  # fmt: skip
    for method in (evaluation.ours, *evaluation.rivals):
        row = row_of((), method.attacks)
        wrong = len(method.false_flags)
        rate = wrong * 1e6 / evaluation.account_days if evaluation.account_days else None
        flagged = sum(bool(quiet.flagged) for quiet in method.benign)
        table.add_row(
            method.name, share_text(row.recall), interval_text(row.low, row.high),
            _delay(row.delay_median_ms), share_text(row.delivered_median), f"{wrong:,}", rate_text(rate),
            f"{flagged} of {len(method.benign)}",
        )  # fmt: skip
    return table


def _print_false(console: Console, ours: Evaluated) -> None:
    if not ours.false_flags:
        return
    console.print("\nfalse flags, the most certain first", style="bold")
    for flag in sorted(ours.false_flags, key=lambda flag: -flag.score)[:FALSE_SHOWN_MAX]:
        on = (flag.family or "nobody's episode") + (", by bought accounts" if flag.by_bought else "")
        reason = printable(flag.reasons[0]) if flag.reasons else ""
        console.print(
            f"  {flag.kind.value:16} {printable(flag.subject)}, {on}, score {flag.score:.3f}: {reason}", markup=False
        )
    if len(ours.false_flags) > FALSE_SHOWN_MAX:
        console.print(f"  … and {len(ours.false_flags) - FALSE_SHOWN_MAX:,} more")


def _delay(value: float | None) -> str:
    return "-" if value is None else duration_text(value)
