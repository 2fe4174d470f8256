"""A real Prometheus over a real worker on a real Kafka: every query has data, and faults fire and pass.

What comes on the topics is like a producer's, good or ill as the test says; an hour's window is 24 seconds here.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from schemas.flags import decode_flag
from streams import clients
from streams.verdict_command import encoded as verdict
from tests.deploy.prometheus_process import Prometheus
from tests.deploy.tools import DEPLOY, tool
from tests.integration.traffic import drain, encoded, follow, like, now_ms, search, send
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics

FASTER = 150
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MAKERS = {"likes": like, "follows": follow, "searches": search}

CHANGES = {
    "receive_delay_ticket_s": "20",
    "receive_delay_page_s": "20",
    "silent_was_events_per_second": "0.001",
    "drift_least_events_per_second": "1000000",  # what a test sends is no rhythm to drift from
}


class Producer:
    """Sends some events of each topic ten times a second, changed as the test says."""

    def __init__(self, kafka: str, names: TopicNames) -> None:
        self._producer = clients.producer(kafka, linger_ms=5)
        self._names = names
        self._number = 0
        self.changes: dict[str, dict[str, object]] = {}
        self.garbage = 0
        self.key: bytes | None = None
        self.silent: set[str] = set()
        self.written_ago_ms = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            now = now_ms()
            for topic, make in MAKERS.items():
                if topic in self.silent:
                    continue
                events = [make(self._number + n, now) | self.changes.get(topic, {}) for n in range(16)]
                records = encoded(events) + [(b"k", b"no JSON")] * self.garbage
                for key, value in records:
                    self._producer.send(
                        getattr(self._names, topic),
                        key=self.key or key,
                        value=value,
                        timestamp_ms=now - self.written_ago_ms,
                    )
            self._number += 16

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)
        self._producer.close()


class Stage:
    """What a test has: the worker, its Prometheus, and the producer."""

    def __init__(
        self, worker: WorkerProcess, prometheus: Prometheus, producer: Producer, kafka: str, names: TopicNames
    ) -> None:
        self._kafka, self._names = kafka, names
        self.worker = worker
        self.prometheus = prometheus
        self.producer = producer

    def answer_some(self) -> None:
        """Confirm some flags and dismiss one."""
        flags = [decode_flag(record.value) for record in drain(self._kafka, self._names.flags)][:5]
        judgements = ["dismissed", *["confirmed"] * (len(flags) - 1)]
        send(
            self._kafka,
            self._names.verdicts,
            [
                (one.flag_id.encode(), verdict(one.flag_id, judgement, by="kim", note=None, ts=now_ms()))
                for one, judgement in zip(flags, judgements, strict=True)
            ],
        )

    @contextmanager
    def fault(self, *names: str) -> Iterator[None]:
        """Demand that what the body does makes these alerts fire, and that they were silent before."""
        self.prometheus.until_silent(*names)  # what set the stage was late, which some of them tell for a while
        yield
        self.prometheus.until_firing(*names)


def send_past(kafka: str, names: TopicNames, worker: WorkerProcess) -> None:
    """Send two mornings of the past, so that hours of event time close at once when the present comes."""
    for part, hours in enumerate((30, 4)):
        begin = now_ms() - hours * HOUR_MS
        for topic, make in MAKERS.items():
            made = [make((10 + part) * 1_000_000 + n, begin + n * HOUR_MS // 500) for n in range(1_000)]
            send(kafka, getattr(names, topic), encoded(made), timestamp_ms=begin + 2 * HOUR_MS)
        worker.wait_until_read({getattr(names, topic): 1_000 * (part + 1) for topic in MAKERS})


@pytest.fixture
def stage(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> Iterator[Stage]:
    tool("prometheus")
    names = kafka_topics(create_time=True)
    with (
        WorkerProcess(kafka, names, tmp_path / "worker.log", "counting", idle_ms=600_000) as worker,
        Prometheus(tmp_path, worker.port, FASTER, CHANGES) as prometheus,
    ):
        worker.wait_until_ready()
        send_past(kafka, names, worker)
        producer = Producer(kafka, names)
        try:
            yield Stage(worker, prometheus, producer, kafka, names)
        finally:
            producer.stop()


def queries() -> list[tuple[str, str, str]]:
    """Return dashboard, panel and expression of every query of every dashboard."""
    return [
        (file.stem, panel["title"], target["expr"])
        for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
        for target in panel["targets"]
    ]


def asked_of(expression: str, instance: str) -> str:
    """Return a dashboard's expression as Prometheus is asked."""
    for variable in ("$__rate_interval", "$__range"):
        expression = expression.replace(variable, "10s")
    return expression.replace("$instance", instance)


def test_every_query_has_data_every_rule_is_well_and_faults_fire_and_pass(stage: Stage) -> None:
    prometheus, producer, worker = stage.prometheus, stage.producer, stage.worker
    producer.garbage = 1
    prometheus.until(lambda: worker.metrics()["boostwatch_flag_score_count"].get(("follower_spike",), 0) > 20, "flags")
    stage.answer_some()
    prometheus.until(lambda: "follower_spike" in str(worker.metrics()["boostwatch_gate_pass_share"]), "a closed hour")
    time.sleep(3)
    instance = prometheus.query("up")[0]["metric"]["instance"]
    empty = queries()
    # What came before the first scrape is no increase: a rate is there once more has come.
    for _ in range(40):
        empty = [query for query in empty if not prometheus.query(asked_of(query[2], instance))]
        if not empty:
            break
        time.sleep(1)
    assert not empty
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 40
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    producer.garbage = 0
    prometheus.until_silent("BoostwatchDeadLettersRising", "BoostwatchDeadLettersFlood")
    producers_go_wrong_and_are_mended(stage)
    the_worker_is_stopped_and_goes_on(stage)


def producers_go_wrong_and_are_mended(stage: Stage) -> None:
    producer = stage.producer
    ill = (
        "BoostwatchDeadLettersFlood", "BoostwatchDeadLettersRising", "BoostwatchMisroutedKeys", "BoostwatchLateEvents",
        "BoostwatchReceiveDelay", "BoostwatchReceiveDelayHigh", "BoostwatchTopicSilent", "BoostwatchDetectionSlow",
    )  # fmt: skip
    with stage.fault(*ill):
        producer.garbage, producer.key = 20, b"elsewhere"
        producer.changes = {
            "likes": {"ts": now_ms() - 2 * DAY_MS},
            "follows": {"ts": now_ms() - 60_000, "target_id": "x"},
        }
        producer.written_ago_ms = 60_000
        producer.silent = {"searches"}
        flag_late(stage)
    producer.garbage, producer.key, producer.changes = 0, None, {}
    producer.written_ago_ms, producer.silent = 0, set()
    stage.prometheus.until_silent(*ill)


def flag_late(stage: Stage) -> None:
    """Let subjects that nobody has seen get their tenth action a minute late."""
    producer = stage.producer
    for number in range(40):
        producer.changes["follows"] = {"ts": now_ms() - 60_000, "target_id": f"late{number}"}
        time.sleep(0.15)


def the_worker_is_stopped_and_goes_on(stage: Stage) -> None:
    process = stage.worker.process
    with stage.fault("BoostwatchNoWorker", "BoostwatchWorkerDown"):
        os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGCONT)
    stage.prometheus.until_silent("BoostwatchNoWorker", "BoostwatchWorkerDown")
