"""The watermark of a source: how far its event time has come, event by event.

It is the greatest accepted `ts` less the allowed lateness (Akidau et al. 2015, "The Dataflow Model", 2.3, a
heuristic watermark), so it never falls and does not depend on where a batch was cut. What must not move it, a
`ts` from the future, was refused before.
"""

from __future__ import annotations

from detectors.compiled import compiled

START_MS = 0
"""Greatest accepted `ts` of a source before its first event: event times count from the epoch, so any is later."""


@compiled
def watermark_after(greatest_ms: int, lateness_ms: int) -> int:
    """Return the watermark (ms) of a source whose greatest accepted `ts` is `greatest_ms`."""
    return greatest_ms - lateness_ms


@compiled
def is_late(ts: int, watermark_ms: int, late_after_ms: int) -> bool:
    """Whether the buckets of `ts` are gone: it lies more than `late_after_ms` behind the watermark."""
    return ts < watermark_ms - late_after_ms
