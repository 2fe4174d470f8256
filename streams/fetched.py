"""Fetched batches: what one fetch brought from one partition, read without a Python object per record.

aiokafka's own path makes a frozen `ConsumerRecord` of every record, 2.5 µs each; reading the record batches
below it costs 0.5 µs, which is worth the private names that `tests/integration/test_transport_contract.py` pins.
"""

# ruff: noqa: SLF001 -- the contract test pins the private names of aiokafka that are used here
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from aiokafka.errors import CorruptRecordException

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiokafka.consumer.fetcher import FetchResult
    from numpy.typing import NDArray

    from streams.commits import Partition, Ticket

RECORD_OVERHEAD_BYTES = 300
"""Memory of one record beside its key and value: the record object, two bytes objects, list entries."""


@dataclass(slots=True, eq=False)
class FetchedBatch:
    """Some consecutive records of one partition; n may be 0 where only transaction marks were read.

    `offset_next` is where the partition goes on, past whatever is no record. The ticket is the batch's entry in
    the ledger, set when it is handed to its agent.
    """

    source: Partition
    records: list[Any]  # aiokafka's DefaultRecord: offset, timestamp, key, value, headers
    values: list[bytes | None]
    offset_next: int
    size_bytes: int
    unreadable: int = 0
    """How many records before `offset_next` could not be read at all (a header key that is no UTF-8)."""
    ticket: Ticket | None = None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def offset_first(self) -> int:
        """The offset of the first record."""
        return self.records[0].offset if self.records else self.offset_next

    def keys(self) -> list[bytes | None]:
        """Return the records' keys."""
        return [record.key for record in self.records]

    def offsets(self) -> NDArray[np.int64]:
        """Return the records' offsets, shape (n,)."""
        return np.fromiter([record.offset for record in self.records], np.int64, len(self.records))

    def timestamps(self) -> NDArray[np.int64]:
        """Return the records' Kafka timestamps in ms, shape (n,)."""
        return np.fromiter([record.timestamp for record in self.records], np.int64, len(self.records))

    def headers(self, row: int) -> Sequence[tuple[str, bytes | None]]:
        """Return the headers of one record."""
        return self.records[row].headers  # type: ignore[no-any-return]


def read_fetch(result: FetchResult, source: Partition, records_max: int, *, check_crcs: bool) -> list[FetchedBatch]:
    """Take everything out of one fetch result and move its position, in batches of at most `records_max`.

    Raises CorruptRecordException where a checksum does not match; the position is then left where it was.
    """
    if not result.check_assignment(source) or not result.has_more():
        return []
    unread = result._partition_records
    offset_first = unread.next_fetch_offset
    runs, offset_next = _read(unread._records, offset_first, source, check_crcs=check_crcs)
    unread.next_fetch_offset = offset_next
    result._update_position()
    result._partition_records = None
    return [
        batch
        for records, unreadable, following in runs
        for batch in _cut(records, unreadable, following, source, records_max)
    ]


def _read(
    memory: Any, offset_first: int, source: Partition, *, check_crcs: bool
) -> tuple[list[tuple[list[Any], int, int]], int]:
    """Return runs of records, each with how many could not be read after it and the offset that follows."""
    runs: list[tuple[list[Any], int, int]] = []
    records: list[Any] = []
    offset_next = offset_first
    while memory.has_next():
        batch = memory.next_batch()
        if check_crcs and not batch.validate_crc():
            raise CorruptRecordException(
                f"{source.topic}/{source.partition}: records from offset {offset_next} do not match their checksum; "
                "look at the broker's disk and network"
            )
        unreadable = False
        if not batch.is_control_batch:
            before = len(records)
            try:
                records.extend(batch)
            except (UnicodeDecodeError, CorruptRecordException):
                unreadable = True
            # A fetch from within a compressed batch brings the whole batch.
            if len(records) > before and records[before].offset < offset_next:
                records[before:] = [record for record in records[before:] if record.offset >= offset_next]
            if len(records) > before:
                offset_next = records[-1].offset + 1
        following = max(offset_next, batch.next_offset)
        if unreadable:
            runs.append((records, following - offset_next, following))
            records = []
        offset_next = following
    if records or offset_next > (runs[-1][2] if runs else offset_first):
        runs.append((records, 0, offset_next))
    return runs, offset_next


def _cut(
    records: list[Any], unreadable: int, offset_next: int, source: Partition, records_max: int
) -> Iterator[FetchedBatch]:
    for start in range(0, max(len(records), 1), records_max):
        some = records[start : start + records_max]
        values = [record.value for record in some]
        last = start + records_max >= len(records)
        following = offset_next if last else records[start + records_max].offset
        size = sum(map(len, filter(None, values))) + RECORD_OVERHEAD_BYTES * len(some)
        yield FetchedBatch(source, some, values, following, size, unreadable if last else 0)
