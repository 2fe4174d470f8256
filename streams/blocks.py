"""Packed blocks: how the actions of one source batch cross the topic between actors and subjects.

One block holds the rows that one source partition sends to one subject partition: columns narrowed to the
bytes that their values need, hashes of subjects, owners and items as indexes into a table that also carries
their names, all in one lz4 run under a checksum. It costs about 20 bytes an action instead of 62, and no
Python object an action on either side.

A record that is not such a block, of this version and undamaged, is refused with `BlockRefused`.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
from xxhash import xxh3_64_intdigest

from detectors.actions import Actions
from schemas.columns import ABSENT, Verb
from streams.block_kernels import (
    ACTOR,
    COLUMNS,
    DEVICE,
    ITEM,
    MARK,
    OFFSET,
    OWNER,
    POSITION,
    ROW_BYTES_MAX,
    SUBJECT,
    TABLE_BYTES,
    TRAITS,
    TS,
    VERB,
    WATERMARK,
    key_tables,
    read_columns,
    write_blocks,
)
from streams.block_names import Gathered, NameTable, gather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAGIC = b"bwab"
VERSION = 1
RAW_BYTES_MAX = 64 << 20
"""A block larger than this before compression is none of ours: 64 MiB is a million rows."""

NAMED_MARK_MIN = 16
"""An actor is named from this mark on (1 nat, e times as likely bought as organic), so that evidence can show
sample actors; naming every organic actor would double a block, so others are named now and then (`NAMED_ONE_IN`)."""

_IDLE = 1
_PREFIX = struct.Struct("<4sBBHIIIIqqqQ")
_CHECKSUM = struct.Struct("<Q")
_SEED = secrets.randbits(64)
_LZ4_WORST = 255
"""lz4 cannot shrink by more than this, so a larger claim is a lie and is not allocated."""

_VERB_MAX = max(Verb)


class BlockRefused(ValueError):  # noqa: N818  # said of a record, like its siblings in streams.errors
    """A record of the actions topic is no block that this version reads; the message says why."""


def source_name(topic: str, partition: int) -> str:
    """Name a source of actions.

    >>> source_name("likes", 3)
    'likes/3'
    """
    return f"{topic}/{partition}"


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Where a block's rows come from: offsets `offset_first` to `offset_last` of one source partition, inclusive.

    A block without rows only moves its source's watermark; `idle` says that the source is caught up and silent.
    """

    topic: str
    partition: int
    offset_first: int
    offset_last: int
    watermark_ms: int
    idle: bool = False

    @property
    def source(self) -> str:
        """The name by which the subject stage knows the source."""
        return source_name(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Origin:
    """The events that actions were made of, to name things by: no table of all strings is needed then.

    `rows[i]` is the event of action i, and `texts` are the events' subjects, owners, items and actors.
    """

    texts: tuple[Sequence[str | None], Sequence[str | None], Sequence[str | None], Sequence[str | None]]
    rows: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Block:
    """One block, read. `offsets` (shape (n,), never falling) is each action's offset in the source partition."""

    header: BlockHeader
    offsets: NDArray[np.int64]
    actions: Actions


def pack(actions: Actions, offsets: NDArray[np.int64], header: BlockHeader) -> bytes:
    """Pack n actions and their source offsets, shape (n,), into the value of one record."""
    return pack_all(actions, offsets, np.array([0, len(actions)]), header)[0]


def pack_all(
    actions: Actions,
    offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    header: BlockHeader,
    origin: Origin | None = None,
) -> list[bytes]:
    """Pack runs of rows into a block each, all with the same header: block b has rows `starts[b]` to `starts[b + 1]`.

    `starts` begins with 0 and ends with n. One call for all blocks of a batch: most of what a small block costs is
    paid once. With `origin` names are taken from there, without it from the actions.
    """
    n, blocks = len(actions), len(starts) - 1
    if starts[0] != 0 or starts[-1] != n:
        raise ValueError(f"blocks from {starts[0]} to {starts[-1]} are not all of {n} rows")
    matrix = _to_matrix(actions, offsets)
    tables = key_tables(n, _SEED)
    out = np.empty(blocks * TABLE_BYTES + n * ROW_BYTES_MAX, np.uint8)
    ends = np.zeros((blocks, 2), np.int64)
    write_blocks(matrix, starts, NAMED_MARK_MIN, tables, out, ends)
    used = int(ends[-1, 1]) if blocks else 0
    names = _names(actions, tables.keys[:used]) if origin is None else _gather(origin, tables.places[:used])
    values: list[bytes] = []
    at = key_at = 0
    rows = np.diff(starts).tolist()
    for count, (end, key_end) in zip(rows, ends.tolist(), strict=True):
        raw = out[at:end].tobytes() + names.table(tables.keys, key_at, key_end)
        values.append(_seal(raw, count, key_end - key_at, header))
        at, key_at = end, key_end
    return values


def pack_watermark(header: BlockHeader) -> bytes:
    """Pack a block without rows."""
    return pack(_NO_ACTIONS, np.empty(0, np.int64), header)


def _names(actions: Actions, keys: NDArray[np.uint64]) -> Gathered:
    """Return the names behind hashes."""
    find = actions.names.find
    names = [find(key) if key != ABSENT else None for key in keys.tolist()]
    return gather([names], np.column_stack([np.zeros(len(keys), np.int64), np.arange(len(keys))]))


def _gather(origin: Origin, places: NDArray[np.int64]) -> Gathered:
    """Return the names that stand in these columns and rows of actions, shape (k, 2)."""
    return gather(origin.texts, np.column_stack([places[:, 0], origin.rows[places[:, 1]]]))


def _seal(raw: bytes, rows: int, names: int, header: BlockHeader) -> bytes:
    payload: bytes = lz4.block.compress(raw, store_size=False)
    topic = header.topic.encode()
    prefix = _PREFIX.pack(
        MAGIC,
        VERSION,
        _IDLE if header.idle else 0,
        len(topic),
        header.partition,
        rows,
        names,
        len(raw),
        header.offset_first,
        header.offset_last,
        header.watermark_ms,
        0,
    )
    body = topic + payload
    return prefix[:-8] + _CHECKSUM.pack(_checksum(prefix, body)) + body


def unpack(value: bytes | None) -> Block:
    """Read one block. Raises BlockRefused for what is no block, damaged, or of another version."""
    if value is None or len(value) < _PREFIX.size or value[:4] != MAGIC:
        raise BlockRefused("no block of actions: the first bytes are not its mark")
    if value[4] != VERSION:
        raise BlockRefused(f"block version {value[4]}, and this worker reads version {VERSION}: upgrade it first")
    prefix, body = value[: _PREFIX.size], value[_PREFIX.size :]
    _, _, flags, topic_bytes, partition, rows, names, raw_bytes, first, last, watermark, checksum = _PREFIX.unpack(
        prefix
    )
    if _checksum(prefix, body) != checksum:
        raise BlockRefused(f"block of {len(value)} bytes is damaged: its checksum does not match")
    try:
        header = BlockHeader(body[:topic_bytes].decode(), partition, first, last, watermark, bool(flags & _IDLE))
        raw = _decompress(body[topic_bytes:], raw_bytes)
        if rows > raw_bytes * _LZ4_WORST:
            raise ValueError(f"{rows} rows cannot be in {raw_bytes} bytes")  # noqa: TRY301
        matrix = np.empty((COLUMNS, rows), np.int64)
        used = read_columns(np.frombuffer(raw, np.uint8), rows, names, _VERB_MAX, matrix)
        if used < 0:
            raise ValueError(f"its columns are not {rows} rows")  # noqa: TRY301
        return Block(header, matrix[OFFSET], _to_actions(matrix, NameTable(memoryview(raw)[used:], names)))
    except ValueError as error:
        raise BlockRefused(f"block of {len(value)} bytes does not add up: {error}") from None


def _checksum(prefix: bytes, body: bytes) -> int:
    return int(xxh3_64_intdigest(body, seed=xxh3_64_intdigest(prefix[:-8])))


def _decompress(payload: bytes, raw_bytes: int) -> bytearray:
    if raw_bytes > RAW_BYTES_MAX or raw_bytes > _LZ4_WORST * max(len(payload), 1):
        raise ValueError(f"{raw_bytes} bytes cannot come out of {len(payload)}")
    try:
        raw: bytearray = lz4.block.decompress(payload, uncompressed_size=raw_bytes, return_bytearray=True)
    except lz4.block.LZ4BlockError as error:
        raise ValueError(str(error)) from None
    if len(raw) != raw_bytes:
        raise ValueError(f"{len(raw)} bytes came out where {raw_bytes} were told")
    return raw


def _to_matrix(actions: Actions, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    matrix = np.empty((COLUMNS, len(actions)), np.int64)
    matrix[SUBJECT] = actions.subject.view(np.int64)
    matrix[OWNER] = actions.owner.view(np.int64)
    matrix[ITEM] = actions.item.view(np.int64)
    matrix[ACTOR] = actions.actor.view(np.int64)
    matrix[OFFSET] = offsets
    matrix[TS] = actions.ts
    matrix[WATERMARK] = actions.watermark
    matrix[POSITION] = actions.position
    matrix[DEVICE] = actions.device
    matrix[TRAITS] = actions.traits
    matrix[MARK] = actions.mark
    matrix[VERB] = actions.verb
    return matrix


def _to_actions(matrix: NDArray[np.int64], table: NameTable) -> Actions:
    keys = table.keys
    return Actions(
        ts=matrix[TS],
        watermark=matrix[WATERMARK],
        verb=matrix[VERB].astype(np.uint8),
        subject=keys[matrix[SUBJECT]],
        actor=matrix[ACTOR].view(np.uint64),
        owner=keys[matrix[OWNER]],
        item=keys[matrix[ITEM]],
        position=matrix[POSITION].astype(np.uint16),
        device=matrix[DEVICE].astype(np.uint32),
        mark=matrix[MARK].astype(np.int8),
        traits=matrix[TRAITS].astype(np.uint16),
        names=table,
    )


_NO_ACTIONS = Actions(
    ts=np.empty(0, np.int64),
    watermark=np.empty(0, np.int64),
    verb=np.empty(0, np.uint8),
    subject=np.empty(0, np.uint64),
    actor=np.empty(0, np.uint64),
    owner=np.empty(0, np.uint64),
    item=np.empty(0, np.uint64),
    position=np.empty(0, np.uint16),
    device=np.empty(0, np.uint32),
    mark=np.empty(0, np.int8),
    traits=np.empty(0, np.uint16),
    names=NameTable(memoryview(bytes(4)), 0),
)
