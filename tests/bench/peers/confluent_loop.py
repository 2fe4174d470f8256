"""A tuned confluent-kafka loop: librdkafka reads ahead in its own threads, the loop takes thousands at a time.

Run as `python -m tests.bench.peers.confluent_loop BOOTSTRAP EXPECTED TOPIC...`.
"""

from __future__ import annotations

import sys
import uuid

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from tests.bench.peers.stopwatch import Stopwatch, tame_collector
from tests.bench.peers.windowed_count import WindowedCount

TAKE = 10_000
"""Messages taken by one call: its cost is then nothing to an event."""


def run(bootstrap: str, expected: int, topics: list[str]) -> None:
    """Read until `expected` records have passed."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "check.crcs": False,
            "fetch.min.bytes": 64 * 1024,
            "fetch.wait.max.ms": 100,
            "fetch.max.bytes": 64 * 1024 * 1024,
            "max.partition.fetch.bytes": 8 * 1024 * 1024,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1 << 20,
        }
    )
    job = WindowedCount()
    stopwatch = Stopwatch(expected)
    add, loads = job.add, orjson.loads
    # Not by subscription: who is assigned a second time, in a group that commits nothing, reads from the start again.
    known = consumer.list_topics(timeout=30.0).topics
    numbered = [(topic, number) for topic in topics for number in known[topic].partitions]
    partitions = [TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in numbered]
    stopwatch.start()
    consumer.assign(partitions)
    try:
        while True:
            messages = consumer.consume(TAKE, timeout=1.0)
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                add(loads(message.value()))
            if stopwatch.done(len(messages)):
                break
        stopwatch.tell(closed=job.closed, spikes=job.spikes)
    finally:
        consumer.close()


if __name__ == "__main__":
    tame_collector()
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
