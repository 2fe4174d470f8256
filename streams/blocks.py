"""Packed blocks: how the actions of source batches cross the topic between actors and subjects.

One block holds the rows that some source partitions send to one subject partition, source by source: columns narrowed
to the bytes that their values need, hashes of subjects, owners and items as indexes into a table that also carries
their names, all in one lz4 run under a checksum. It costs about 20 bytes an action instead of 62, and no
Python object an action on either side. What a block costs whatever is in it is paid once for all of its sources.

A record that is not such a block, of this version and undamaged, is refused with `BlockRefused`.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import lz4.block
import numpy as np
from xxhash import xxh3_64_intdigest

from detectors.actions import Actions, partition_of
from detectors.onward import VERB_MAX
from schemas.columns import ABSENT
from streams.block_kernels import (
    ACTOR,
    COLUMNS,
    DEVICE,
    ITEM,
    KEYED,
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
from streams.block_parts import BlockHeader, Part, level, read_tops, tops_of, unlevel, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from streams.block_kernels import KeyTables

MAGIC = b"bwab"
VERSION = 3
RAW_BYTES_MAX = 64 << 20
"""A block larger than this before compression is none of ours: 64 MiB is a million rows."""

BLOCK_BYTES_MAX = 512 * 1024
"""A block larger than this is cut in two: half of what a broker takes by default, 1 MiB."""

NAMED_MARK_MIN = 16
"""An actor is named from this mark on (1 nat, e times as likely bought as organic), so that evidence can show
sample actors; naming every organic actor would double a block, so others are named now and then (`NAMED_ONE_IN`)."""

_IDLE = 1
_PREFIX = struct.Struct("<4sBxHIIIQ")
_CHECKSUM = struct.Struct("<Q")
_SEED = secrets.randbits(64)
_LZ4_WORST = 255
"""lz4 cannot shrink by more than this, so a larger claim is a lie and is not allocated."""


class BlockRefused(ValueError):  # noqa: N818  # said of a record, like its siblings in streams.errors
    """A record of the actions topic is no block that this version reads; the message says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The events that actions were made of, to name things by: no table of all strings is needed then.

    `rows[i]` is the event of action i, and `texts` are the events' subjects, owners, items and actors.
    """

    texts: tuple[Sequence[str | None], Sequence[str | None], Sequence[str | None], Sequence[str | None]]
    rows: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The n actions of a source batch, to be packed. `offsets`, shape (n,), are theirs in the source partition.

    With `origin` names are taken from there, without it from the actions.
    """

    header: BlockHeader
    actions: Actions
    offsets: NDArray[np.int64]
    origin: Origin | None = None

    def stretch(self, start: int, end: int) -> Outgoing:
        """Return the actions from one place to another."""
        origin = self.origin and replace(self.origin, rows=self.origin.rows[start:end])
        return replace(
            self, actions=self.actions.take(np.arange(start, end)), offsets=self.offsets[start:end], origin=origin
        )


@dataclass(frozen=True, slots=True)
class Block:
    """One block, read: its parts one after another. `offsets`, shape (n,), never fall within a part."""

    parts: tuple[Part, ...]
    offsets: NDArray[np.int64]
    actions: Actions

    @property
    def header(self) -> BlockHeader:
        """Where the first part comes from."""
        return self.parts[0].header


class Packed(NamedTuple):
    """The value of a record for a subject partition, and the sources that have rows in it, by topic and number."""

    partition: int
    value: bytes
    sources: frozenset[tuple[str, int]]


def pack(actions: Actions, offsets: NDArray[np.int64], header: BlockHeader) -> bytes:
    """Pack n actions and their source offsets, shape (n,), into the value of one record, however large."""
    rows = _Rows([Outgoing(header, actions, offsets)])
    return next(_sealed(rows, [0, len(actions)], [[Part(header, 0, len(actions))]], bytes_max=None))[1]


