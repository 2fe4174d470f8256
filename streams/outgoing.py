"""Puts the actions of several batches together into one block for each subject partition, and finishes their tickets.

A block costs a third of a millisecond from being packed to having been applied, whatever is in it, and a batch becomes
one for nearly every subject partition. So what was fetched together, of all topics and partition numbers, goes on
together, as soon as it is worked on.

Of a backlog a round of partition numbers is more than one block should hold. It is cut by event time, and the same
minutes of all numbers go on together: where a history was sent within seconds, one number's days would otherwise come
before another's.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streams.blocks import pack_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.blocks import Outgoing
    from streams.completion import Completion
    from streams.fetched import FetchedBatch
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.publish import Publisher, Sent
    from streams.sources import Sources

TOGETHER_S = 0.1
"""How long actions wait at the most for those that were fetched with them, where work on these takes that long."""

ROUND_S = 2.0
"""The same where a round is so large that it is cut: work on a backlog takes that long. After that it was broken off,
by a rebalance, and no more comes of it."""

BLOCK_S = 0.002
"""How long it is waited after each block that was sent, before the next ones, unless so many actions wait meanwhile as
are not kept waiting: with 256 subject partitions half a second. A block costs a millisecond or two of worker and client
whatever is in it, and where everybody gets one for every few actions there would be time for nothing else."""

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
        self._began_s = 0.0  # when the first of what waits came, by the loop's clock
        self._round_goes_on = False
        self._not_before_s = 0.0  # until when the last blocks are enough
        self._turn = asyncio.Lock()  # what is packed first is queued first
        self._soon: asyncio.Task[None] | None = None

    async def add(self, batch: FetchedBatch, outgoing: Outgoing, sent: list[Sent], *, last: bool = True) -> None:
        """Take the actions of a batch that was worked on; its ticket is finished after them and all of `sent`.

        Unless it is the `last` of its round, the others are waited for.
        """
        if not self._waiting:
            self._began_s = asyncio.get_running_loop().time()
        self._waiting.append(_Waiting(batch, outgoing, sent))
        self._rows += len(outgoing.actions)
        self._round_goes_on = not last
        if last and self._rows >= self._rows_max:
            await self.send()
        elif self._soon is None or self._soon.done():
            self._soon = asyncio.ensure_future(self._send_soon())

    async def end_round(self) -> None:
        """Pack and queue what waits, or leave it to wait for more where there are many partitions."""
        if asyncio.get_running_loop().time() >= self._not_before_s:
            await self.send()

    async def send(self) -> None:
        """Pack and queue what waits."""
        async with self._turn:
            waiting, self._waiting, self._rows = self._waiting, [], 0
            if not waiting:
                return
            seconds, blocks = 0.0, 0
            sent: list[Sent] = []
            told: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
            for some in cut([one.outgoing for one in waiting], self._rows_max):
                started = time.perf_counter()
                packed = pack_all(some, self._sources.subject_partitions)
                blocks += len(packed)
                seconds += time.perf_counter() - started
                for block in packed:
                    sent.append(await self._publisher.block(block.partition, block.value))
                    for topic_and_number in block.sources:
                        told[topic_and_number].add(block.partition)
            self._metrics.batch_seconds.labels("blocks").observe(seconds)
            for one in waiting:
                header = one.outgoing.header
                source = self._sources.get(one.batch.source, time.monotonic())
                source.sent(told[header.topic, header.partition], header.watermark_ms, header.offset_last)
                sent += one.sent
            self._not_before_s = asyncio.get_running_loop().time() + BLOCK_S * blocks
            self._completion.finish_after([one.batch for one in waiting], sent)

    async def _send_soon(self) -> None:
        try:
            # What comes while something is being sent waits for the next turn of this.
            while self._waiting:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(TOGETHER_S, self._not_before_s - loop.time()))
                waited_s = loop.time() - self._began_s
                if waited_s >= ROUND_S or not (self._round_goes_on and self._rows >= self._rows_max):
                    await self.send()
        except Exception as error:  # noqa: BLE001  # whatever it is, its batches are not done
            self._lifecycle.fail(error)


def cut(batches: Sequence[Outgoing], rows_max: int) -> Iterator[list[Outgoing]]:
    """Yield the actions of batches in parts of about `rows_max`, each with the same event time of all of them."""
    count = round(sum(len(one.actions) for one in batches) / rows_max)
    if count <= 1:
        yield list(batches)
        return
    # Watermarks never fall within a source, so a part is a stretch of each, and its order stays.
    times = [one.actions.watermark for one in batches]
    every = np.concatenate(times)
    places = np.arange(1, count) * len(every) // count
    ends_ms = np.partition(every, places)[places]
    ends = [[*np.searchsorted(each, ends_ms, side="right").tolist(), len(each)] for each in times]
    begin = [0] * len(batches)
    for part in range(count):
        until = [each[part] for each in ends]
        some = [one.stretch(*span) for one, *span in zip(batches, begin, until, strict=True) if span[0] < span[1]]
        begin = until
        if some:
            yield some
