"""Plots as SVG text: scales, axes, lines, bands. Colours come from the page's style sheet, by class."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from math import log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT, RIGHT, TOP, BOTTOM = 44, 20, 12, 40
"""Room for the labels around a plot, in the units of its view box."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places; what lies beyond the ends is put on them."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        clipped = min(max(value, self.low), self.high)
        if self.log:
            part = (log10(clipped) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            part = (clipped - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 2)


@dataclass(slots=True)
class Plot:
    """A plot in the making; `x` and `y` are its scales.

    >>> plot = Plot("recall", (0.0, 1.0), (0.0, 1.0))
    >>> plot.line([(0.0, 0.0), (1.0, 0.5)], "k0")
    >>> "polyline" in plot.svg()
    True
    """

    title: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_log: bool = False
    width: float = 460.0
    height: float = 280.0
    margin: float = 0.0  # further room to the right
    parts: list[str] = field(default_factory=list)

    @property
    def x(self) -> Scale:
        """The horizontal scale."""
        return Scale(*self.x_range, LEFT, self.width - RIGHT, log=self.x_log)

    @property
    def y(self) -> Scale:
        """The vertical scale, upwards."""
        return Scale(*self.y_range, self.height - BOTTOM, TOP)

    def axes(
        self,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        x_label: str = "",
    ) -> None:
        """Draw the grid, the ticks and the label of the horizontal axis."""
        foot = self.height - BOTTOM
        for value, told in y_ticks:
            y = self.y(value)
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y}" y2="{y}"/>')
            self.text(LEFT - 6, y + 4, told, "tick end")
        for value, told in x_ticks:
            x = self.x(value)
            self.parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{foot}"/>')
            self.text(x, foot + 15, told, "tick middle")
        self.text((LEFT + self.width - RIGHT) / 2, self.height - 6, x_label, "label middle")

    def line(self, points: Sequence[tuple[float, float]], style: str, told: str = "") -> None:
        """Draw a line through points."""
        places = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        self.parts.append(f'<polyline class="curve {style}" points="{places}">{_title(told)}</polyline>')

    def steps(self, points: Sequence[tuple[float, float]], style: str, told: str = "") -> None:
        """Draw a line that keeps each point's height until the next point."""
        stepped: list[tuple[float, float]] = []
        for x, y in points:
            if stepped:
                stepped.append((x, stepped[-1][1]))
            stepped.append((x, y))
        self.line(stepped, style, told)

    def band(self, points: Sequence[tuple[float, float, float]], style: str) -> None:
        """Fill between the lows and highs of (x, low, high)."""
        upper = [f"{self.x(x)},{self.y(high)}" for x, _, high in points]
        lower = [f"{self.x(x)},{self.y(low)}" for x, low, _ in reversed(points)]
        self.parts.append(f'<polygon class="band {style}" points="{" ".join(upper + lower)}"/>')

    def dot(self, x: float, y: float, style: str, told: str = "", size: float = 4.0) -> None:
        """Draw a dot."""
        places = f'cx="{self.x(x)}" cy="{self.y(y)}" r="{size}"'
        self.parts.append(f'<circle class="dot {style}" {places}>{_title(told)}</circle>')

    def mark(self, x: float, y: float, style: str, told: str, size: float = 5.0) -> None:
        """Draw a dot at a value and a height given in the view box's units."""
        places = f'cx="{self.x(x)}" cy="{y}" r="{size}"'
        self.parts.append(f'<circle class="dot {style}" {places}>{_title(told)}</circle>')

    def beam(self, y: float, end: float, style: str, told: str) -> None:
        """Fill a beam from 0 to a value at a height given in the view box's units."""
        start = self.x(0.0)
        places = f'x="{start}" y="{y - 8}" width="{max(self.x(end) - start, 0.5):.2f}" height="16" rx="3"'
        self.parts.append(f'<rect class="bar {style}" {places}>{_title(told)}</rect>')

    def whisker(self, y: float, low: float, high: float, style: str) -> None:
        """Draw a horizontal interval at a height given in the view box's units."""
        self.parts.append(f'<line class="whisker {style}" x1="{self.x(low)}" x2="{self.x(high)}" y1="{y}" y2="{y}"/>')

    def bar(self, start: float, end: float, low: float, high: float, style: str, told: str = "") -> None:
        """Fill a rectangle from `start` to `end` and from `low` to `high`."""
        x, top = self.x(start), self.y(high)
        wide, tall = max(self.x(end) - x, 0.4), max(self.y(low) - top, 0.0)
        self.parts.append(
            f'<rect class="bar {style}" x="{x}" y="{top}" width="{wide:.2f}" height="{tall:.2f}">{_title(told)}</rect>'
        )

    def upright(self, x: float, style: str, told: str = "") -> None:
        """Draw a line from top to bottom."""
        place, foot = self.x(x), self.height - BOTTOM
        self.parts.append(
            f'<line class="upright {style}" x1="{place}" x2="{place}" y1="{TOP}" y2="{foot}">{_title(told)}</line>'
        )

    def text(self, x: float, y: float, told: str, style: str) -> None:
        """Write at a place given in the view box's units."""
        if told:
            self.parts.append(f'<text class="{style}" x="{x:.2f}" y="{y:.2f}">{escape(told)}</text>')

    def svg(self) -> str:
        """Return the plot."""
        box = f"0 0 {self.width + self.margin:g} {self.height:g}"
        return f'<svg viewBox="{box}" role="img" aria-label="{escape(self.title)}">{"".join(self.parts)}</svg>'


def share_ticks() -> list[tuple[float, str]]:
    """Return ticks of a share."""
    return [(0.0, "0"), (0.25, "25%"), (0.5, "50%"), (0.75, "75%"), (1.0, "100%")]


def count_ticks(high: float) -> list[tuple[float, str]]:
    """Return three or four round ticks from 0 to a count.

    >>> [told for _, told in count_ticks(90.0)]
    ['0', '20', '40', '60', '80']
    """
    raw = max(high, 1.0) / 4
    size = 10 ** int(log10(raw)) if raw >= 1 else 1
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor * 5 >= high)
    return [(step * place, f"{step * place:,.0f}") for place in range(int(high / step) + 1)]


def _title(told: str) -> str:
    return f"<title>{escape(told)}</title>" if told else ""
