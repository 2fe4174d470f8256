"""How far the workers' group has got, and how long it takes after a fault to be where the log was then."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

Offsets = dict[tuple[str, int], int]

LOOK_S = 0.5
ANSWER_S = 2.0


@dataclass(slots=True)
class Recovery:
    """From a fault until all that was in the log when it was over is done and committed."""

    what: str
    began_s: float
    ends: Offsets
    seconds: float | None = None


class Watcher:
    """A thread that asks the broker, as often as it answers, for ends and commits. `lag` is None before the first."""

    def __init__(self, bootstrap: str, group: str, topics: Iterable[str], partitions: int) -> None:
        self._partitions = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        # It only asks what the group has committed, and never joins it.
        self._consumer: Any = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
             "reconnect.backoff.max.ms": 500, "log_level": 0},
        )  # fmt: skip
        self._lock = threading.Lock()
        self._ends: Offsets = {}
        self._done: Offsets = {}
        self._looks = 0
        self.recoveries: list[Recovery] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._halt.set()
        self._thread.join(10)
        self._consumer.close()

    @property
    def lag(self) -> int | None:
        """Records in the log that are not committed."""
        with self._lock:
            return _behind(self._ends, self._done) if self._looks else None

    @property
    def looks(self) -> int:
        """How often it has got an answer."""
        with self._lock:
            return self._looks

    def mark(self, what: str) -> None:
        """Note that a fault has been, now."""
        with self._lock:
            self.recoveries.append(Recovery(what, time.monotonic(), dict(self._ends)))

    def settled(self, looks: int = 3) -> bool:
        """Wait for some fresh answers; return whether none of them found anything left to do."""
        for _ in range(looks):
            before = self.looks
            while self.looks <= before + 1:  # the one that was under way may be older than the question
                if self._halt.wait(0.05):
                    return False
            if self.lag != 0:
                return False
        return True

    def _watch(self) -> None:
        while not self._halt.wait(LOOK_S):
            try:
                ends = {
                    (p.topic, p.partition): self._consumer.get_watermark_offsets(p, timeout=ANSWER_S)[1]
                    for p in self._partitions
                }
                committed = self._consumer.committed(self._partitions, timeout=ANSWER_S)
            except (KafkaException, TypeError):  # it is down, or says so by None
                continue
            with self._lock:
                self._ends = ends
                self._done = {(p.topic, p.partition): max(p.offset, 0) for p in committed}
                self._looks += 1
                now_s = time.monotonic()
                for recovery in self.recoveries:
                    if recovery.seconds is None and _behind(recovery.ends, self._done) == 0:
                        recovery.seconds = now_s - recovery.began_s


def _behind(ends: Offsets, done: Offsets) -> int:
    return sum(max(0, end - done.get(partition, 0)) for partition, end in ends.items())
