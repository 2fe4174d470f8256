"""Reading a whole topic, for tests of what was sent."""

from __future__ import annotations

from typing import Any

from kafka import TopicPartition

from streams import clients


def records_of(bootstrap: str, topic: str) -> list[Any]:
    """Return every record of a topic, partition by partition."""
    consumer = clients.consumer(bootstrap)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                found.extend(records)
        return found
    finally:
        consumer.close()
