"""The order in which the input topics of a partition number are read: that of their records' Kafka timestamps.

A mark hangs on who acted just before, and the three topics of a number share their actors. At the log's end they come
as they happen. A backlog comes as it is fetched, and the topic of which there is least would be through first. So
records of a topic wait here until the others are known up to the same time, and go on together, merged: by timestamp,
then searches before likes before follows, then by offset. Whoever reads a log, from wherever, reads it in this order.

Nobody waits for a topic that is read to its end, or that cannot be fetched while others can. Numbers are held within
`SKEW_MS` of each other and go on in rounds that end at the same time in all of them, so that what a subject sees of a
backlog comes from all of them side by side, also where a history was sent within seconds.

Timestamps that producers set (`CreateTime`) may go back; then the greatest so far of a partition stands for them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from streams.fetched import FetchedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from streams.commits import Partition, Ticket

SKEW_MS = 5_000
"""How far one number's records may be ahead of another's: accounts that act together do so within minutes, and who of
them comes first must not be told by their partitions. Shorter would make small batches of a slow backlog."""

MISSED_S = 10.0
"""A partition that brings nothing for so long, while others are fetched, is waited for no more until it does."""

LOOK_S_MAX = 1.0
"""No look counts for more, however long nothing was fetched at all: while Kafka is away nobody is behind."""

_BEFORE_ALL, _AFTER_ALL = -(1 << 62), 1 << 62


class Reached(NamedTuple):
    """How far a partition is read: the next offset, the log's end, and when that was heard by a monotonic clock, ms.

    None where it was not yet.
    """

    position: int | None
    highwater: int | None
    heard_ms: int | None


@dataclass(frozen=True, slots=True)
class Together:
    """Consecutive records of one to three topics of a partition number, in order of precedence, to be merged."""

    batches: list[FetchedBatch]
    last: bool = True
    """Whether no other number of the same round comes behind it."""

    @property
    def source(self) -> Partition:
        """The partition of the first of them."""
        return self.batches[0].source

    @property
    def offset_first(self) -> int:
        """The offset of its first record there."""
        return self.batches[0].offset_first

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(batch.size_bytes for batch in self.batches)

    @property
    def tickets(self) -> list[Ticket]:
        """The entries in the ledger."""
        return [batch.ticket for batch in self.batches if batch.ticket is not None]


def turns_of(times: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Merge columns of ascending times; of equal times the earlier column's come first.

    Returns in order whose turn it is and before which of its rows the turn ends, shape (turns, 2).

    >>> turns_of([np.array([1, 5, 6]), np.array([1, 2])]).tolist()
    [[0, 1], [1, 2], [0, 3]]
    """
    whose = np.repeat(np.arange(len(times)), [len(each) for each in times])
    order = np.argsort(np.concatenate(times), kind="stable")
    whose, rows = whose[order], np.concatenate([np.arange(len(each)) for each in times])[order]
    lasts = np.flatnonzero(np.r_[whose[1:] != whose[:-1], True]) if len(whose) else np.empty(0, np.int64)
    return np.stack([whose[lasts], rows[lasts] + 1], axis=1)


