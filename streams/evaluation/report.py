"""One page with everything, for reading offline: no script, no request, light and dark by the reader's choice."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from streams.evaluation import charts
from streams.evaluation.summary import (
    BASE_RATES,
    Row,
    by_family,
    by_kind,
    by_shape,
    by_size,
    row_of,
)
from streams.evaluation.tables import CAUTION, DEFINITION, interval_text, rate_text, share_text
from streams.evaluation.timelines import FALSE, MISSED
from streams.flag_text import duration_text
from streams.logs import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.evaluation.results import Evaluated, Evaluation, Timeline

FALSE_ROWS_MAX = 100


def render(evaluation: Evaluation) -> str:
    """Return the page."""
    style = (resources.files("streams") / "evaluation" / "report.css").read_text(encoding="utf-8")
    sections = (
        _head(evaluation), _false_flags(evaluation), _found(evaluation), _soon(evaluation), _strength(evaluation),
        _precision(evaluation), _rivals(evaluation), _timelines(evaluation.timelines), _tables(evaluation),
    )  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>boostwatch, evaluated</title><style>{style}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _head(evaluation: Evaluation) -> str:
    ours = evaluation.ours
    events = sum(part.events for part in evaluation.exposure)
    found = row_of((), ours.attacks)
    names = ", ".join(part.directory for part in evaluation.exposure)
    return (
        f"<header><h1>boostwatch, evaluated</h1><p class='lead'>{events:,} events in {len(evaluation.exposure)} "
        f"recordings ({escape(printable(names))}), {evaluation.account_days:,.0f} account-days. "
        f"{found.found} of {found.attacks} attacks were flagged, {len(ours.false_flags)} flags were false. "
        f"{escape(CAUTION)}</p></header>"
    )


def _false_flags(evaluation: Evaluation) -> str:
    ours, days = evaluation.ours, evaluation.account_days
    tiles = [
        _tile(
            f"{row.flagged} of {row.episodes}",
            row.family.replace("_", " "),
            f"at most {share_text(row.high)} (95%)",
            wrong=row.flagged > 0,
        )
        for row in by_family(ours)
    ]
    count = len(ours.false_flags)
    rate = rate_text(count * 1e6 / days if days else None)
    stray = sum(flag.family is None for flag in ours.false_flags)
    consistency = evaluation.consistency.total
    tiles += [
        _tile(str(stray), "on nobody's episode", "subjects that nothing was planned for", wrong=stray > 0),
        _tile(rate, "per million account-days", f"all kinds together: {count} false flags", wrong=count > 0),
        _tile(str(consistency), "repeats, contradictions", "within and between episodes", wrong=consistency > 0),
    ]
    return (
        "<section><h2>Whom it wrongs</h2><p class='about'>Episodes that look like attacks to whoever only counts, and "
        f"how many of them were flagged. {escape(DEFINITION)}</p><div class='tiles'>{''.join(tiles)}</div></section>"
    )


def _found(evaluation: Evaluation) -> str:
    if not evaluation.ours.attacks:
        return ""
    return (
        "<section><h2>What it finds</h2>"
        + _figure("Recall by kind and shape", "A dot is the share found, the bar its 95% interval (Wilson).",
                  charts.recall_plot(evaluation.ours))
        + "</section>"
    )  # fmt: skip


def _soon(evaluation: Evaluation) -> str:
    ours = evaluation.ours
    if not ours.attacks:
        return ""
    left = _figure(
        "How much had come by then",
        "Share of all attacks flagged before that share of their actions was delivered. A curve ends at its recall.",
        charts.delivered_plot(ours),
    )
    right = _figure(
        "How long it took",
        "Share of all attacks flagged within that event time. Drips last for days, so their delays do.",
        charts.delay_plot(ours),
    )
    return f"<section><h2>How soon</h2>{_legend(ours)}<div class='grid-2'>{left}{right}</div></section>"


def _strength(evaluation: Evaluation) -> str:
    ours = evaluation.ours
    figures = [_figure(kind.value, "", charts.strength_plot(ours, kind)) for kind in charts.kinds_in(ours.attacks)]
    if not figures:
        return ""
    return (
        "<section><h2>Where it goes blind</h2><p class='about'>Recall against how many actions were bought, with its "
        "95% interval. Ticks above are attacks that were found, ticks below are those that were not; left of the "
        f"dotted line recall is zero.</p><div class='grid-2'>{''.join(figures)}</div></section>"
    )


def _precision(evaluation: Evaluation) -> str:
    ours = evaluation.ours
    figures = [
        _figure(kind.value, "", charts.precision_plot(evaluation, kind)) for kind in charts.kinds_in(ours.attacks)
    ]
    if not figures:
        return ""
    return (
        "<section><h2>Precision against recall</h2><p class='about'>As the least score is lowered; the dot is every "
        "flag taken together. This recording holds far more attacks than life does: the table at the end projects "
        f"precision to smaller shares.</p>{_rival_legend(evaluation)}<div class='grid-2'>{''.join(figures)}</div>"
        "</section>"
    )


def _rivals(evaluation: Evaluation) -> str:
    if not evaluation.rivals:
        return ""
    told = "".join(f"<li><b>{escape(rival.name)}</b>: {escape(rival.about)}</li>" for rival in evaluation.rivals)
    figure = _figure(
        "Recall, and at what price",
        "All attacks of all kinds, and the false flags that came with it.",
        charts.rivals_plot(evaluation),
    )
    return f"<section><h2>Beside other methods</h2>{figure}<ul class='note'>{told}</ul></section>"


def _timelines(timelines: Sequence[Timeline]) -> str:
    if not timelines:
        return ""
    figures = [
        f"<figure><span class='fate {_tone(line.outcome)}'>{line.outcome}</span>"
        f"<h3>{escape(printable(line.title))}</h3>"
        f"<figcaption>{escape(printable(line.directory))}, {duration_text(line.end_ms - line.start_ms)}</figcaption>"
        f"{charts.timeline_plot(line)}</figure>"
        for line in timelines
    ]
    legend = (
        "<ul class='legend'><li><svg viewBox='0 0 30 10'><rect class='came' width='30' height='10'/></svg>came</li>"
        "<li><svg viewBox='0 0 30 10'><rect class='bought' width='30' height='10'/></svg>of it bought</li>"
        "<li><svg viewBox='0 0 30 10'><line class='curve expected' x1='0' x2='30' y1='5' y2='5'/></svg>expected</li>"
        "<li><svg viewBox='0 0 30 10'><line class='upright flag' x1='15' x2='15' y1='0' y2='10'/></svg>flag opened "
        "(solid), closed (dashed), updated (dots)</li></ul>"
    )
    return (
        "<section><h2>Single episodes</h2><p class='about'>The largest of each fate. What was expected is the "
        f"subject's own week before.</p>{legend}<div class='grid-2'>{''.join(figures)}</div></section>"
    )


def _tables(evaluation: Evaluation) -> str:
    ours = evaluation.ours
    rates = [f"{rate:.2%}" for rate in BASE_RATES]
    kinds = _table(
        ["kind", "right", "wrong", "precision", "95%", "false per M account-days", "at most",
         *(f"precision at {rate}" for rate in rates), *(f"of surges, at {rate}" for rate in rates)],
        [
            [row.kind.value, str(row.right), str(row.wrong), share_text(row.precision),
             interval_text(row.low, row.high), rate_text(row.per_million_account_days),
             rate_text(row.per_million_upper), *(share_text(row.projected[rate]) for rate in rates),
             *(share_text(row.projected_surges[rate]) for rate in rates)]
            for row in by_kind(ours, evaluation)
        ],
    )  # fmt: skip
    false = _table(
        ["kind", "subject", "on", "score", "reasons"],
        [
            [flag.kind.value, printable(flag.subject), flag.family or "nobody's episode", f"{flag.score:.3f}",
             printable("; ".join(flag.reasons))]
            for flag in sorted(ours.false_flags, key=lambda flag: -flag.score)[:FALSE_ROWS_MAX]
        ],
        "words",
    )  # fmt: skip
    shown = f"<details><summary>{len(ours.false_flags)} false flags</summary>{false}</details>"
    return (
        f"<section><h2>In numbers</h2><h3>Flags by kind</h3>{kinds}{shown if ours.false_flags else ''}"
        f"<details><summary>Attacks by kind and shape</summary>{_attacks('shape', by_shape(ours.attacks))}</details>"
        f"<details><summary>Attacks by kind and size</summary>{_attacks('bought actions', by_size(ours.attacks))}"
        "</details></section>"
    )


def _attacks(label: str, rows: Sequence[Row]) -> str:
    head = ["kind", label, "attacks", "found", "recall", "95%", "never", "delay median", "p90", "delivered before"]
    return _table(
        head,
        [
            [*row.label, str(row.attacks), str(row.found), share_text(row.recall), interval_text(row.low, row.high),
             share_text(row.missed), _delay(row.delay_median_ms), _delay(row.delay_p90_ms),
             share_text(row.delivered_median)]
            for row in rows
        ],
    )  # fmt: skip


def _legend(ours: Evaluated) -> str:
    lines = "".join(
        f"<li><svg viewBox='0 0 30 10'><line class='curve {charts.style_of(kind)}' x1='0' x2='30' y1='5' y2='5'/></svg>"
        f"{kind.value}</li>"
        for kind in charts.kinds_in(ours.attacks)
    )
    return f"<ul class='legend'>{lines}</ul>"


def _rival_legend(evaluation: Evaluation) -> str:
    if not evaluation.baselines:
        return ""
    lines = "".join(
        f"<li><svg viewBox='0 0 30 10'><line class='curve rival r{place}' x1='0' x2='30' y1='5' y2='5'/></svg>"
        f"{escape(rival.name)}</li>"
        for place, rival in enumerate(evaluation.baselines, 1)
    )
    return f"<ul class='legend'><li>coloured: {escape(evaluation.ours.name)}</li>{lines}</ul>"


def _figure(title: str, told: str, plot: str) -> str:
    caption = f"<figcaption>{escape(told)}</figcaption>" if told else ""
    return f"<figure><h3>{escape(title)}</h3>{caption}{plot}</figure>"


def _tile(value: str, name: str, note: str, *, wrong: bool) -> str:
    return (
        f"<div class='tile{' wrong' if wrong else ''}'><b>{escape(value)}</b><span>{escape(name)}</span>"
        f"<small>{escape(note)}</small></div>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], style: str = "") -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<div class='scroll'><table class='{style}'><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _tone(outcome: str) -> str:
    return "bad" if outcome in {FALSE, MISSED} else "good"


def _delay(value: float | None) -> str:
    return "-" if value is None else duration_text(value)
