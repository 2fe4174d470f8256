"""Packed blocks: how the actions of one source batch cross the topic between actors and subjects.

One block holds the rows that one source partition sends to one subject partition: columns narrowed to the
bytes that their values need, hashes of subjects, owners and items as indexes into a table that also carries
their names, all in one lz4 run under a checksum. It costs about 20 bytes an action instead of 62, and no
Python object an action on either side.

A record that is not such a block, of this version and undamaged, is refused with `BlockRefused`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
from xxhash import xxh3_64_intdigest

from detectors.actions import Actions
from schemas.columns import Verb
from streams.block_columns import ColumnError, read_columns, write_columns
from streams.block_names import NameTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"bwab"
VERSION = 1
RAW_BYTES_MAX = 64 << 20
"""A block larger than this before compression is none of ours: 64 MiB is a million rows."""

NAMED_MARK_MIN = 16
"""An actor is named from this mark on (1 nat, e times as likely bought as organic), so that evidence can show
sample actors; naming every organic actor would double a block."""

_IDLE = 1
_PREFIX = struct.Struct("<4sBBHIIIIqqqQ")
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
class Block:
    """One block, read. `offsets` (shape (n,), never falling) is each action's offset in the source partition."""

    header: BlockHeader
    offsets: NDArray[np.int64]
    actions: Actions


def pack(actions: Actions, offsets: NDArray[np.int64], header: BlockHeader) -> bytes:
    """Pack n actions and their source offsets, shape (n,), into the value of one record."""
    columns, names = _to_columns(actions, offsets)
    raw = write_columns(columns) + names.to_bytes()
    payload: bytes = lz4.block.compress(raw, store_size=False)
    topic = header.topic.encode()
    prefix = _PREFIX.pack(
        MAGIC,
        VERSION,
        _IDLE if header.idle else 0,
        len(topic),
        header.partition,
        len(actions),
        len(names),
        len(raw),
        header.offset_first,
        header.offset_last,
        header.watermark_ms,
        0,
    )
    body = topic + payload
    return prefix[:-8] + struct.pack("<Q", _checksum(prefix, body)) + body


def pack_watermark(header: BlockHeader) -> bytes:
    """Pack a block without rows."""
    return pack(_NO_ACTIONS, np.empty(0, np.int64), header)


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
        columns, used = read_columns(raw, rows)
        table = NameTable.from_bytes(memoryview(raw)[used:], names)
        return Block(header, columns["offset"], _to_actions(columns, table))
    except (ColumnError, UnicodeDecodeError, IndexError) as error:
        raise BlockRefused(f"block of {len(value)} bytes does not add up: {error}") from None


def _checksum(prefix: bytes, body: bytes) -> int:
    return int(xxh3_64_intdigest(body, seed=xxh3_64_intdigest(prefix[:-8])))


def _decompress(payload: bytes, raw_bytes: int) -> bytearray:
    if raw_bytes > RAW_BYTES_MAX or raw_bytes > _LZ4_WORST * max(len(payload), 1):
        raise ColumnError(f"{raw_bytes} bytes cannot come out of {len(payload)}")
    try:
        # A bytearray makes writable arrays, so compiled stages see one kind of array from every caller.
        raw: bytearray = lz4.block.decompress(payload, uncompressed_size=raw_bytes, return_bytearray=True)
    except lz4.block.LZ4BlockError as error:
        raise ColumnError(str(error)) from None
    if len(raw) != raw_bytes:
        raise ColumnError(f"{len(raw)} bytes came out where {raw_bytes} were told")
    return raw


def _to_columns(actions: Actions, offsets: NDArray[np.int64]) -> tuple[dict[str, NDArray[np.generic]], NameTable]:
    suspects = actions.actor[actions.mark >= NAMED_MARK_MIN]
    n = len(actions)
    keys, inverse = np.unique(
        np.concatenate([actions.subject, actions.owner, actions.item, suspects]), return_inverse=True
    )
    index = inverse.astype(np.uint32)
    columns: dict[str, NDArray[np.generic]] = {
        "offset": offsets,
        "ts": actions.ts,
        "watermark": actions.watermark,
        "actor": actions.actor,
        "subject": index[:n],
        "owner": index[n : 2 * n],
        "item": index[2 * n : 3 * n],
        "position": actions.position,
        "device": actions.device,
        "traits": actions.traits,
        "mark": actions.mark,
        "verb": actions.verb,
    }
    return columns, NameTable.of(keys, list(map(actions.names.find, keys.tolist())))


def _to_actions(columns: dict[str, NDArray[np.int64]], table: NameTable) -> Actions:
    keys = table.keys
    verb = columns["verb"].astype(np.uint8)
    if len(verb) and int(verb.max()) > _VERB_MAX:
        raise ColumnError(f"verb {int(verb.max())} is not known")
    return Actions(
        ts=columns["ts"],
        watermark=columns["watermark"],
        verb=verb,
        subject=keys[columns["subject"]],
        actor=columns["actor"].view(np.uint64),
        owner=keys[columns["owner"]],
        item=keys[columns["item"]],
        position=columns["position"].astype(np.uint16),
        device=columns["device"].astype(np.uint32),
        mark=columns["mark"].astype(np.int8),
        traits=columns["traits"].astype(np.uint16),
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
    names=NameTable.of(np.empty(0, np.uint64), []),
)
