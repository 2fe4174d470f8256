"""Reading state partitions from beginning to end, in batches, beside the group and its consumer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from streams.commits import Partition
    from streams.transport import TransportOptions

FETCH_BYTES = 16 << 20
"""A fetch brings as much as this: two of the largest records, or some dozens of usual ones."""

POLL_MS = 1_000

FETCH_WAIT_MS = 20
"""How long the broker may hold a fetch that finds nothing. A connection has one request at a time with it, so the one
that is left over at a partition's end keeps the next partition waiting."""

STALLED_S = 60.0
"""Without a record, while there are some: then the broker does not do its work, and the worker ends with that."""


@dataclass(frozen=True, slots=True)
class Some:
    """Some records of a partition in their order, as (offset, key, value), and the share of it that is read then."""

    records: list[tuple[int, bytes | None, bytes | None]]
    progress: float


class StateReader:
    """A consumer without a group, for the time of a restore; a context manager opens and closes it."""

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        options = self._options
        self._consumer = AIOKafkaConsumer(
            client_id=options.client_id,
            bootstrap_servers=options.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=options.check_crcs,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=options.request_timeout_ms,
            **options.security,
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise BrokerError(f"cannot read the state topics: {error!r}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def read(self, source: Partition) -> AsyncIterator[Some]:
        """Yield everything that a partition holds now. Raises BrokerError."""
        consumer, tp = self._consumer, TopicPartition(*source)
        try:
            consumer.assign([tp])
            first = (await consumer.beginning_offsets([tp]))[tp]
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, first)
            position, heard_s = first, time.monotonic()
            while position < end:
                found = (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, ())
                before, position = position, await consumer.position(tp)
                if position > before:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > STALLED_S:
                    raise BrokerError(
                        f"topic {source.topic}, partition {source.partition} ends at offset {end}, and nothing came "
                        f"from {position} on for {STALLED_S:.0f} s: look at the broker, then start the worker again"
                    )
                records = [(record.offset, record.key, record.value) for record in found if record.offset < end]
                yield Some(records, min(1.0, (position - first) / (end - first)))
                await asyncio.sleep(0)
        except KafkaError as error:
            raise BrokerError(
                f"topic {source.topic}, partition {source.partition} cannot be read: {error!r}"
            ) from error
