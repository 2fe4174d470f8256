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


class Gathering:
    """A gatherer, where it sends to, and the batches that it was given."""

    def __init__(self, subject_partitions: int = 1) -> None:
        self.publisher, self.ledger, self.lifecycle = SlowPublisher(), Ledger(9, 1 << 20), Lifecycle()
        completion = Completion(self.ledger, self.lifecycle)
        self.gatherer = Gatherer(
            cast("Any", self.publisher), Sources(subject_partitions, 30_000), completion, Metrics(["likes"]),
            self.lifecycle,
        )  # fmt: skip

    async def add(
        self, source: Partition, first: int = 0, watermarks: NDArray[np.int64] | None = None, *, last: bool = True
    ) -> None:
        batch = FetchedBatch(
            source, [b""] * ROWS, [None] * ROWS, first + np.arange(ROWS), np.zeros(ROWS, np.int64), {}, first + ROWS
        )
        batch.ticket = self.ledger.open(source, first, first + ROWS, 1)
        assert self.ledger.start(batch.ticket)
        await self.gatherer.add(batch, outgoing(source, first, watermarks), [], last=last)

    @property
    def blocks(self) -> int:
        return len(self.publisher.values)


@pytest.fixture
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one batch be as much as is not kept waiting."""
    monkeypatch.setattr("streams.outgoing.ROWS_MAX", ROWS)
    monkeypatch.setattr("streams.outgoing.BLOCK_ROWS_MIN", 1)


def test_many_partitions_wait_for_more_that_their_blocks_be_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outgoing.ROWS_MAX", ROWS)
    monkeypatch.setattr("streams.outgoing.BLOCK_ROWS_MIN", ROWS)

    async def sent_after_one(subject_partitions: int) -> int:
        gathering = Gathering(subject_partitions)
        gathering.publisher.let.set()
        await gathering.add(Partition("likes", 0))
        return gathering.blocks

    assert asyncio.run(sent_after_one(1))
    assert not asyncio.run(sent_after_one(2))


@pytest.mark.usefixtures("small_rounds")
def test_a_round_too_large_for_a_block_goes_on_by_event_time() -> None:
    days = 1_000 + 10 * np.arange(ROWS)
    sources = [Partition("likes", number) for number in range(3)]

    async def run() -> list[list[int]]:
        gathering = Gathering()
        gathering.publisher.let.set()
        for source in sources:
            assert gathering.blocks == 0
            await gathering.add(source, 0, days + source.partition, last=source is sources[-1])
        assert await gathering.ledger.wait_settled(10)
        assert gathering.ledger.committable() == dict.fromkeys(sources, ROWS)
        return [sorted(unpack(value).actions.ts.tolist()) for value in gathering.publisher.values]

    blocks = asyncio.run(run())
    assert len(blocks) == len(sources)
    assert [time for block in blocks for time in block] == sorted([*days, *days + 1, *days + 2])


@pytest.mark.usefixtures("small_rounds")
def test_a_round_of_which_no_more_comes_is_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outgoing.ROUND_S", 0.15)

    async def run() -> bool:
        gathering = Gathering()
        gathering.publisher.let.set()
        await gathering.add(Partition("likes", 0), last=False)
        return await gathering.ledger.wait_settled(10)

    assert asyncio.run(run())


def test_after_many_blocks_the_end_of_a_round_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block for each of hundreds of subject partitions, for every few actions, would leave time for nothing."""
    source = Partition("likes", 0)

    async def sent_by_second_round(block_s: float) -> bool:
        monkeypatch.setattr("streams.outgoing.BLOCK_S", block_s)
        gathering = Gathering()
        gathering.publisher.let.set()
        await gathering.add(source)
        await gathering.gatherer.end_round()
        first = gathering.blocks
        assert first
        await gathering.add(source, ROWS)
        await gathering.gatherer.end_round()
        by_then = gathering.blocks > first
        assert await gathering.ledger.wait_settled(10)  # left to wait, not left out
        return by_then

    assert asyncio.run(sent_by_second_round(0.0))
    assert not asyncio.run(sent_by_second_round(0.5))


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

    async def run() -> Gathering:
        gathering = Gathering()
        await gathering.add(sources[0])
        await gathering.add(sources[1])
        await gathering.publisher.asked.wait()
        await gathering.add(sources[2])
        gathering.publisher.let.set()
        await gathering.ledger.wait_settled(10)
        return gathering

    gathering = asyncio.run(run())
    assert gathering.lifecycle.failure is None
    assert gathering.ledger.committable() == dict.fromkeys(sources, ROWS)
    told = [[part.header.source for part in unpack(value).parts] for value in gathering.publisher.values]
    assert told == [["follows/0", "likes/0"], ["likes/1"]]
