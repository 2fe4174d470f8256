"""The small job that every peer does, so that only the way it is fed differs.

Count events per target and 5-minute window; when a target's window moves on, compare the count with the
target's running mean and variance (Welford) and call it a spike where z > 6. In memory, no changelog: the
cheapest form of what boostwatch's gate does, without marks, composition, deduplication or durability.
"""

from __future__ import annotations

from typing import Any

WINDOW_MS = 300_000
Z_MIN = 6.0
TARGET_FIELDS = ("note_id", "target_id", "query")


class WindowedCount:
    """Per-target state in one plain dict: [window, count, n, mean, m2]."""

    def __init__(self) -> None:
        self.targets: dict[str, list[float]] = {}
        self.spikes = 0

    def add(self, event: dict[str, Any]) -> None:
        """Count one decoded event and close its target's window when a later one begins."""
        target = event.get("note_id") or event.get("target_id") or event.get("query")
        if target is None:  # breaks the contract: the small job just passes over it
            return
        window = event["ts"] // WINDOW_MS
        state = self.targets.get(target)
        if state is None:
            self.targets[target] = [window, 1, 0, 0.0, 0.0]
            return
        if window > state[0]:
            _, count, n, mean, m2 = state
            if n >= 3:
                deviation = (m2 / n) ** 0.5 or 1.0
                if (count - mean) / deviation > Z_MIN:
                    self.spikes += 1
            n += 1
            delta = count - mean
            mean += delta / n
            m2 += delta * (count - mean)
            state[:] = [window, 1, n, mean, m2]
        else:
            state[1] += 1
