"""Traffic in which ever new accounts, notes and keywords come: what a soak needs, at a rate that is held."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

if TYPE_CHECKING:
    from streams.topic_plan import TopicNames

TICK_S = 0.05
NEW_SHARE = 0.3
"""Of events whose actor was never seen before, and as many whose subject was not."""

REGULARS = 20_000
QUEUE_MAX = 200_000


class Strangers:
    """A thread that sends `rate_per_s` events until stopped; `sent` counts them."""

    def __init__(self, bootstrap: str, names: TopicNames, rate_per_s: float, seed: int) -> None:
        self._names, self._rng = names, Random(seed)
        self.rate_per_s = rate_per_s
        self._producer: Any = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": QUEUE_MAX,
                "log_level": 0,  # that a broker is gone is known here
            },
        )
        self.sent = 0
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strangers", daemon=True)

    def burst(self, events: int) -> None:
        """Send so many events as fast as they go, and return when the broker has them."""
        for _ in range(events):
            self._send(time.time_ns() // 1_000_000)
        self._producer.flush(120)

    def start(self) -> None:
        """Begin to send at the rate."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything sent acknowledged."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._producer.flush(30)

    def _run(self) -> None:
        due = 0.0
        before_s = time.monotonic()
        while not self._halt.wait(TICK_S):
            now_s = time.monotonic()
            # What a slow moment has left undone is not made up for in a rush.
            due = min(due + self.rate_per_s * (now_s - before_s), self.rate_per_s)
            before_s = now_s
            now_ms = time.time_ns() // 1_000_000
            while due >= 1.0:
                self._send(now_ms)
                due -= 1.0

    def _send(self, now_ms: int) -> None:
        number = self.sent
        self.sent += 1
        rng = self._rng
        actor = f"new-{number}" if rng.random() < NEW_SHARE else f"u{rng.randrange(REGULARS)}"
        subject = f"{number}" if rng.random() < NEW_SHARE else f"{rng.randrange(REGULARS)}"
        kind = number % 3
        head = b'{"event_id":"e%d","ts":%d,"actor_id":"%s",' % (number, now_ms, actor.encode())
        if kind == 0:
            topic, tail = self._names.likes, b'"action":"like","note_id":"n%s","author_id":"a%s"}'
            value = head + tail % (subject.encode(), subject.encode())
        elif kind == 1:
            topic, tail = self._names.follows, b'"action":"follow","target_id":"a%s"}'
            value = head + tail % subject.encode()
        else:
            topic, tail = (
                self._names.searches,
                b'"query":"q %s","clicked_note_id":"n%s","clicked_author_id":"a%s","position":%d}',
            )
            value = head + tail % (subject.encode(), subject.encode(), subject.encode(), 1 + number % 20)
        while True:
            try:
                self._producer.produce(topic, value=value, key=actor.encode())
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        if number % 100 == 0:
            self._producer.poll(0)
