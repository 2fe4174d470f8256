"""Bytewax: decoded by the batch, `stateful_flat_map` by target, spikes into a sink; one worker, without recovery.

Run as `python -m tests.bench.peers.bytewax_flow BOOTSTRAP EXPECTED TOPIC`, in the peers' environment.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from tests.bench.peers.stopwatch import Stopwatch
from tests.bench.peers.windowed_count import WINDOW_MS, State, WindowedCount, target_of

TAKE = 10_000
"""Messages that the source takes at a time."""


class Counted(StatelessSinkPartition[Any]):
    """Counts what reaches it."""

    def __init__(self, job: WindowedCount) -> None:
        self._job = job

    def write_batch(self, items: list[Any]) -> None:
        """Take spikes."""
        self._job.spikes += len(items)


class Sink(DynamicSink[Any]):
    """Where the spikes go."""

    def __init__(self, job: WindowedCount) -> None:
        self._job = job

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Counted:  # noqa: ARG002
        """Return the part of a worker."""
        return Counted(self._job)


def build(bootstrap: str, job: WindowedCount, stopwatch: Stopwatch, topic: str) -> Dataflow:
    """Return the whole flow."""

    def decode(messages: list[Any]) -> list[tuple[str, int]]:
        stopwatch.start()
        events = [orjson.loads(message.value) for message in messages]
        return [(target_of(event) or "", event["ts"] // WINDOW_MS) for event in events]

    def count(state: State | None, window: int) -> tuple[State, tuple[int, ...]]:
        after, spike = job.step(state, window)
        stopwatch.done(1)
        return after, ((window,) if spike else ())

    flow = Dataflow("bench")
    source = KafkaSource([bootstrap], [topic], tail=False, batch_size=TAKE, add_config={"check.crcs": "false"})
    keyed = op.flat_map_batch("decode", op.input("read", flow, source), decode)
    spikes = op.stateful_flat_map("count", keyed, count)
    op.output("spikes", spikes, Sink(job))
    return flow


def run(bootstrap: str, expected: int, topic: str) -> None:
    """Read until the end of the topic."""
    job, stopwatch = WindowedCount(), Stopwatch(expected)
    cli_main(build(bootstrap, job, stopwatch, topic))
    stopwatch.tell(closed=job.closed, spikes=job.spikes)
    os._exit(0)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
