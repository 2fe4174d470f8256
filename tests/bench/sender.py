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

LINGER_MS = 25
"""How long records wait for company. It is a request for each partition: with 5 ms some 2,400 a second, of which
the broker and the sender were so busy that at 10,000 events/s a flag was seconds late before a worker had the event."""

TURN_S = 0.004
"""Between two turns: what is due by then is sent at once, with one look at the clock."""

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
    every = list(
        heapq.merge(
            ((number / rate_per_s, *event) for number, event in enumerate(organic)), bought, key=lambda event: event[0]
        )
    )
    produce, began_s, late_s, at = producer.produce, time.time(), 0.0, 0
    while at < len(every):
        passed_s = time.time() - began_s
        late_s = max(late_s, passed_s - every[at][0])
        now = b"%d" % int((began_s + passed_s) * 1000)
        while at < len(every) and every[at][0] <= passed_s:
            _, topic, key, before, after = every[at]
            produce(names[topic], before + now + after, key)
            at += 1
        producer.poll(0)
        time.sleep(TURN_S)
    producer.flush(30)
    return {"sent": at, "late_ms": round(late_s * 1000)}


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
