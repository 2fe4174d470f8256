"""The rules as Prometheus's own tools see them: correct, silent when they should be, and explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.prometheus import render
from schemas.flags import Kind
from streams.metrics import Metrics
from streams.metrics_table import described
from tests.deploy.tools import DEPLOY, PROMETHEUS, run, tool

ALERT = re.compile(
    r"^      - alert: (?P<name>\w+)\n(?P<body>(?:        .*\n)+)",
    re.MULTILINE,
)


def alerts() -> dict[str, str]:
    """Return every alert's text by name."""
    return {m["name"]: m["body"] for m in ALERT.finditer((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))}


def anchors() -> set[str]:
    text = (DEPLOY / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    return {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}


def test_the_rules_are_those_of_the_templates_and_thresholds() -> None:
    for name, text in render.render(render.thresholds()).items():
        assert (PROMETHEUS / name).read_text(encoding="utf-8") == text, "run make alerts"


def test_the_rules_and_the_configuration_are_correct() -> None:
    promtool = tool("promtool")
    run(promtool, "check", "rules", PROMETHEUS / "recording.yaml", PROMETHEUS / "alerts.yaml")
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yaml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_are_silent_when_they_should_be(file: Path) -> None:
    run(tool("promtool"), "test", "rules", file)


def test_every_alert_is_tested_for_firing() -> None:
    fired = {
        name
        for file in (PROMETHEUS / "tests").glob("*.yaml")
        for name in re.findall(r'alertname="(\w+)"', file.read_text(encoding="utf-8"))
    }
    assert fired == set(alerts())


def test_every_alert_is_caused_for_real_in_a_drill() -> None:
    drills = Path(__file__).resolve().parents[1] / "integration"
    files = ("test_oncall.py", "oncall_drills.py", "oncall_state_drills.py")
    drilled = {
        name for file in files for name in re.findall(r'"(Boostwatch\w+)"', (drills / file).read_text(encoding="utf-8"))
    }
    assert drilled == set(alerts())


def test_a_runbook_url_leads_into_the_repository_or_to_where_it_is_served() -> None:
    named = render.thresholds()["runbooks"]
    assert (DEPLOY.parent / named).is_file()
    served = "https://wiki.example/boostwatch/alerts.md"
    rules = render.render(render.thresholds({"runbooks": served}))["alerts.yaml"]
    assert f"runbook_url: {served}#boostwatchnoworker" in rules
    assert named not in re.findall(r"runbook_url: ([^#\s]+)", rules)


def test_every_alert_says_how_urgent_it_is_what_it_is_and_where_to_read_on() -> None:
    assert len(alerts()) > 20
    for name, body in alerts().items():
        assert re.search(r"severity: (page|ticket)\n", body), name
        assert "summary: '" in body, name
        assert "description: '" in body, name
        url = re.search(r"runbook_url: \S+#(\S+)\n", body)
        assert url is not None, name
        assert url[1] == name.lower()


def test_every_alert_has_a_section_in_the_runbook_and_every_link_in_it_leads_somewhere() -> None:
    assert anchors() == {name.lower() for name in alerts()}
    text = (DEPLOY / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(#(\w+)\)", text)) <= anchors()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "**Means.**" in section
        assert "**See" in section
        assert "do**" in section or "**Do.**" in section
        assert "**Over when**" in section


def test_rules_and_runbook_name_only_metrics_that_are_there() -> None:
    ours = {name for name, *_ in described()}
    ours |= {
        f"{name}{end}" for name, kind, *_ in described() if kind == "histogram" for end in ("_bucket", "_sum", "_count")
    }
    files = [PROMETHEUS / "recording.yaml", PROMETHEUS / "alerts.yaml", DEPLOY / "runbooks" / "alerts.md"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        named = set(re.findall(r"\b(boostwatch_[a-z0-9_]+)", text))
        assert named <= ours, file
    recorded = set(re.findall(r"record: (\S+)", (PROMETHEUS / "recording.yaml").read_text(encoding="utf-8")))
    for file in files:
        assert set(re.findall(r"\b(boostwatch:\w+:\w+)", file.read_text(encoding="utf-8"))) <= recorded, file


def test_a_metrics_page_is_to_the_linters_taste() -> None:
    metrics = Metrics(["likes", "follows", "searches"])
    for kind in Kind:
        metrics.flags.labels(kind.value, "opened", "live").inc()
    metrics.detection_latency.observe(1.0)
    run(tool("promtool"), "check", "metrics", stdin=metrics.render())


def test_an_unknown_threshold_is_refused_by_name_and_a_drill_hurries_every_window() -> None:
    with pytest.raises(render.UnknownThresholdError, match="no_such"):
        render.thresholds({"no_such": "1"})
    hurried = render.render(render.thresholds({"watermark_lag_s": "7"}), faster=60)["alerts.yaml"]
    assert "max by (topic) (boostwatch_watermark_lag_seconds) > 7" in hurried
    assert not re.search(r"(\[|for: |offset )\d+[mhd]", hurried)


def test_the_alertmanager_example_is_correct_and_sends_pages_to_the_pager() -> None:
    amtool, file = tool("amtool"), DEPLOY / "alertmanager" / "alertmanager.yml"
    run(amtool, "check-config", file)
    for severity, receiver in (("page", "pager"), ("ticket", "tickets")):
        said = run(amtool, "config", "routes", "test", f"--config.file={file}", f"severity={severity}")
        assert said.splitlines()[0] == receiver
    names = set(re.findall(r"Boostwatch\w+", file.read_text(encoding="utf-8"))) - {"Boostwatch"}
    assert names <= set(alerts())
