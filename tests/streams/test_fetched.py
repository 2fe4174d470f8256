from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.commits import Partition
from streams.fetched import FetchedBatch, take_raw
from streams.record_batches import KeptRecords

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
    records = PartitionRecords(LIKES, KeptRecords(log.content), None, offset, None, None, False, 0)
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


@settings(deadline=None)
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


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=20)), min_size=1, max_size=30
    ),
    st.lists(st.integers(1, 29), max_size=5, unique=True),
)
def test_a_batch_that_was_cut_can_be_joined_again(
    records: list[tuple[bytes | None, bytes | None]], cuts: list[int]
) -> None:
    (whole,) = read(Log().add(records[:10], headers=[("a", b"1")]).add(records[10:]))
    pieces: list[FetchedBatch] = []
    rest = whole
    for cut in sorted(cuts):
        at = cut - sum(map(len, pieces))
        if 0 < at < len(rest):
            first, rest = rest.cut(at)
            pieces.append(first)
    joined = FetchedBatch.joined([*pieces, rest])
    assert told([joined]) == told([whole])
    assert joined.headers == whole.headers
    assert joined.merge_ms.tolist() == whole.merge_ms.tolist()
    assert joined.timestamps.tolist() == whole.timestamps.tolist()
    assert (joined.offset_first, joined.offset_next) == (whole.offset_first, whole.offset_next)
    assert (joined.unreadable, joined.size_bytes) == (whole.unreadable, whole.size_bytes)


def test_a_header_that_is_no_utf8_costs_no_record() -> None:
    log = Log().add([(b"k", b"1")])
    log.add([(b"k", b"2"), (b"k", b"3")], headers=[("NAME", b"x")])
    log.content = log.content.replace(b"NAME", b"\xff\xfe\xff\xfe", 1)
    (batch,) = read(log)
    assert told([batch]) == log.kept
    assert batch.headers == {1: [("\ufffd" * 4, b"x")], 2: [("NAME", b"x")]}


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 255), st.sampled_from([(), (("a", b"1"),)]))
def test_records_that_are_none_cost_the_rest_of_their_batch_and_no_other(at: int, byte: int, headers: Any) -> None:
    log = Log().add([(b"k", b"1")])
    begin = len(log.content) + 61
    log.add([(b"k", b"2"), (b"key", b"three"), (None, None)], headers=headers)
    damaged = bytearray(log.content)
    damaged[begin + at % (len(damaged) - begin)] = byte
    log.content = bytes(damaged)
    log.add([(b"k", b"4")])
    batches = read(log)
    rows = told(batches)
    assert (rows[0], rows[-1]) == (log.kept[0], log.kept[-1])
    offsets = [offset for offset, _, _ in rows]
    assert offsets == sorted(set(offsets))
    lost = {offset for batch in batches for offset in range(batch.offset_next - batch.unreadable, batch.offset_next)}
    assert not lost & set(offsets)
    assert batches[-1].offset_next == log.offset_next


def test_a_batch_that_is_cut_off_within_is_told_as_unreadable() -> None:
    log = Log().add([(b"k", b"1"), (b"k", b"2")])
    log.content = log.content[:-8] + b"\xff" * 8
    log.add([(b"k", b"3")])
    batches = read(log)
    assert [(len(batch), batch.unreadable, batch.offset_next) for batch in batches] == [(1, 1, 2), (1, 0, 3)]


@pytest.mark.parametrize("codec", [0, 1])
def test_records_of_the_format_before_todays_are_read_too(codec: int) -> None:
    builder = LegacyRecordBatchBuilder(1, codec, 10_000)
    kept = [(offset, b"key", b"value %d" % offset) for offset in range(3)]
    for offset, key, value in kept:
        builder.append(offset, 1_000 + offset, key, value)
    log = Log(bytes(builder.build()), 3)
    batches = read(log, offset=1, check_crcs=True)
    assert told(batches) == kept[1:]
    assert [at for batch in batches for at in batch.timestamps.tolist()] == [1_001, 1_002]


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


def test_a_fetch_is_taken_in_pieces_that_go_on_where_the_one_before_ended() -> None:
    log = Log().add([(b"a", b"1"), (b"b", b"2")], codec=3).add([(b"c", b"3")]).add([(b"d", b"4")], codec=3)
    result, _ = fetch(log)
    first = take_raw(result, LIKES, records_max=1)
    second = take_raw(result, LIKES, records_max=100)
    assert first is not None
    assert second is not None
    assert first.offset_next == second.offset_first
    assert not result.has_more()
    batches = [batch for raw in (first, second) for batch in raw.read(100, check_crcs=True)]
    assert told(batches) == log.kept
