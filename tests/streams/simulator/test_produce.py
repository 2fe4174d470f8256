"""Sending a run to a broker: everything arrives once, in time, and failures are told."""

from __future__ import annotations

import threading
import time
from collections import Counter

import orjson
import pytest

from streams import clients
from streams.embedded import EmbeddedBroker
from streams.errors import ProduceFailed
from streams.simulator import TOPICS, Batch, Record, stream
from streams.simulator.columns import HOUR_MS
from streams.simulator.produce import produce
from tests.streams.simulator.traffic import START_MS, small

NAMES = {topic: f"try.{topic}" for topic in TOPICS}


def run() -> list[Batch]:
    return list(stream(small(duration_ms=HOUR_MS, events_per_s=0.4, attacks=0, benign=0), seed=1, speed=0))


def test_everything_arrives_keyed_by_actor_with_its_arrival_as_timestamp() -> None:
    batches = run()
    with EmbeddedBroker(dict.fromkeys(NAMES.values(), 3)) as broker:
        sent = produce(batches, broker.bootstrap, topics=NAMES, in_flight_max=100)
        expected = Counter((NAMES[r.topic], r.key, r.value, r.arrival_ms) for batch in batches for r in batch.records)
        consumer = clients.consumer(broker.bootstrap, *NAMES.values())
        got: Counter[tuple[str, bytes, bytes, int]] = Counter()
        try:
            while got.total() < expected.total():
                for records in consumer.poll(timeout_ms=5_000).values():
                    got.update((r.topic, r.key, r.value, r.timestamp) for r in records)
        finally:
            consumer.close()
    assert got == expected
    assert sent.total() == expected.total() > 300
    assert all(orjson.loads(value)["actor_id"].encode() == key for _, key, value, _ in got)


def test_a_stop_ends_the_wait_for_what_is_due_later() -> None:
    stop = threading.Event()
    record = Record("likes", b"k", b"{}", START_MS)
    batches = [Batch(0.0, [record]), Batch(3_600.0, [record])]
    with EmbeddedBroker({"likes": 1}) as broker:
        sent = produce(batches, broker.bootstrap, stop=stop, progress=lambda _sent, _late: stop.set())
    assert sent == {"likes": 1}


def test_what_is_due_at_once_is_held_to_the_rate() -> None:
    records = [Record("likes", b"k", b"{}", START_MS)] * 1_500
    with EmbeddedBroker({"likes": 1}) as broker:
        begun = time.monotonic()
        produce([Batch(0.0, records)], broker.bootstrap, records_per_s_max=5_000)
        assert time.monotonic() - begun >= 0.2


def test_a_record_that_is_refused_stops_the_run_and_names_the_topic() -> None:
    too_large = Record("likes", b"k", b"x" * 2_000_000, START_MS)
    with EmbeddedBroker({"likes": 1}) as broker, pytest.raises(ProduceFailed, match="'likes'"):
        produce([Batch(0.0, [too_large])], broker.bootstrap)
