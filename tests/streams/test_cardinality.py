"""The number of series depends on what is configured, and not on who sends what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from schemas.columns import Topic
from streams.agents import ActorsAgent, SubjectsAgent
from streams.alignment import Together
from streams.commits import Ledger, Partition
from streams.completion import Completion
from streams.fetched import FetchedBatch
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.outgoing import Gatherer
from streams.pipeline import build_actor_stage, build_subject_stage, build_visit_stage
from streams.settings import Settings
from streams.sources import Sources
from streams.stages import Stages
from streams.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

SETTINGS = Settings(partitions=1)
TOPICS = {"likes": Topic.LIKES, "follows": Topic.FOLLOWS, "searches": Topic.SEARCHES}
NOW_MS = 1_764_000_000_000
EACH = 4_000


def batch(topic: str, values: list[bytes], since: int) -> FetchedBatch:
    n = len(values)
    keys: list[bytes | None] = [b"%d" % number for number in range(n)]  # no actor's, so all are misrouted
    offsets, times = np.arange(since, since + n, dtype=np.int64), np.full(n, NOW_MS, np.int64)
    return FetchedBatch(Partition(topic, 0), cast("list[bytes | None]", values), keys, offsets, times, {}, since + n)


REST = {
    "likes": '"action":"like","note_id":"n%(n)d","author_id":"a%(n)d"',
    "follows": '"action":"follow","target_id":"t%(n)d"',
    "searches": '"query":"query %(n)d"',
}
BROKEN = ('"ts":"%(n)d"', f'"ts":{NOW_MS},"actor_id":"{"x" * 300}"', f'"ts":{NOW_MS},"surface":"s%(n)d"')


def strangers(topic: str, since: int, each: int) -> Iterator[bytes]:
    """Yield events of accounts, notes and queries that nobody has seen, one in ten of them refused in some way."""
    good = f'{{"event_id":"{topic}%(n)d","ts":{NOW_MS},"actor_id":"u%(n)d",{REST[topic]}}}'
    bad = [f'{{"event_id":"{topic}%(n)d",{broken},{REST[topic]}}}' for broken in BROKEN]
    for number in range(since, since + each):
        yield ((bad[number % 3] if number % 10 == 0 else good) % {"n": number}).encode()


class Sink:
    """Takes what is sent and hands it to the subject stage."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    async def block(self, _: int, value: bytes) -> Any:
        self.blocks.append(value)
        return asyncio.sleep(0)

    async def surges(self, _: bytes) -> Any:
        return asyncio.sleep(0)

    async def flag(self, _: object) -> Any:
        return asyncio.sleep(0)

    async def write(self, *_: object) -> None:
        return None


def series(metrics: Metrics) -> int:
    return sum(len(family.samples) for family in text_string_to_metric_families(metrics.render().decode()))


async def counted(rounds: int, each: int = EACH, topics: Iterable[str] = TOPICS) -> AsyncIterator[int]:
    """Feed so many new names of each sort in each round; yield the number of series after each."""
    metrics, sink, lifecycle = Metrics(TOPICS), Sink(), Lifecycle()
    stages = Stages(
        lambda: build_actor_stage(SETTINGS), lambda: build_subject_stage(SETTINGS),
        [Partition(topic, 0) for topic in TOPICS], build_visit_stage,
    )  # fmt: skip
    completion, vitals = Completion(Ledger(10, 10), lifecycle), Vitals(SETTINGS, metrics, stages)
    to = cast("Any", sink)
    sources = Sources(1, 30_000)
    gatherer = Gatherer(to, sources, completion, metrics, lifecycle)
    actors = ActorsAgent(TOPICS, stages, sources, to, to, metrics, completion, gatherer)
    subjects = SubjectsAgent(stages, to, to, metrics, completion)
    for round_ in range(rounds):
        for topic in topics:
            fetched = batch(topic, list(strangers(topic, round_ * each, each)), round_ * each)
            await actors.process(Together([fetched]))
        await gatherer.send()
        blocks, sink.blocks = sink.blocks, []
        await subjects.process(batch(SETTINGS.topic_actions, blocks, round_ * 100))
        vitals.look()
        yield series(metrics)
    assert lifecycle.failure is None
    assert sum(stages.tracked().values()) > each
    read = (sample.value for family in metrics.events.collect() for sample in family.samples)
    assert sum(read) >= rounds * each


def test_ever_new_accounts_notes_and_queries_make_no_new_series() -> None:
    async def run() -> list[int]:
        return [count async for count in counted(3)]

    first, *later = asyncio.run(run())
    assert later == [first] * 2
    assert first < 2_000
