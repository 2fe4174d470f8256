"""Puts the actions of several batches together into one block for each subject partition, and finishes their tickets.

A block costs a third of a millisecond from being packed to having been applied, whatever is in it, and a batch becomes
one for nearly every subject partition. So what was fetched together, of all topics and partition numbers, goes on
together, as soon as it is worked on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.blocks import pack_all

if TYPE_CHECKING:
    from streams.blocks import Outgoing
    from streams.completion import Completion
    from streams.fetched import FetchedBatch
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.publish import Publisher, Sent
    from streams.sources import Sources

TOGETHER_S = 0.1
"""How long actions wait at the most for those that were fetched with them, where work on these takes that long."""

ROWS_MAX = 16_384
"""Actions that are not kept waiting: beyond that, a block costs little beside what is in it, and the arrays outgrow the
processor's caches."""

BLOCK_ROWS_MIN = 1_024
"""Actions for each subject partition before they are not kept waiting, where there are many partitions: with 64 of them
a backlog is read 1.2 times as fast as with blocks of a quarter of that."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch whose actions wait to be packed, and what else was sent of it."""

    batch: FetchedBatch
    outgoing: Outgoing
    sent: list[Sent]


class Gatherer:
    """Holds what actor stages made until it is packed and queued. Belongs to the event loop."""

    def __init__(
        self, publisher: Publisher, sources: Sources, completion: Completion, metrics: Metrics, lifecycle: Lifecycle
    ) -> None:
        self._publisher = publisher
        self._sources = sources
        self._completion = completion
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._waiting: list[_Waiting] = []
        self._rows_max = max(ROWS_MAX, BLOCK_ROWS_MIN * sources.subject_partitions)
        self._rows = 0
        self._turn = asyncio.Lock()  # what is packed first is queued first
        self._soon: asyncio.Task[None] | None = None

    async def add(self, batch: FetchedBatch, outgoing: Outgoing, sent: list[Sent]) -> None:
        """Take the actions of a batch that was worked on; its ticket is finished after them and all of `sent`."""
        self._waiting.append(_Waiting(batch, outgoing, sent))
        self._rows += len(outgoing.actions)
        if self._rows >= self._rows_max:
            await self.send()
        elif self._soon is None or self._soon.done():
            self._soon = asyncio.ensure_future(self._send_soon())

    async def send(self) -> None:
        """Pack and queue what waits."""
        async with self._turn:
            waiting, self._waiting, self._rows = self._waiting, [], 0
            if not waiting:
                return
            started = time.perf_counter()
            packed = pack_all([one.outgoing for one in waiting], self._sources.subject_partitions)
            self._metrics.batch_seconds.labels("blocks").observe(time.perf_counter() - started)
            sent = [await self._publisher.block(block.partition, block.value) for block in packed]
            for one in waiting:
                header = one.outgoing.header
                told = {block.partition for block in packed if (header.topic, header.partition) in block.sources}
                source = self._sources.get(one.batch.source, time.monotonic())
                source.sent(told, header.watermark_ms, header.offset_last)
                sent += one.sent
            self._completion.finish_after([one.batch for one in waiting], sent)

    async def _send_soon(self) -> None:
        try:
            # What comes while something is being sent waits for the next turn of this.
            while self._waiting:
                await asyncio.sleep(TOGETHER_S)
                await self.send()
        except Exception as error:  # noqa: BLE001  # whatever it is, its batches are not done
            self._lifecycle.fail(error)
