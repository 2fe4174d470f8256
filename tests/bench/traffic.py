"""What every contestant reads: simulated traffic with attacks, loaded once into fresh topics of a real broker."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from streams import clients, topics
from streams.connections import planned_topics
from streams.settings import Settings
from streams.simulator import TOPICS, Scenario, simulate
from tests.kafka_broker import given_broker, running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

HOURS_MS = 24 * 3_600_000
EVENTS_PER_ACCOUNT = 15


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is in the broker: `events` records in `topics`, and the settings that name them."""

    events: int
    topics: tuple[str, ...]
    environment: dict[str, str]


@contextmanager
def broker(scratch: Path) -> Iterator[str]:
    """Give the address of a real Kafka: the one named in the environment, else one of our own."""
    given = given_broker()
    if given:
        yield given
        return
    with running_broker(scratch / "kafka") as own:
        yield own.bootstrap


def load(bootstrap: str, events: int, partitions: int, seed: int, console: Console) -> Loaded:
    """Create topics under a name of this run and send about `events` records, keyed by actor as Java's clients do."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    environment: dict[str, Any] = {"BOOSTWATCH_BOOTSTRAP": bootstrap, "BOOSTWATCH_PARTITIONS": str(partitions)}
    for name, field in Settings.model_fields.items():
        if name.startswith("topic_"):
            environment[f"BOOSTWATCH_{name.upper()}"] = f"{prefix}.{field.default}"
    settings = Settings(**{name.removeprefix("BOOSTWATCH_").lower(): value for name, value in environment.items()})
    with clients.admin(bootstrap) as admin:
        topics.create(admin, planned_topics(settings))
    begin_ms = int(time.time() * 1000) - HOURS_MS
    scenario = Scenario(
        start_ms=begin_ms,
        duration_ms=HOURS_MS,
        accounts=max(1_000, events // EVENTS_PER_ACCOUNT),
        notes=max(500, events // (4 * EVENTS_PER_ACCOUNT)),
        keywords=2_000,
        events_per_s=events / (HOURS_MS / 1000),
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    sent = 0
    for part in simulate(scenario, seed):
        for topic in TOPICS:
            name = environment[f"BOOSTWATCH_TOPIC_{topic.upper()}"]
            for key, line in zip(part.keys(topic), part.lines(topic), strict=True):
                producer.produce(name, value=line, key=key)
            sent += len(part.topics[topic])
            producer.poll(0)
            if len(producer) > 300_000:
                producer.flush()
        console.print(f"  loading: {sent:,} of about {events:,}", end="\r")
    left = producer.flush(120)
    if left:
        raise RuntimeError(f"{left} records were not acknowledged by {bootstrap}")
    console.print(f"  loaded {sent:,} events into {partitions} partitions a topic")
    return Loaded(sent, tuple(environment[f"BOOSTWATCH_TOPIC_{topic.upper()}"] for topic in TOPICS), environment)
