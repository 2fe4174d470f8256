"""How long a flag takes: from the moment its tipping event is sent to its record's arrival, under a steady load.

The load is open: what is due is sent, however the worker does. Background comes from the simulator; into it are mixed
purchases on fresh subjects, many at a time, whose every action carries as its time the moment at which it is sent.
A flag names the time of the event that tipped it, so its arrival less that time is the whole way: producer, both hops,
decision, acknowledged send (a reader sees no record before the broker has acknowledged it), reader.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from confluent_kafka import Consumer, TopicPartition

from tests.bench import traffic
from tests.bench.attacked import NAME
from tests.bench.processes import ROOT, BenchWorker, RunFailed

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from tests.bench.brokers import Broker

SETTLE_S = 5.0
"""Left out at the beginning: the first batches fill caches, and the reader of flags finds its place."""

DRAIN_S = 5.0
"""How long flags are still waited for after the last event."""

PREPARE_S = 600.0
"""How long the sender may take to make the events that it is to send."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles over `flags` opened flags, ms, at `load` of the greatest rate, with what was offered and kept up."""

    load: float
    events_per_s: int
    flags: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    sender_late_ms: float
    """How late the sender was at the worst: what of the figures is its own."""

    behind: int
    """Records unread when the last was sent."""


def measure(
    broker: Broker, load: float, rate_per_s: float, seconds: float, scratch: Path, console: Console, partitions: int = 4
) -> Latency:
    """Run one worker under `rate_per_s` for `seconds`. Raises RunFailed."""
    variables = traffic.environment(broker.bootstrap, partitions)
    traffic.create(variables)
    settings = traffic.settings_of(variables)
    names = [*settings.input_topics.values()]
    sender = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sender", broker.bootstrap, str(rate_per_s), str(seconds), *names],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with BenchWorker(variables, scratch / f"latency-{load}.log") as worker:
            worker.wait_until_ready()
            flags = _Flags(broker.bootstrap, settings.topic_flags, partitions)
            _expect(sender, "ready")
            console.print(f"  sending {rate_per_s:,.0f} events a second for {seconds:.0f} s ...")
            _tell(sender, "go")
            began_ms = time.time() * 1000
            flags.take(seconds)
            told = _expect(sender, "{")
            behind = json.loads(told)["sent"] - worker.progress().events
            flags.take(DRAIN_S)
            flags.close()
            worker.check()
    finally:
        sender.kill()
        sender.wait()
    traffic.delete(variables)
    waited = [took for sent_ms, took in flags.waited if sent_ms >= began_ms + SETTLE_S * 1000]
    if not waited:
        raise RunFailed("no flag came of a whole run: there is nothing to take percentiles of")
    p50, p99, p999 = np.percentile(waited, [50, 99, 99.9]).round(0).tolist()
    return Latency(
        load, round(rate_per_s), len(waited), p50, p99, p999, round(max(waited)), json.loads(told)["late_ms"], behind
    )


def row(latency: Latency) -> dict[str, Any]:
    """Return the figures by name."""
    return asdict(latency)


def _tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def _expect(process: subprocess.Popen[str], begin: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(begin):
        raise RunFailed(f"the sender said {line!r} where it was to say {begin!r}")
    return line


class _Flags:
    """Reads opened flags of the purchases as they come."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._consumer: Any = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench-flags", "enable.auto.commit": False,
             "fetch.min.bytes": 1, "fetch.wait.max.ms": 500, "auto.offset.reset": "earliest"}
        )  # fmt: skip
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self.waited: list[tuple[float, float]] = []  # when its tipping event was sent, and how long it took, ms

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def take(self, seconds: float) -> None:
        """Read for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            message = self._consumer.poll(min(left_s, 0.5))
            now_ms = time.time() * 1000
            if message is None or message.error():
                continue
            flag = orjson.loads(message.value())
            if flag["status"] == "opened" and NAME in flag["subject"]["id"]:
                self.waited.append((flag["detected_at"], now_ms - flag["detected_at"]))
