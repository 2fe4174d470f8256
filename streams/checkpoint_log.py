"""Which chunks of a state partition are live, and what a checkpoint writes: pure bookkeeping, without Kafka.

The log of a stage rolls: every row remembers the chunk that last wrote it, and when the live chunks hold much more
than the live rows, the oldest chunks are written off: what is still current of them goes out once more with the
rows that changed. So the log, and with it a restore, stays in proportion to the state, and no checkpoint ever
writes the whole of it.

Oldest first, and chunks of removed keys in the same queue, is what keeps a removed row removed: when the chunk that
removed it goes, no older chunk is left that could bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from xxhash import xxh3_64_intdigest

from streams.checkpoint_format import ChunkId, ChunkRef, Envelope, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from detectors.arena import Arena
    from detectors.state import Delta, StageState

CHUNK_BYTES = 512 * 1024
"""Rows in one chunk, before compression: large enough that a million of them are some thousand records, small enough
that compressing one keeps the loop for about a millisecond."""

PIECE_BYTES = 4 << 20
"""Parts and increments are cut into records of this size: half of what a state topic takes."""

GROWTH_MAX = 2.5
"""Live chunks may hold this many times the bytes of the live rows before the oldest are written off. Less would
write more for each change, more would read more at a restore."""

SLACK_BYTES = 4 << 20
SLACK_CHUNKS = 64
"""So much is always allowed: a small state is not worth the trouble."""

ROLL_BYTES_MIN = 4 << 20
"""A checkpoint writes off at most as much as it writes anew, and this much at the least."""


@dataclass(slots=True)
class Live:
    """A live chunk. `ordinal` counts the chunks of this log, whoever wrote them."""

    id: ChunkId
    ordinal: int
    kind: Kind
    name: str
    rows: int
    raw_bytes: int
    newest_ms: int = 0

    @property
    def of_rows(self) -> bool:
        """Whether it is in the queue of those that roll."""
        return self.kind in {Kind.ROWS, Kind.REMOVED}


@dataclass(slots=True)
class Taken:
    """What one checkpoint writes and, once its manifest counts, deletes."""

    chunks: list[tuple[ChunkId, Envelope]] = field(default_factory=list)
    dead: list[ChunkId] = field(default_factory=list)
    rows: int = 0


class CheckpointLog:
    """The live chunks of one state partition, in the order of their restoring."""

    def __init__(self, owner: str) -> None:
        """`owner` names whoever writes from here on (`checkpoint_format.owner_name`)."""
        self.owner = owner
        self._seq = 0
        self._ordinal = 0
        self._live: dict[ChunkId, Live] = {}
        self._wrote: dict[str, NDArray[np.int32]] = {}
        self._digests: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._live)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all live chunks before compression."""
        return sum(entry.raw_bytes for entry in self._live.values())

    def adopt(self, chunk: ChunkId, kind: Kind, name: str, rows: int, raw_bytes: int, newest_ms: int) -> int:
        """Enter a chunk of an earlier owner, in its order, and return its ordinal."""
        self._ordinal += 1
        self._live[chunk] = Live(chunk, self._ordinal, kind, name, rows, raw_bytes, newest_ms)
        return self._ordinal

    def restored(self, table: str, rows: NDArray[np.integer], ordinal: int) -> None:
        """Note that these rows were just read from the chunk of this ordinal."""
        highest = int(rows.max(initial=-1)) + 1
        self._written_by(table, highest)[rows] = ordinal

    def restored_part(self, name: str, data: bytes) -> None:
        """Note the contents of a part that was just read."""
        self._digests[name] = xxh3_64_intdigest(data)

    def take(self, stage: StageState) -> Taken:
        """Take what changed in a stage since the last time, and what is to be written once more, as new chunks.

        It reads the stage at this moment and copies, so the stage may go on right after.
        """
        taken, delta, tables = Taken(), stage.take_delta(), stage.tables()
        for table, keys in delta.removed.items():
            for start in range(0, len(keys), CHUNK_BYTES // 8):
                some = keys[start : start + CHUNK_BYTES // 8]
                self._write(taken, Kind.REMOVED, table, [some.astype("<u8").tobytes()], rows=len(some))
        rows = self._with_rolled(taken, delta, tables)
        for table, numbers in rows.items():
            self._write_rows(taken, table, tables[table], numbers)
        for name, increment in delta.increments.items():
            self._expire(taken, name, increment.needed_from_ms)
            self._write(taken, Kind.INCREMENT, name, _pieces(increment.data), newest_ms=increment.newest_ms)
        for name, data in stage.parts().items():
            self._write_part(taken, name, data)
        return taken

    def refs(self) -> tuple[list[str], list[ChunkRef]]:
        """Return the live chunks as a manifest names them, with the owners that they refer to."""
        owners = list(dict.fromkeys(entry.id.owner for entry in self._live.values()))
        place = {owner: number for number, owner in enumerate(owners)}
        chunks = [
            ChunkRef(
                place[entry.id.owner], entry.id.seq, entry.kind, entry.name, entry.rows, entry.raw_bytes,
                entry.newest_ms,
            )
            for entry in self._live.values()
        ]  # fmt: skip
        return owners, chunks

    def _with_rolled(self, taken: Taken, delta: Delta, tables: Mapping[str, Arena]) -> dict[str, NDArray[np.int64]]:
        """Return the rows to write, by table: those that changed, and those of the chunks that are written off."""
        rows = {table: numbers for table, numbers in delta.rows.items() if len(numbers)}
        for table, arena in tables.items():
            written = self._written_by(table, arena.capacity)
            if table in rows:
                written[rows[table]] = 0
        dirty_bytes = sum(len(numbers) * _row_bytes(tables[table]) for table, numbers in rows.items())
        oldest = self._written_off(tables, dirty_bytes)
        if not oldest:
            return rows
        for entry in oldest:
            self._kill(taken, entry)
        for table, arena in tables.items():
            written = self._wrote[table][: arena.capacity]
            wanted = (written > 0) & (written <= oldest[-1].ordinal) & arena.kept
            if not wanted.any():
                continue
            if table in rows:
                wanted[rows[table]] = True
            rows[table] = np.flatnonzero(wanted)
        return rows

    def _written_off(self, tables: Mapping[str, Arena], dirty_bytes: int) -> list[Live]:
        """Return the oldest chunks that this checkpoint writes off, none where the log is in proportion."""
        queue = [entry for entry in self._live.values() if entry.of_rows]
        live_bytes = sum(len(arena) * _row_bytes(arena) for arena in tables.values())
        bytes_over = sum(entry.raw_bytes for entry in queue) + dirty_bytes - GROWTH_MAX * live_bytes - SLACK_BYTES
        chunks_over = len(queue) - GROWTH_MAX * live_bytes / CHUNK_BYTES - SLACK_CHUNKS
        if bytes_over <= 0 and chunks_over <= 0:
            return []
        first = queue[0].ordinal
        current = {table: self._current(table, arena, first) for table, arena in tables.items()}
        budget = max(dirty_bytes, ROLL_BYTES_MIN)
        chosen: list[Live] = []
        for entry in queue:
            cost = 0
            if entry.kind is Kind.ROWS:
                cost = int(current[entry.name][entry.ordinal - first]) * _row_bytes(tables[entry.name])
            if (bytes_over <= 0 and chunks_over <= 0) or (chosen and cost > budget):
                break
            budget -= cost
            bytes_over += cost - entry.raw_bytes
            chunks_over -= 1 - cost / CHUNK_BYTES
            chosen.append(entry)
        return chosen

    def _current(self, table: str, arena: Arena, first: int) -> NDArray[np.int64]:
        """Return how many rows each chunk was the last to write, by ordinal from `first`, that of the oldest, on."""
        written = self._wrote[table][: arena.capacity]
        current = written[(written >= first) & arena.kept]
        return np.bincount(current - first, minlength=self._ordinal - first + 1)

    def _write_rows(self, taken: Taken, table: str, arena: Arena, rows: NDArray[np.int64]) -> None:
        each = max(1, CHUNK_BYTES // _row_bytes(arena))
        for start in range(0, len(rows), each):
            some = rows[start : start + each]
            self._write(taken, Kind.ROWS, table, [arena.snapshot(some)], rows=len(some))
            self._wrote[table][some] = self._ordinal
        taken.rows += len(rows)

    def _write_part(self, taken: Taken, name: str, data: bytes) -> None:
        digest = xxh3_64_intdigest(data)
        if self._digests.get(name) == digest:
            return
        self._digests[name] = digest
        self._kill_all(taken, [e for e in self._live.values() if e.kind is Kind.PART and e.name == name])
        self._write(taken, Kind.PART, name, _pieces(data))

    def _expire(self, taken: Taken, name: str, needed_from_ms: int) -> None:
        old = [e for e in self._live.values() if e.kind is Kind.INCREMENT and e.name == name]
        self._kill_all(taken, [entry for entry in old if entry.newest_ms < needed_from_ms])

    def _write(
        self, taken: Taken, kind: Kind, name: str, pieces: list[bytes], *, rows: int = 0, newest_ms: int = 0
    ) -> None:
        for number, raw in enumerate(pieces):
            chunk = ChunkId(self.owner, self._seq)
            self._seq += 1
            self.adopt(chunk, kind, name, rows, len(raw), newest_ms)
            taken.chunks.append((chunk, Envelope(kind, name, raw, number, len(pieces))))

    def _kill_all(self, taken: Taken, entries: Iterable[Live]) -> None:
        for entry in entries:
            self._kill(taken, entry)

    def _kill(self, taken: Taken, entry: Live) -> None:
        del self._live[entry.id]
        taken.dead.append(entry.id)

    def _written_by(self, table: str, rows: int) -> NDArray[np.int32]:
        """Return by row number the ordinal of the chunk that wrote it last, 0 for none, of at least so many rows."""
        written = self._wrote.get(table, np.zeros(0, np.int32))
        if len(written) < rows:
            grown = np.zeros(max(rows, len(written) + len(written) // 2), np.int32)
            grown[: len(written)] = written
            written = self._wrote[table] = grown
        return self._wrote.setdefault(table, written)


def _row_bytes(arena: Arena) -> int:
    return int(arena.view().rows.dtype.itemsize)


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)] or [b""]