@dataclass(slots=True)
class _Line:
    """What waits of one partition."""

    source: Partition
    order: int  # precedence among equal times
    held: deque[FetchedBatch] = field(default_factory=deque)
    known_ms: int = _BEFORE_ALL  # all records up to this time were brought; none brought: before all
    ended: bool = False  # read to the log's end
    given_up: bool = False
    missed_since_s: float | None = None

    @property
    def bound(self) -> tuple[int, int]:
        """The last place in the order before which nothing more can come from here."""
        return (_AFTER_ALL if self.ended or self.given_up else self.known_ms, self.order)

    @property
    def breaks_at(self) -> tuple[int, int]:
        """The place in the order behind which nothing goes on yet: of what could not be read, it ends a batch."""
        last_ms = _BEFORE_ALL
        for number, batch in enumerate(self.held, 1):
            last_ms = int(batch.merge_ms[-1]) if len(batch) else last_ms
            if batch.unreadable and number < len(self.held):
                return (last_ms, self.order)
        return (_AFTER_ALL, self.order)

    def times_until(self, until: tuple[int, int]) -> NDArray[np.int64]:
        """Return the times of the records held that come up to a place in the order and can go on as one batch."""
        side: Literal["left", "right"] = "right" if self.order <= until[1] else "left"
        times: list[NDArray[np.int64]] = []
        for batch in self.held:
            count = int(np.searchsorted(batch.merge_ms, until[0], side=side))
            times.append(batch.merge_ms[:count])
            if count < len(batch) or batch.unreadable:
                break
        return np.concatenate(times)

    def take(self, count: int) -> FetchedBatch | None:
        """Take so many records as one batch, with all that could not be read behind them."""
        taken: list[FetchedBatch] = []
        while self.held and len(self.held[0]) <= count:
            taken.append(self.held.popleft())
            count -= len(taken[-1])
            if taken[-1].unreadable:
                break
        if self.held and count and not (taken and taken[-1].unreadable):
            first, self.held[0] = self.held[0].cut(count)
            taken.append(first)
        return FetchedBatch.joined(taken) if taken else None


