# ruff: noqa: SLF001 -- the contract test pins the private names of aiokafka that are used here
"""Fetched batches: what one fetch brought from one partition, as columns and without an object per record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from aiokafka.errors import CorruptRecordException

from schemas.texts import Pieces
from streams.record_batches import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiokafka.consumer.fetcher import FetchResult
    from numpy.typing import NDArray

    from streams.commits import Partition, Ticket
    from streams.record_batches import Header, RecordBatch, Records

RECORD_OVERHEAD_BYTES = 200
"""Memory of one record beside its value, about: its key, its entries in all columns that its batch becomes."""


@dataclass(slots=True, eq=False)
class FetchedBatch:
    """Some consecutive records of one partition; n may be 0 where only transaction marks were read.

    `offset_next` is where the partition goes on, past whatever is no record. The ticket is the batch's entry in
    the ledger, set when it is handed to its agent.
    """

    source: Partition
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    offsets: NDArray[np.int64]  # (n,)
    timestamps: NDArray[np.int64]  # (n,) Kafka timestamps, ms
    headers: Mapping[int, list[Header]]  # by row, where a record has any
    offset_next: int
    unreadable: int = 0
    """How many records before `offset_next` could not be read at all: what is there are no records."""
    size_bytes: int = 0
    ticket: Ticket | None = None
    merge_ms: NDArray[np.int64] = field(init=False)
    """(n,) the time by which each record is merged with those of other topics: the greatest timestamp so far."""

    def __post_init__(self) -> None:
        self.merge_ms = np.maximum.accumulate(self.timestamps)
        self.size_bytes = Pieces.over(self.values).size_bytes + RECORD_OVERHEAD_BYTES * len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def cut(self, row: int) -> tuple[FetchedBatch, FetchedBatch]:
        """Return the records before a row, at least one, and those from it on, at least one."""
        first = FetchedBatch(
            self.source,
            self.values[:row],
            self.keys[:row],
            self.offsets[:row],
            self.timestamps[:row],
            {at: some for at, some in self.headers.items() if at < row},
            int(self.offsets[row]),
        )
        rest = FetchedBatch(
            self.source,
            self.values[row:],
            self.keys[row:],
            self.offsets[row:],
            self.timestamps[row:],
            {at - row: some for at, some in self.headers.items() if at >= row},
            self.offset_next,
            self.unreadable,
        )
        first.merge_ms, rest.merge_ms = self.merge_ms[:row], self.merge_ms[row:]
        return first, rest

    @classmethod
    def joined(cls, batches: Sequence[FetchedBatch]) -> FetchedBatch:
        """Return consecutive batches of one partition as one; only the last may have something unreadable."""
        if len(batches) == 1:
            return batches[0]
        bases = np.cumsum([0, *map(len, batches)]).tolist()
        joined = cls(
            batches[0].source,
            Pieces.joined([Pieces.over(batch.values) for batch in batches]),
            Pieces.joined([Pieces.over(batch.keys) for batch in batches]),
            np.concatenate([batch.offsets for batch in batches]),
            np.concatenate([batch.timestamps for batch in batches]),
            {
                at + base: some
                for batch, base in zip(batches, bases, strict=False)
                for at, some in batch.headers.items()
            },
            batches[-1].offset_next,
            batches[-1].unreadable,
        )
        joined.merge_ms = np.concatenate([batch.merge_ms for batch in batches])
        return joined

    @property
    def tickets(self) -> list[Ticket]:
        """The entry in the ledger, where there is one."""
        return [self.ticket] if self.ticket is not None else []

    @property
    def offset_first(self) -> int:
        """The offset of the first record."""
        return int(self.offsets[0]) if len(self.offsets) else self.offset_next - self.unreadable


@dataclass(frozen=True, slots=True)
class RawFetch:
    """Record batches of one partition as they came, not yet decompressed: `offset_first` to before `offset_next`."""

    source: Partition
    record_batches: list[RecordBatch]
    offset_first: int
    offset_next: int

    def read(self, records_max: int, *, check_crcs: bool) -> list[FetchedBatch]:
        """Decompress and read them, as batches of at most `records_max` records.

        Raises CorruptRecordException where a checksum does not match.
        """
        if check_crcs:
            self._check()
        runs = _read(self.record_batches, self.offset_first, self.source)
        return [batch for run in runs for batch in run.batches(records_max)]

    def _check(self) -> None:
        offset = self.offset_first
        for batch, _ in self.record_batches:
            if not batch.validate_crc():
                raise CorruptRecordException(
                    f"{self.source.topic}/{self.source.partition}: records from offset {offset} do not match their "
                    "checksum; look at the broker's disk and network"
                )
            offset = max(offset, batch.next_offset)


def take_raw(result: FetchResult, source: Partition, records_max: int) -> RawFetch | None:
    """Take record batches out of one fetch result until they hold about `records_max`, and move its position.

    Only their headers are looked at. None where the result is of an assignment or a position that is past;
    `result.has_more()` says whether some are left.
    """
    if not result.check_assignment(source) or not result.has_more():
        return None
    unread = result._partition_records
    offset_first = offset_next = unread.next_fetch_offset
    record_batches: list[RecordBatch] = []
    while unread._records.has_next() and offset_next - offset_first < records_max:
        record_batches.append(unread._records.next_kept())
        offset_next = max(offset_next, record_batches[-1].batch.next_offset)
    unread.next_fetch_offset = offset_next
    result._update_position()
    if not unread._records.has_next():
        result._partition_records = None
    return RawFetch(source, record_batches, offset_first, offset_next)


def _read(record_batches: list[RecordBatch], offset_first: int, source: Partition) -> Iterator[_Run]:
    """Yield runs of records: each ends where some could not be read, or with the last batch."""
    read = read_batches(record_batches, offset_first)
    offsets = read.columns.offsets
    start, begins_at, offset_next = 0, offset_first, offset_first
    count = read.ends[-1] if read.ends else 0
    for (batch, _), begin, end, whole in zip(record_batches, [0, *read.ends], read.ends, read.whole, strict=False):
        reached = int(offsets[end - 1]) + 1 if end > begin else offset_next
        offset_next = max(reached, batch.next_offset)
        if not whole:
            yield _Run(source, read, start, end, offset_next, offset_next - reached)
            start, begins_at = end, offset_next
    if offset_next > begins_at:
        yield _Run(source, read, start, count, offset_next, 0)


class _Run(NamedTuple):
    """Records `start` to `end` of some that were read, up to where some could not be."""

    source: Partition
    read: Records
    start: int
    end: int
    offset_next: int
    unreadable: int

    def batches(self, records_max: int) -> Iterator[FetchedBatch]:
        """Cut the run into batches."""
        read, columns = self.read, self.read.columns
        for start in range(self.start, max(self.end, self.start + 1), records_max):
            end = min(start + records_max, self.end)
            last = end == self.end
            rows = slice(start, end)
            yield FetchedBatch(
                self.source,
                read.values(rows),
                read.keys(rows),
                columns.offsets[rows],
                columns.timestamps[rows],
                read.headers(rows),
                self.offset_next if last else int(columns.offsets[end]),
                self.unreadable if last else 0,
            )
