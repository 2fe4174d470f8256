"""A stock Faust agent: `async for event in stream`, the small job in a plain dict or in a Table.

Run as `python -m tests.bench.peers.stock_faust BOOTSTRAP EXPECTED dict|table PARTITIONS TOPIC...`. The Table is in
memory with a changelog topic: Faust's default for what must outlive a worker.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterable
from typing import Any

import faust
import uvloop

from tests.bench.peers.stopwatch import Stopwatch
from tests.bench.peers.windowed_count import WINDOW_MS, WindowedCount, target_of


def build(bootstrap: str, expected: int, store: str, topics: list[str], partitions: int) -> faust.App:
    """One agent over the input topics, with its own JSON codec."""
    app = faust.App(
        f"bench-{uuid.uuid4()}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        datadir=tempfile.mkdtemp(prefix="stock-faust-"),
        broker_commit_every=10_000,
    )
    job = WindowedCount()
    stopwatch = Stopwatch(expected)
    channel = app.topic(*topics, value_serializer="json")

    def end() -> None:
        stopwatch.tell(closed=job.closed, spikes=job.spikes)
        os._exit(0)  # its clean stop takes seconds that are not part of the job

    async def in_dict(events: AsyncIterable[dict[str, Any]]) -> None:
        async for event in events:
            stopwatch.start()
            job.add(event)
            if stopwatch.done(1):
                end()

    if store == "dict":
        app.agent(channel)(in_dict)
        return app
    table = app.Table("targets", partitions=partitions)

    async def in_table(events: AsyncIterable[dict[str, Any]]) -> None:
        async for event in events:
            stopwatch.start()
            target = target_of(event)
            if target is not None:
                table[target], spike = job.step(table.get(target), event["ts"] // WINDOW_MS)
                job.spikes += spike
            if stopwatch.done(1):
                end()

    app.agent(channel)(in_table)
    return app


if __name__ == "__main__":
    uvloop.install()
    logging.disable(logging.WARNING)
    faust.Worker(
        build(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[5:], int(sys.argv[4])),
        loglevel="ERROR",
        redirect_stdouts=False,
    ).execute_from_commandline()