def pack_all(batches: Sequence[Outgoing], partitions: int) -> list[Packed]:
    """Pack batches into a block for each of `partitions` subject partitions that has rows, or several where too large.

    Batches of a source are given in its order, and its rows keep it.
    """
    batches = sorted(batches, key=_source_of)
    if not sum(len(batch.actions) for batch in batches):
        return []
    headers, counts = _joined(batches)
    rows = _Rows(batches)
    partition = partition_of(rows.matrix[SUBJECT].view(np.uint64), partitions)
    source = np.repeat(np.arange(len(headers)), counts)
    # Sorted once and then sliced: a stable order by partition, so each block keeps the order of its sources.
    rows.sort(np.argsort(partition, kind="stable"))
    many = np.bincount(partition * len(headers) + source, minlength=partitions * len(headers))
    many = many.reshape(partitions, len(headers))
    used = np.flatnonzero(many.any(axis=1))
    starts = [0, *np.cumsum(many[used].sum(axis=1)).tolist()]
    parts = [list(_parts(headers, some, start)) for some, start in zip(many[used].tolist(), starts, strict=False)]
    numbers = used.tolist()
    return [
        Packed(numbers[block], value, frozenset((part.header.topic, part.header.partition) for part in parts[block]))
        for block, value in _sealed(rows, starts, parts, BLOCK_BYTES_MAX)
    ]


def _source_of(batch: Outgoing) -> tuple[str, int]:
    return batch.header.topic, batch.header.partition


def _joined(batches: Sequence[Outgoing]) -> tuple[list[BlockHeader], list[int]]:
    """Return one header for each source of these batches, and how many rows it has."""
    headers, counts = [], []
    for _, some in groupby(batches, key=_source_of):
        own = list(some)
        last = own[-1].header
        first = min(one.header.offset_first for one in own)
        headers.append(replace(last, offset_first=first, watermark_ms=max(one.header.watermark_ms for one in own)))
        counts.append(sum(len(one.actions) for one in own))
    return headers, counts


def _parts(headers: Sequence[BlockHeader], counts: Sequence[int], at: int) -> Iterator[Part]:
    for header, count in zip(headers, counts, strict=True):
        if count:
            yield Part(header, at, at + count)
            at += count


class _Rows:
    """The rows of batches, one behind the other, as a matrix of columns, and where their names are."""

    def __init__(self, batches: Sequence[Outgoing]) -> None:
        self.matrix = _to_matrix(batches)
        self._batches = batches
        self._order: NDArray[np.intp] | None = None

    def sort(self, order: NDArray[np.intp]) -> None:
        """Put the rows into another order."""
        self.matrix, self._order = np.take(self.matrix, order, axis=1), order

    def names(self, tables: KeyTables, used: int) -> Gathered:
        """Return the names behind the first `used` keys."""
        first = self._batches[0]
        if first.origin is None:
            return _found(first.actions, tables.keys[:used])
        origins = [batch.origin for batch in self._batches if batch.origin is not None]
        lengths = [len(origin.texts[0]) for origin in origins]
        bases = np.cumsum([0, *lengths])
        rows = np.concatenate([origin.rows + base for origin, base in zip(origins, bases.tolist(), strict=False)])
        rows = rows if self._order is None else rows[self._order]
        places = tables.places[:used]
        columns = list(zip(*(origin.texts for origin in origins), strict=True))
        return gather(columns, places[:, 0], rows[places[:, 1]])


