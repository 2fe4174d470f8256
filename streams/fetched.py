# ruff: noqa: SLF001 -- the contract test pins the private names of aiokafka that are used here
"""Fetched batches: what one fetch brought from one partition, as columns and without an object per record.

aiokafka's own path makes a frozen `ConsumerRecord` of every record, 2.5 µs each; reading the record batches
below it costs a quarter of that, and leaves nothing behind for the garbage collector to walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from aiokafka.errors import CorruptRecordException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka.consumer.fetcher import FetchResult
    from numpy.typing import NDArray

    from streams.commits import Partition, Ticket

Header = tuple[str, bytes | None]

RECORD_OVERHEAD_BYTES = 200
"""Memory of one record beside its value, about: two bytes objects, the key, list entries, offset and timestamp."""

LOG_APPEND_TIME = 1
"""`timestamp_type` of a record batch whose records all have the broker's time."""


@dataclass(slots=True, eq=False)
class FetchedBatch:
    """Some consecutive records of one partition; n may be 0 where only transaction marks were read.

    `offset_next` is where the partition goes on, past whatever is no record. The ticket is the batch's entry in
    the ledger, set when it is handed to its agent.
    """

    source: Partition
    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: NDArray[np.int64]  # (n,)
    timestamps: NDArray[np.int64]  # (n,) Kafka timestamps, ms
    headers: dict[int, list[Header]]  # by row, where a record has any
    offset_next: int
    unreadable: int = 0
    """How many records before `offset_next` could not be read at all (a header key that is no UTF-8)."""
    size_bytes: int = 0
    ticket: Ticket | None = None

    def __post_init__(self) -> None:
        self.size_bytes = sum(map(len, filter(None, self.values))) + RECORD_OVERHEAD_BYTES * len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def offset_first(self) -> int:
        """The offset of the first record."""
        return int(self.offsets[0]) if len(self.offsets) else self.offset_next - self.unreadable


@dataclass(frozen=True, slots=True)
class RawFetch:
    """Record batches of one partition as they came, not yet decompressed: `offset_first` to before `offset_next`."""

    source: Partition
    record_batches: list[Any]  # aiokafka's DefaultRecordBatch
    offset_first: int
    offset_next: int

    def joined(self, following: RawFetch) -> RawFetch:
        """Return both as one; `following` must go on where this ends."""
        return RawFetch(
            self.source, [*self.record_batches, *following.record_batches], self.offset_first, following.offset_next
        )

    def read(self, records_max: int, *, check_crcs: bool) -> list[FetchedBatch]:
        """Decompress and read them, as batches of at most `records_max` records.

        Raises CorruptRecordException where a checksum does not match.
        """
        runs = _read(self.record_batches, self.offset_first, self.source, check_crcs=check_crcs)
        return [batch for run in runs for batch in run.batches(self.source, records_max)]


def continues(before: RawFetch, result: FetchResult) -> bool:
    """Say whether a fetch result goes on where an earlier one of its partition ended, or is empty."""
    unread = result._partition_records
    return unread is None or bool(unread.next_fetch_offset == before.offset_next)


def take_raw(result: FetchResult, source: Partition, records_max: int) -> RawFetch | None:
    """Take record batches out of one fetch result until they hold about `records_max`, and move its position.

    Only their headers are looked at. None where the result is of an assignment or a position that is past;
    `result.has_more()` says whether some are left.
    """
    if not result.check_assignment(source) or not result.has_more():
        return None
    unread = result._partition_records
    offset_first = offset_next = unread.next_fetch_offset
    record_batches: list[Any] = []
    while unread._records.has_next() and offset_next - offset_first < records_max:
        record_batches.append(unread._records.next_batch())
        offset_next = max(offset_next, record_batches[-1].next_offset)
    unread.next_fetch_offset = offset_next
    result._update_position()
    if not unread._records.has_next():
        result._partition_records = None
    return RawFetch(source, record_batches, offset_first, offset_next)


@dataclass(slots=True)
class _Run:
    """Records that were read one after another, up to some that could not be."""

    values: list[bytes | None] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    timestamps: list[NDArray[np.int64]] = field(default_factory=list)
    headers: dict[int, list[Header]] = field(default_factory=dict)
    unreadable: int = 0
    offset_next: int = 0

    def add(self, records: list[Any], batch: Any) -> None:
        """Take the records of one record batch."""
        count, first, last = len(records), records[0].offset, records[-1].offset
        whole = last - first + 1 == count  # nothing was compacted away
        self.offsets.append(
            np.arange(first, last + 1) if whole else np.array([record.offset for record in records], np.int64)
        )
        self.timestamps.append(
            np.full(count, batch.max_timestamp, np.int64)
            if batch.timestamp_type == LOG_APPEND_TIME
            else np.array([record.timestamp for record in records], np.int64)
        )
        headers = [record.headers for record in records]
        if any(headers):
            start = len(self.values)
            self.headers.update((start + row, list(some)) for row, some in enumerate(headers) if some)
        self.values += [record.value for record in records]
        self.keys += [record.key for record in records]

    def batches(self, source: Partition, records_max: int) -> Iterator[FetchedBatch]:
        """Cut the run into batches."""
        count = len(self.values)
        offsets = np.concatenate(self.offsets) if self.offsets else np.empty(0, np.int64)
        timestamps = np.concatenate(self.timestamps) if self.timestamps else np.empty(0, np.int64)
        for start in range(0, max(count, 1), records_max):
            end = min(start + records_max, count)
            last = end == count
            yield FetchedBatch(
                source,
                self.values[start:end],
                self.keys[start:end],
                offsets[start:end],
                timestamps[start:end],
                {row - start: some for row, some in self.headers.items() if start <= row < end},
                self.offset_next if last else int(offsets[end]),
                self.unreadable if last else 0,
            )


def _read(record_batches: list[Any], offset_first: int, source: Partition, *, check_crcs: bool) -> list[_Run]:
    run, offset_next = _Run(), offset_first
    runs = [run]
    for batch in record_batches:
        if check_crcs and not batch.validate_crc():
            raise CorruptRecordException(
                f"{source.topic}/{source.partition}: records from offset {offset_next} do not match their checksum; "
                "look at the broker's disk and network"
            )
        readable = True
        if not batch.is_control_batch:
            records: list[Any] = []
            try:
                records.extend(batch)
            except (UnicodeDecodeError, CorruptRecordException):
                readable = False
            # A fetch from within a compressed batch brings the whole batch.
            if records and records[0].offset < offset_next:
                records = [record for record in records if record.offset >= offset_next]
            if records:
                run.add(records, batch)
                offset_next = records[-1].offset + 1
        following = max(offset_next, batch.next_offset)
        run.offset_next = following
        if not readable:
            run.unreadable = following - offset_next
            run = _Run()
            runs.append(run)
        offset_next = following
    return [some for some in runs if some.offset_next > offset_first]
