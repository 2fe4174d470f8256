"""Write the three dashboards: `python -m deploy.grafana.build`. Nothing but Python is needed.

A dashboard is rows of panels on Grafana's grid of 24 columns. Every query goes to the datasource that is chosen at the
top; the worker's dashboard narrows each to one `$instance`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deploy.grafana.attacks import ATTACKS
from deploy.grafana.panels import COLUMNS, DATASOURCE
from deploy.grafana.pipeline import PIPELINE
from deploy.grafana.worker import WORKER

FOLDER = Path(__file__).resolve().parent / "dashboards"

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
