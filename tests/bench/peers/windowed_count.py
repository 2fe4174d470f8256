"""The small job that every peer does, so that only the way it is fed and kept differs.

Count events per target and 5-minute window; when a target's window moves on, compare the count with the
target's running mean and variance (Welford) and call it a spike where z > 6. It is the cheapest form of what
boostwatch's gate does, without marks, composition or deduplication; what a peer adds (a changelog, recovery, windows
of its own) is its own.

A target's events lie in one partition, none of them in a window before the one that came last (`tests.bench.traffic`
leaves those out), so events, closed windows and spikes are the same for whoever does the job rightly.
"""

from __future__ import annotations

from typing import Any

WINDOW_MS = 300_000
Z_MIN = 6.0
WINDOWS_MIN = 3
"""Closed windows before a count is compared with them."""

State = list[float]
"""Of one target: window, its count so far, closed windows, their mean, and the sum of squared deviations (Welford)."""


def target_of(event: dict[str, Any]) -> str | None:
    """Return what an event acts on; None where it breaks the contract, and the small job just passes over it."""
    return event.get("note_id") or event.get("target_id") or event.get("query")


class WindowedCount:
    """The job, and what came of it. The state is the peer's: here a plain dict, where it has none of its own."""

    def __init__(self) -> None:
        self.targets: dict[str, State] = {}
        self.events = 0
        self.closed = 0
        self.spikes = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take one decoded event."""
        target = target_of(event)
        if target is None:
            return
        self.events += 1
        window = event["ts"] // WINDOW_MS
        state = self.targets.get(target)
        if state is None:
            self.targets[target] = [window, 1, 0, 0.0, 0.0]
        elif window > state[0]:
            self.spikes += self.close(state, window)
        else:
            state[1] += 1

    def step(self, state: State | None, window: int) -> tuple[State, bool]:
        """Take one event for whoever keeps the state: return the new one, and whether a spike ended with it."""
        self.events += 1
        if state is None:
            return [window, 1, 0, 0.0, 0.0], False
        if window > state[0]:
            return state, self.close(state, window)
        state[1] += 1
        return state, False

    def close(self, state: State, window: int) -> bool:
        """End a target's window, begin the next with one event, and say whether what ended is a spike."""
        self.closed += 1
        _, count, n, mean, m2 = state
        spike = False
        if n >= WINDOWS_MIN:
            deviation = (m2 / n) ** 0.5 or 1.0
            spike = (count - mean) / deviation > Z_MIN
        n += 1
        delta = count - mean
        mean += delta / n
        m2 += delta * (count - mean)
        state[:] = [window, 1, n, mean, m2]
        return spike
