"""What the agent of the groups does with a batch: records of visits to flags about accounts that act together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streams.agents import Agent, count_letters, unpacked
from streams.blocks import BlockRefused
from streams.surges import PARTITION, unpack

if TYPE_CHECKING:
    from schemas.flags import Flag
    from streams.fetched import FetchedBatch
    from streams.publish import Sent
    from streams.surges import Surges


class GroupsAgent(Agent):
    """Visits in all partitions → flags about groups."""

    async def process(self, batch: FetchedBatch) -> None:
        """Work on one batch whose ticket was started."""
        started = time.perf_counter()
        flags: list[Flag] = []
        found, letters = unpacked(batch, unpack if batch.source.partition == PARTITION else _refuse)
        for _, surges in found:
            flags += self._stages.groups(batch.source.partition).apply(surges)
        count_letters(self._metrics, batch.source.topic, letters)
        self._metrics.batch_seconds.labels("groups").observe(time.perf_counter() - started)
        sent: list[Sent] = [await self._publisher.flag(flag) for flag in flags]
        self._finish(batch, sent, letters)


def _refuse(_: bytes | None) -> Surges:
    raise BlockRefused(f"visits belong into partition {PARTITION} of their topic")
