"""A line of samples as characters for a terminal, and as a page with a picture that needs nothing else."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 76, 12
PIXELS_X, PIXELS_Y, EDGE = 900, 260, 30


def columns(values: Sequence[float], width: int = WIDTH) -> list[float]:
    """Return the medians of at most `width` stretches of equal length.

    >>> columns([1.0, 2.0, 3.0, 9.0], 2)
    [1.5, 6.0]
    """
    width = min(width, len(values))
    cuts = [number * len(values) // width for number in range(width + 1)] if width else []
    return [median(values[low:high]) for low, high in pairwise(cuts)]


def in_characters(values: Sequence[float], unit: str) -> str:
    """Return a plot of some lines, from zero to the greatest value.

    >>> print(in_characters([2.0, 4.0], "MB"))  # doctest: +ELLIPSIS
         4.0 MB  ...
    """
    points = columns(values)
    top = max(points, default=0.0) or 1.0
    lines = []
    for level in range(HEIGHT, 0, -1):
        cells = "".join("#" if point / top * HEIGHT >= level - 0.5 else " " for point in points)
        label = f"{top * level / HEIGHT:8.1f} {unit}" if level in {HEIGHT, HEIGHT // 2} else " " * (9 + len(unit))
        lines.append(f"{label}  {cells}".rstrip())
    return "\n".join(lines)


def as_page(title: str, series: Mapping[str, Sequence[tuple[float, float]]], facts: Mapping[str, object]) -> str:
    """Return a page with one picture for each series of (seconds, value), from zero up, and a table of facts."""
    pictures = "".join(f"<h2>{escape(name)}</h2>{_picture(points)}" for name, points in series.items())
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>"
        "<style>body{font:15px sans-serif;margin:2em}th{text-align:left;padding-right:2em}"
        "svg{background:#f6f6f6}</style>"
        f"<h1>{escape(title)}</h1><table>{rows}</table>{pictures}</html>\n"
    )


def _picture(points: Sequence[tuple[float, float]]) -> str:
    if not points:
        return "<p>no samples</p>"
    last_s = points[-1][0] or 1.0
    top = max(value for _, value in points) or 1.0
    line = " ".join(
        f"{EDGE + at_s / last_s * (PIXELS_X - 2 * EDGE):.1f},{PIXELS_Y - EDGE - v / top * (PIXELS_Y - 2 * EDGE):.1f}"
        for at_s, v in points
    )
    return (
        f"<svg width='{PIXELS_X}' height='{PIXELS_Y}' role='img'>"
        f"<polyline fill='none' stroke='#0a58a8' stroke-width='1.5' points='{line}'/>"
        f"<text x='4' y='{EDGE}' font-size='12'>{top:,.1f}</text>"
        f"<text x='{PIXELS_X - 80}' y='{PIXELS_Y - 8}' font-size='12'>{last_s / 60:.1f} min</text></svg>"
    )
