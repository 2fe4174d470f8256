"""The sources of actions: each partition of an input topic, its watermark, and who has been told of it.

A subject partition closes its windows on the least watermark of all sources, so each of them must hear from
every source, also from one that has nothing for it just now or that has fallen silent. What is sent with rows
tells it anyway; this module knows for whom a block without rows is due.

Wall-clock time decides here only whether a source is idle and when to speak, never what is flagged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detectors.watermark import START_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streams.commits import Partition

QUIET_S = 1.0
"""A subject partition that got no row from a source for this long is told its watermark without rows."""

TOLD_MOST = 8_192
"""How often a subject partition is told of a source in one call, about: with hundreds of partitions of every topic for
one worker, to tell all of all would take more than a second. Those who wait longest come first."""


@dataclass(slots=True)
class Source:
    """One input partition, as the subject partitions know it."""

    partition: Partition
    told: NDArray[np.int64]  # watermark last sent to each subject partition, ms
    active_s: float  # when it last brought records, by the caller's monotonic clock
    watermark_ms: int = START_MS
    offset_last: int = -1
    idle: bool = False
    spoken_s: float = field(default=0.0)

    def sent(self, subject_partitions: Iterable[int], watermark_ms: int, offset_last: int) -> None:
        """Note that a batch's blocks for these partitions are queued, which makes its watermark known."""
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        self.offset_last = max(self.offset_last, offset_last)
        self.told[list(subject_partitions)] = self.watermark_ms


@dataclass(frozen=True, slots=True)
class Due:
    """A block without rows that is due: to one subject partition, or to all where `subject_partition` is None."""

    source: Source
    subject_partition: int | None
    watermark_ms: int
    idle: bool


class Sources:
    """The sources of this worker's partitions. `now_s` is a monotonic clock, the same in every call."""

    def __init__(self, subject_partitions: int, idle_ms: int) -> None:
        self.subject_partitions = subject_partitions
        self.idle_s = idle_ms / 1000
        self._sources: dict[Partition, Source] = {}
        self._told_s = np.zeros(subject_partitions)  # when each was told of its quiet sources

    def assign(self, partitions: Iterable[Partition], forget: Iterable[Partition], now_s: float) -> None:
        """Keep the sources that stay, but for those to `forget`, begin the new ones, drop the others."""
        kept = {partition: source for partition, source in self._sources.items() if partition not in set(forget)}
        self._sources = {
            partition: kept.get(partition) or Source(partition, self._untold(), now_s) for partition in partitions
        }

    def get(self, partition: Partition, now_s: float) -> Source:
        """Return a source that just brought records."""
        source = self._sources.get(partition)
        if source is None:
            source = self._sources[partition] = Source(partition, self._untold(), now_s)
        source.active_s, source.idle = now_s, False
        return source

    def due(self, caught_up: Iterable[Partition], now_s: float) -> Iterator[Due]:
        """Yield the blocks without rows that are due, and take them as sent.

        `caught_up` are the partitions of which nothing is in flight or waits on the broker. One of them that
        has been silent for `idle_ms` is idle, and says so again as often, for subject partitions that moved.
        """
        waiting = set(caught_up)
        left = TOLD_MOST
        live: list[Source] = []
        for source in sorted(self._sources.values(), key=lambda one: one.spoken_s):
            if source.partition not in waiting or now_s - source.active_s < self.idle_s:
                live.append(source)
            elif left > 0 and (not source.idle or now_s - source.spoken_s >= self.idle_s):
                source.idle, source.spoken_s = True, now_s
                source.told[:] = source.watermark_ms
                left -= self.subject_partitions
                yield Due(source, None, source.watermark_ms, idle=True)
        # All sources at once for a few subject partitions, since a record costs more than what it tells.
        for number in np.argsort(self._told_s, kind="stable").tolist():
            if left <= 0 or now_s - self._told_s[number] < QUIET_S:
                break
            self._told_s[number] = now_s
            left -= len(live)
            for source in live:
                if source.told[number] < source.watermark_ms:
                    source.told[number] = source.watermark_ms
                    yield Due(source, number, source.watermark_ms, idle=False)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources.values())

    def _untold(self) -> NDArray[np.int64]:
        return np.full(self.subject_partitions, START_MS, np.int64)