class Aligner:
    """Holds what was fetched of the input topics until its turn has come. Belongs to the event loop.

    Args:
        topics: the input topics, in order of precedence.
        records_max: of one `Together`, and what is held of a partition before no more of it is wanted.
        fresh_ms: what was heard of a log's end within this time of the latest news still holds.

    """

    def __init__(self, topics: Sequence[str], records_max: int, fresh_ms: int) -> None:
        self._order = {topic: order for order, topic in enumerate(topics)}
        self._records_max = records_max
        self._fresh_ms = fresh_ms
        self._lines: dict[Partition, _Line] = {}
        self._newest_ms = 0
        self._attended_s = 0.0  # time in which something could be fetched
        self.held_bytes = 0
        self.held_records = 0
        self.given_up = 0
        """How often a partition was waited for in vain, in all."""

    def takes(self, source: Partition) -> bool:
        """Say whether records of this partition are to be aligned at all."""
        return source.topic in self._order

    def wants(self, source: Partition, *, crowded: bool) -> bool:
        """Say whether more of a partition should be fetched; while memory is short, only what may be waited for."""
        line = self._lines.get(source)
        if line is None or not line.held:
            return True
        return not crowded and sum(map(len, line.held)) < self._records_max

    def clear(self) -> None:
        """Forget everything: it will be fetched again, or elsewhere."""
        self._lines.clear()
        self.held_bytes = self.held_records = 0

    def front(self, source: Partition) -> int | None:
        """Return the offset of the first record held of a partition, None where none is."""
        line = self._lines.get(source)
        return line.held[0].offset_first if line is not None and line.held else None

    def add(self, batch: FetchedBatch) -> bool:
        """Take the next batch of a partition; False where it is nothing to wait with: no record, and none held."""
        line = self._line(batch.source)
        if not len(batch) and not batch.unreadable:
            if line.held:
                line.held[-1].offset_next = batch.offset_next
            return bool(line.held)
        batch.merge_ms = np.maximum(batch.merge_ms, line.known_ms)
        if len(batch):
            line.known_ms = int(batch.merge_ms[-1])
        line.held.append(batch)
        line.given_up, line.missed_since_s = False, None
        self.held_bytes += batch.size_bytes
        self.held_records += len(batch)
        return True

    def look(self, reached: Mapping[Partition, Reached]) -> None:
        """Take note of how far every assigned partition is read, everything of that having been added."""
        newest_ms = max((one.heard_ms or 0 for one in reached.values()), default=0)
        self._attended_s += min(max(0, newest_ms - self._newest_ms) / 1000, LOOK_S_MAX)
        self._newest_ms = newest_ms
        for source, one in reached.items():
            if not self.takes(source):
                continue
            line = self._line(source)
            line.ended = (
                one.position is not None
                and one.highwater is not None
                and one.position >= one.highwater
                and (one.heard_ms or 0) >= newest_ms - self._fresh_ms
            )
        for line in self._lines.values():
            self._miss(line)

    def _miss(self, line: _Line) -> None:
        """Note since when a partition keeps others waiting, and give it up where that is too long."""
        if line.ended or line.held or not self.held_records:
            line.missed_since_s = None
            line.given_up = line.given_up and not line.ended
        elif line.missed_since_s is None:
            line.missed_since_s = self._attended_s
        elif not line.given_up and self._attended_s - line.missed_since_s > MISSED_S:
            line.given_up = True
            self.given_up += 1

    def ready(self, busy: Callable[[Partition], bool]) -> Iterator[Together]:
        """Yield what may go on, in rounds of the numbers, until nothing may; not of numbers that have a `busy` source.

        The caller enters all of a round in the ledger before it asks for the next.
        """
        more = bool(self.held_records)
        while more:
            low_ms = min(line.bound[0] for line in self._lines.values())
            firsts = (int(line.held[0].merge_ms[0]) for line in self._lines.values() if line.held and len(line.held[0]))
            cap = (min(low_ms, _AFTER_ALL - SKEW_MS, *firsts) + SKEW_MS, _AFTER_ALL)
            numbers = [lines for lines in self._by_number() if any(line.held for line in lines)]
            free = [lines for lines in numbers if not self._kept(lines, busy)]
            cap = min(cap, *(self._full_at(lines, cap) for lines in free)) if free else cap
            taken = [batches for lines in free if (batches := self._next(lines, cap))]
            for count, batches in enumerate(taken, 1):
                yield Together(batches, last=count == len(taken))
            more = bool(taken)

    def _kept(self, lines: list[_Line], busy: Callable[[Partition], bool]) -> bool:
        """Say whether a number is busy, and if so, do not hold it against it that it brings nothing."""
        kept = any(busy(line.source) for line in lines)
        for line in lines if kept else ():
            line.missed_since_s = None
        return kept

    def _full_at(self, lines: list[_Line], cap: tuple[int, int]) -> tuple[int, int]:
        """Return the place in the order at which a number has as much as may go on at once, or `cap`."""
        times = np.concatenate(self._times(lines, cap))
        if len(times) <= self._records_max:
            return cap
        return (int(np.partition(times, self._records_max - 1)[self._records_max - 1]), _AFTER_ALL)

    def _next(self, lines: list[_Line], cap: tuple[int, int]) -> list[FetchedBatch]:
        times = self._times(lines, cap)
        counts = list(map(len, times))
        if sum(counts) > self._records_max:
            counts = _counts_of_first(times, self._records_max)
        heads = [line for line in lines if line.held]
        taken = [line.take(count) for line, count in zip(heads, counts, strict=True)]
        batches = [batch for batch in taken if batch is not None]
        self.held_bytes -= sum(batch.size_bytes for batch in batches)
        self.held_records -= sum(map(len, batches))
        return batches

    @staticmethod
    def _times(lines: list[_Line], cap: tuple[int, int]) -> list[NDArray[np.int64]]:
        """Return the times of what may go on of each line that holds something."""
        heads = [line for line in lines if line.held]
        until = min(cap, *(line.bound for line in lines), *(line.breaks_at for line in heads))
        return [line.times_until(until) for line in heads]

    def _by_number(self) -> Iterable[list[_Line]]:
        numbers: dict[int, list[_Line]] = {}
        for line in sorted(self._lines.values(), key=lambda one: (one.source.partition, one.order)):
            numbers.setdefault(line.source.partition, []).append(line)
        return numbers.values()

    def _line(self, source: Partition) -> _Line:
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = _Line(source, self._order[source.topic])
        return line


def _counts_of_first(times: Sequence[NDArray[np.int64]], most: int) -> list[int]:
    """Return how many of each column are among the first of all, merged."""
    whose = np.repeat(np.arange(len(times)), [len(each) for each in times])
    first = np.argsort(np.concatenate(times), kind="stable")[:most]
    counts: list[int] = np.bincount(whose[first], minlength=len(times)).tolist()
    return counts
