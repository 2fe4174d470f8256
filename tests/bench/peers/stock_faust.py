"""A stock Faust agent: `async for event in stream`, the small job in a plain dict, no changelog.

Run as `python -m tests.bench.peers.stock_faust BOOTSTRAP EXPECTED TOPIC...`.
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
from tests.bench.peers.windowed_count import WindowedCount


def build(bootstrap: str, expected: int, topics: list[str]) -> faust.App:
    """One agent over the input topics, with its own JSON codec."""
    app = faust.App(
        f"bench-{uuid.uuid4()}",
        broker=f"kafka://{bootstrap}",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        datadir=tempfile.mkdtemp(prefix="stock-faust-"),
        broker_commit_every=10_000,
    )
    job = WindowedCount()
    stopwatch = Stopwatch(expected)

    @app.agent(app.topic(*topics, value_serializer="json"))
    async def count(events: AsyncIterable[dict[str, Any]]) -> None:
        async for event in events:
            stopwatch.start()
            job.add(event)
            if stopwatch.done(1):
                os._exit(0)  # its clean stop takes seconds that are not part of the job

    return app


if __name__ == "__main__":
    uvloop.install()
    logging.disable(logging.WARNING)
    faust.Worker(
        build(sys.argv[1], int(sys.argv[2]), sys.argv[3:]), loglevel="ERROR", redirect_stdouts=False
    ).execute_from_commandline()
