"""Write the three dashboards: `python deploy/grafana/build.py`. Nothing but Python is needed.

A dashboard is rows of panels on Grafana's grid of 24 columns. Every query goes to the datasource that is chosen at the
top; the worker's dashboard narrows each to one `$instance`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
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


FLAGS = 'boostwatch_flags_total{status="opened"}'
ATTACKS = (
    stat(
        "Episodes open now",
        "short",
        "sum(boostwatch_open_episodes)",
        "Subjects that are being boosted, as far as known.",
    ),
    stat(
        "Flags in the last hour",
        "short",
        'sum(increase(boostwatch_flags_total{status="opened",mode="live"}[1h]))',
        "Episodes opened by detectors that are live.",
    ),
    stat(
        "Severe ones",
        "short",
        'sum(increase(boostwatch_episodes_total{severity=~"high|critical"}[1h]))',
        "Opened in the last hour as high or critical.",
    ),
    stat(
        "Late flags",
        "percentunit",
        "boostwatch:detection_slow:ratio1h",
        "Acknowledged later than 5 s after the event that tipped them, in the last hour. The objective is 1%.",
        0.01,
        0.06,
    ),
    stat("Blind spots", "short", 'count(up{job="boostwatch"} == 0) or vector(0)', "Workers that do not answer.", 1, 1),
    stat(
        "History",
        "s",
        "min(boostwatch_history_seconds)",
        "How far back the baselines of the newest partition go: under a day much of what is usual is not known yet.",
    ),
    one(
        "Flags opened",
        "short",
        f"sum by (kind, mode) (increase({FLAGS}[$__rate_interval]))",
        "What is flagged, when. A campaign is a hill of one kind; a detector that is wrong, usually a step.",
        "{{kind}} {{mode}}",
        width=12,
    ),
    one(
        "Where: by kind and severity",
        "short",
        "sum by (kind, severity) (increase(boostwatch_episodes_total[$__range]))",
        "Followers hit accounts, likes hit notes, searches and clicks hit keywords.",
        "{{kind}} {{severity}}",
        kind="bargauge",
        width=12,
    ),
    one(
        "How sure",
        "percentunit",
        "sum by (kind) (rate(boostwatch_flag_score_sum[1h])) "
        "/ (sum by (kind) (rate(boostwatch_flag_score_count[1h])) > 0)",
        "Mean score of the flags that open.",
        "{{kind}}",
    ),
    Panel(
        "How fast",
        "s",
        quantiles("boostwatch_detection_latency_seconds"),
        "From the event that tipped the decision to the flag's acknowledgement.",
        limits=(5.0,),
    ),
    one(
        "How it ended",
        "short",
        "sum by (status) (increase(boostwatch_flags_total[$__rate_interval]))",
        "Opened, updated, closed, and retracted: the last ones were wrong.",
        "{{status}}",
    ),
    one(
        "Suspicious actions",
        "percentunit",
        "boostwatch:suspicious:ratio1h",
        "Share of the accepted actions that look bought, whatever they hit: the tide below the flags.",
        "{{topic}}",
    ),
    one(
        "Past the gate",
        "percentunit",
        "avg by (kind) (boostwatch_gate_pass_share)",
        "Share of subjects' hours with more than is usual for them. Virality shows here; fraud only in flags.",
        "{{kind}}",
    ),
    one(
        "Drift of the gate",
        "short",
        "sum by (kind) (increase(boostwatch_gate_drifts_total[6h]))",
        "Times that the share left its daily rhythm for good.",
        "{{kind}}",
    ),
)

PIPELINE = (
    stat("Events a second", "short", "sum(boostwatch:events:rate5m)", "All topics, all outcomes."),
    stat("Records waiting", "short", "sum(boostwatch_consumer_lag_records)", "Not done yet, internal topic included."),
    stat(
        "Delay",
        "s",
        "max(boostwatch:receive_delay:seconds)",
        "From a record's Kafka timestamp to the work on it.",
        30,
        120,
    ),
    stat("Refused", "percentunit", "max(boostwatch:dead_letters:ratio10m)", "Of the topic with the most.", 0.01, 0.2),
    stat("Workers", "short", 'sum(up{job="boostwatch"})', "That answer."),
    stat(
        "Last checkpoint",
        "s",
        "max(time() - boostwatch_last_checkpoint_timestamp_seconds)",
        "Of the worker with the oldest.",
        60,
        120,
    ),
    one(
        "Events by topic",
        "short",
        "sum by (topic) (boostwatch:events:rate5m)",
        "A topic that goes to zero is a silent one.",
        "{{topic}}",
        width=12,
    ),
    one(
        "Not accepted",
        "short",
        'sum by (topic, outcome) (boostwatch:events:rate5m{outcome!="accepted"})',
        "Repeats, late ones and dead letters, a second.",
        "{{topic}} {{outcome}}",
        width=12,
    ),
    one(
        "Delay by topic",
        "s",
        "boostwatch:receive_delay:seconds",
        "The page comes at two minutes.",
        "{{topic}}",
        limits=(30.0, 120.0),
    ),
    one(
        "Watermark lag",
        "s",
        "max by (topic) (boostwatch_watermark_lag_seconds)",
        "The allowed lateness (120 s) is in it.",
        "{{topic}}",
    ),
    one("Lag in records", "short", "sum by (topic) (boostwatch_consumer_lag_records)", "Not done yet.", "{{topic}}"),
    one(
        "Dead letters by reason",
        "short",
        "sum by (topic, reason) (rate(boostwatch_dead_letters_total[5m]))",
        "What producers do wrong.",
        "{{topic}} {{reason}}",
    ),
    one(
        "Keys that are no actor_id",
        "percentunit",
        "boostwatch:misrouted:ratio10m",
        "They split an actor's history.",
        "{{topic}}",
    ),
    Panel(
        "Work on a batch", "s", quantiles("boostwatch_batch_seconds", "stage"), "Without the wait for acknowledgements."
    ),
    Panel(
        "Checkpoints",
        "s",
        quantiles("boostwatch_checkpoint_seconds"),
        "How long one takes, its commit included.",
    ),
    one("Commits a second", "short", "sum(rate(boostwatch_commits_total[5m]))", "0 with traffic is wrong.", "commits"),
    one(
        "Full tables",
        "percentunit",
        "max by (what) (boostwatch_tracked / on (job, instance, what) (boostwatch_tracked_limit > 0))",
        "At 1 the coldest rows make way.",
        "{{what}}",
        limits=(0.9, 1.0),
    ),
)

ME = '{instance="$instance"}'
WORKER = (
    stat("Ready", "bool_yes_no", f"boostwatch_ready{ME}", "Assigned and restored."),
    stat("Up for", "s", f"time() - process_start_time_seconds{ME}", "A small number is a restart."),
    stat("Partitions", "short", f"sum(boostwatch_assigned_partitions{ME})", "Of all four topics."),
    stat(
        "Since progress",
        "s",
        f"time() - boostwatch_last_progress_timestamp_seconds{ME}",
        "It ends itself at 120.",
        5,
        20,
    ),
    stat("Busy", "percentunit", f"boostwatch:batch_busy:ratio5m{ME}", "Of its one loop: near 1 it is full.", 0.7, 0.9),
    stat("Memory", "bytes", f"process_resident_memory_bytes{ME}", "Resident."),
    one(
        "Events a second", "short", f"sum by (topic) (rate(boostwatch_events_total{ME}[5m]))", "Read here.", "{{topic}}"
    ),
    one("Lag", "short", f"boostwatch_consumer_lag_records{ME}", "Records not done yet.", "{{topic}}"),
    one(
        "Oldest unacknowledged",
        "s",
        f"boostwatch_oldest_unacknowledged_seconds{ME}",
        "The broker's slowness; at 90 s the worker ends.",
        "oldest",
        limits=(15.0,),
    ),
    Panel("Work on a batch", "s", quantiles("boostwatch_batch_seconds", "stage", ME), "By stage."),
    Panel(
        "In flight",
        "short",
        ((f"boostwatch_in_flight_batches{ME}", "batches"), (f"boostwatch_in_flight_bytes{ME} / 1048576", "MiB")),
        "Fetched and not done.",
    ),
    one(
        "CPU",
        "percentunit",
        f"rate(process_cpu_seconds_total{ME}[5m])",
        "Of one core; fetching has its own thread.",
        "cpu",
    ),
    one("Rows held", "short", f"boostwatch_tracked{ME}", "By what they are about.", "{{what}}"),
    one("State", "bytes", f"boostwatch_state_bytes{ME}", "By stage.", "{{stage}}"),
    one("Rows that made way", "short", f"rate(boostwatch_evicted_rows_total{ME}[5m])", "A second.", "{{stage}}"),
    one("Rebalances", "short", f"increase(boostwatch_rebalances_total{ME}[1h])", "In an hour.", "rebalances"),
    one("Idle partitions", "short", f"boostwatch_idle_partitions{ME}", "Caught up and silent.", "{{topic}}"),
    one(
        "Checkpoint bytes",
        "Bps",
        f"sum by (stage) (rate(boostwatch_checkpoint_bytes_total{ME}[5m]))",
        "Written.",
        "{{stage}}",
    ),
)

DASHBOARDS = {
    "attacks": ("boostwatch: attacks", ATTACKS),
    "pipeline": ("boostwatch: pipeline", PIPELINE),
    "worker": ("boostwatch: one worker", WORKER),
}


def render(name: str) -> str:
    """Return one dashboard's JSON."""
    title, panels = DASHBOARDS[name]
    placed, x, y, row_height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        placed.append(panel.json(number, x, y))
        x, row_height = x + panel.width, max(row_height, panel.height)
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    ]
    if name == "worker":
        variables.append(
            {
                "name": "instance",
                "label": "Worker",
                "type": "query",
                "datasource": DATASOURCE,
                "query": {"query": 'label_values(up{job="boostwatch"}, instance)', "refId": "instance"},
                "refresh": 2,
                "sort": 1,
            }
        )
    links = [
        {"title": DASHBOARDS[other][0], "type": "link", "url": f"/d/boostwatch-{other}", "keepTime": True}
        for other in DASHBOARDS
        if other != name
    ]
    made = {
        "uid": f"boostwatch-{name}",
        "title": title,
        "tags": ["boostwatch"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": variables},
        "links": links,
        "panels": placed,
    }
    return json.dumps(made, indent=1) + "\n"


def main() -> int:
    """Write them."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
