"""How every peer is timed: from when it has its partitions, or its first event where it is not told, to the last."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time


class Stopwatch:
    """Counts events up to `expected`; the figures are printed as one line of JSON."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.seen = self._skipped = 0
        self._started_s = self._started_cpu_s = 0.0
        self._ended_s = self._ended_cpu_s = 0.0

    def start(self, skipped: int = 0) -> None:
        """Start once; later calls change nothing, so an agent can call it at every event.

        `skipped` events are through already, and are not among those that are timed.
        """
        if not self._started_s:
            self._skipped = skipped
            self._started_s = time.perf_counter()
            self._started_cpu_s = _cpu_s()

    def done(self, events: int) -> bool:
        """Count `events` more; True once the last one is through, and the watch has stopped."""
        self.seen += events
        if self.seen < self.expected:
            return False
        if not self._ended_s:
            self._ended_s = time.perf_counter()
            self._ended_cpu_s = _cpu_s()
        return True

    def tell(self, *, closed: int | None = None, spikes: int | None = None) -> None:
        """Print what was measured, and what the job found, where there was one."""
        figures = {
            "events": self.seen,
            "timed": self.seen - self._skipped,
            "seconds": self._ended_s - self._started_s,
            "cpu_seconds": self._ended_cpu_s - self._started_cpu_s,
            "closed": closed,
            "spikes": spikes,
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()


def tame_collector() -> None:
    """Let the garbage collector come rarely, as boostwatch's worker does: a loop over messages leaves no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
