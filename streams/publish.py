"""What the worker sends: blocks of actions and flags. Every record's future is handed back and awaited.

Nothing here retries: aiokafka does, until its request time-out. A record that it gives up on stops the worker
before anything that the record came from is committed, so a restart sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.errors import KafkaError

from schemas.flags import Flag, Status, cloudevent_headers, encode_flag
from streams.errors import ProduceFailed
from streams.surges import PARTITION as GROUPS_PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.metrics import Metrics
    from streams.recent import RecentFlags
    from streams.transport import BatchProducer

log = logging.getLogger(__name__)

Sent = Awaitable[Any]
"""Done when the broker has acknowledged a record; raises ProduceFailed."""


class Publisher:
    """Sends blocks and flags for the agents."""

    def __init__(
        self,
        producer: BatchProducer,
        metrics: Metrics,
        recent: RecentFlags,
        actions: str,
        flags: str,
        source: str,
        surges: str = "",
    ) -> None:
        """`actions`, `flags`, `surges` are topic names; `source` names this deployment in the flags' `ce_source`."""
        self._surges = surges
        self._producer = producer
        self._metrics = metrics
        self._recent = recent
        self._actions = actions
        self._flags = flags
        self._source = source
        self._waiting: dict[asyncio.Future[Any], float] = {}  # queued at, on the monotonic clock; the oldest first

    @property
    def oldest_unacknowledged_s(self) -> float:
        """For how long the oldest record that was sent waits for its acknowledgement, 0 where none does."""
        return time.monotonic() - next(iter(self._waiting.values())) if self._waiting else 0.0

    async def block(self, subject_partition: int, value: bytes) -> Sent:
        """Queue one packed block; what is queued first arrives first at its partition."""
        sent = await self._queued(
            self._actions, self._producer.submit(self._actions, value, partition=subject_partition)
        )
        self._metrics.blocks.inc()
        self._metrics.block_bytes.inc(len(value))
        return sent

    async def surges(self, value: bytes) -> Sent:
        """Queue one record of visits, for the one partition where they come together."""
        sent = await self._queued(self._surges, self._producer.submit(self._surges, value, partition=GROUPS_PARTITION))
        self._metrics.surges.inc()
        self._metrics.surge_bytes.inc(len(value))
        return sent

    async def flag(self, flag: Flag) -> Sent:
        """Stamp and queue one flag."""
        stamped = msgspec.structs.replace(flag, emitted_at=time.time_ns() // 1_000_000)
        value = encode_flag(stamped)
        sent = await self._queued(
            self._flags,
            self._producer.submit(
                self._flags,
                value,
                key=stamped.subject.id.encode(),
                headers=cloudevent_headers(stamped, self._source),
            ),
        )
        return self._acknowledged(stamped, value, sent)

    async def state(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Sent:
        """Queue one record of a state topic; without a value it deletes the key's."""
        return await self._queued(topic, self._producer.submit(topic, value, key=key, partition=partition))

    async def _acknowledged(self, flag: Flag, value: bytes, sent: Sent) -> None:
        await sent
        self._metrics.flags.labels(flag.kind.value, flag.status.value, flag.mode.value).inc()
        if flag.status is Status.OPENED:
            self._metrics.episodes.labels(flag.kind.value, flag.severity.value).inc()
            self._metrics.flag_score.labels(flag.kind.value).observe(flag.score)
            self._metrics.detection_latency.observe(max(0.0, time.time() - flag.detected_at / 1000))
        self._recent.add(value)
        # The subject is left out: logs hold nobody's name, and whoever may see it finds it by the flag's id.
        log.info(
            "flag",
            extra={
                "fields": {
                    "flag_id": flag.flag_id, "kind": flag.kind.value, "status": flag.status.value,
                    "mode": flag.mode.value, "severity": flag.severity.value, "score": flag.score,
                }
            },
        )  # fmt: skip

    async def _queued(self, topic: str, queueing: Awaitable[asyncio.Future[Any]]) -> Sent:
        try:
            sent = await queueing
        except KafkaError as error:
            raise self._failed(topic, error) from error
        self._waiting[sent] = time.monotonic()
        sent.add_done_callback(self._waiting.pop)
        return self._named(topic, sent)

    async def _named(self, topic: str, sent: asyncio.Future[Any]) -> None:
        try:
            await sent
        except KafkaError as error:
            raise self._failed(topic, error) from error

    def _failed(self, topic: str, error: BaseException) -> ProduceFailed:
        # Whoever waits for another record may hear of the end before whoever waits for the one that brought it about.
        topic, error = self._producer.first_failure or (topic, error)
        return ProduceFailed(
            f"a record for topic {topic} was not acknowledged ({error!r}); nothing that it came from is committed, "
            "so start the worker again once the broker is well"
        )


async def all_of(sent: Iterable[Sent]) -> None:
    """Wait for every record; raise the first failure once one has failed."""
    await asyncio.gather(*sent)
