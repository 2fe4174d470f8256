"""What every contestant reads: simulated traffic with attacks, loaded once into fresh topics of a real broker.

boostwatch reads the three input topics, keyed by actor. The small job gets the same events in one topic, keyed by
target, so that no peer has to send them on to whoever counts a target. Of those the few are left out that would go
back to a window before the last of their target: what is right then does not hang on who reads which partition first.
"""

from __future__ import annotations

import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import Producer

from streams import clients, topics
from streams.connections import planned_topics
from streams.settings import Settings
from streams.simulator import TOPICS, Scenario, simulate
from streams.topic_plan import TopicPlan
from tests.bench.peers.windowed_count import WINDOW_MS, WindowedCount, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

HOURS_MS = 24 * 3_600_000
EVENTS_PER_ACCOUNT = 15
QUEUE_MAX = 300_000
"""Records waiting in the loading producer before it is let come to rest."""

SLOW_SHARE, SLOW_EVENTS_MAX = 0.1, 60_000
"""A stock agent is one or two orders of magnitude slower, so it reads the first part of the same; its rate is steady
from the first second."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the small job must find in a topic."""

    events: int
    closed: int
    spikes: int

    def differs(self, figures: Mapping[str, Any]) -> str:
        """Say where a peer's figures are not these; empty where they are."""
        names = ("events", "closed", "spikes")
        return ", ".join(
            f"{figures[name]} {name} instead of {getattr(self, name)}"
            for name in names
            if figures[name] != getattr(self, name)
        )


@dataclass(frozen=True, slots=True)
class SmallTopic:
    """A topic for the small job, and what it must find there."""

    name: str
    due: Outcome


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is in the broker: `events` records in `topics`, the settings that name them, and the small job's copies."""

    events: int
    topics: tuple[str, ...]
    environment: dict[str, str]
    small: SmallTopic
    slow: SmallTopic
    partitions: int


@dataclass(slots=True)
class _Copy:
    """Takes what the small job is to read, and does the job."""

    name: str
    events_max: int
    job: WindowedCount = field(default_factory=WindowedCount)

    def take(self, producer: Any, target: str, window: int, line: bytes) -> None:
        if self.job.events >= self.events_max:
            return
        state = self.job.targets.get(target)
        if state is not None and window < state[0]:
            return
        self.job.targets[target], spike = self.job.step(state, window)
        self.job.spikes += spike
        producer.produce(self.name, value=line, key=target.encode())

    def done(self) -> SmallTopic:
        return SmallTopic(self.name, Outcome(self.job.events, self.job.closed, self.job.spikes))


def environment(bootstrap: str, partitions: int, **settings: object) -> dict[str, str]:
    """Return settings for a worker on topics under a name of their own, as environment variables."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    chosen: dict[str, object] = {"bootstrap": bootstrap, "partitions": partitions, "group_id": prefix, **settings}
    chosen |= {
        name: f"{prefix}.{about.default}" for name, about in Settings.model_fields.items() if name.startswith("topic_")
    }
    return {f"BOOSTWATCH_{name.upper()}": str(value) for name, value in chosen.items()}


def afresh(variables: Mapping[str, str], repeat: int) -> dict[str, str]:
    """Return settings for the same input topics as a group that has done nothing yet, with topics of its own to write.

    A group alone does not make a worker new: it goes on where the state stands, and reads what is on the actions topic.
    """
    kept = {f"BOOSTWATCH_TOPIC_{name}" for name in ("LIKES", "FOLLOWS", "SEARCHES", "VERDICTS")}
    named = {name for name in variables if name.startswith("BOOSTWATCH_TOPIC_")} - kept | {"BOOSTWATCH_GROUP_ID"}
    return {name: f"{value}-{repeat}" if name in named else value for name, value in variables.items()}


def settings_of(variables: Mapping[str, str]) -> Settings:
    """Return the settings that such variables make."""
    chosen: dict[str, Any] = {name.removeprefix("BOOSTWATCH_").lower(): value for name, value in variables.items()}
    return Settings(**chosen)


def create(variables: Mapping[str, str], *more: TopicPlan) -> None:
    """Create the topics that these settings name."""
    settings = settings_of(variables)
    with clients.admin(settings.bootstrap) as admin:
        topics.create(admin, [*planned_topics(settings), *more])


def delete(variables: Mapping[str, str], *more: str) -> None:
    """Delete the topics that these settings name: they would take memory and disk from what comes after."""
    settings = settings_of(variables)
    with clients.admin(settings.bootstrap) as admin:
        admin.delete_topics([*(planned.name for planned in planned_topics(settings)), *more])


def delete_written(variables: Mapping[str, str], others: Mapping[str, str]) -> None:
    """Delete the topics that these settings name and `others` do not."""
    kept = {planned.name for planned in planned_topics(settings_of(others))}
    settings = settings_of(variables)
    with clients.admin(settings.bootstrap) as admin:
        admin.delete_topics([planned.name for planned in planned_topics(settings) if planned.name not in kept])


def producer(bootstrap: str, linger_ms: int = 20) -> Any:
    """Return a producer that partitions by key as Java's clients do."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2 * QUEUE_MAX,
            "queue.buffering.max.kbytes": 1 << 20,
        }
    )


