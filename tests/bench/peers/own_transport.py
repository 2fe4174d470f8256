"""The small job on boostwatch's own transport: a Faust agent that is handed a fetched partition batch at a time.

Run as `python -m tests.bench.peers.own_transport BOOTSTRAP EXPECTED TOPIC...`. It commits what is done as the worker
does without checkpoints; what is left out is what boostwatch does with the events.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import uvloop
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.texts import Pieces
from streams.app import BatchSchema, build_app
from streams.commits import Ledger, Partition
from streams.lifecycle import Lifecycle
from streams.record_batches import MAGIC, KeptRecords, read_batches
from streams.settings import Settings
from tests.bench.peers.stopwatch import Stopwatch, tame_collector
from tests.bench.peers.windowed_count import WindowedCount


class Onlooker:
    """An observer without state to keep: partitions begin where the group has committed, and the watch with them."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch

    async def leave(self) -> None:
        """Do nothing."""

    async def resume(self, offsets: Mapping[Partition, int | None], generation: int) -> dict[Partition, int | None]:
        """Change nothing."""
        del generation
        return dict(offsets)

    def on_assigned(self, offsets: Mapping[Partition, int | None], strangers: set[Partition]) -> None:
        """Start the watch."""
        del strangers
        if offsets:
            self._stopwatch.start()

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing."""


async def run(bootstrap: str, expected: int, topics: list[str]) -> None:
    """Read until `expected` records have passed."""
    settings = Settings(bootstrap=bootstrap, group_id=f"bench-{uuid.uuid4()}")
    ledger, lifecycle = Ledger(settings.in_flight_batches_max, settings.in_flight_bytes_max), Lifecycle()
    job, stopwatch = WindowedCount(), Stopwatch(expected)
    app = build_app(settings, ledger, lifecycle, Onlooker(stopwatch))

    async def count(stream: Any) -> None:
        add, loads = job.add, orjson.loads
        async for batch in stream:
            if batch.ticket is None or not ledger.start(batch.ticket):
                continue
            values = Pieces.over(batch.values)
            buffer = values.buffer
            for start, size in zip(values.starts.tolist(), values.sizes.tolist(), strict=True):
                add(loads(buffer[start : start + size]))
            ledger.finish(batch.ticket)
            if stopwatch.done(len(batch)):
                stopwatch.tell(closed=job.closed, spikes=job.spikes)
                os._exit(0)

    app.agent(app.topic(*topics, schema=BatchSchema(), acks=False, internal=False), name="count")(count)
    await app.start()
    await asyncio.wait({asyncio.ensure_future(lifecycle.failed()), asyncio.ensure_future(app.wait_until_stopped())})


def load_loops() -> None:
    """Have the compiled reader of records at hand, as a worker has before it joins its group."""
    builder = DefaultRecordBatchBuilder(
        MAGIC, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1_000
    )
    builder.append(0, 0, b"key", b"value", [])
    read_batches([KeptRecords(bytes(builder.build())).next_kept()], 0)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    load_loops()
    tame_collector()
    sys.setswitchinterval(0.001)  # as the worker's, for the consumer's thread
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
