"""What the agent of the groups does with a batch: records of meetings to flags about accounts that act together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streams.agents import count_letters
from streams.blocks import BlockRefused
from streams.dead_letters import StreamReason, letter, unreadable
from streams.surges import PARTITION, unpack

if TYPE_CHECKING:
    from schemas.flags import Flag
    from streams.agents import Completion
    from streams.dead_letters import DeadLetterWriter, Letter
    from streams.fetched import FetchedBatch
    from streams.metrics import Metrics
    from streams.publish import Publisher, Sent
    from streams.stages import Stages
    from streams.surges import Surges


class GroupsAgent:
    """Meetings of all partitions → flags about groups."""

    def __init__(
        self,
        stages: Stages,
        publisher: Publisher,
        dead_letters: DeadLetterWriter,
        metrics: Metrics,
        completion: Completion,
    ) -> None:
        self._stages = stages
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._completion = completion

    async def process(self, batch: FetchedBatch) -> None:
        """Work on one batch whose ticket was started."""
        started = time.perf_counter()
        flags: list[Flag] = []
        letters: list[Letter] = list(unreadable(batch))
        for row, value in enumerate(batch.values):
            try:
                surges = _surges_of(batch, value)
            except BlockRefused as refused:
                letters.append(letter(batch, row, StreamReason.NOT_A_BLOCK, str(refused)))
            else:
                flags += self._stages.groups(batch.source.partition).apply(surges)
        count_letters(self._metrics, batch.source.topic, letters)
        self._metrics.batch_seconds.labels("groups").observe(time.perf_counter() - started)
        sent: list[Sent] = [await self._publisher.flag(flag) for flag in flags]
        if letters:
            sent.append(self._dead_letters.write(letters, batch.source.partition))
        self._completion.finish_after(batch, sent)


def _surges_of(batch: FetchedBatch, value: bytes | None) -> Surges:
    if batch.source.partition != PARTITION:
        raise BlockRefused(f"meetings belong into partition {PARTITION} of their topic")
    return unpack(value)