def settle(sender: Any, queue_max: int = 0) -> None:
    """Wait until no more than so many records are on their way. Raises RuntimeError where the broker stands still."""
    sender.poll(0)
    if len(sender) > queue_max and sender.flush(120):
        raise RuntimeError(f"{len(sender)} records were not acknowledged by the broker within two minutes")


def scenario(events: int, end_ms: int, **changed: object) -> Scenario:
    """Return a day of about `events` events that ends at `end_ms`."""
    given: dict[str, Any] = {
        "start_ms": end_ms - HOURS_MS,
        "duration_ms": HOURS_MS,
        "accounts": max(1_000, events // EVENTS_PER_ACCOUNT),
        "notes": max(500, events // (4 * EVENTS_PER_ACCOUNT)),
        "keywords": 2_000,
        "events_per_s": events / (HOURS_MS / 1000),
        **changed,
    }
    return Scenario(**given)


def load(bootstrap: str, events: int, partitions: int, seed: int, console: Console) -> Loaded:
    """Create topics under a name of this run and send about `events` records, keyed by actor as Java's clients do."""
    variables = environment(bootstrap, partitions)
    small = _Copy(f"{variables['BOOSTWATCH_GROUP_ID']}.targets", sys.maxsize)
    slow = _Copy(f"{variables['BOOSTWATCH_GROUP_ID']}.few", int(min(SLOW_SHARE * events, SLOW_EVENTS_MAX)))
    create(variables, *(TopicPlan(copy.name, partitions, 1, {}) for copy in (small, slow)))
    sender = producer(bootstrap)
    sent = 0
    for topic, key, line in _records(scenario(events, int(time.time() * 1000)), seed):
        sender.produce(variables[f"BOOSTWATCH_TOPIC_{topic.upper()}"], value=line, key=key)
        event = orjson.loads(line)
        target = target_of(event)
        if target is not None:
            for copy in (small, slow):
                copy.take(sender, target, event["ts"] // WINDOW_MS, line)
        sent += 1
        if sent % 10_000 == 0:
            settle(sender, QUEUE_MAX)
            console.print(f"  loading: {sent:,} of about {events:,}", end="\r")
    settle(sender)
    console.print(f"  loaded {sent:,} events into {partitions} partitions a topic")
    inputs = tuple(variables[f"BOOSTWATCH_TOPIC_{topic.upper()}"] for topic in TOPICS)
    return Loaded(sent, inputs, variables, small.done(), slow.done(), partitions)


def _records(day: Scenario, seed: int) -> Iterator[tuple[str, bytes, bytes]]:
    for part in simulate(day, seed):
        for topic in TOPICS:
            keys: Sequence[bytes] = part.keys(topic)
            for key, line in zip(keys, part.lines(topic), strict=True):
                yield topic, key, line
