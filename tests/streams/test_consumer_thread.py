"""What the consumer's thread takes from aiokafka, and when it takes nothing."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from streams.alignment import Reached
from streams.commits import Partition
from streams.consumer_thread import BatchConsumerThread


def test_nothing_is_taken_once_flow_has_stopped() -> None:
    """A poll that began before a rebalance must not take, and drop, what follows the seek after it."""
    taken: list[object] = []

    async def play() -> object:
        consumer = SimpleNamespace(flow_active=True)
        arrived = asyncio.get_running_loop().create_future()
        fetcher = SimpleNamespace(
            _closed=False,
            _create_fetch_waiter=lambda: arrived,
            _subscriptions=SimpleNamespace(reassignment_in_progress=False),
        )

        def look(*_: object) -> dict[object, object]:
            taken.append("look")
            return {}

        thread = SimpleNamespace(
            consumer=consumer,
            _take_ready=look,
            _reached=dict,
        )
        poll = BatchConsumerThread._take(cast("Any", thread), fetcher, set(), time.monotonic() + 30, 10)
        waiting = asyncio.ensure_future(poll)
        await asyncio.sleep(0.01)
        assert taken == ["look"]
        consumer.flow_active = False
        arrived.set_result(None)
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(play()) == {}
    assert taken == ["look"]


def test_when_news_came_is_told_by_a_clock_that_never_jumps() -> None:
    wall = {"timestamp": 7_200_000}
    thread: Any = SimpleNamespace(_heard={})
    thread._states = lambda: {
        Partition("likes", 0): SimpleNamespace(position=3, has_valid_position=True, highwater=5, **wall)
    }

    def look() -> Reached:
        (one,) = BatchConsumerThread._reached(thread).values()
        return one

    first = look()
    assert look() == first
    wall["timestamp"] = 3_600_000
    time.sleep(0.002)
    later = look()
    assert later.heard_ms is not None
    assert first.heard_ms is not None
    assert 0 < later.heard_ms - first.heard_ms < 60_000
