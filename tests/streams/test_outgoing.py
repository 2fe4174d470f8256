"""What waits for company is sent, whenever it came, and finishes its batches."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.block_parts import BlockHeader
from streams.blocks import Origin, Outgoing, unpack
from streams.commits import Ledger, Partition
from streams.completion import Completion
from streams.fetched import FetchedBatch
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.outgoing import Gatherer, cut
from streams.sources import Sources
from tests.streams.test_blocks import example

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def outgoing(source: Partition, first: int, watermarks: NDArray[np.int64] | None = None) -> Outgoing:
    actions, _ = example(ROWS)
    if watermarks is not None:
        actions = replace(actions, ts=watermarks, watermark=watermarks)
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


def test_a_round_too_large_for_a_block_goes_on_by_event_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outgoing.ROWS_MAX", ROWS)
    monkeypatch.setattr("streams.outgoing.BLOCK_ROWS_MIN", 1)
    days = 1_000 + 10 * np.arange(ROWS)
    sources = [Partition("likes", number) for number in range(3)]

    async def run() -> list[list[int]]:
        publisher, ledger, lifecycle = SlowPublisher(), Ledger(9, 1 << 20), Lifecycle()
        publisher.let.set()
        completion = Completion(ledger, lifecycle)
        gatherer = Gatherer(cast("Any", publisher), Sources(1, 30_000), completion, Metrics(["likes"]), lifecycle)
        for source in sources:
            batch = FetchedBatch(
                source, [b""] * ROWS, [None] * ROWS, np.arange(ROWS), np.zeros(ROWS, np.int64), {}, ROWS
            )
            batch.ticket = ledger.open(source, 0, ROWS, 1)
            assert ledger.start(batch.ticket)
            before = len(publisher.values)
            await gatherer.add(batch, outgoing(source, 0, days + source.partition), [], last=source is sources[-1])
            assert len(publisher.values) == before or source is sources[-1]
        assert await ledger.wait_settled(10)
        assert ledger.committable() == dict.fromkeys(sources, ROWS)
        return [sorted(unpack(value).actions.ts.tolist()) for value in publisher.values]

    blocks = asyncio.run(run())
    assert len(blocks) == len(sources)
    assert [time for block in blocks for time in block] == sorted([*days, *days + 1, *days + 2])


@given(st.lists(st.lists(st.integers(0, 9), min_size=ROWS, max_size=ROWS), min_size=1, max_size=5), st.integers(1, 9))
def test_to_cut_a_round_keeps_every_row_and_the_order_of_its_source(times: list[list[int]], rows_max: int) -> None:
    batches = [
        outgoing(Partition("likes", number), 0, np.sort(np.array(each, np.int64))) for number, each in enumerate(times)
    ]
    parts = list(cut(batches, rows_max))
    reached = -1
    for part in parts:
        ms = np.concatenate([one.actions.watermark for one in part])
        assert reached <= ms.min()
        reached = int(ms.max())
    for number, batch in enumerate(batches):
        mine = [one for part in parts for one in part if one.header.partition == number]
        assert np.concatenate([one.offsets for one in mine]).tolist() == batch.offsets.tolist()
        for one in mine:
            assert one.origin is not None
            assert one.origin.rows.tolist() == one.offsets.tolist()


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
