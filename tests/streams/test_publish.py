"""What is told when records are not acknowledged."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerClosed

from streams.errors import ProduceFailed
from streams.metrics import Metrics
from streams.publish import Publisher
from streams.recent import RecentFlags
from streams.transport import BatchProducer

if TYPE_CHECKING:
    from streams.publish import Sent


class _Broker:
    """Stands for aiokafka's producer: hands out futures that the test settles, and fails all of them when asked."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Any]] = []
        self._sender = SimpleNamespace(sender_task=SimpleNamespace(cancel=lambda: None))
        self._message_accumulator = self

    async def send(self, *_: object, **__: object) -> asyncio.Future[Any]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]

    def fail_all(self, error: Exception) -> None:
        for sent in self.sent:
            if not sent.done():
                sent.set_exception(error)


def test_every_waiter_hears_of_the_record_that_brought_the_end_about_and_not_of_what_followed() -> None:
    asyncio.run(_one_of_two_is_too_large())


async def _one_of_two_is_too_large() -> None:
    broker = _Broker()
    producer = BatchProducer.__new__(BatchProducer)  # Faust's own start wants an app and a Kafka
    producer.__dict__.update(_producer=broker, _ensure_producer=lambda: broker)
    publisher = Publisher(producer, Metrics([]), RecentFlags(4), "actions", "flags", "here")
    other = asyncio.ensure_future(_outcome(await publisher.block(0, b"block")))
    culprit = await publisher.state("too-small", 0, b"key", b"value")
    broker.sent[1].set_exception(MessageSizeTooLargeError(3, "max"))
    assert "topic too-small was not acknowledged (MessageSizeTooLargeError" in await other  # the culprit has no waiter
    assert isinstance(broker.sent[0].exception(), ProducerClosed)
    assert "topic too-small" in await _outcome(culprit)


async def _outcome(sent: Sent) -> str:
    with pytest.raises(ProduceFailed) as told:
        await sent
    return str(told.value)
