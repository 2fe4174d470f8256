"""More drills of `make oncall-test`: restores that stand still, commits that fail, what detectors and people say.

With those of `oncall_drills.py` and `test_oncall.py` every alert is caused by its fault and ended by its runbook.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from schemas.flags import decode_flag
from streams import clients, topics
from streams.topic_plan import TopicNames
from streams.verdict_command import encoded as verdict
from tests.deploy.prometheus_process import Prometheus
from tests.deploy.tools import DEPLOY
from tests.integration.oncall_drills import NO_DRIFT, traffic
from tests.integration.traffic import drain, encoded, like, now_ms, send
from tests.integration.worker_process import ROOT, WorkerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deploy.kafka.broker import KafkaBroker
    from tests.integration.conftest import MakeTopics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARTITIONS = 8


@contextmanager
def topics_of(broker: KafkaBroker, partitions: int) -> Iterator[TopicNames]:
    """Make the topics with their plain names on a broker of one's own."""
    with clients.admin(broker.bootstrap) as admin:
        topics.create(admin, topics.plan(TopicNames(), partitions))
    yield TopicNames()


def test_a_restore_that_stands_still_is_paged_for_until_the_broker_answers(
    own_broker: KafkaBroker, tmp_path: Path
) -> None:
    port, ill = free_port(), ("BoostwatchNotReady", "BoostwatchRestoreStuck")
    with topics_of(own_broker, PARTITIONS) as names, Prometheus(tmp_path, port, 60, NO_DRIFT) as prometheus:
        settings: dict[str, Any] = {"partitions": PARTITIONS, "http_port": port}
        with WorkerProcess(own_broker.bootstrap, names, tmp_path / "log", **settings) as worker:
            worker.wait_until_ready()
            send(own_broker.bootstrap, names.likes, encoded(like(number, now_ms()) for number in range(4_000)))
            worker.wait_until_idle()
            assert worker.stop() == 0
        with WorkerProcess(own_broker.bootstrap, names, tmp_path / "log", **settings) as worker:
            worker.wait_for(lambda: "restoring" in (worker.get("/ready", refused=True) or ""), "the restore")
            own_broker.pause()
            try:
                prometheus.until_firing(*ill)
            finally:
                own_broker.resume()
            worker.wait_until_ready()
            prometheus.until_silent(*ill)


