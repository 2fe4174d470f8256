"""What a dashboard is made of: panels on Grafana's grid, and the queries that several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `queries` are pairs of an expression and the legend of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    told: str
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    limits: tuple[float, ...] = ()
    """From where on a value is yellow, then red."""

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return it as Grafana reads it."""
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        steps += [
            {"color": color, "value": limit} for color, limit in zip(("yellow", "red"), self.limits, strict=False)
        ]
        custom = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"} if self.kind == "timeseries" else {}
        if self.limits and self.kind == "timeseries":
            custom["thresholdsStyle"] = {"mode": "line"}
        defaults = {"unit": self.unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.told,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS.get(self.kind, {}),
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "expr": expression,
                    "legendFormat": legend,
                    "datasource": DATASOURCE,
                    **({"format": "heatmap"} if self.kind == "heatmap" else {}),
                }
                for place, (expression, legend) in enumerate(self.queries)
            ],
        }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}},
    "stat": {"colorMode": "background", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "cellGap": 1},
}


def one(title: str, unit: str, expression: str, told: str, legend: str = "", **more: Any) -> Panel:
    """Make a panel of one query."""
    return Panel(title, unit, ((expression, legend),), told, **more)


def stat(title: str, unit: str, expression: str, told: str, *limits: float) -> Panel:
    """Make a panel of one number."""
    return Panel(title, unit, ((expression, ""),), told, kind="stat", width=4, height=4, limits=limits)


def quantiles(name: str, by: str = "", of: str = "") -> tuple[tuple[str, str], ...]:
    """Make the queries for the median and the 99th percentile of a histogram."""
    labels, shown = (f"{by}, le", f" {{{{{by}}}}}") if by else ("le", "")
    return tuple(
        (f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket{of}[$__rate_interval])))", f"p{q[2:]}{shown}")
        for q in ("0.5", "0.99")
    )
