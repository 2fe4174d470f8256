"""Sending a run to Kafka with kafka-python: in time, bounded in flight, and no error overlooked."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from kafka.errors import KafkaError

from streams import clients
from streams.errors import ProduceFailed
from streams.simulator.columns import TOPICS
from streams.simulator.feed import Batch

Progress = Callable[[int, float], None]

IN_FLIGHT_MAX: Final = 20_000
"""Records sent and not yet acknowledged: at 300 bytes each some 6 MB, and the client itself has no bound."""

_ACKNOWLEDGED_WITHIN_S: Final = 60.0
"""A record without an answer for so long is given up, and with it the run."""

_STRIDE: Final = 500
"""Records between two looks at the clock: 17 ms at the rate that a Python client reaches."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "linger_ms": 20,  # a fifth of the smallest delay anyone sees in a flag, and batches of some size
    "batch_size": 131_072,  # bytes; a partition's share of 20 ms at the highest rate a Python client reaches
    # kafka-python checksums in Python: fewer bytes make it half as fast again.
    "compression_type": "lz4",
    "client_id": "boostwatch-simulator",
}


def produce(
    batches: Iterable[Batch],
    bootstrap: str,
    *,
    topics: Mapping[str, str] | None = None,
    client_options: Mapping[str, Any] | None = None,
    origin_s: float | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
    records_per_s_max: float | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> Counter[str]:
    """Send the batches and wait until all is acknowledged; how many records went to each of `TOPICS`.

    `topics` maps `TOPICS` to the topics' real names. A batch is sent `due_s` after `origin_s`, a
    `time.monotonic()` (by default: when the last batch due at 0 was handed over). `stop`, when set,
    ends the run early and in order. `progress(records so far, seconds behind what was due)` is called
    after each batch. `records_per_s_max` bounds the rate of what is due at once, for a broker or a
    reader that can't take more. Records carry their arrival as timestamp, for topics with `CreateTime`.

    Raises `BrokerUnavailable` when no broker answers at `bootstrap`, `ProduceFailed` on the first record
    that was not acknowledged.
    """
    halt = stop or threading.Event()
    names = {topic: (topics or {}).get(topic, topic) for topic in TOPICS}
    sent: Counter[str] = Counter()
    producer = clients.producer(bootstrap, client_options, **_DEFAULTS)
    sending = _Sending(producer, names, in_flight_max, records_per_s_max)
    try:
        for batch in batches:
            if batch.due_s > 0.0:
                origin_s = time.monotonic() if origin_s is None else origin_s
                halt.wait(max(0.0, origin_s + batch.due_s - time.monotonic()))
            if halt.is_set():
                break
            sending.send(batch)
            sent.update(record.topic for record in batch.records)
            if progress is not None:
                due_s = time.monotonic() if origin_s is None else origin_s + batch.due_s
                progress(sent.total(), time.monotonic() - due_s)
        sending.settle(0)
    finally:
        # After a failure there is nothing left to flush; what it says would hide the failure.
        with suppress(KafkaError):
            producer.close(timeout=5)
    return sent


class _Sending:
    """Records under way, the oldest first."""

    def __init__(
        self, producer: Any, names: Mapping[str, str], in_flight_max: int, records_per_s_max: float | None
    ) -> None:
        self._producer, self._names, self._in_flight_max = producer, names, in_flight_max
        self._pause_s = 0.0 if records_per_s_max is None else _STRIDE / records_per_s_max
        self._next_s = time.monotonic()
        self._under_way: deque[tuple[str, Any]] = deque()

    def send(self, batch: Batch) -> None:
        """Hand the batch to the client, waiting for old records when too many are under way."""
        names, under_way, hand_over = self._names, self._under_way, self._producer.send
        for number, record in enumerate(batch.records):
            if self._pause_s and number % _STRIDE == 0:
                self._keep_pace()
            if len(under_way) >= self._in_flight_max:
                self.settle(self._in_flight_max // 2)
            topic = names[record.topic]
            try:
                future = hand_over(topic, value=record.value, key=record.key, timestamp_ms=record.arrival_ms)
            except KafkaError as error:
                raise _failed(topic, error) from error
            under_way.append((topic, future))
        self.settle(self._in_flight_max, wait=False)

    def _keep_pace(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            time.sleep(self._next_s - now_s)
        # What was not sent in time is not made up for in a rush.
        self._next_s = max(self._next_s, now_s) + self._pause_s

    def settle(self, left: int, *, wait: bool = True) -> None:
        """Take answers until `left` records are under way; without `wait`, only those that are there."""
        under_way = self._under_way
        while under_way and (len(under_way) > left or under_way[0][1].is_done):
            topic, future = under_way[0]
            if not wait and not future.is_done:
                break
            try:
                future.get(timeout=_ACKNOWLEDGED_WITHIN_S)
            except KafkaError as error:
                raise _failed(topic, error) from error
            under_way.popleft()


def _failed(topic: str, error: KafkaError) -> ProduceFailed:
    return ProduceFailed(
        f"a simulated record was not acknowledged by topic {topic!r}: {error}; "
        "see that the topic is there (`boostwatch topics`) and the broker well, then start again"
    )
