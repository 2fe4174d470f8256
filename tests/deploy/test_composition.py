"""The composition's Prometheus and Alertmanager, started with its own words and files, in folders of the test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from streams.embedded import EmbeddedBroker
from tests.deploy.test_image import COMPOSE, ROOT
from tests.deploy.test_rules import alerts
from tests.deploy.tools import DEPLOY, tool
from tests.integration.worker_process import free_port
from tests.streams.topic_records import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 60


def words_of(service: str, data: Path) -> list[str]:
    """Return the command of a service, with this machine's places for its mounts and volumes."""
    said = re.search(rf"^  {service}:\n(?:    .*\n)*?    command: (\[.*\])$", COMPOSE, re.MULTILINE)
    assert said is not None
    mounts = {f"=/etc/{service}/": f"={DEPLOY / service}/", f"=/{service}": f"={data}"}
    words: list[str] = json.loads(said[1])
    for there, here in mounts.items():
        assert any(there in word for word in words), there
        words = [word.replace(there, here) for word in words]
    return words


def ask(url: str, body: object = None) -> Any:
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())  # noqa: S310 -- our own
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 -- our own
        said = answer.read()
    return json.loads(said) if said.startswith((b"[", b"{")) else said


@contextmanager
def running(service: str, folder: Path, *more: str) -> Iterator[str]:
    """Start a service on a port of its own, wait until it is ready, and give its address."""
    command = tool(service, f"prometheus-{service}")
    url = f"http://127.0.0.1:{(port := free_port())}"
    listen = [f"--web.listen-address=127.0.0.1:{port}", *more]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([command, *words_of(service, folder / "data"), *listen], stdout=log, stderr=log)
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                ask(f"{url}/-/ready")
                break
            except (urllib.error.URLError, ConnectionError):
                said = (folder / "log").read_text(encoding="utf-8")
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait(30)


def test_prometheus_starts_with_its_words_and_has_every_rule_and_the_job_that_they_ask_for(tmp_path: Path) -> None:
    with running("prometheus", tmp_path) as url:
        groups = ask(f"{url}/api/v1/rules")["data"]["groups"]
        loaded = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
        assert loaded == set(alerts())
        configured = ask(f"{url}/api/v1/status/config")["data"]["yaml"]
        assert "job_name: boostwatch" in configured
        assert re.search(r"names:\n\s+- worker\n", configured)
        flags = ask(f"{url}/api/v1/status/flags")["data"]
        assert flags["storage.tsdb.retention.time"] == "15d"


CAUSES = {
    "BoostwatchReceiveDelayHigh": {"BoostwatchReceiveDelay", "BoostwatchDetectionSlow", "BoostwatchDetectionSlowly"},
    "BoostwatchDeadLettersFlood": {"BoostwatchDeadLettersRising"},
    "BoostwatchNoWorker": {
        "BoostwatchWorkerDown", "BoostwatchTopicSilent", "BoostwatchFlagRateHigh", "BoostwatchFlagRateLow",
    },
    "BoostwatchProduceFailing": {"BoostwatchNoProgress", "BoostwatchCheckpointOld", "BoostwatchCommitFailing"},
    "BoostwatchDetectionSlow": {"BoostwatchDetectionSlowly"},
    "BoostwatchTopicSilent": {"BoostwatchFlagRateLow"},
    "BoostwatchRestarting": {"BoostwatchWorkerDown", "BoostwatchNotReady"},
    "BoostwatchRestoreStuck": {"BoostwatchNotReady"},
    "BoostwatchCommitFailing": {"BoostwatchCheckpointOld"},
}  # fmt: skip
"""What is told of while others only follow from it."""


def test_alertmanager_starts_with_its_words_and_tells_of_a_cause_once(tmp_path: Path) -> None:
    with running("alertmanager", tmp_path, "--cluster.listen-address=") as url:

        def held_back(at: str) -> set[str]:
            found = ask(f"{url}/api/v2/alerts?filter=instance%3D{at}")
            return {one["labels"]["alertname"] for one in found if one["status"]["inhibitedBy"]}

        for cause, follow in CAUSES.items():
            where = {"instance": cause, "topic": cause, "job": "boostwatch"}
            told = [{"labels": {"alertname": name, **where}} for name in (cause, *sorted(follow), UNRELATED)]
            ask(f"{url}/api/v2/alerts", told)
            end = time.monotonic() + START_S
            while not follow <= held_back(cause):
                assert time.monotonic() < end, (cause, held_back(cause))
                time.sleep(0.1)
            assert UNRELATED not in held_back(cause)


UNRELATED = "BoostwatchModelDrift"


@pytest.mark.parametrize("name", ["datasources/prometheus.yaml", "dashboards/boostwatch.yaml"])
def test_what_grafana_is_told_agrees_with_the_composition(name: str) -> None:
    said = (DEPLOY / "grafana" / "provisioning" / name).read_text(encoding="utf-8")
    assert said.startswith("apiVersion: 1\n")
    grafana = COMPOSE[COMPOSE.index("\n  grafana:\n") :]
    if path := re.search(r"path: (\S+)", said):
        assert f":{path[1]}:ro" in grafana
        home = re.search(r"HOME_DASHBOARD_PATH: (\S+)", grafana)
        assert home is not None
        assert (DEPLOY / "grafana" / "dashboards" / home[1].removeprefix(f"{path[1]}/")).is_file()
    if address := re.search(r"url: http://(\w+):(\d+)", said):
        assert f"\n  {address[1]}:\n" in COMPOSE
        assert f':{address[2]}"]' in COMPOSE
        for file in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
            (chosen,) = (
                one for one in json.loads(file.read_text())["templating"]["list"] if one["name"] == "datasource"
            )
            assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus"), file


def test_the_simulator_writes_traffic_with_the_words_and_the_environment_that_it_is_given() -> None:
    said = re.search(r'command: (\["simulate", .*\])$', COMPOSE, re.MULTILINE)
    assert said is not None
    given: dict[str, str] = dict(re.findall(r'^    (BOOSTWATCH_\w+): "?(\S+?)"?$', COMPOSE, re.MULTILINE))
    partitions = int(given["BOOSTWATCH_PARTITIONS"])
    with EmbeddedBroker(dict.fromkeys(("likes", "follows", "searches"), partitions)) as broker:
        places = {"kafka:9092": broker.bootstrap, "86400": "2"}
        words = [places.get(word, word) for word in json.loads(said[1])]
        settings = {name: places.get(value, value) for name, value in given.items()}
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *words], cwd=ROOT, env=os.environ | settings, capture_output=True,
            text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert records_of(broker.bootstrap, "likes")