def _sealed(
    rows: _Rows, starts: Sequence[int], parts: Sequence[Sequence[Part]], bytes_max: int | None
) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the value of each block, of one that is too large those of its halves.

    Block b has rows `starts[b]` to `starts[b + 1]`, made of `parts[b]`. One call for all of them: most of what a small
    block costs is paid once.
    """
    matrix, first = rows.matrix, starts[0]
    tables = key_tables(starts[-1] - first, _SEED)
    out = np.empty((len(starts) - 1) * TABLE_BYTES + (starts[-1] - first) * ROW_BYTES_MAX, np.uint8)
    ends = np.zeros((len(starts) - 1, 2), np.int64)
    tops = [tops_of(matrix, some) for some in parts]
    level(matrix, parts)
    write_blocks(matrix, np.array(starts, np.int64), NAMED_MARK_MIN, tables, out, ends)
    used = int(ends[-1, 1]) if len(ends) else 0
    names = rows.names(tables, used)
    at = key_at = 0
    for block, ((start, end), (out_end, key_end)) in enumerate(zip(pairwise(starts), ends.tolist(), strict=True)):
        raw = out[at:out_end].tobytes() + names.table(tables.keys, key_at, key_end)
        value = _seal(tops[block] + raw, end - start, key_end - key_at, len(parts[block]))
        if bytes_max is not None and len(value) > bytes_max and end - start > 2:
            _restore(matrix, tables, key_at, parts[block], tops[block])
            middle = (start + end) // 2
            # An event's two rows stay together: a reader drops what is not beyond the last offset that it has seen.
            middle += 1 if matrix[OFFSET, middle] == matrix[OFFSET, middle - 1] else 0
            halves = [within(parts[block], start, middle), within(parts[block], middle, end)]
            yield from ((block, half) for _, half in _sealed(rows, [start, middle, end], halves, bytes_max))
        else:
            yield block, value
        at, key_at = out_end, key_end


def _restore(matrix: NDArray[np.int64], tables: KeyTables, key_at: int, parts: Sequence[Part], tops: bytes) -> None:
    """Make the rows of a block what they were before it was written."""
    here = slice(parts[0].start, parts[-1].end)
    for column in range(KEYED):
        matrix[column, here] = tables.keys[key_at + matrix[column, here]].view(np.int64)
    unlevel(matrix, parts, read_tops(tops, len(parts))[1])


def pack_watermarks(headers: Sequence[BlockHeader]) -> bytes:
    """Pack a block without rows, that only tells how far some sources are."""
    rows = _Rows([Outgoing(headers[0], _NO_ACTIONS, np.empty(0, np.int64))])
    return next(_sealed(rows, [0, 0], [[Part(header, 0, 0) for header in headers]], bytes_max=None))[1]


def _found(actions: Actions, keys: NDArray[np.uint64]) -> Gathered:
    """Return the names behind hashes."""
    find = actions.names.find
    names = [find(key) if key != ABSENT else None for key in keys.tolist()]
    return gather([[names]], np.zeros(len(keys), np.int64), np.arange(len(keys)))


def _seal(raw: bytes, rows: int, names: int, parts: int) -> bytes:
    payload: bytes = lz4.block.compress(raw, store_size=False)
    prefix = _PREFIX.pack(MAGIC, VERSION, parts, rows, names, len(raw), 0)
    return prefix[:-8] + _CHECKSUM.pack(_checksum(prefix, payload)) + payload


def unpack(value: bytes | None) -> Block:
    """Read one block. Raises BlockRefused for what is no block, damaged, or of another version."""
    if value is None or len(value) < _PREFIX.size or value[:4] != MAGIC:
        raise BlockRefused("no block of actions: the first bytes are not its mark")
    if value[4] != VERSION:
        raise BlockRefused(f"block version {value[4]}, and this worker reads version {VERSION}: upgrade it first")
    prefix, body = value[: _PREFIX.size], value[_PREFIX.size :]
    _, _, parts, rows, names, raw_bytes, checksum = _PREFIX.unpack(prefix)
    if _checksum(prefix, body) != checksum:
        raise BlockRefused(f"block of {len(value)} bytes is damaged: its checksum does not match")
    try:
        return _read(_decompress(body, raw_bytes), parts, rows, names)
    except (ValueError, struct.error) as error:
        raise BlockRefused(f"block of {len(value)} bytes does not add up: {error}") from None


def _read(raw: bytearray, parts: int, rows: int, names: int) -> Block:
    if rows > len(raw) * _LZ4_WORST:
        raise ValueError(f"{rows} rows cannot be in {len(raw)} bytes")
    told, firsts, at = read_tops(raw, parts)
    if not told or told[-1].end != rows:
        raise ValueError(f"its {parts} parts do not have {rows} rows")
    matrix = np.empty((COLUMNS, rows), np.int64)
    used = read_columns(np.frombuffer(raw, np.uint8, offset=at), rows, names, VERB_MAX, matrix)
    if used < 0:
        raise ValueError(f"its columns are not {rows} rows")
    unlevel(matrix, told, firsts)
    actions = _to_actions(matrix, NameTable(memoryview(raw)[at + used :], names))
    return Block(tuple(told), matrix[OFFSET], actions)


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


def _to_matrix(batches: Sequence[Outgoing]) -> NDArray[np.int64]:
    matrix = np.empty((COLUMNS, sum(len(batch.actions) for batch in batches)), np.int64)
    at = 0
    for batch in batches:
        actions = batch.actions
        here = matrix[:, at : at + len(actions)]
        here[SUBJECT] = actions.subject.view(np.int64)
        here[OWNER] = actions.owner.view(np.int64)
        here[ITEM] = actions.item.view(np.int64)
        here[ACTOR] = actions.actor.view(np.int64)
        here[OFFSET] = batch.offsets
        here[TS] = actions.ts
        here[WATERMARK] = actions.watermark
        here[POSITION] = actions.position
        here[DEVICE] = actions.device
        here[TRAITS] = actions.traits
        here[MARK] = actions.mark
        here[VERB] = actions.verb
        at += len(actions)
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
