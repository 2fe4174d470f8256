from __future__ import annotations

import json
import re

import pytest

from deploy.grafana import build, panels
from streams.metrics_table import described
from tests.deploy.tools import DEPLOY, PROMETHEUS


@pytest.mark.parametrize("name", sorted(build.DASHBOARDS))
def test_the_dashboards_are_those_of_the_code(name: str) -> None:
    assert (build.FOLDER / f"{name}.json").read_text(encoding="utf-8") == build.render(name), "run make dashboards"


@pytest.mark.parametrize("name", sorted(build.DASHBOARDS))
def test_panels_do_not_overlap_and_explain_themselves(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(build.render(name))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= panels.COLUMNS
        assert panel["description"].endswith(".")
        taken |= cells


def test_every_metric_of_ours_is_on_a_dashboard_in_a_rule_or_explained_in_the_runbook() -> None:
    shown = "".join(build.render(name) for name in build.DASHBOARDS)
    shown += "".join((PROMETHEUS / f"{name}.yaml").read_text(encoding="utf-8") for name in ("recording", "alerts"))
    shown += (DEPLOY / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    assert not {name for name, *_ in described() if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", shown)}
