"""Faults of the machine, `make oncall-test`: the broker's disk is full, the worker's clock jumps."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from streams import clients, topics
from streams.topic_plan import TopicNames
from tests.conftest import lacking
from tests.integration.test_worker import assert_all_committed, everything, send_valid
from tests.integration.traffic import encoded, forwarded, like, now_ms
from tests.integration.worker_process import WorkerProcess
from tests.kafka_broker import running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import MakeTopics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DISK_MIB = 160
AWAY_S = 60.0


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Give a directory with a disk of its own; the test is skipped where none can be mounted."""
    place.mkdir()
    mount = shutil.which("mount")
    told = "there is no mount"
    if mount is not None:
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        told = done.stderr.strip() if done.returncode else ""
    if told:
        lacking(f"no small disk can be made here: {told}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill_up(disk: Path) -> Path:
    """Leave no room on a disk; return the file to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 20, 1 << 12):
            try:
                while out.write(b"x" * size) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


def test_a_broker_whose_disk_was_full_costs_nothing_once_there_is_room(tmp_path: Path) -> None:
    names = TopicNames()
    with small_disk(tmp_path / "disk") as disk, running_broker(disk / "kafka") as broker:
        with clients.admin(broker.bootstrap) as admin:
            topics.create(admin, topics.plan(names, 4))
        settings: dict[str, Any] = {"session_timeout_ms": 120_000}
        worker = WorkerProcess(broker.bootstrap, names, tmp_path / "log", **settings)
        with worker:
            worker.wait_until_ready()
            send_valid(broker.bootstrap, names, 0, 1_000)
            worker.wait_until_idle()
            filler = fill_up(disk)
            # It is refused, or the broker is gone: the producer keeps what was not acknowledged, and sends it again.
            producer = Producer({
                "bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "message.timeout.ms": 0,
                "partitioner": "murmur2_random", "log_level": 0,
            })  # fmt: skip
            now = now_ms()
            for key, value in encoded(like(5_000 + n, now + n, note_id="n" * 100) for n in range(20_000)):
                producer.produce(names.likes, key=key, value=value)
            end_s = time.monotonic() + AWAY_S
            while broker.healthy() and time.monotonic() < end_s:
                producer.poll(0.2)
            assert not broker.healthy(), "the broker went on with a full disk"
            filler.unlink()
            broker.kill()
            broker.start()
            assert producer.flush(120) == 0
            if worker.process.poll() is not None:  # it waits for a while, and then leaves it to its supervisor
                assert worker.process.returncode in {3, 4}, worker.log[-2_000:]
                worker = WorkerProcess(broker.bootstrap, names, tmp_path / "log", **settings)
            with worker:
                worker.wait_until_idle()
                assert worker.stop() == 0
        offsets = {source: sorted(set(found)) for source, found in forwarded(broker.bootstrap, names).items()}
        assert offsets == everything(broker.bootstrap, names)
        assert sum(map(len, offsets.values())) == 3 * 1_000 + 20_000
        assert_all_committed(broker.bootstrap, names)


def test_a_clock_that_jumps_by_an_hour_and_back_decides_nothing(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    with WorkerProcess(kafka, names, tmp_path / "log", "jumping") as worker:
        worker.wait_until_ready()
        for first in range(0, 5_000, 500):
            send_valid(kafka, names, first, 500)
            time.sleep(1.0)
        worker.wait_until_idle()
        inputs = (names.likes, names.follows, names.searches)
        assert [worker.read(topic)["accepted"] for topic in inputs] == [5_000] * 3
        assert worker.metrics()["boostwatch_alignment_given_up_total"][()] == 0
        assert worker.stop() == 0
    assert {source: sorted(found) for source, found in forwarded(kafka, names).items()} == everything(kafka, names)
    assert_all_committed(kafka, names)
