"""The embedded broker against the clients that use it, and the limits that its docstring tells of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.cluster import ClusterMetadata

from streams import clients
from streams.embedded import DEFAULT_PARTITIONS, EmbeddedBroker
from streams.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
KEPT_BYTES = 5 * MIB
RECORD_BYTES = 100_000


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({"likes": 6, "one": 1}) as running:
        yield running


def test_what_aiokafka_sends_it_reads_back_in_a_group_with_headers_and_committed_offsets(
    broker: EmbeddedBroker,
) -> None:
    async def send_and_read() -> tuple[list[Any], dict[TopicPartition, int]]:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type="lz4") as producer:
            for row in range(60):
                await producer.send_and_wait("likes", b"%d" % row, key=b"k", partition=row % 6, headers=[("h", b"1")])
        async with AIOKafkaConsumer(
            "likes",
            bootstrap_servers=broker.bootstrap,
            group_id="g",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer:
            records: list[Any] = []
            while len(records) < 60:
                for batch in (await consumer.getmany(timeout_ms=5_000)).values():
                    records += batch
            await consumer.commit()
            return records, {part: await consumer.committed(part) for part in consumer.assignment()}

    records, committed = asyncio.run(send_and_read())

    assert sorted(int(record.value) for record in records) == list(range(60))
    assert all(record.headers == (("h", b"1"),) and record.key == b"k" for record in records)
    assert committed == {TopicPartition("likes", partition): 10 for partition in range(6)}


def test_what_kafka_python_sends_it_reads_back(broker: EmbeddedBroker) -> None:
    producer = clients.producer(broker.bootstrap)
    futures = [producer.send("likes", b"%d" % row, partition=row % 6, headers=[("h", b"1")]) for row in range(60)]
    assert [future.get(10).partition for future in futures] == [row % 6 for row in range(60)]
    producer.close()

    consumer = clients.consumer(broker.bootstrap, "likes", group_id="g")
    records = [record for _, record in zip(range(60), consumer, strict=False)]
    consumer.close(autocommit=False)
    assert sorted(int(record.value) for record in records) == list(range(60))


def test_what_one_client_sends_the_other_reads(broker: EmbeddedBroker) -> None:
    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True) as producer:
            await producer.send_and_wait("one", b"v", timestamp_ms=77)

    asyncio.run(send())
    consumer = clients.consumer(broker.bootstrap, "one")
    record = next(consumer)
    consumer.close()
    assert (record.value, record.timestamp) == (b"v", 77)


def test_a_consumer_whose_first_question_about_its_topics_was_lost_asks_again_within_seconds(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = clients.producer(broker.bootstrap)
    producer.send("lost", b"v").get(10)
    producer.close()

    def lose(cluster: Any, topics: Iterable[str]) -> None:
        time.sleep(1.0)  # the answer to the first question is there
        cluster._topics, cluster._need_update = set(topics), False

    monkeypatch.setattr(ClusterMetadata, "set_topics", lose)
    consumer = clients.consumer(broker.bootstrap, "lost", consumer_timeout_ms=30_000)
    assert next(consumer).value == b"v"
    consumer.close()


def test_topics_have_the_partitions_they_were_created_with_and_unknown_ones_the_default(broker: EmbeddedBroker) -> None:
    async def ask() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            await producer.partitions_for("new")

    broker.create_topic("follows", 3)
    asyncio.run(ask())
    with clients.admin(broker.bootstrap) as admin:
        described = admin.describe_topics(["likes", "follows", "new"])
    found = {topic["name"]: len(topic["partitions"]) for topic in described}
    assert found == {"likes": 6, "follows": 3, "new": DEFAULT_PARTITIONS}


def test_a_topic_that_exists_is_not_created_again(broker: EmbeddedBroker) -> None:
    with pytest.raises(ValueError, match="has a topic likes already"):
        broker.create_topic("likes", 6)


def test_two_brokers_do_not_see_each_other(broker: EmbeddedBroker) -> None:
    with EmbeddedBroker({"other": 1}) as second, clients.admin(second.bootstrap) as admin:
        assert second.bootstrap != broker.bootstrap
        assert admin.list_topics() == ["other"]


def test_a_closed_broker_is_gone_and_closing_again_does_nothing() -> None:
    broker = EmbeddedBroker()
    with broker:
        address = broker.bootstrap
    broker.close()
    with pytest.raises(BrokerUnavailable, match="connection refused"):
        clients.require_broker(address, timeout_ms=100)
    with pytest.raises(BrokerUnavailable, match="start it"):
        broker.create_topic("late", 1)


def offsets_kept(broker: EmbeddedBroker, sizes: list[int]) -> tuple[int, int]:
    """Send one batch of each size to a partition; give its first offset that is still there and the next one."""

    async def send() -> tuple[int, int]:
        part = TopicPartition("one", 0)
        async with (
            AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=20 * MIB) as producer,
            AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer,
        ):
            for size in sizes:
                await producer.send_and_wait("one", bytes(size), partition=0)
            return (await consumer.beginning_offsets([part]))[part], (await consumer.end_offsets([part]))[part]

    return asyncio.run(send())


def test_a_partition_keeps_its_newest_five_mebibytes(broker: EmbeddedBroker) -> None:
    first, following = offsets_kept(broker, [RECORD_BYTES] * 80)
    assert following == 80
    assert (following - first) * RECORD_BYTES <= KEPT_BYTES < (following - first + 1) * (RECORD_BYTES + 200)


def test_a_batch_larger_than_a_partition_keeps_is_lost_and_the_next_with_it(broker: EmbeddedBroker) -> None:
    assert offsets_kept(broker, [10, KEPT_BYTES + 1]) == (2, 2)
    assert offsets_kept(broker, [10]) == (3, 3)
    assert offsets_kept(broker, [10]) == (3, 4)
