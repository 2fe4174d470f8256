"""A checkpoint log, cut anywhere and compacted anyhow, restores exactly the last checkpoint that was completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arena import Arena, SnapshotMismatchError
from detectors.state import Delta, Increment
from streams import checkpoint_log
from streams.checkpoint_format import (
    ChunkId,
    Envelope,
    Kind,
    Manifest,
    RecordRefused,
    manifest_key,
    owner_name,
    pack,
    pack_manifest,
    read_key,
    unpack,
    unpack_manifest,
)
from streams.checkpoint_log import CheckpointLog
from streams.checkpoint_restore import Collected
from streams.commits import Partition
from streams.errors import StateUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SOURCE = Partition("state", 0)
Record = tuple[bytes, bytes | None]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a handful of rows a chunk, and the log roll early."""
    for name, value in {
        "CHUNK_BYTES": 100, "PIECE_BYTES": 16, "SLACK_BYTES": 200, "SLACK_CHUNKS": 3, "ROLL_BYTES_MIN": 100
    }.items():  # fmt: skip
        monkeypatch.setattr(checkpoint_log, name, value)


class Stage:
    """The smallest stage with all kinds of state: rows, a part, ids that are remembered for a while."""

    def __init__(self) -> None:
        self.arena = Arena([("count", np.int64)], 64)
        self.total = 0
        self.ids: dict[int, int] = {}
        self._fresh: dict[int, int] = {}
        self._removed: set[int] = set()

    def count(self, key: int, now: int) -> None:
        from detectors.hash_index import find_or_insert

        row, _ = find_or_insert(self.arena.view(), np.uint64(key), np.int64(now))
        self.arena.view().rows[row]["count"] += 1
        self.arena.view().dirty[row] = 1
        self.total += 1
        self.ids[self.total] = self._fresh[self.total] = now
        self.ids = {number: then for number, then in self.ids.items() if then >= now - 10}

    def forget(self, key: int) -> None:
        row = self.arena.find(key)
        if row >= 0:
            self.arena.remove(np.array([row], np.int32))
            self._removed.add(key)

    def contents(self) -> object:
        rows = self.arena.view().rows[self.arena.live_rows()]
        return [(int(r["key"]), int(r["count"])) for r in rows], self.total, sorted(self.ids)

    def tables(self) -> dict[str, Arena]:
        return {"rows": self.arena}

    def take_delta(self) -> Delta:
        rows = self.arena.take_dirty()
        rows = rows[self.arena.view().rows["key"][rows] != 0]
        gone = [key for key in self._removed if self.arena.find(key) < 0]
        increments = {}
        if self._fresh:
            newest = max(self._fresh.values())
            data = np.array(list(self._fresh.items()), np.int64).tobytes()
            increments["ids"] = Increment(data, newest, newest - 10)
        self._fresh, self._removed = {}, set()
        return Delta(
            {"rows": rows} if len(rows) else {}, {"rows": np.array(gone, np.uint64)} if gone else {}, increments
        )

    def parts(self) -> dict[str, bytes]:
        return {"total": b"%d" % self.total * 9, "fixed": b"never changes, and is more than a piece"}

    def restore_rows(self, _: str, snapshot: bytes) -> NDArray[np.int32]:
        return self.arena.restore(snapshot)

    def remove_keys(self, _: str, keys: NDArray[np.uint64]) -> None:
        for key in keys.tolist():
            row = self.arena.find(key)
            if row >= 0:
                self.arena.remove(np.array([row], np.int32))

    def restore_increment(self, _: str, data: bytes) -> None:
        numbers = np.frombuffer(data, np.int64).tolist()
        self.ids.update(zip(numbers[::2], numbers[1::2], strict=True))

    def restore_part(self, name: str, data: bytes) -> None:
        if name == "total":
            self.total = int(data[: len(data) // 9])

    def finish_restore(self) -> None:
        newest = max(self.ids.values(), default=0)
        self.ids = {number: then for number, then in self.ids.items() if then >= newest - 10}
        self.arena.take_dirty()


class Keeper:
    """Writes checkpoints of a stage into a list of records, as the worker does into a topic."""

    def __init__(self, topic: list[Record], stage: Stage, log: CheckpointLog, term: int, dead: list[bytes]) -> None:
        self.topic, self.stage, self.log, self.term, self.number = topic, stage, log, term, 0
        self.dead = dead

    def checkpoint(self, offset: int) -> None:
        taken = self.log.take(cast("Any", self.stage))
        self.topic += [(chunk.key, pack(envelope)) for chunk, envelope in taken.chunks]
        self.number += 1
        self.topic.append((manifest_key(self.log.owner), pack_manifest(self.manifest(offset))))
        self.topic += [(key, None) for key in (*self.dead, *(chunk.key for chunk in taken.dead))]
        self.dead = []

    def manifest(self, offset: int) -> Manifest:
        owners, chunks = self.log.refs()
        nonce = self.log.owner.split("-")[1]
        return Manifest(self.term, 1, nonce, self.number, "s", 0, 1, {"in": offset}, owners, chunks, 0)


def begin(topic: list[Record], nonce: int) -> tuple[Keeper, int | None]:
    """Restore what a topic holds, as a new owner, and return it with the offset that it has seen."""
    collected = Collected(SOURCE)
    for offset, (key, value) in enumerate(topic):
        collected.add(offset, key, value)
    collected.require("s", 1, {"in"})
    term = collected.term_max + 1
    stage, log = Stage(), CheckpointLog(owner_name(term, f"{nonce:016x}"))
    list(collected.apply(cast("Any", stage), log))
    manifest = collected.manifest
    seen = None if manifest is None else manifest.offsets["in"]
    return Keeper(topic, stage, log, term, collected.leftovers()), seen


def compacted(topic: list[Record], some: Iterable[bool]) -> list[Record]:
    """Drop superseded records, those that `some` says."""
    last = {key: place for place, (key, _) in enumerate(topic)}
    return [
        record
        for place, (record, drop) in enumerate(zip(topic, some, strict=False))
        if last[record[0]] == place or not drop
    ]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_whatever_is_cut_off_and_compacted_the_last_complete_checkpoint_comes_back(data: st.DataObject) -> None:
    topic: list[Record] = []
    kept: dict[int, object] = {}
    now = 0
    for nonce in range(data.draw(st.integers(1, 4))):
        keeper, offset = begin(topic, nonce)
        if offset is None:
            assert not kept
        else:
            assert keeper.stage.contents() == kept[offset]
        kept = {place: then for place, then in kept.items() if place == offset}
        ends: list[tuple[int, int]] = []  # records in the topic right after each manifest, and its offset
        for _ in range(data.draw(st.integers(0, 12))):
            for key in data.draw(st.lists(st.integers(1, 40), max_size=20)):
                now += 1
                if key % 5 == 0:
                    keeper.stage.forget(key - 1)
                else:
                    keeper.stage.count(key, now)
            keeper.checkpoint(now)
            kept[now] = keeper.stage.contents()
            place = max(place for place, (key, _) in enumerate(topic) if key.startswith(b"manifest"))
            ends.append((place + 1, now))
        cut = data.draw(st.integers(ends[-1][0] if len(ends) < 2 else ends[-2][0], len(topic))) if ends else len(topic)
        del topic[cut:]
        last = [at for end, at in ends if end <= cut]
        expected = last[-1] if last else offset
        kept = {place: then for place, then in kept.items() if place == expected}
        topic[:] = compacted(topic, data.draw(st.lists(st.booleans(), min_size=len(topic), max_size=len(topic))))


def test_the_log_stays_in_proportion_to_what_it_holds() -> None:
    topic: list[Record] = []
    keeper, _ = begin(topic, 1)
    for now in range(800):
        keeper.stage.count(now % 50 + 1 if now % 3 else 1 + now % 2, now)
        keeper.checkpoint(now)
    live_bytes = len(keeper.stage.arena) * keeper.stage.arena.view().rows.dtype.itemsize
    of_rows = [entry for entry in keeper.log._live.values() if entry.of_rows]
    assert sum(entry.raw_bytes for entry in of_rows) < 2.5 * live_bytes + 200 + 300
    assert len({key for key, value in topic if value is not None}) > 10 * len(keeper.log)
    again, _ = begin(topic, 2)
    assert again.stage.contents() == keeper.stage.contents()


def test_an_overtaken_owners_late_records_change_nothing_and_are_cleaned_up() -> None:
    topic: list[Record] = []
    zombie, _ = begin(topic, 1)
    zombie.stage.count(1, 1)
    zombie.checkpoint(1)
    owner, _ = begin(topic, 2)
    owner.stage.count(2, 2)
    owner.checkpoint(2)
    zombie.stage.count(3, 3)
    zombie.stage.total += 100
    taken = zombie.log.take(cast("Any", zombie.stage))  # it is stopped by its commit, before it deletes anything
    topic += [(chunk.key, pack(envelope)) for chunk, envelope in taken.chunks]
    topic.append((manifest_key(zombie.log.owner), pack_manifest(zombie.manifest(3))))
    third, offset = begin(topic, 3)
    assert offset == 2
    assert third.stage.contents() == owner.stage.contents()
    assert set(third.dead) == {chunk.key for chunk, _ in taken.chunks} | {manifest_key(zombie.log.owner)}


def written() -> list[Record]:
    topic: list[Record] = []
    keeper, _ = begin(topic, 1)
    for key in range(1, 9):
        keeper.stage.count(key, key)
    keeper.checkpoint(8)
    return topic


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: (b"rubbish", b"x"), "offset 0 cannot be used: its key b'rubbish' names neither"),
        (lambda r: (r[0], b"x" * 40), "40 bytes that begin with b'xxxx' are no checkpoint record"),
        (lambda r: (r[0], r[1][:-9] + b"x" + r[1][-8:]), "damaged"),
        (lambda r: (r[0], r[1][:4] + b"\x09" + r[1][5:]), "format version 9, and this program reads version 1"),
        (lambda r: (r[0], None), "which is not there"),
        (lambda r: (r[0], pack(Envelope(Kind.ROWS, "rows", b"no rows"))), "offset 0 cannot be used"),
    ],
)
def test_what_cannot_be_read_is_refused_with_where_it_is_and_what_to_do(change: Any, told: str) -> None:
    topic = written()
    topic[0] = change(topic[0])
    with pytest.raises(StateUnreadable) as caught:
        begin(topic, 2)
    assert "topic state, partition 0, offset" in str(caught.value)
    assert told in str(caught.value)
    assert "run `boostwatch topics`, to begin anew" in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "partitions", "topics", "told"),
    [
        ("t", 1, {"in"}, "its stage 's', here 't'"),
        ("s", 2, {"in"}, "its number of partitions 1, here 2"),
        ("s", 1, {"other"}, "from the topics ['in'], which are none of the inputs here"),
    ],
)
def test_state_of_another_configuration_is_refused(stage: str, partitions: int, topics: set[str], told: str) -> None:
    collected = Collected(SOURCE)
    for offset, (key, value) in enumerate(written()):
        collected.add(offset, key, value)
    with pytest.raises(StateUnreadable, match=r"another configuration|none of the inputs") as caught:
        collected.require(stage, partitions, topics)
    assert told in str(caught.value)