def test_a_worker_that_is_stuck_is_paged_for_and_another_in_its_place_goes_on(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names, port = kafka_topics(), free_port()
    with Prometheus(tmp_path, port, 60, NO_DRIFT | {"no_progress_s": "6"}) as prometheus:
        with WorkerProcess(kafka, names, tmp_path / "log", "counting", "sticky", http_port=port) as worker:
            worker.wait_until_ready()
            send(kafka, names.likes, encoded(like(number, now_ms()) for number in range(400)))
            worker.wait_until_idle()
            prometheus.until_silent("BoostwatchNoProgress")
            send(kafka, names.likes, encoded([like(1_000, now_ms(), note_id="stuck")]))
            prometheus.until_firing("BoostwatchNoProgress")
            worker.kill()
        with WorkerProcess(kafka, names, tmp_path / "log", "counting", http_port=port) as worker:
            worker.wait_until_idle()
            prometheus.until_silent("BoostwatchNoProgress")


def test_commits_that_are_not_answered_are_paged_for_until_they_are(own_broker: KafkaBroker, tmp_path: Path) -> None:
    # A coordinator that fails while the leaders of all other topics are well cannot be had with one broker: here all of
    # it is silent, and the rate of what was read just before is still above 0.
    changes = NO_DRIFT | {"commit_age_s": "5"}
    with (
        topics_of(own_broker, 4) as names,
        WorkerProcess(own_broker.bootstrap, names, tmp_path / "log", "counting", session_timeout_ms=120_000) as worker,
        Prometheus(tmp_path, worker.port, 4, changes) as prometheus,
    ):
        worker.wait_until_ready()
        with traffic(own_broker.bootstrap, names.likes, lambda number: like(number, now_ms())):
            worker.wait_until_read({names.likes: 400})
            prometheus.until_silent("BoostwatchCommitFailing")
            own_broker.pause()
            try:
                prometheus.until_firing("BoostwatchCommitFailing")
            finally:
                own_broker.resume()
            prometheus.until_silent("BoostwatchCommitFailing")
        assert worker.process.poll() is None


def test_event_ids_that_are_forgotten_early_are_a_ticket_until_there_is_room(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names, port, settings = kafka_topics(1), free_port(), {"partitions": 1}
    with (
        Prometheus(tmp_path, port, 30, NO_DRIFT) as prometheus,
        traffic(kafka, names.likes, lambda number: like(number, now_ms())),
    ):
        with WorkerProcess(kafka, names, tmp_path / "log", "forgetful", http_port=port, **settings) as worker:
            worker.wait_until_ready()
            prometheus.until_firing("BoostwatchEventIdsForgotten")
            assert worker.stop() == 0
        with WorkerProcess(kafka, names, tmp_path / "log", http_port=port, **settings) as worker:
            worker.wait_until_ready()
            prometheus.until_silent("BoostwatchEventIdsForgotten")


def test_marks_that_no_longer_fit_the_traffic_are_a_ticket_until_it_is_as_before(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names, odd = kafka_topics(), False

    def make(number: int) -> dict[str, Any]:
        share = 2 if odd else 40  # one in so many comes from an account of today, from nowhere, for one owner
        if number % share:
            return like(number, now_ms(), surface="feed", actor_created_at=now_ms() - 500 * 86_400_000)
        return like(number, now_ms(), actor_id=f"new{number}", note_id="n1", author_id="a1", surface="external",
                    actor_created_at=now_ms() - 60_000, device_id="rack")  # fmt: skip

    changes = {"drift_least_events_per_second": "1"}
    with (
        WorkerProcess(kafka, names, tmp_path / "log") as worker,
        Prometheus(tmp_path, worker.port, 600, changes) as prometheus,
        traffic(kafka, names.likes, make),
    ):
        worker.wait_until_ready()
        usual = "avg_over_time(boostwatch:suspicious:ratio1h[30s] offset 15s) > 0"
        prometheus.until(lambda: bool(prometheus.query(usual)), "there is what is usual")
        time.sleep(20)
        prometheus.until_silent("BoostwatchModelDrift")
        odd = True
        prometheus.until_firing("BoostwatchModelDrift")
        odd = False
        prometheus.until(lambda: "BoostwatchModelDrift" not in prometheus.firing(), "it passes", within_s=300)


@contextmanager
def counting(kafka: str, names: TopicNames, tmp_path: Path) -> Iterator[tuple[WorkerProcess, Prometheus]]:
    """Yield a worker that flags whatever comes ten times, ready, and who scrapes it."""
    with (
        WorkerProcess(kafka, names, tmp_path / "log", "counting") as worker,
        Prometheus(tmp_path, worker.port, 600, NO_DRIFT) as prometheus,
    ):
        worker.wait_until_ready()
        yield worker, prometheus


def test_flags_that_people_dismiss_are_a_ticket_until_most_are_confirmed(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    with counting(kafka, names, tmp_path) as (worker, prometheus):
        send(kafka, names.likes, encoded(like(n, now_ms(), note_id=f"n{n % 200}") for n in range(2_000)))
        worker.wait_for(lambda: len(drain(kafka, names.flags)) >= 200, "a flag of each note")
        ids = [decode_flag(record.value).flag_id for record in drain(kafka, names.flags)]
        prometheus.until(lambda: bool(prometheus.query("boostwatch_verdicts_total")), "the counter is known at 0")
        assert "BoostwatchPrecisionLow" not in prometheus.firing()

        def answer(some: list[str], judgement: str) -> None:
            values = [(each.encode(), verdict(each, judgement, by="kim", note=None, ts=now_ms())) for each in some]
            send(kafka, names.verdicts, values)

        answer(ids[:20], "dismissed")
        prometheus.until_firing("BoostwatchPrecisionLow")
        retracted = [one for one in drain(kafka, names.flags) if decode_flag(one.value).status.value == "retracted"]
        assert {decode_flag(one.value).flag_id for one in retracted} == set(ids[:20])
        answer(ids[20:], "confirmed")
        prometheus.until_silent("BoostwatchPrecisionLow")


def runbook_command(containing: str) -> list[str]:
    """Return the words of the one command of ours in the runbook that says this."""
    said = (DEPLOY / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    (command,) = (words for words in re.findall(r"`boostwatch ([^`]+)`", said) if containing in words)
    return shlex.split(command)


def test_an_answer_that_is_none_is_a_ticket_and_mended_it_is_heeded(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    with counting(kafka, names, tmp_path) as (worker, prometheus):
        send(kafka, names.likes, encoded(like(n, now_ms(), note_id="n1") for n in range(20)))
        worker.wait_for(lambda: bool(drain(kafka, names.flags)), "a flag")
        flag_id = decode_flag(drain(kafka, names.flags)[0].value).flag_id
        prometheus.until(lambda: bool(prometheus.query("boostwatch_ready")), "it is scraped")
        assert "BoostwatchRecordsRefused" not in prometheus.firing()
        answer = verdict(flag_id, "dismissed", by="kim", note=None, ts=now_ms())
        send(kafka, names.verdicts, [(flag_id.encode(), answer.replace(b"dismissed", b"rejected"))])
        send(kafka, names.actions, [(b"k", b"no block")])
        refused = 'ALERTS{alertname="BoostwatchRecordsRefused",alertstate="firing"}'
        topics_of_it = {names.verdicts, names.actions}
        prometheus.until(
            lambda: {one["metric"]["topic"] for one in prometheus.query(refused)} == topics_of_it, "both are told of"
        )
        mend = [names.verdicts if word == "verdicts" else word for word in runbook_command("--topic verdicts --mend")]
        settings = {f"BOOSTWATCH_TOPIC_{field.upper()}": getattr(names, field) for field in names.__dataclass_fields__}
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *mend, "--bootstrap", kafka], cwd=ROOT, env=os.environ | settings,
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert done.stdout == "1 of 2 dead letters sent again\n"
        worker.wait_for(
            lambda: "retracted" in {decode_flag(one.value).status.value for one in drain(kafka, names.flags)}, "heed"
        )
        prometheus.until_silent("BoostwatchRecordsRefused")
