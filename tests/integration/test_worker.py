"""The worker as a process, against a real broker."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from schemas.dead_letters import read_headers
from schemas.flags import decode_flag
from streams import clients, topics
from streams.blocks import unpack
from streams.topic_plan import TopicNames
from tests.integration.breaches import breaches
from tests.integration.traffic import (
    committed,
    drain,
    encoded,
    ends,
    follow,
    forwarded,
    like,
    now_ms,
    search,
    send,
    send_nothing,
)
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.kafka.broker import KafkaBroker
    from tests.integration.conftest import MakeTopics

MAKE = {"likes": like, "follows": follow, "searches": search}


def send_valid(kafka: str, names: TopicNames, first: int, count: int) -> dict[str, int]:
    """Send `count` valid events to each input topic and return how many by Kafka topic."""
    now = now_ms()
    return {
        getattr(names, topic): send(
            kafka, getattr(names, topic), encoded([make(first + n, now + n % 1_000) for n in range(count)])
        )
        for topic, make in MAKE.items()
    }


def everything(kafka: str, names: TopicNames) -> dict[tuple[str, int], list[int]]:
    """Return every offset of every input partition."""
    inputs = (names.likes, names.follows, names.searches)
    return {(topic, n): list(range(end)) for topic in inputs for n, end in ends(kafka, topic).items() if end}


def assert_all_committed(kafka: str, names: TopicNames) -> None:
    for topic in (names.likes, names.follows, names.searches, names.actions):
        done = committed(kafka, names.likes, topic)
        assert {n: done.get(n, 0) for n in range(4)} == ends(kafka, topic), topic


def test_every_record_has_its_outcome_and_every_refused_one_is_kept_as_it_came(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    now = now_ms()
    expected: dict[str, Counter[str]] = {}
    refused: list[tuple[str, bytes | None, bytes | None, str]] = []
    for topic, make in MAKE.items():
        kafka_topic = getattr(names, topic)
        events = encoded([make(n, now + n) for n in range(3_000)])
        bad = breaches(topic, now)
        records: list[tuple[bytes | None, bytes | None]] = [*events, *events[:100]]
        for place, (reason, value) in enumerate(bad * 10):
            key = b"k%d" % place
            records.insert(place * 7, (key, value))
            refused.append((kafka_topic, key, value, reason.value))
        send(kafka, kafka_topic, records, headers=[("trace", b"\x00\x01"), ("trace", b"")])
        expected[kafka_topic] = Counter(accepted=3_000, duplicate=100, late=0, dead_letter=10 * len(bad))
    misrouted = encoded([like(90_000 + n, now) for n in range(50)])
    send(kafka, names.likes, [(b"elsewhere", value) for _, value in misrouted])
    expected[names.likes]["accepted"] += 50
    send_nothing(kafka, names.likes)
    expected[names.likes]["dead_letter"] += 1
    refused.append((names.likes, None, None, "null_value"))
    garbage: list[tuple[bytes | None, bytes | None]] = [(b"k", b"garbage"), (None, b"bwab\x01 no more"), (b"t", None)]
    send(kafka, names.actions, garbage)
    refused += [(names.actions, key, value, "not_a_block") for key, value in garbage]
    with WorkerProcess(kafka, names, tmp_path / "log", "counting") as worker:
        worker.wait_until_read({topic: counts.total() for topic, counts in expected.items()})
        worker.wait_until_idle()
        assert {topic: Counter(worker.read(topic)) for topic in expected} == expected
        metrics = worker.metrics()
        assert metrics["boostwatch_misrouted_keys_total"][(names.likes,)] == 50
        by_reason = metrics["boostwatch_dead_letters_total"]
        assert sum(by_reason.values()) == len(refused)
        assert by_reason["not_a_block", names.actions] == len(garbage)
        assert worker.stop() == 0
    letters = drain(kafka, names.dead_letters)
    told: Counter[tuple[str, bytes | None, bytes | None, str | None]] = Counter()
    for record in letters:
        context = read_headers(record.headers)
        assert context is not None
        assert context.last.stage == "VALUE_CONVERTER"
        told[context.last.topic, record.key, record.value, context.last.reason] += 1
        if context.last.topic != names.actions and record.key is not None:
            assert context.original_headers == [("trace", b"\x00\x01"), ("trace", b"")]
        assert context.last.partition is not None
        assert context.last.offset is not None
    assert told == Counter(refused)
    originals = {
        (record.topic, record.partition, record.offset): record.timestamp
        for topic in (*expected, names.actions)
        for record in drain(kafka, topic)
    }
    for record in letters:
        last = read_headers(record.headers).last  # type: ignore[union-attr]
        assert record.timestamp == originals[last.topic, last.partition or 0, last.offset or 0]
    assert_all_committed(kafka, names)
    assert_flags_are_those_of_the_counting_stage(kafka, names)


def assert_flags_are_those_of_the_counting_stage(kafka: str, names: TopicNames) -> None:
    records = drain(kafka, names.flags)
    flags = [decode_flag(record.value) for record in records]
    subjects = {flag.subject.id for flag in flags}
    # Every subject has at least ten actions in this traffic.
    assert {f"n{n}" for n in range(53)} | {f"a{n}" for n in range(47)} | {f"q {n}" for n in range(31)} == subjects
    for record, flag in zip(records, flags, strict=True):
        headers = dict(record.headers)
        assert record.key.decode() == flag.subject.id
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_type"] == b"boostwatch.follower_spike.opened.v1"
        assert headers["ce_source"].startswith(b"/boostwatch/")
        assert json.loads(record.value)["emitted_at"] >= flag.detected_at - 1_000


def test_a_stop_and_a_restart_lose_nothing_and_count_nothing_twice(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    sent = send_valid(kafka, names, 0, 20_000)
    # Small batches, so that the stop comes in the middle.
    small = {"batch_records_max": 200, "fetch_bytes_max": 65_536}
    with WorkerProcess(kafka, names, tmp_path / "log", **small) as worker:
        worker.wait_until_read(dict.fromkeys(sent, 1))
        before = {topic: worker.read(topic) for topic in sent}
        assert worker.stop() == 0
    done = {topic: sum(committed(kafka, names.likes, topic).values()) for topic in sent}
    assert all(done[topic] >= sum(before[topic].values()) for topic in sent)
    with WorkerProcess(kafka, names, tmp_path / "log") as worker:
        worker.wait_until_read({topic: sent[topic] - done[topic] for topic in sent})
        worker.wait_until_idle()
        for topic in sent:
            assert sum(worker.read(topic).values()) == sent[topic] - done[topic]
        assert worker.metrics()["boostwatch_repeated_actions_total"][()] == 0
        assert worker.stop() == 0
    assert forwarded(kafka, names) == everything(kafka, names)
    assert_all_committed(kafka, names)


def test_a_killed_worker_leaves_nothing_out(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names = kafka_topics()
    sent = send_valid(kafka, names, 0, 20_000)
    small = {"batch_records_max": 200, "fetch_bytes_max": 65_536, "commit_interval_ms": 300}
    with WorkerProcess(kafka, names, tmp_path / "log", **small) as worker:
        worker.wait_for(
            lambda: bool(worker.metrics()["boostwatch_commits_total"].get((), 0)) and worker.lag() > 0,
            "a commit while records wait",
        )
        worker.kill()
    with WorkerProcess(kafka, names, tmp_path / "log") as worker:
        worker.wait_until_idle()
        assert worker.stop() == 0
    offsets = {source: sorted(set(found)) for source, found in forwarded(kafka, names).items()}
    assert offsets == everything(kafka, names)
    assert sum(sent.values()) == sum(map(len, offsets.values()))
    assert_all_committed(kafka, names)


def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics()
    inputs = (names.likes, names.follows, names.searches, names.actions)

    def wait_for_share(worker: WorkerProcess, each: int) -> None:
        def has_it() -> bool:
            assigned = worker.metrics()["boostwatch_assigned_partitions"]
            return [assigned.get((topic,), 0) for topic in inputs] == [each] * 4

        worker.wait_for(has_it, f"{each} partitions of every topic")

    with WorkerProcess(kafka, names, tmp_path / "1") as one:
        one.wait_until_ready()
        send_valid(kafka, names, 0, 5_000)
        with WorkerProcess(kafka, names, tmp_path / "2") as two:
            # The three input topics go together, by partition number.
            for worker in (one, two):
                wait_for_share(worker, 2)
            send_valid(kafka, names, 5_000, 5_000)
            one.wait_until_idle()
            two.wait_until_idle()
            assert two.stop() == 0
        wait_for_share(one, 4)
        send_valid(kafka, names, 10_000, 5_000)
        one.wait_until_idle()
        assert one.stop() == 0
    assert {source: sorted(set(found)) for source, found in forwarded(kafka, names).items()} == everything(kafka, names)
    assert_all_committed(kafka, names)


def test_silent_sources_say_that_they_are_idle_to_every_subject_partition(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(2)
    with WorkerProcess(kafka, names, tmp_path / "log", partitions=2, idle_ms=1_000) as worker:
        worker.wait_until_ready()

        def idle() -> float:
            return sum(worker.metrics()["boostwatch_idle_partitions"].values())

        worker.wait_for(lambda: idle() == 6, "six idle partitions")
        send_valid(kafka, names, 0, 500)
        worker.wait_for(lambda: idle() == 0, "traffic to be noticed")
        worker.wait_for(lambda: idle() == 6, "six idle partitions again")
        assert worker.stop() == 0
    said = {
        (part.header.source, record.partition)
        for record in drain(kafka, names.actions)
        for part in unpack(record.value).parts
        if part.header.idle
    }
    assert len(said) == 3 * 2 * 2


def test_a_failing_stage_stops_the_worker_before_its_batch_counts_as_done(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(1)
    with WorkerProcess(kafka, names, tmp_path / "log", "counting", partitions=1) as worker:
        worker.wait_until_ready()
        send_valid(kafka, names, 0, 100)
        worker.wait_until_idle()
        good = ends(kafka, names.actions)
        send(kafka, names.follows, encoded([follow(1_000, now_ms(), target_id="boom")]))
        assert worker.ended() == 1
        assert "the stage met what it cannot take" in worker.log
    assert committed(kafka, names.likes, names.actions)[0] <= good[0] < ends(kafka, names.actions)[0]


def test_a_flag_that_the_broker_refuses_stops_the_worker_with_the_reason(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(1)
    with clients.admin(kafka) as admin:
        from kafka.admin import ConfigResource, ConfigResourceType

        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, names.flags, {"max.message.bytes": "200"})])
    with WorkerProcess(kafka, names, tmp_path / "log", "counting", partitions=1) as worker:
        worker.wait_until_ready()
        send_valid(kafka, names, 0, 5_000)
        assert worker.ended() == 3
        assert f"a record for topic {names.flags} was not acknowledged (MessageSizeTooLargeError" in worker.log
    assert committed(kafka, names.likes, names.actions).get(0, 0) < ends(kafka, names.actions)[0]


@pytest.mark.slow
def test_a_broker_that_comes_back_in_time_costs_nothing(own_broker: KafkaBroker, tmp_path: Path) -> None:
    names = TopicNames()
    with clients.admin(own_broker.bootstrap) as admin:
        topics.create(admin, topics.plan(names, 4))
    with WorkerProcess(own_broker.bootstrap, names, tmp_path / "log") as worker:
        worker.wait_until_ready()
        send_valid(own_broker.bootstrap, names, 0, 5_000)
        worker.wait_for(lambda: sum(worker.read(names.likes).values()) > 0, "records to be read")
        own_broker.kill()
        own_broker.start()
        sent = send_valid(own_broker.bootstrap, names, 5_000, 5_000)
        worker.wait_until_idle()
        assert {topic: sum(worker.read(topic).values()) for topic in sent} == dict.fromkeys(sent, 10_000)
        assert worker.stop() == 0
    offsets = {source: sorted(set(found)) for source, found in forwarded(own_broker.bootstrap, names).items()}
    assert offsets == everything(own_broker.bootstrap, names)
    assert_all_committed(own_broker.bootstrap, names)


@pytest.mark.slow
def test_a_broker_that_dies_stops_the_worker_with_nothing_committed_too_far(
    own_broker: KafkaBroker, tmp_path: Path
) -> None:
    names = TopicNames()
    with clients.admin(own_broker.bootstrap) as admin:
        topics.create(admin, topics.plan(names, 4))
    with WorkerProcess(own_broker.bootstrap, names, tmp_path / "log", "impatient", stuck_after_ms=60_000) as worker:
        worker.wait_until_ready()
        send_valid(own_broker.bootstrap, names, 0, 20_000)
        worker.wait_for(lambda: sum(worker.read(names.likes).values()) > 0, "records to be read")
        own_broker.kill()
        assert worker.ended(60) == 3
    own_broker.start()
    with WorkerProcess(own_broker.bootstrap, names, tmp_path / "log") as worker:
        worker.wait_until_idle()
        assert worker.stop() == 0
    offsets = {source: sorted(set(found)) for source, found in forwarded(own_broker.bootstrap, names).items()}
    assert offsets == everything(own_broker.bootstrap, names)


def test_a_static_member_has_its_partitions_back_at_once(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names = kafka_topics(2)
    static = {"partitions": 2, "group_instance_id": "one", "session_timeout_ms": 120_000}
    with WorkerProcess(kafka, names, tmp_path / "log", **static) as worker:
        worker.wait_until_ready()
        worker.kill()
    with WorkerProcess(kafka, names, tmp_path / "log", **static) as worker:
        worker.wait_until_ready()  # a member that is not static waits for the session of its killed self to end
        sent = send_valid(kafka, names, 0, 100)
        worker.wait_until_read(sent)
        assert worker.stop() == 0


def test_a_worker_without_partitions_stands_by_and_is_ready(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(1)
    with WorkerProcess(kafka, names, tmp_path / "1", partitions=1) as one:
        one.wait_until_ready()
        with WorkerProcess(kafka, names, tmp_path / "2", partitions=1) as two:
            two.wait_until_ready()
            sent = send_valid(kafka, names, 0, 500)
            one.wait_for(lambda: one.lag() == 0 and two.lag() == 0, "no lag")
            worker = one if one.metrics()["boostwatch_assigned_partitions"][(names.likes,)] else two
            worker.wait_until_read(sent)
            assert one.stop() == two.stop() == 0
