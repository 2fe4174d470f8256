"""Quix Streams: its stateful `apply`, with the state in RocksDB and a changelog, as its makers recommend.

Run as `python -m tests.bench.peers.quix_app BOOTSTRAP EXPECTED TOPIC`, in the peers' environment.
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from typing import Any

from quixstreams import Application, State

from tests.bench.peers.stopwatch import Stopwatch
from tests.bench.peers.windowed_count import WINDOW_MS, WindowedCount


def run(bootstrap: str, expected: int, topic: str) -> None:
    """Read until `expected` records have passed."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(prefix="quix-"),
        loglevel="ERROR",
    )
    job = WindowedCount()
    stopwatch = Stopwatch(expected)

    def count(event: dict[str, Any], state: State) -> bool:
        stopwatch.start()
        after, spike = job.step(state.get("state"), event["ts"] // WINDOW_MS)
        state.set("state", after)
        stopwatch.done(1)
        return spike

    def take(spike: bool) -> None:  # noqa: FBT001 - what a stream carries
        job.spikes += spike

    stream = app.dataframe(app.topic(topic, key_deserializer="str", value_deserializer="json"))
    stream.apply(count, stateful=True).filter(bool).update(take)
    app.run(count=expected, timeout=60, collect=False)
    stopwatch.tell(closed=job.closed, spikes=job.spikes)
    os._exit(0)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
