"""The drills that take minutes, `make oncall-test`: faults of broker and worker, and the runbook's way out."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from streams import clients, topics
from streams.topic_plan import TopicNames
from tests.deploy.prometheus_process import Prometheus
from tests.integration.traffic import encoded, follow, like, now_ms
from tests.integration.worker_process import WorkerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deploy.kafka.broker import KafkaBroker
    from tests.integration.conftest import MakeTopics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NO_DRIFT = {"drift_least_events_per_second": "1000000"}


@contextmanager
def traffic(bootstrap: str, topic: str, make: Callable[[int], dict[str, Any]]) -> Iterator[None]:
    """Send forty events five times a second, and go on where the broker comes and goes."""
    producer, over = clients.producer(bootstrap, linger_ms=5, max_block_ms=500), threading.Event()

    def run() -> None:
        number = 0
        while not over.wait(0.2):
            for key, value in encoded(make(number + n) for n in range(40)):
                producer.send(topic, key=key, value=value)
            number += 40

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
        producer.close(timeout=5)


def test_a_broker_that_does_not_answer_is_paged_for_and_its_return_is_all_it_takes(
    own_broker: KafkaBroker, tmp_path: Path
) -> None:
    names, ill = TopicNames(), ("BoostwatchProduceFailing", "BoostwatchCheckpointOld")
    with clients.admin(own_broker.bootstrap) as admin:
        topics.create(admin, topics.plan(names, 4))
    changes = NO_DRIFT | {"produce_wait_s": "4", "checkpoint_age_s": "8"}
    with (
        WorkerProcess(own_broker.bootstrap, names, tmp_path / "log", "counting", session_timeout_ms=120_000) as worker,
        Prometheus(tmp_path, worker.port, 60, changes) as prometheus,
    ):
        worker.wait_until_ready()
        with traffic(own_broker.bootstrap, names.likes, lambda number: like(number, now_ms())):
            worker.wait_until_read({names.likes: 400})
            prometheus.until_silent(*ill)
            own_broker.pause()
            try:
                prometheus.until_firing(*ill)
            finally:
                own_broker.resume()
            prometheus.until_silent(*ill)
        assert worker.process.poll() is None


def test_full_tables_are_a_ticket_and_more_room_ends_it(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names, port = kafka_topics(), free_port()
    with Prometheus(tmp_path, port, 60, NO_DRIFT) as prometheus:
        with (
            WorkerProcess(kafka, names, tmp_path / "log", actors_max=1_000, http_port=port) as worker,
            traffic(kafka, names.likes, lambda number: like(number, now_ms(), actor_id=f"u{number % 5_000}")),
        ):
            worker.wait_until_ready()
            prometheus.until_firing("BoostwatchMemoryBoundNear")
            assert worker.stop() == 0
        with WorkerProcess(kafka, names, tmp_path / "log", actors_max=100_000, http_port=port) as worker:
            worker.wait_until_ready()
            prometheus.until(lambda: bool(prometheus.query("boostwatch_tracked > 0")), "the rows are restored")
            prometheus.until_silent("BoostwatchMemoryBoundNear")


def test_a_producer_with_a_slow_clock_is_a_ticket_until_it_is_right(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names, behind_ms = kafka_topics(), 3_600_000
    with (
        WorkerProcess(kafka, names, tmp_path / "log", idle_ms=600_000) as worker,
        Prometheus(tmp_path, worker.port, 60, NO_DRIFT) as prometheus,
    ):
        worker.wait_until_ready()
        with traffic(kafka, names.follows, lambda number: follow(number, now_ms() - behind_ms)):
            prometheus.until_firing("BoostwatchWatermarkDelay")
        with traffic(kafka, names.follows, lambda number: follow(1_000_000 + number, now_ms())):
            prometheus.until_silent("BoostwatchWatermarkDelay")


def test_a_worker_that_ends_again_and_again_is_paged_for(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names, port = kafka_topics(), free_port()
    with Prometheus(tmp_path, port, 4, NO_DRIFT) as prometheus:
        for _ in range(4):
            with WorkerProcess(kafka, names, tmp_path / "log", http_port=port) as worker:
                worker.wait_until_ready()
                time.sleep(3)
                worker.kill()
        with WorkerProcess(kafka, names, tmp_path / "log", http_port=port) as worker:
            prometheus.until_firing("BoostwatchRestarting")
            worker.wait_until_ready()
            prometheus.until(lambda: "BoostwatchRestarting" not in prometheus.firing(), "it runs on", within_s=400)


def test_a_wave_of_late_flags_is_paged_for_and_so_is_the_silence_after_it(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    one_in, late_ms = 400, 0  # every so many actions a note that is new, and so a flag

    def make(number: int) -> dict[str, Any]:
        note = f"n{one_in}.{number // one_in}" if one_in else "the same"
        return like(number, now_ms() - late_ms, note_id=note)

    wave = ("BoostwatchFlagRateHigh", "BoostwatchDetectionSlowly")
    with (
        WorkerProcess(kafka, names, tmp_path / "log", "counting") as worker,
        Prometheus(tmp_path, worker.port, 600, NO_DRIFT) as prometheus,
        traffic(kafka, names.likes, make),
    ):
        worker.wait_until_ready()
        usual = 'boostwatch:flags_opened:increase1h{kind="follower_spike"} offset 20s > 0'
        prometheus.until(lambda: bool(prometheus.query(usual)), "there is what is usual")
        prometheus.until_silent(*wave, "BoostwatchFlagRateLow")
        one_in, late_ms = 10, 60_000
        prometheus.until_firing(*wave)
        one_in, late_ms = 400, 0
        prometheus.until_silent(*wave)
        one_in = 0
        prometheus.until(lambda: "BoostwatchFlagRateLow" in prometheus.firing(), "silence is noticed", within_s=400)
        one_in = 20
        prometheus.until_silent("BoostwatchFlagRateLow")
