"""When the consumer lets records flow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from faust.transport.drivers import aiokafka as driver

from streams.commits import Partition
from streams.consumer import BatchConsumer

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
