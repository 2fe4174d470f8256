"""What the consumer's thread takes from aiokafka, and when it takes nothing."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

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

        def look(*_: object) -> bool:
            taken.append("look")
            return True

        thread = SimpleNamespace(
            consumer=consumer,
            _take_ready=look,
            _behind=lambda *_: False,
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
