"""When the consumer lets records flow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pytest
from faust.transport.drivers import aiokafka as driver

from streams.alignment import Aligner, Reached
from streams.commits import Ledger, Partition
from streams.consumer import PACKED_MAX, BatchConsumer
from streams.fetched import FetchedBatch
from streams.transport import TransportOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize("partitions", [{Partition("likes", 0)}, set()])
def test_nothing_flows_from_an_assignment_until_its_seek(
    partitions: set[Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an assignment without partitions Faust does not stop the flow: what came was worked on twice."""
    flowed: list[bool] = []
    told: list[Mapping[Partition, int | None]] = []

    async def assigned(consumer: Any, *_: object) -> None:
        flowed.append(consumer.flow_active)

    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", assigned)

    async def play() -> None:
        consumer = cast("Any", BatchConsumer.__new__(BatchConsumer))
        consumer.app = SimpleNamespace(
            ledger=SimpleNamespace(resume=lambda _: set()),
            observer=SimpleNamespace(on_assigned=lambda offsets, _: told.append(offsets)),
        )
        consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
        consumer.resume_flow()
        await consumer.on_partitions_assigned(partitions, 3)

    asyncio.run(play())
    assert flowed == [False]
    assert told == ([] if partitions else [{}])


ACTIONS, LIKES = Partition("actions", 0), Partition("likes", 0)


class Came(NamedTuple):
    """What was fetched of a partition, which reads as one batch that holds its offset."""

    source: Partition
    offset: int

    def read(self, records_max: int, **_: object) -> list[FetchedBatch]:
        assert (records_max <= PACKED_MAX) == (self.source.topic == "actions"), (
            "a block counts for thousands of records"
        )
        nothing = np.zeros(1, np.int64)
        return [FetchedBatch(self.source, [b""], [None], nothing + self.offset, nothing, {}, self.offset + 1)]


class Thread:
    """A consumer's thread to which blocks come while the inputs are worked on."""

    def __init__(self, polls: list[dict[Partition, Came]]) -> None:
        self.polls = polls
        self.asked: list[set[Partition]] = []
        self.reached: dict[Partition, Any] = {}

    @property
    def prompt_arrived(self) -> bool:
        return bool(self.polls)

    async def getmany(self, partitions: set[Partition], _: float) -> dict[Partition, Came]:
        self.asked.append(partitions)
        return self.polls.pop(0)


def worked_on(polls: list[dict[Partition, Came]], during: Any = None) -> tuple[list[tuple[str, int]], bool, Thread]:
    """Work on a poll with inputs and a block, behind which others come; return what was handed over, and whether on."""
    handed: list[tuple[str, int]] = []
    thread = Thread(polls)

    async def play() -> bool:
        ledger = Ledger(9, 1 << 20)

        async def callback(message: Any) -> None:
            handed.append((message.tp.topic, message.offset))
            for ticket in message.value.tickets:
                ledger.start(ticket)
                ledger.finish(ticket)

        async def end_round() -> None:
            handed.append(("end", 0))

        consumer = cast("Any", BatchConsumer.__new__(BatchConsumer))
        consumer._stopped, consumer._crashed = asyncio.Event(), asyncio.Event()
        consumer.app = SimpleNamespace(
            ledger=ledger,
            aligner=Aligner(["likes"], 100, 1_000),
            options=TransportOptions([], prompt_topics=frozenset({"actions"}), packed_topics=frozenset({"actions"})),
            consumer_generation_id=3,
            end_round=end_round,
        )
        if during is not None:
            thread.getmany = during(consumer, thread.getmany)  # type: ignore[method-assign]
        consumer._thread, consumer.callback, consumer._active_partitions = thread, callback, {LIKES, ACTIONS}
        consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
        consumer.resume_flow()
        thread.reached = {LIKES: Reached(8, 8, 1)}
        return bool(await consumer._go_on({LIKES: Came(LIKES, 7), ACTIONS: Came(ACTIONS, 0)}, 3))

    return handed, asyncio.run(play()), thread


def test_blocks_that_come_while_the_inputs_are_worked_on_do_not_wait_for_them() -> None:
    handed, goes_on, thread = worked_on([{ACTIONS: Came(ACTIONS, 1)}])
    assert handed == [("actions", 0), ("actions", 1), ("likes", 7), ("end", 0)]
    assert thread.asked == [{ACTIONS}]
    assert goes_on


def test_blocks_of_an_assignment_that_came_meanwhile_are_not_passed_over() -> None:
    """They were taken behind its seek, so nobody would fetch them again."""

    def during(consumer: Any, getmany: Any) -> Any:
        async def rebalanced(*arguments: Any) -> Any:
            consumer.app.consumer_generation_id = 4
            return await getmany(*arguments)

        return rebalanced

    handed, goes_on, _ = worked_on([{ACTIONS: Came(ACTIONS, 1)}], during)
    assert handed == [("actions", 0), ("actions", 1)]
    assert not goes_on
