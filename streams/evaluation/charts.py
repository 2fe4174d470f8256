"""The plots of the report, each from the results themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from schemas.flags import Kind
from streams.evaluation.measures import log_bins, wilson
from streams.evaluation.results import AttackResult, Evaluated, Evaluation, Timeline
from streams.evaluation.summary import by_shape, curve_of, row_of, zero_below
from streams.evaluation.svg import BOTTOM, LEFT, RIGHT, TOP, Plot, count_ticks, share_ticks
from streams.evaluation.tables import share_text
from streams.flag_text import count_text, duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = tuple(Kind)
STRENGTH_BINS = 7
LINE_HEIGHT = 22.0
NARROW = 210.0
"""Room for the names before a plot of one line each, in the units of its view box."""

_MINUTE, _HOUR, _DAY = 60_000.0, 3_600_000.0, 86_400_000.0
_DELAY_TICKS = [
    (1_000.0, "1 s"), (10_000.0, "10 s"), (_MINUTE, "1 min"), (10 * _MINUTE, "10 min"), (_HOUR, "1 h"),
    (6 * _HOUR, "6 h"), (_DAY, "1 d"), (4 * _DAY, "4 d"),
]  # fmt: skip
_POINTS = [(0.0, "0"), (0.1, "10%"), (0.25, "25%"), (0.5, "50%"), (0.75, "75%"), (1.0, "100%")]


def style_of(kind: Kind | None) -> str:
    """Return the class that gives a kind its colour and dash."""
    return f"k{KINDS.index(kind)}" if kind is not None else "k9"


def kinds_in(attacks: Sequence[AttackResult]) -> list[Kind]:
    """Return the kinds that were bought, in the contract's order."""
    present = {attack.kind for attack in attacks}
    return [kind for kind in Kind if kind in present]


def recall_plot(ours: Evaluated) -> str:
    """Return recall by kind and shape: a dot with its interval a line."""
    rows = by_shape(ours.attacks)
    height = TOP + BOTTOM + LINE_HEIGHT * len(rows)
    plot = Plot("recall by kind and shape", (0.0, 1.0), (0.0, 1.0), width=820, height=height, margin=70)
    # Wider to the left than other plots: the lines have names.
    scale = (NARROW - LEFT) / (plot.width - LEFT - RIGHT)
    plot.x_range = (-scale / (1 - scale), 1.0)
    plot.axes(share_ticks(), [], "share of the attacks that were found, with 95% interval")
    for place, row in enumerate(rows):
        y = TOP + LINE_HEIGHT * (place + 0.5)
        kind = Kind(row.label[0])
        if place == 0 or rows[place - 1].label[0] != row.label[0]:
            plot.text(4, y + 4, row.label[0], f"name {style_of(kind)}")
        plot.text(NARROW - 10, y + 4, f"{row.label[1]}", "tick end")
        plot.whisker(y, row.low, row.high, style_of(kind))
        told = f"{row.label[0]} {row.label[1]}: {row.found} of {row.attacks}"
        plot.mark(row.recall, y, style_of(kind), told)
        plot.text(plot.width + 6, y + 4, f"{row.found} of {row.attacks}", "count")
    return plot.svg()


def delivered_plot(ours: Evaluated) -> str:
    """Return, for each kind, the share of the attacks flagged before a share of what was bought had come."""
    plot = Plot("attacks flagged by share delivered", (0.0, 1.0), (0.0, 1.0))
    plot.axes(_POINTS, share_ticks(), "share of the bought actions delivered")
    for kind in kinds_in(ours.attacks):
        mine = [attack for attack in ours.attacks if attack.kind is kind]
        shares = sorted(attack.delivered for attack in mine if attack.delivered is not None)
        points = [(0.0, 0.0)] + [(share, (place + 1) / len(mine)) for place, share in enumerate(shares)]
        plot.steps([*points, (1.0, points[-1][1])], style_of(kind), f"{kind.value}: {len(shares)} of {len(mine)}")
    plot.upright(0.1, "goal", "a tenth delivered")
    return plot.svg()


def delay_plot(ours: Evaluated) -> str:
    """Return, for each kind, the share of the attacks flagged within a time."""
    plot = Plot("attacks flagged by delay", (1_000.0, 4 * _DAY), (0.0, 1.0), x_log=True)
    plot.axes(_DELAY_TICKS, share_ticks(), "event time from the first bought action to the flag")
    for kind in kinds_in(ours.attacks):
        mine = [attack for attack in ours.attacks if attack.kind is kind]
        delays = sorted(float(attack.delay_ms) for attack in mine if attack.delay_ms is not None)
        points = [(1_000.0, 0.0)] + [(delay, (place + 1) / len(mine)) for place, delay in enumerate(delays)]
        plot.steps([*points, (4 * _DAY, points[-1][1])], style_of(kind), f"{kind.value}: {len(delays)} of {len(mine)}")
    plot.upright(2 * _MINUTE, "goal", "two minutes")
    return plot.svg()


