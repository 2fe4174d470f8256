"""Sends the stream in time, whatever happens to the broker: nothing is given up, nothing sent twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer

from streams.errors import ProduceFailed

if TYPE_CHECKING:
    from streams.topic_plan import TopicNames
    from tests.chaos.traffic import Timed

POLL_S = 0.02
QUEUE_MAX = 1_000_000


class Feeder:
    """A thread that sends records; `sent` counts them by topic and kind, `acknowledged` what the broker has."""

    def __init__(self, bootstrap: str, names: TopicNames, records: Iterable[Timed]) -> None:
        self._names = names
        self._records = records
        self._producer: Any = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                # A broker that is killed answers late or never: what was sent is then known by its sequence number.
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": QUEUE_MAX,
                "log_level": 0,  # that a broker is gone is known here
            },
        )
        self.sent: Counter[tuple[str, str]] = Counter()
        self.acknowledged = 0
        self.failure: BaseException | None = None
        self.live = threading.Event()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin with the history; `live` is set when it has arrived and time begins to count."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all was sent and acknowledged. Raises what went wrong."""
        if self.failure is not None:
            raise self.failure
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End early."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        try:
            self._send_all()
            while not self._halt.is_set() and self._producer.flush(1.0):
                pass
        except (KafkaException, BufferError, ValueError) as error:
            self.failure = ProduceFailed(f"the stream of the run cannot be sent: {error}; look at the broker's log")
        except BaseException as error:  # noqa: BLE001  # told to whoever asks for `done`
            self.failure = error

    def _send_all(self) -> None:
        origin_s: float | None = None
        for record in self._records:
            if record.due_s > 0 and origin_s is None:
                self._producer.flush(120)
                self.live.set()
                origin_s = time.monotonic()
            while origin_s is not None and (wait_s := origin_s + record.due_s - time.monotonic()) > 0:
                self._producer.poll(0)
                if self._halt.wait(min(wait_s, POLL_S)):
                    return
            self._producer.produce(
                getattr(self._names, record.topic), value=record.value, key=record.key, on_delivery=self._answered
            )
            self.sent[record.topic, record.what] += 1
            self._producer.poll(0)

    def _answered(self, error: object, _: object) -> None:
        if error is not None:
            self.failure = ProduceFailed(f"a record of the run was not acknowledged: {error}; look at the broker's log")
        else:
            self.acknowledged += 1
