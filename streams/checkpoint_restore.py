"""From the records of a state partition back to a stage: the newest complete checkpoint, or a refusal that says why.

Records come in the order of the log, whatever compaction has left of it. What no manifest refers to is the rest of
a checkpoint that was never completed, or of an owner that was overtaken: it is left out, and named for deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.state import SnapshotMismatchError
from streams.checkpoint_format import (
    ChunkId,
    Kind,
    Manifest,
    RecordRefused,
    manifest_key,
    read_key,
    unpack,
    unpack_manifest,
)
from streams.checkpoint_log import CheckpointLog
from streams.errors import StateUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.state import StageState
    from streams.checkpoint_format import ChunkRef, Envelope
    from streams.commits import Partition


class Collected:
    """The records of one state partition, gathered from its beginning to its end."""

    def __init__(self, source: Partition) -> None:
        """`source` is the state partition, for what has to be said about it."""
        self._source = source
        self._chunks: dict[ChunkId, tuple[int, bytes]] = {}
        self._manifests: dict[str, tuple[int, Manifest]] = {}
        self._best: Manifest | None = None

    def add(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take the record at an offset. Raises StateUnreadable."""
        try:
            named = read_key(key)
            if isinstance(named, ChunkId):
                if value is None:
                    self._chunks.pop(named, None)
                else:
                    self._chunks[named] = offset, value
            elif value is None:
                self._manifests.pop(named, None)
            else:
                self._add_manifest(offset, named, unpack_manifest(value))
        except RecordRefused as error:
            raise self._unreadable(offset, str(error)) from error

    def _add_manifest(self, offset: int, owner: str, manifest: Manifest) -> None:
        if manifest.owner != owner:
            raise RecordRefused(f"a manifest of {manifest.owner} stands under the key of {owner}")
        self._manifests[owner] = offset, manifest
        if self._best is None or manifest.rank >= self._best.rank:
            self._best = manifest

    @property
    def manifest(self) -> Manifest | None:
        """The newest complete checkpoint, None where there is none."""
        return self._best

    @property
    def term_max(self) -> int:
        """The greatest term of all manifests, 0 without any."""
        return max((manifest.term for _, manifest in self._manifests.values()), default=0)

    def leftovers(self) -> list[bytes]:
        """Return the keys of all records that the newest checkpoint does not need."""
        needed = set(self._best.ids()) if self._best is not None else set()
        chunks = [chunk.key for chunk in self._chunks if chunk not in needed]
        owner = self._best.owner if self._best is not None else None
        return chunks + [manifest_key(other) for other in self._manifests if other != owner]

    def require(self, stage: str, partitions: int, topics: set[str]) -> None:
        """Return if the newest checkpoint is of this stage and this layout. Raises StateUnreadable."""
        manifest = self._best
        if manifest is None:
            return
        offset, _ = self._manifests[manifest.owner]
        for what, found, wanted in (
            ("stage", manifest.stage, stage),
            ("partition", manifest.partition, self._source.partition),
            ("number of partitions", manifest.partitions, partitions),
            ("input topics", sorted(set(manifest.offsets) - topics), []),
        ):
            if found != wanted:
                told = f"it was written under another configuration: its {what} {found!r}, here {wanted!r}"
                if what == "input topics":
                    told = f"it was written from the topics {found!r}, which are none of the inputs here"
                raise self._unreadable(offset, told)

    def apply(self, stage: StageState, log: CheckpointLog) -> Iterator[int]:
        """Restore a fresh stage, and a new log, chunk by chunk; yields the rows of each, so that others have a turn.

        What was taken is not kept any longer than needed. Raises StateUnreadable.
        """
        manifest = self._best
        if manifest is None:
            return
        pieces: list[Envelope] = []
        for ref, chunk in zip(manifest.chunks, manifest.ids(), strict=True):
            offset, envelope = self._open(chunk, ref)
            ordinal = log.adopt(chunk, ref.kind, ref.name, ref.rows, ref.raw_bytes, ref.newest_ms)
            pieces.append(envelope)
            if [piece.piece for piece in pieces] != list(range(len(pieces))):
                raise self._unreadable(offset, f"piece {envelope.piece} of {ref.name} is not the one that is due")
            if len(pieces) < envelope.pieces:
                continue
            try:
                _restore(stage, log, ref, b"".join(piece.raw for piece in pieces), ordinal)
            except SnapshotMismatchError as error:
                raise self._unreadable(offset, str(error)) from error
            pieces.clear()
            yield ref.rows if ref.kind is Kind.ROWS else 0
        try:
            stage.finish_restore()
        except SnapshotMismatchError as error:
            raise self._unreadable(self._manifests[manifest.owner][0], str(error)) from error

    def _open(self, chunk: ChunkId, ref: ChunkRef) -> tuple[int, Envelope]:
        found = self._chunks.pop(chunk, None)
        if found is None:
            at = self._manifests[self._best.owner][0] if self._best is not None else -1
            raise self._unreadable(at, f"it refers to {chunk.key.decode()}, which is not there")
        offset, value = found
        try:
            envelope = unpack(value)
        except RecordRefused as error:
            raise self._unreadable(offset, str(error)) from error
        if (envelope.kind, envelope.name, len(envelope.raw)) != (ref.kind, ref.name, ref.raw_bytes):
            raise self._unreadable(offset, f"it holds {envelope.name!r}, and its manifest says {ref.name!r}")
        return offset, envelope

    def _unreadable(self, offset: int, why: str) -> StateUnreadable:
        topic, partition = self._source
        return StateUnreadable(
            f"state in topic {topic}, partition {partition}, offset {offset} cannot be used: {why}. Run the version "
            f"and settings that wrote it, or delete topic {topic} and run `boostwatch topics`, to begin anew without it"
        )


def _restore(stage: StageState, log: CheckpointLog, ref: ChunkRef, data: bytes, ordinal: int) -> None:
    match ref.kind:
        case Kind.ROWS:
            log.restored(ref.name, stage.restore_rows(ref.name, data), ordinal)
        case Kind.REMOVED:
            if len(data) % 8:
                raise SnapshotMismatchError(f"removed keys of {len(data)} bytes are cut short")
            stage.remove_keys(ref.name, np.frombuffer(data, "<u8").astype(np.uint64))
        case Kind.INCREMENT:
            stage.restore_increment(ref.name, data)
        case Kind.PART:
            stage.restore_part(ref.name, data)
            log.restored_part(ref.name, data)
        case _:
            raise SnapshotMismatchError(f"a manifest cannot hold a {ref.kind.name.lower()}")
