"""Sends simulated events at a steady rate, with purchases among them: a process of its own, for the latency run.

Run as `python -m tests.bench.sender BOOTSTRAP EVENTS_PER_S SECONDS LIKES FOLLOWS SEARCHES`. It makes its events, says
"ready", waits for a line, sends, and ends with one line of JSON.
"""

from __future__ import annotations

import gc
import heapq
import json
import sys
import time

from streams.simulator import TOPICS, simulate
from streams.simulator.feed import records
from tests.bench import traffic
from tests.bench.attacked import Bought, purchases

TS_FROM = len(b'{"event_id":"0123456789abcdef","ts":')
TS_UNTIL = TS_FROM + len(b"1764000000000")
"""Where the simulator's lines have their time, which becomes that of sending."""

LINGER_MS = 5
TURN_S = 0.002
HOUR_MS = 3_600_000


def background(events: int) -> list[tuple[int, bytes, bytes, bytes]]:
    """Return organic events: topic's number, key, and what comes before and after the time."""
    end_ms = time.time_ns() // 1_000_000
    day = traffic.scenario(
        events, end_ms, duration_ms=HOUR_MS, start_ms=end_ms - HOUR_MS, events_per_s=1.2 * events / 3_600,
        attacks=(), benign=(), accounts=max(1_000, events // 5),
    )  # fmt: skip
    made: list[tuple[int, bytes, bytes, bytes]] = []
    numbers = {topic: number for number, topic in enumerate(TOPICS)}
    for part in simulate(day, 11):
        for record in records(part):
            value = record.value
            if value[TS_FROM - 5 : TS_FROM] != b'"ts":':
                raise AssertionError(f"the simulator writes its lines otherwise now: {value!r}")
            made.append((numbers[record.topic], record.key, value[:TS_FROM], value[TS_UNTIL:]))
    return made


def send(bootstrap: str, names: list[str], rate_per_s: float, organic: list[tuple[int, bytes, bytes, bytes]],
         bought: list[Bought]) -> dict[str, float]:  # fmt: skip
    """Send what is due when it is due; return how much that was, and how late the worst turn began, ms."""
    producer = traffic.producer(bootstrap, LINGER_MS)
    every = heapq.merge(
        ((number / rate_per_s, *event) for number, event in enumerate(organic)), bought, key=lambda event: event[0]
    )
    began_s, late_s, sent = time.time(), 0.0, 0
    now = b"%d" % int(began_s * 1000)
    for due_s, topic, key, before, after in every:
        passed_s = time.time() - began_s
        if passed_s < due_s:
            producer.poll(0)
            while (passed_s := time.time() - began_s) < due_s:
                time.sleep(TURN_S)
        late_s = max(late_s, passed_s - due_s)
        now = b"%d" % int((began_s + passed_s) * 1000)
        producer.produce(names[topic], value=before + now + after, key=key)
        sent += 1
        if sent % 1_000 == 0:
            producer.poll(0)
    producer.flush(30)
    return {"sent": sent, "late_ms": round(late_s * 1000)}


def main(bootstrap: str, rate_per_s: float, seconds: float, names: list[str]) -> None:
    """Make, wait, send."""
    organic = background(int(rate_per_s * seconds))[: int(rate_per_s * seconds)]
    bought = list(purchases(7, rate_per_s, seconds, time.time_ns() // 1_000_000))
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(send(bootstrap, names, rate_per_s, organic, bought)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
