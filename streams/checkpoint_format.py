"""The records of a state topic, and nothing about how they get there.

A checkpoint is some *chunks* and then one *manifest*, which says which chunks of this and earlier checkpoints make up
the state, and up to which offsets of the inputs that state has seen. A chunk has a key of its own, so compaction
keeps it until it is deleted by name; a manifest replaces the one before it of the same owner.

Every value is an envelope (magic, version, kind, name, checksum) around an lz4 run. What does not read as one is
refused by `RecordRefused`; nothing in it is executed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import lz4.block
import msgspec
from xxhash import xxh3_64_intdigest

VERSION = 1
"""Of envelope and manifest together. Rows and parts carry versions of their own."""

RAW_BYTES_MAX = 64 << 20
"""A record larger than this before compression is none of ours, and is not allocated."""

_MAGIC = b"bwcp"
_HEADER = struct.Struct("<4sBBHHHI")
_CHECKSUM = struct.Struct("<Q")
_LZ4_WORST = 255  # lz4 cannot shrink by more than this
_KEY = re.compile(rb"(?:chunk/(\d{1,19}-[0-9a-f]{16})/(\d{1,19})|manifest/(\d{1,19}-[0-9a-f]{16}))")


class RecordRefused(ValueError):  # noqa: N818  # said of a record, like its siblings in streams.errors
    """A record of a state topic is not one that this version reads; the message says why."""


class Kind(IntEnum):
    """What a record holds."""

    ROWS = 1  # rows of one table
    REMOVED = 2  # keys whose rows of one table went
    INCREMENT = 3  # entries added to what is named
    PART = 4  # a part, or a piece of one
    MANIFEST = 5


class ChunkId(NamedTuple):
    """The name of a chunk: who wrote it, and the how manieth of that owner's chunks it is."""

    owner: str
    seq: int

    @property
    def key(self) -> bytes:
        """The record's key."""
        return f"chunk/{self.owner}/{self.seq}".encode()


@dataclass(frozen=True, slots=True)
class Envelope:
    """One record's value. A part too large for one record is cut into `pieces`, of which this is number `piece`."""

    kind: Kind
    name: str
    raw: bytes
    piece: int = 0
    pieces: int = 1


class ChunkRef(msgspec.Struct, frozen=True, array_like=True):
    """A live chunk, as a manifest names it: `owner` is a place in `Manifest.owners`."""

    owner: int
    seq: int
    kind: Kind
    name: str
    rows: int
    raw_bytes: int
    newest_ms: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """One complete checkpoint. `chunks` stand in the order in which they are restored."""

    term: int
    generation: int
    nonce: str
    number: int
    stage: str
    partition: int
    partitions: int
    offsets: dict[str, int]  # by input topic the next offset to read
    owners: list[str]
    chunks: list[ChunkRef]
    written_at: int  # ms, for people; nothing goes by it

    @property
    def owner(self) -> str:
        """Who wrote it."""
        return owner_name(self.term, self.nonce)

    @property
    def rank(self) -> tuple[int, int]:
        """Of two owners' manifests the one of the higher rank counts, wherever it stands."""
        return self.term, self.generation

    def ids(self) -> list[ChunkId]:
        """Return the chunks that it is made of."""
        return [ChunkId(self.owners[ref.owner], ref.seq) for ref in self.chunks]


def owner_name(term: int, nonce: str) -> str:
    """Name one ownership of a partition: `nonce` is 16 hexadecimal digits.

    >>> owner_name(7, "00c0ffee00c0ffee")
    '7-00c0ffee00c0ffee'
    """
    return f"{term}-{nonce}"


def manifest_key(owner: str) -> bytes:
    """Return the key of an owner's manifests."""
    return f"manifest/{owner}".encode()


def read_key(key: bytes | None) -> ChunkId | str:
    """Return the chunk that a key names, or the owner whose manifest it names. Raises RecordRefused.

    >>> read_key(b"chunk/7-00c0ffee00c0ffee/12")
    ChunkId(owner='7-00c0ffee00c0ffee', seq=12)
    """
    found = _KEY.fullmatch(key or b"")
    if found is None:
        raise RecordRefused(f"its key {(key or b'')[:60]!r} names neither a chunk nor a manifest")
    chunk_owner, seq, owner = found.groups()
    return ChunkId(chunk_owner.decode(), int(seq)) if owner is None else str(owner.decode())


def pack(envelope: Envelope) -> bytes:
    """Return the value of a record."""
    name = envelope.name.encode()
    header = _HEADER.pack(_MAGIC, VERSION, envelope.kind, len(name), envelope.piece, envelope.pieces, len(envelope.raw))
    body = header + name + lz4.block.compress(envelope.raw, store_size=False)
    return bytes(body) + _CHECKSUM.pack(xxh3_64_intdigest(body))


def unpack(value: bytes) -> Envelope:
    """Read a value that `pack` made. Raises RecordRefused."""
    if len(value) < _HEADER.size + _CHECKSUM.size or not value.startswith(_MAGIC):
        raise RecordRefused(f"{len(value)} bytes that begin with {value[:4]!r} are no checkpoint record")
    _, version, kind, name_bytes, piece, pieces, raw_bytes = _HEADER.unpack_from(value)
    if version != VERSION:
        raise RecordRefused(f"it is of format version {version}, and this program reads version {VERSION}")
    body, checksum = value[: -_CHECKSUM.size], value[-_CHECKSUM.size :]
    if _CHECKSUM.unpack(checksum)[0] != xxh3_64_intdigest(body):
        raise RecordRefused("it is damaged: its checksum does not fit")
    packed = body[_HEADER.size + name_bytes :]
    if raw_bytes > min(RAW_BYTES_MAX, _LZ4_WORST * (len(packed) + 16)) or not 0 <= piece < pieces:
        raise RecordRefused(f"its header claims {raw_bytes} bytes in piece {piece} of {pieces}, which cannot be")
    try:
        name = body[_HEADER.size : _HEADER.size + name_bytes].decode()
        raw = lz4.block.decompress(packed, uncompressed_size=raw_bytes)
        known = Kind(kind)
    except (ValueError, lz4.block.LZ4BlockError) as error:
        raise RecordRefused(f"it cannot be unpacked: {error}") from None
    if len(raw) != raw_bytes:
        raise RecordRefused(f"it unpacks to {len(raw)} bytes and claims {raw_bytes}")
    return Envelope(known, name, raw, piece, pieces)


def pack_manifest(manifest: Manifest) -> bytes:
    """Return the value of a manifest's record."""
    return pack(Envelope(Kind.MANIFEST, "", msgspec.json.encode(manifest)))


def unpack_manifest(value: bytes) -> Manifest:
    """Read what `pack_manifest` made. Raises RecordRefused."""
    envelope = unpack(value)
    if envelope.kind is not Kind.MANIFEST:
        raise RecordRefused(f"it is a chunk ({envelope.kind.name.lower()}) under the key of a manifest")
    try:
        manifest = msgspec.json.decode(envelope.raw, type=Manifest)
        manifest.ids()
    except (msgspec.MsgspecError, IndexError) as error:
        raise RecordRefused(f"its manifest cannot be read: {error}") from None
    return manifest
