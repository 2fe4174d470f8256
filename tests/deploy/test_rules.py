"""The rules as Prometheus's own tools see them: correct, silent when they should be, and explained."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.prometheus import render
from schemas.flags import Kind
from streams.cli import parser
from streams.cli_commands import COMMANDS
from streams.metrics import Metrics
from streams.metrics_table import described
from streams.settings import Settings
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


def moments(case: str) -> list[set[str]]:
    """Return which alerts one case of a rule test demands to fire, for each moment that it looks at."""
    looks = re.findall(r"expr: count by .*?\(ALERTS.*?\n((?: {8}.*\n?)+)", case)
    return [set(re.findall(r'alertname="(\w+)"', look)) for look in looks]


def test_every_alert_is_tested_for_firing_and_in_the_same_series_for_silence() -> None:
    fired, silent = set[str](), set[str]()
    for file in (PROMETHEUS / "tests").glob("*.yaml"):
        for case in re.split(r"^  - ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            looks = moments(case)
            here = set[str]().union(*looks)
            fired |= here
            silent |= {name for name in here if any(name not in look for look in looks)}
    assert fired == set(alerts())
    assert silent == fired


def at_rest(topics: tuple[str, ...] = ("likes", "follows", "searches")) -> str:
    """Return what a worker exports that nothing happens to, as the series of a rule test: of two hours, by minutes."""
    told = Metrics(topics).render().decode()
    series = ["      - {series: 'up{job=\"boostwatch\",instance=\"a\"}', values: '1x120'}"]
    for name, labels, value in re.findall(r"^(boostwatch_\w+?)(?:\{(.*)\})? (\S+)$", told, re.MULTILINE):
        steps = {"boostwatch_ready": "1x120"}.get(name, f"{float(value):.0f}x120")
        if name.endswith("_timestamp_seconds"):
            steps = "0+60x120"
        where = f'job="boostwatch",instance="a"{"," if labels else ""}{labels}'
        series.append(f"      - {{series: '{name}{{{where}}}', values: '{steps}'}}")
    return "\n".join(series)


def test_a_worker_to_which_nothing_happens_is_silence(tmp_path: Path) -> None:
    file = tmp_path / "rest.yaml"
    looks = "\n".join(
        f"      - {{expr: 'ALERTS{{alertstate=\"firing\"}}', eval_time: {minute}m, exp_samples: []}}"
        for minute in (5, 30, 119)
    )
    file.write_text(
        f"rule_files: [{PROMETHEUS / 'recording.yaml'}, {PROMETHEUS / 'alerts.yaml'}]\n"
        f"tests:\n  - interval: 1m\n    input_series:\n{at_rest()}\n    promql_expr_test:\n{looks}\n",
        encoding="utf-8",
    )
    run(tool("promtool"), "test", "rules", file)


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


def test_every_command_in_the_runbook_is_one_of_ours_and_every_setting_is_there() -> None:
    text = (DEPLOY / "runbooks" / "alerts.md").read_text(encoding="utf-8").replace("mode_<kind>", "mode_like_boost")
    commands = re.findall(r"`boostwatch ([^`]+)`", text)
    assert len(commands) > 8
    for command in commands:
        words = ["like_boost" if before == "--kind" else word for before, word in pairwise(["", *shlex.split(command)])]
        assert words[0] in {known.name for known in COMMANDS}
        if len(words) > 1:
            parser().parse_args(words)
    settings = set(re.findall(r"`([a-z]+_(?:ms|max|host|id|[a-z]+_boost|likes))\b", text)) - {"actor_id"}
    assert len(settings) > 6
    assert settings <= set(Settings.model_fields)


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
