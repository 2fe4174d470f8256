"""Record batches as a broker stores them: kept as bytes, then read into columns without an object per record.

aiokafka parses a fetched record batch into an object a record, of which each value and key is another: half a
microsecond, and something for the garbage collector to walk. Here the batch stays what it was, its header is read by
aiokafka, and its records become places in the bytes (`streams.record_kernel`).

The format is that of Kafka's documentation, "Record Batch" (https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import lz4.frame
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from schemas.texts import Pieces
from schemas.words import PAD_BYTES
from streams.record_kernel import RECORD_BYTES_MIN, RecordColumns, Span, read_records, room

if TYPE_CHECKING:
    from numpy.typing import NDArray

Header = tuple[str, bytes | None]

LOG_APPEND_TIME = 1
"""`timestamp_type` of a record batch whose records all have the broker's time."""

MAGIC = 2
"""The version of the format that is read here. What is older, of producers before 0.11, is written anew in it."""

_FRAME, _OFFSET, _COUNT = struct.Struct(">qi"), struct.Struct(">q"), struct.Struct(">i")
_MAGIC_AT, _COUNT_AT, _RECORDS_AT = 16, 57, 61
_LARGE = 1 << 30

_DECOMPRESS = {
    DefaultRecordBatch.CODEC_GZIP: codec.gzip_decode,
    DefaultRecordBatch.CODEC_SNAPPY: codec.snappy_decode,
    DefaultRecordBatch.CODEC_LZ4: lz4.frame.decompress,  # half of what aiokafka's takes
    DefaultRecordBatch.CODEC_ZSTD: codec.zstd_decode,
}


class RecordBatch(NamedTuple):
    """One record batch: aiokafka's view of it, which knows its header and checksum, and its bytes."""

    batch: Any
    data: memoryview

    def payload(self) -> tuple[bytes, int]:
        """Return its records uncompressed, one after the other, and how many there are; none of a control batch."""
        if self.batch.is_control_batch:
            return b"", 0
        packed = self.data[_RECORDS_AT:]
        decompress = _DECOMPRESS.get(self.batch.compression_type)
        raw = bytes(packed) if decompress is None else decompress(packed)
        # What a header claims is not allocated before it is known to be possible.
        return raw, min(_COUNT.unpack_from(self.data, _COUNT_AT)[0], len(raw) // RECORD_BYTES_MIN)


class KeptRecords(MemoryRecords):
    """aiokafka's record batches of one fetch, with the bytes that they are in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = memoryview(data)
        self._at = 0

    def next_batch(self) -> Any:
        """Return aiokafka's view of the next record batch."""
        return self.next_kept().batch

    def next_kept(self) -> RecordBatch:
        """Return the next record batch with its bytes, in the format of today."""
        batch = super().next_batch()
        start = self._at
        self._at += _FRAME.size + _FRAME.unpack_from(self._data, start)[1]
        if self._data[start + _MAGIC_AT] >= MAGIC:
            return RecordBatch(batch, self._data[start : self._at])
        anew = _written_anew(batch)
        return RecordBatch(DefaultRecordBatch(anew), memoryview(anew))


def keep_fetched_bytes() -> None:
    """Let aiokafka's fetcher keep the bytes of what it fetches beside its own view of them, in this process."""
    fetcher.MemoryRecords = KeptRecords


def _written_anew(batch: Any) -> bytes:
    """Return a record batch of an older format in that of today, uncompressed."""
    if not batch.validate_crc():
        raise CorruptRecordException(f"records of an old format before offset {batch.next_offset} are damaged")
    records = list(batch)
    base = records[0].offset if records else batch.next_offset
    builder = DefaultRecordBatchBuilder(
        MAGIC, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=_LARGE
    )
    for record in records:
        when = -1 if record.timestamp is None else record.timestamp
        builder.append(record.offset - base, when, record.key, record.value, [])
    anew = bytearray(builder.build())
    _OFFSET.pack_into(anew, 0, base)
    return bytes(anew)


class Headers(Mapping[int, list[Header]]):
    """The headers of the records that have any, by row; read only when somebody asks."""

    def __init__(self, buffer: bytes, places: NDArray[np.int64]) -> None:
        """Take where in the buffer each record's headers begin, shape (n,), -1 where it has none."""
        self._buffer = buffer
        self._places = places

    def __getitem__(self, row: int) -> list[Header]:
        at = int(self._places[row]) if 0 <= row < len(self._places) else -1
        if at < 0:
            raise KeyError(row)
        count, at = _varint(self._buffer, at)
        found: list[Header] = []
        for _ in range(count):
            name, at = self._piece(at)
            value, at = self._piece(at)
            # What is no UTF-8 is no name; it is told as nearly as can be.
            found.append(((name or b"").decode(errors="replace"), value))
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._places >= 0).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self._places >= 0))

    def _piece(self, at: int) -> tuple[bytes | None, int]:
        size, at = _varint(self._buffer, at)
        return (None, at) if size < 0 else (self._buffer[at : at + size], at + size)


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


class Records(NamedTuple):
    """The records of some batches, read: columns on one buffer, set for n records, and how each batch came out."""

    columns: RecordColumns
    buffer: bytes
    ends: list[int]  # how many records there are up to the end of each batch
    whole: list[bool]  # whether every record of the batch could be read

    def values(self, rows: slice) -> Pieces:
        """Return the values of some records."""
        return Pieces(self.buffer, self.columns.value_starts[rows], self.columns.value_sizes[rows])

    def keys(self, rows: slice) -> Pieces:
        """Return the keys of some records."""
        return Pieces(self.buffer, self.columns.key_starts[rows], self.columns.key_sizes[rows])

    def headers(self, rows: slice) -> Headers:
        """Return the headers of some records."""
        return Headers(self.buffer, self.columns.headers_at[rows])


def read_batches(batches: list[RecordBatch], offset_first: int) -> Records:
    """Read record batches of one partition that follow each other, without the records before an offset."""
    payloads = [one.payload() for one in batches]
    # Loads of eight bytes at the last record stay inside of the buffer.
    buffer = b"".join([*(raw for raw, _ in payloads), bytes(PAD_BYTES)])
    data, columns = np.frombuffer(buffer, np.uint8), room(sum(count for _, count in payloads))
    ends: list[int] = []
    whole: list[bool] = []
    done = at = 0
    for (raw, count), (batch, _) in zip(payloads, batches, strict=True):
        brokers = batch.timestamp_type == LOG_APPEND_TIME
        base_ms = batch.max_timestamp if brokers else batch.first_timestamp
        span = Span(at, at + len(raw), count, batch.base_offset, offset_first, batch.next_offset, base_ms, brokers)
        done, readable = read_records(data, span, done, columns)
        at += len(raw)
        ends.append(done)
        whole.append(readable)
        if done:
            offset_first = max(offset_first, int(columns.offsets[done - 1]) + 1)
    return Records(columns, buffer, ends, whole)
