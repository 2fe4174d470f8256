"""What waits for company is sent, whenever it came, and finishes its batches."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import pytest

from streams.block_parts import BlockHeader
from streams.blocks import Origin, Outgoing, unpack
from streams.commits import Ledger, Partition
from streams.completion import Completion
from streams.fetched import FetchedBatch
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.outgoing import Gatherer
from streams.sources import Sources
from tests.streams.test_blocks import example

ROWS = 5


class SlowPublisher:
    """Takes a block only once it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = asyncio.Event()
        self.values: list[bytes] = []

    async def block(self, _: int, value: bytes) -> Any:
        self.asked.set()
        await self.let.wait()
        self.values.append(value)
        return asyncio.sleep(0)


def outgoing(source: Partition, first: int) -> Outgoing:
    actions, _ = example(ROWS)
    nothing = [None] * ROWS
    origin = Origin((nothing, nothing, nothing, nothing), np.arange(ROWS, dtype=np.int32))
    return Outgoing(BlockHeader(*source, first, first + ROWS - 1, first), actions, first + np.arange(ROWS), origin)


def test_many_partitions_wait_for_more_that_their_blocks_be_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outgoing.ROWS_MAX", ROWS)
    monkeypatch.setattr("streams.outgoing.BLOCK_ROWS_MIN", ROWS)
    source = Partition("likes", 0)

    async def sent_after_one(subject_partitions: int) -> bool:
        publisher, sources = SlowPublisher(), Sources(subject_partitions, 30_000)
        publisher.let.set()
        ledger, lifecycle = Ledger(9, 1 << 20), Lifecycle()
        gatherer = Gatherer(
            cast("Any", publisher), sources, Completion(ledger, lifecycle), Metrics(["likes"]), lifecycle
        )
        batch = FetchedBatch(source, [b""] * ROWS, [None] * ROWS, np.arange(ROWS), np.zeros(ROWS, np.int64), {}, ROWS)
        batch.ticket = ledger.open(source, 0, ROWS, 1)
        assert ledger.start(batch.ticket)
        await gatherer.add(batch, outgoing(source, 0), [])
        return bool(publisher.values)

    assert asyncio.run(sent_after_one(1))
    assert not asyncio.run(sent_after_one(2))


def test_batches_go_together_and_what_comes_while_they_are_sent_goes_next() -> None:
    sources = [Partition("likes", 0), Partition("follows", 0), Partition("likes", 1)]

    async def run() -> tuple[list[bytes], dict[Partition, int], BaseException | None]:
        ledger, lifecycle, publisher = Ledger(9, 1 << 20), Lifecycle(), SlowPublisher()
        completion = Completion(ledger, lifecycle)
        gatherer = Gatherer(cast("Any", publisher), Sources(1, 30_000), completion, Metrics(["likes"]), lifecycle)

        async def add(source: Partition) -> None:
            batch = FetchedBatch(
                source, [b""] * ROWS, [None] * ROWS, np.arange(ROWS), np.zeros(ROWS, np.int64), {}, ROWS
            )
            batch.ticket = ledger.open(source, 0, ROWS, 1)
            assert ledger.start(batch.ticket)
            await gatherer.add(batch, outgoing(source, 0), [])

        await add(sources[0])
        await add(sources[1])
        await publisher.asked.wait()
        await add(sources[2])
        publisher.let.set()
        await ledger.wait_settled(10)
        return publisher.values, ledger.committable(), lifecycle.failure

    values, done, failure = asyncio.run(run())
    assert failure is None
    assert done == dict.fromkeys(sources, ROWS)
    told = [[part.header.source for part in unpack(value).parts] for value in values]
    assert told == [["follows/0", "likes/0"], ["likes/1"]]
