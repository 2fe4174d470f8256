"""How every peer is timed: from when it has its partitions to the last event it was promised."""

from __future__ import annotations

import json
import resource
import sys
import time


class Stopwatch:
    """Counts events and prints one JSON line when `expected` of them are done."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.seen = 0
        self._started_s = 0.0
        self._cpu_s = 0.0

    def start(self) -> None:
        """Start once; later calls change nothing, so an agent can call it at every event."""
        if not self._started_s:
            self._started_s = time.perf_counter()
            self._cpu_s = _cpu_s()

    def done(self, events: int) -> bool:
        """Count `events` more; True once the last one is through, after printing the figures."""
        self.seen += events
        if self.seen < self.expected:
            return False
        seconds = time.perf_counter() - self._started_s
        cpu_s = _cpu_s() - self._cpu_s
        sys.stdout.write(json.dumps({"events": self.seen, "seconds": seconds, "cpu_seconds": cpu_s}) + "\n")
        sys.stdout.flush()
        return True


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