@given(st.sampled_from(Kind), st.text(max_size=20), st.binary(max_size=300))
def test_an_envelope_comes_back_as_it_was(kind: Kind, name: str, raw: bytes) -> None:
    envelope = Envelope(kind, name, raw, 1, 3)
    assert unpack(pack(envelope)) == envelope


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(1, 255))
def test_any_bytes_are_read_or_refused_and_never_more(noise: bytes, at: int, flip: int) -> None:
    value = bytearray(pack(Envelope(Kind.PART, "part", bytes(100))))
    value[at % len(value)] ^= flip
    for data in (noise, b"bwcp" + noise, bytes(value)):
        with pytest.raises(RecordRefused):
            unpack(data)
        with pytest.raises(RecordRefused):
            unpack_manifest(data)


@given(st.integers(0, 10**18), st.integers(0, 2**64 - 1), st.integers(0, 10**18))
def test_keys_name_what_they_are_of(term: int, nonce: int, seq: int) -> None:
    owner = owner_name(term, f"{nonce:016x}")
    assert read_key(ChunkId(owner, seq).key) == ChunkId(owner, seq)
    assert read_key(manifest_key(owner)) == owner


def test_the_snapshot_of_another_version_is_refused() -> None:
    topic = written()
    collected = Collected(SOURCE)
    for offset, (key, value) in enumerate(topic):
        collected.add(offset, key, value)

    class Newer(Stage):
        def restore_rows(self, _: str, __: bytes) -> NDArray[np.int32]:
            raise SnapshotMismatchError("snapshot is of rows version 1, this program has version 2")

    with pytest.raises(StateUnreadable, match=r"offset 0 .* rows version 1, this program has version 2"):
        list(collected.apply(cast("Any", Newer()), CheckpointLog(owner_name(1, "0" * 16))))
