from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.commits import Partition
from streams.fetched import FetchedBatch, continues, take_raw

LIKES = Partition("likes", 2)
CONTROL, LOG_APPEND_TIME = 0x20, 0x08


@dataclass
class Log:
    """Bytes as a broker sends them."""

    content: bytes = b""
    offset_next: int = 0
    kept: list[tuple[int, bytes | None, bytes | None]] = field(default_factory=list)

    def add(
        self,
        records: list[tuple[bytes | None, bytes | None]],
        *,
        codec: int = 0,
        attributes: int = 0,
        headers: Any = (),
    ) -> Log:
        builder = DefaultRecordBatchBuilder(
            2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 20
        )
        for delta, (key, value) in enumerate(records):
            builder.append(delta, 1_000 + self.offset_next + delta, key=key, value=value, headers=list(headers))
            if not attributes & CONTROL:
                self.kept.append((self.offset_next + delta, key, value))
        batch = bytearray(builder.build())
        struct.pack_into(">q", batch, 0, self.offset_next)
        if attributes:
            (old,) = struct.unpack_from(">h", batch, 21)
            struct.pack_into(">h", batch, 21, old | attributes)
        self.content += bytes(batch)
        self.offset_next += len(records)
        return self


class Assigned:
    """The part of aiokafka's assignment that a fetch result looks at, with its real rule."""

    def __init__(self, position: int) -> None:
        self.active, self.paused, self.position = True, False, position

    def state_value(self, _: object) -> Assigned:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetch(log: Log, offset: int = 0) -> tuple[FetchResult, Assigned]:
    assigned = Assigned(offset)
    records = PartitionRecords(LIKES, MemoryRecords(log.content), None, offset, None, None, False, 0)
    return FetchResult(LIKES, assignment=assigned, partition_records=records, backoff=0), assigned


def read(log: Log, offset: int = 0, records_max: int = 1_000, *, check_crcs: bool = False) -> list[FetchedBatch]:
    result, assigned = fetch(log, offset)
    batches = []
    while result.has_more():
        raw = take_raw(result, LIKES, records_max)
        assert raw is not None
        batches += raw.read(records_max, check_crcs=check_crcs)
    assert assigned.position == (batches[-1].offset_next if batches else offset)
    return batches


def told(batches: list[FetchedBatch]) -> list[tuple[int, bytes | None, bytes | None]]:
    return [row for batch in batches for row in zip(batch.offsets.tolist(), batch.keys, batch.values, strict=True)]


pairs = st.tuples(st.none() | st.binary(max_size=5), st.none() | st.binary(max_size=20))


@given(
    st.lists(
        st.tuples(st.lists(pairs, min_size=1, max_size=6), st.sampled_from([0, 1, 3, 4]), st.booleans()), max_size=6
    ),
    st.integers(1, 8),
    st.integers(0, 10),
)
def test_every_record_from_the_position_on_is_read_once_in_order(
    content: list[tuple[list[tuple[bytes | None, bytes | None]], int, bool]], records_max: int, offset: int
) -> None:
    log = Log()
    for records, codec, control in content:
        log.add(records, codec=codec, attributes=CONTROL if control else 0)
    offset = min(offset, log.offset_next)
    batches = read(log, offset, records_max)
    assert told(batches) == [row for row in log.kept if row[0] >= offset]
    assert all(len(batch) <= records_max for batch in batches)
    following = offset
    for batch in batches:
        assert following <= batch.offset_first <= batch.offset_next
        following = batch.offset_next
    assert following == (log.offset_next if batches else offset)


def test_transaction_marks_alone_move_the_position() -> None:
    log = Log().add([(b"", b"")], attributes=CONTROL)
    (batch,) = read(log)
    assert (len(batch), batch.offset_first, batch.offset_next) == (0, 1, 1)


def test_timestamps_are_the_brokers_where_it_sets_them() -> None:
    ours = read(Log().add([(b"k", b"v")] * 3))[0]
    brokers = read(Log().add([(b"k", b"v")] * 3, attributes=LOG_APPEND_TIME))[0]
    assert ours.timestamps.tolist() == [1_000, 1_001, 1_002]
    assert brokers.timestamps.tolist() == [1_002, 1_002, 1_002]
    assert ours.timestamps.dtype == ours.offsets.dtype == np.int64


def test_headers_are_kept_where_there_are_any() -> None:
    log = Log().add([(b"k", b"v")] * 2).add([(b"k", b"w")], headers=[("a", b"1"), ("b", None)])
    (batch,) = read(log)
    assert batch.headers == {2: [("a", b"1"), ("b", None)]}
    assert [cut.headers for cut in read(log, records_max=1)] == [{}, {}, {0: [("a", b"1"), ("b", None)]}]


def test_a_header_that_is_no_utf8_costs_its_record_and_no_other_partition_or_batch() -> None:
    log = Log().add([(b"k", b"1")])
    log.add([(b"k", b"2"), (b"k", b"3")], headers=[("NAME", b"x")])
    log.content = log.content.replace(b"NAME", b"\xff\xfe\xff\xfe", 1)
    log.add([(b"k", b"4")])
    batches = read(log)
    assert [row[2] for row in told(batches)] == [b"1", b"4"]
    assert [(batch.unreadable, batch.offset_next) for batch in batches] == [(2, 3), (0, 4)]


def test_a_checksum_that_does_not_match_is_told_with_its_place() -> None:
    log = Log().add([(b"k", b"value")])
    log.content = log.content.replace(b"value", b"vaLue")
    with pytest.raises(CorruptRecordException, match=r"likes/2.*offset 0"):
        read(log, check_crcs=True)


def test_records_that_were_compacted_away_leave_their_offsets_out() -> None:
    log = Log().add([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    whole = DefaultRecordBatch(log.content)
    assert [record.offset for record in whole] == [0, 1, 2]
    (batch,) = read(log, offset=1)
    assert told([batch]) == [(1, b"b", b"2"), (2, b"c", b"3")]


def test_what_a_fetch_costs_in_memory_counts_its_bytes() -> None:
    (batch,) = read(Log().add([(b"key", b"x" * 1_000), (None, None)]))
    assert batch.size_bytes > 1_003


def test_fetches_that_go_on_where_the_one_before_ended_read_as_one() -> None:
    log = Log().add([(b"a", b"1"), (b"b", b"2")], codec=3).add([(b"c", b"3")]).add([(b"d", b"4")], codec=3)
    result, _ = fetch(log)
    first = take_raw(result, LIKES, records_max=1)
    assert first is not None
    assert continues(first, result)
    second = take_raw(result, LIKES, records_max=100)
    assert second is not None
    assert not result.has_more()
    (batch,) = first.joined(second).read(100, check_crcs=True)
    assert told([batch]) == log.kept
    assert not continues(second, fetch(log)[0])
