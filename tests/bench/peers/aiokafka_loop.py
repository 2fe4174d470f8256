"""The limit: a bare aiokafka loop that reads batches and does nothing, or the small job, with them.

Run as `python -m tests.bench.peers.aiokafka_loop BOOTSTRAP EXPECTED read|job TOPIC...`.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer

from tests.bench.peers.stopwatch import Stopwatch, tame_collector
from tests.bench.peers.windowed_count import WindowedCount


async def run(bootstrap: str, expected: int, mode: str, topics: list[str]) -> None:
    """Read until `expected` records have passed."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    job = WindowedCount()
    stopwatch = Stopwatch(expected)
    await consumer.start()
    try:
        while not consumer.assignment():  # noqa: ASYNC110 - aiokafka offers no event; joining is nobody's throughput
            await asyncio.sleep(0.001)
        stopwatch.start()
        while True:
            batches = await consumer.getmany(timeout_ms=1_000)
            for records in batches.values():
                if mode == "job":
                    for record in records:
                        job.add(orjson.loads(record.value))
                if stopwatch.done(len(records)):
                    break
            else:
                continue
            break
        stopwatch.tell(**({"closed": job.closed, "spikes": job.spikes} if mode == "job" else {}))
    finally:
        await consumer.stop()


if __name__ == "__main__":
    tame_collector()
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
