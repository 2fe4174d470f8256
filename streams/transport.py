"""The batch transport: Faust's way in for consumers and producers of our own.

It is registered under the entry-point group `faust.transports` as the URL scheme `boostwatch`, and set by hand
on the app in `streams.app`, so that it also works from a source tree that nobody installed.
"""

# ruff: noqa: SLF001 -- private names of aiokafka are what this is made of; the contract test pins them
from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from faust.transport.drivers import aiokafka as driver

from streams.consumer import BatchConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEME = "boostwatch"

PRODUCE_BATCH_BYTES_MAX = 256 * 1024
"""Records go together up to this: well under the 1 MiB that a broker takes by default, so that only a record
that is too large by itself is ever refused for its size."""

PRODUCE_LINGER_MS = 0
"""How long records for a partition wait for company: not at all. Actions have waited for each other before
(`streams.outgoing`), and what comes while a request is on its way goes with the next."""

PRODUCE_REQUEST_BYTES_MAX = 64 << 20
"""No bound of ours: a record too large for its topic is for the broker to refuse, which knows the topic's limit."""


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How to connect, fetch and send. Times in ms, sizes in bytes."""

    bootstrap_servers: list[str]
    client_id: str = "boostwatch"
    group_instance_id: str | None = None
    security: Mapping[str, Any] = field(default_factory=dict)
    """aiokafka's keyword arguments for TLS and SASL."""
    fetch_wait_ms: int = 100
    partition_fetch_bytes_max: int = 1 << 20
    fetch_bytes_max: int = 16 << 20
    records_max: int = 65_536
    session_timeout_ms: int = 30_000
    rebalance_timeout_ms: int = 60_000
    """How long the group waits for this worker on a rebalance; longer than `settle_timeout_ms`."""
    settle_timeout_ms: int = 20_000
    """How long work in flight may take to be acknowledged when partitions leave. Then the worker stops instead,
    so it must be shorter than the rebalance time-out, after which others would already work on them."""
    request_timeout_ms: int = 40_000
    """How long one request may take before it is tried again."""
    delivery_timeout_ms: int = 90_000
    """How long a record may wait for its acknowledgement, all attempts together. A minute without Kafka fits in it;
    after that the worker ends, and its supervisor decides."""
    check_crcs: bool = True
    prompt_topics: frozenset[str] = frozenset()
    """What is fetched as soon as it is there, where everything else is collected for `fetch_wait_ms`."""
    packed_topics: frozenset[str] = frozenset()
    """What workers packed: each record holds thousands of actions or visits already."""


class BatchProducer(driver.Producer):
    """aiokafka's producer, started and stopped by Faust, that gives back the future of every record.

    Not idempotent in Kafka's sense: aiokafka counts a refused batch in its sequence numbers and every later one
    then fails. Order is kept without it (one request per partition at a time), and a repeat is recognised by
    its readers: actions by their source offsets, flags by their ids.
    """

    mundane_level = "debug"
    first_failure: tuple[str, BaseException] | None = None
    """The topic and the error of the first record that was given up; the errors of all others follow from it."""
    _given_up = False

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:  # noqa: ARG002
        options: TransportOptions = self.app.options
        producer = AIOKafkaProducer(
            client_id=options.client_id,
            bootstrap_servers=options.bootstrap_servers,
            acks="all",
            max_batch_size=PRODUCE_BATCH_BYTES_MAX,
            linger_ms=PRODUCE_LINGER_MS,
            max_request_size=PRODUCE_REQUEST_BYTES_MAX,
            request_timeout_ms=options.delivery_timeout_ms,
            **options.security,
        )
        # A batch that expires is left out, and the next one of its partition is sent: its readers would take that for
        # proof that they have seen everything before. So none expires; `oldest_unacknowledged_s` ends the worker.
        producer._message_accumulator._batch_ttl = math.inf
        return producer

    def give_up(self) -> None:
        """Send nothing more, not even what is queued: it would go past a record that is missing."""
        self._given_up = True
        producer = self._producer
        if producer is not None and producer._sender.sender_task is not None:
            producer._sender.sender_task.cancel()
            producer._message_accumulator.fail_all(ProducerClosed())  # whoever waits for it waits in vain

    async def flush(self) -> None:
        """Wait until everything that is queued is sent, unless nothing will be."""
        if not self._given_up:
            await super().flush()

    def _look(self, topic: str, sent: asyncio.Future[Any]) -> None:
        # The callback of a future comes before the sender's next turn, so nothing overtakes what has failed.
        if sent.cancelled():
            return
        error = sent.exception()
        if error is not None:
            self.first_failure = self.first_failure or (topic, error)
            self.give_up()

    async def submit(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[Any]:
        """Queue one record, waiting for room; the future is done when the broker has acknowledged it.

        After one that has failed nothing more is sent.
        """
        sent: asyncio.Future[Any] = await self._ensure_producer().send(
            topic, value, key=key, partition=partition, headers=list(headers)
        )
        sent.add_done_callback(partial(self._look, topic))
        return sent

    def new_batch(self) -> Any:
        """Return an empty record batch to fill."""
        return self._ensure_producer().create_batch()

    async def submit_batch(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        """Queue a record batch, waiting for room; the future is done when the broker has acknowledged it."""
        sent: asyncio.Future[Any] = await self._ensure_producer().send_batch(batch, topic, partition=partition)
        return sent

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return len(await self._ensure_producer().partitions_for(topic))


class Transport(driver.Transport):
    """Faust's Kafka transport with the batch consumer and the producer above."""

    Consumer = BatchConsumer
    Producer = BatchProducer

    driver_version = f"boostwatch on {driver.Transport.driver_version}"
