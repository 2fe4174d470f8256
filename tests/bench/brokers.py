"""The broker of a run: a real Kafka, given or our own, and what it took of the processors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.kafka.process import KafkaBroker
from tests.bench.processes import cpu_s
from tests.kafka_broker import given_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAP_MIB = 1024
"""Kafka's own default, 1 GiB: a smaller one spends the benchmark's cores on collecting garbage."""


SETTINGS = {"group.initial.rebalance.delay.ms": "3000"}
"""Kafka's own default: who joins a new group waits so long for others, so that two workers begin together."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where it is, and its process, where that is known."""

    bootstrap: str
    pid: int | None

    def cpu_s(self) -> float:
        """Return the processor seconds it has used so far; 0 where its process is not known."""
        return cpu_s(self.pid) if self.pid is not None else 0.0


@contextmanager
def broker(scratch: Path) -> Iterator[Broker]:
    """Give the Kafka named in BOOSTWATCH_TEST_KAFKA, else one of our own, tuned as it is for use.

    Raises deploy.kafka.errors.LocalKafkaError where there is none and none can be started.
    """
    given = given_broker()
    if given:
        yield Broker(given, None)
        return
    with KafkaBroker(scratch / "kafka", heap_mib=HEAP_MIB, settings=SETTINGS) as own:
        yield Broker(own.bootstrap, own.pid)
