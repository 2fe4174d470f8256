"""What is done to whom and when: drawn from the seed alone, so that a run can be had again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from random import Random


class Fault(StrEnum):
    """One thing that can happen to a running system."""

    KILL = "kill"  # SIGKILL of a worker
    BROKER = "broker restart"  # SIGKILL of the broker, and its start on the same data
    REBALANCE = "rebalance"  # a worker comes, or one is asked to go
    CUT = "cut"  # every connection of the workers ends, and none can be made for a while
    SILENCE = "silence"  # nothing passes between workers and broker for a while, and nobody is told
    ZOMBIE = "zombie"  # a worker is frozen for longer than its session lasts, and goes on


PER_MINUTE = {
    Fault.KILL: 2.2,
    Fault.BROKER: 0.55,
    Fault.REBALANCE: 1.1,
    Fault.CUT: 0.35,
    Fault.SILENCE: 0.25,
    Fault.ZOMBIE: 0.3,
}
"""Twenty minutes are to have at least 40 kills, 10 broker restarts and 20 rebalances."""

SHORT_MINUTES = 2.0
SHORT = {Fault.KILL: 2, Fault.BROKER: 1, Fault.REBALANCE: 1}
"""What a run of less than two minutes has, and nothing else: it is part of the suite."""

FIRST_S, LAST_S = 6.0, 8.0
"""The live part begins and ends with some quiet seconds."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A fault, due `at_s` seconds into the live part. `lasts_s` is up to the fault, `pick` says whom it hits."""

    at_s: float
    fault: Fault
    lasts_s: float
    pick: float


def draw(seed: int, seconds: float, *, own_broker: bool = True) -> list[Event]:
    """Draw the faults of a run; without a broker of our own those that need one are left out."""
    rng = Random(seed + 13)
    minutes = seconds / 60.0
    if minutes < SHORT_MINUTES:
        counts = dict(SHORT)
    else:
        counts = {fault: ceil(rate * minutes) for fault, rate in PER_MINUTE.items()}
    if not own_broker:
        for fault in (Fault.BROKER, Fault.CUT, Fault.SILENCE):
            counts.pop(fault, None)
    faults = [fault for fault, count in counts.items() for _ in range(count)]
    rng.shuffle(faults)
    times = sorted(rng.uniform(FIRST_S, seconds - LAST_S) for _ in faults)
    return [Event(at_s, fault, _length(rng, fault), rng.random()) for at_s, fault in zip(times, faults, strict=True)]


def _length(rng: Random, fault: Fault) -> float:
    """Draw how many seconds a fault lasts: for a kill until the next start, for a zombie beyond its session."""
    low, high = {
        Fault.KILL: (0.0, 4.0),
        Fault.BROKER: (0.0, 3.0),
        Fault.REBALANCE: (0.0, 0.0),
        Fault.CUT: (0.5, 12.0),
        Fault.SILENCE: (1.0, 12.0),
        Fault.ZOMBIE: (2.0, 6.0),
    }[fault]
    return round(rng.uniform(low, high), 2)