def strength_plot(ours: Evaluated, kind: Kind) -> str:
    """Return recall against how much was bought, with its interval, and where it reaches zero."""
    mine = [attack for attack in ours.attacks if attack.kind is kind and attack.bought]
    plot = Plot(f"recall of {kind.value} by strength", (10.0, 2_000.0), (0.0, 1.0), x_log=True, height=220)
    if not mine:
        return plot.svg()
    sizes = np.array([attack.bought for attack in mine], np.float64)
    plot.x_range = (min(sizes.min() * 0.9, 10.0), max(sizes.max() * 1.1, 1_000.0))
    ticks = [(value, count_text(value)) for value in (10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)]
    low, high = plot.x_range
    plot.axes([tick for tick in ticks if low <= tick[0] <= high], share_ticks(), "bought actions")
    edges = log_bins(sizes.min(), sizes.max() * 1.001, STRENGTH_BINS)
    place = np.clip(np.searchsorted(edges, sizes, "right") - 1, 0, STRENGTH_BINS - 1)
    band: list[tuple[float, float, float]] = []
    for number in range(STRENGTH_BINS):
        chosen = [attack for attack, at in zip(mine, place.tolist(), strict=True) if at == number]
        if chosen:
            found = sum(attack.detected_ms is not None for attack in chosen)
            middle = float(np.exp(np.mean(np.log([attack.bought for attack in chosen]))))
            band.append((middle, *wilson(found, len(chosen))))
            told = f"{found} of {len(chosen)} with about {middle:,.0f} bought actions"
            plot.dot(middle, found / len(chosen), style_of(kind), told)
    plot.band(band, style_of(kind))
    for attack in mine:
        found = attack.detected_ms is not None
        low, high = (0.97, 1.0) if found else (0.0, 0.03)
        plot.bar(attack.bought * 0.995, attack.bought * 1.005, low, high, style_of(kind))
    least = zero_below(mine)
    if least is not None:
        plot.upright(least, "zero", f"nothing below {least} bought actions was found")
        plot.text(plot.x(least) + 4, TOP + 24, f"none below {least}", "label")
    return plot.svg()


def precision_plot(evaluation: Evaluation, kind: Kind) -> str:
    """Return precision against recall for one kind, the other methods' best points beside it."""
    plot = Plot(f"precision and recall of {kind.value}", (0.0, 1.0), (0.0, 1.0), height=220)
    plot.axes(share_ticks(), share_ticks(), "recall")
    for place, method in enumerate((evaluation.ours, *evaluation.baselines)):
        curve = curve_of(method, kind)
        style = style_of(kind) if place == 0 else f"rival r{place}"
        if curve:
            plot.line([(recall, precision) for _, recall, precision in curve], style, method.name)
            _, recall, precision = curve[-1]
            told = f"{method.name}: recall {share_text(recall)}, precision {share_text(precision)}"
            plot.dot(recall, precision, style, told, 4.5 if place == 0 else 3.5)
    return plot.svg()


def rivals_plot(evaluation: Evaluation) -> str:
    """Return the recall of every method, a bar each."""
    methods = (evaluation.ours, *evaluation.rivals)
    plot = Plot(
        "recall by method", (0.0, 1.0), (0.0, 1.0), width=820, height=TOP + BOTTOM + 26 * len(methods), margin=70
    )
    scale = (NARROW - LEFT) / (plot.width - LEFT - RIGHT)
    plot.x_range = (-scale / (1 - scale), 1.0)
    plot.axes(share_ticks(), [], "share of all attacks found")
    for place, method in enumerate(methods):
        y = TOP + 26 * (place + 0.5)
        row = row_of((), method.attacks)
        plot.text(NARROW - 10, y + 4, method.name, "tick end" if place else "name end")
        style = "ours" if place == 0 else f"rival r{min(place, 4)}"
        told = f"{row.found} of {row.attacks}, {len(method.false_flags)} false flags"
        plot.beam(y, row.recall, style, told)
        end = plot.x(row.recall) + 6
        plot.text(end, y + 4, f"{share_text(row.recall)}, {len(method.false_flags)} false", "count")
    return plot.svg()


def timeline_plot(line: Timeline) -> str:
    """Return one episode: what came, what of it was bought, what was expected, and the moments of the flags."""
    high = max(max(line.observed, default=1), max(line.expected, default=1.0), 1.0) * 1.12
    first, last = line.times_ms[0], line.times_ms[-1] + line.bin_ms
    plot = Plot(line.title, (0.0, float(last - first)), (0.0, high), width=560, height=210, margin=16)
    ticks = [first + (last - first) * part / 4 for part in range(5)]
    plot.axes(
        [(tick - first, _moment(tick, last - first)) for tick in ticks],
        count_ticks(high),
        f"actions per {duration_text(line.bin_ms)}",
    )
    plot.bar(line.start_ms - first, line.end_ms - first, 0.0, high, "span")
    for at, came, bought in zip(line.times_ms, line.observed, line.bought, strict=True):
        if came:
            end = at + line.bin_ms * 0.86
            told = f"{_moment(at, 0)}: {came:,} came" + (f", {bought:,} of them bought" if bought else "")
            plot.bar(at - first, end - first, 0.0, came, "came", told)
            if bought:
                plot.bar(at - first, end - first, 0.0, min(bought, came), "bought", told)
    middles = [at + line.bin_ms / 2 - first for at in line.times_ms]
    plot.line(list(zip(middles, line.expected, strict=True)), "expected", "expected from the week before")
    for place, point in enumerate(line.flags):
        if place == 0 or point.status != "updated":
            told = (
                f"{point.status} at {_moment(point.at_ms, 0)}: {point.observed:,} where {point.expected:,.1f} expected"
            )
            plot.upright(point.at_ms - first, f"flag {point.status}", told)
        else:
            plot.dot(point.at_ms - first, high * 0.97, "flag", f"updated: {point.observed:,} by then", 1.8)
    return plot.svg()


def _moment(time_ms: float, span_ms: float) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{moment:%d %b %H:%M}" if span_ms > _DAY or span_ms == 0 else f"{moment:%H:%M}"
