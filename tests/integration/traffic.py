"""Traffic for integration tests, sent by kafka-python, and what the topics hold afterwards."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from detectors.onward import ONWARD
from streams import clients
from streams.blocks import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.topic_plan import TopicNames


def like(number: int, ts: int, **changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "event_id": f"l{number}",
        "ts": ts,
        "actor_id": f"u{number % 997}",
        "action": "like",
        "note_id": f"n{number % 53}",
        "author_id": f"a{number % 11}",
    }
    return event | changes


def follow(number: int, ts: int, **changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "event_id": f"f{number}",
        "ts": ts,
        "actor_id": f"u{number % 997}",
        "action": "follow",
        "target_id": f"a{number % 47}",
    }
    return event | changes


def search(number: int, ts: int, **changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "event_id": f"s{number}",
        "ts": ts,
        "actor_id": f"u{number % 997}",
        "query": f"q {number % 31}",
    }
    return event | changes


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def encoded(events: Iterable[dict[str, object]]) -> list[tuple[bytes, bytes]]:
    return [(str(event["actor_id"]).encode(), json.dumps(event).encode()) for event in events]


def send(bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], **more: Any) -> int:
    """Send records in order and return how many there were."""
    producer = clients.producer(bootstrap, linger_ms=20, max_request_size=32 << 20)
    sent = [producer.send(topic, key=key, value=value, **more) for key, value in records]
    for future in sent:
        future.get(timeout=30)
    producer.close()
    return len(sent)


def send_nothing(bootstrap: str, topic: str) -> None:
    """Send a record with neither key nor value, which kafka-python refuses to and Kafka takes."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic)
    producer.flush(30)


def drain(bootstrap: str, topic: str) -> list[Any]:
    """Return every record of a topic, in order within partitions."""
    consumer = clients.consumer(bootstrap, max_partition_fetch_bytes=16 << 20)
    partitions = [clients_partition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    records: list[Any] = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for some in consumer.poll(timeout_ms=500).values():
            records += some
    consumer.close()
    return records


def clients_partition(topic: str, number: int) -> Any:
    from kafka import TopicPartition

    return TopicPartition(topic, number)


def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Return what a group has committed, by partition."""
    with clients.admin(bootstrap) as admin:
        offsets = admin.list_group_offsets([group])[group]
    return {partition.partition: entry.offset for partition, entry in offsets.items() if partition.topic == topic}


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the end of each partition."""
    consumer = clients.consumer(bootstrap)
    partitions = [clients_partition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    found = {partition.partition: offset for partition, offset in consumer.end_offsets(partitions).items()}
    consumer.close()
    return found


def forwarded(bootstrap: str, names: TopicNames) -> dict[tuple[str, int], list[int]]:
    """Return by source partition the offsets of the actions that went from actors to subjects, sorted."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for record in drain(bootstrap, names.actions):
        if not record.value.startswith(b"bwab"):
            continue
        block = unpack(record.value)
        for header, start, end in block.parts:
            actions = block.actions.verb[start:end] < ONWARD
            found[header.topic, header.partition] += block.offsets[start:end][actions].tolist()
    return {source: sorted(offsets) for source, offsets in found.items()}
