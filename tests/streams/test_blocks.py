from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.actions import Actions, Names, partition_of
from detectors.onward import ONWARD
from schemas.columns import Verb
from schemas.hashing import hash_id
from streams import blocks
from streams.block_kernels import NAMED_ONE_IN
from streams.block_parts import BlockHeader, Part
from streams.blocks import (
    NAMED_MARK_MIN,
    Block,
    BlockRefused,
    Origin,
    Outgoing,
    pack,
    pack_all,
    pack_watermarks,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="module", autouse=True)
def compiled_loops() -> None:
    """Compile what is not in the cache before Hypothesis looks at the clock."""
    unpack(pack_watermarks([HEADER]))


COLUMNS = [field.name for field in fields(Actions) if field.name != "names"]
HEADER = BlockHeader("likes", 3, 100, 180, 1_764_000_000_000)


class Known(Names):
    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def find(self, key: int) -> str | None:
        return self._names.get(key)


def hashed(names: list[str]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array([hash_id(name) if name else 0 for name in names], np.uint64)


@st.composite
def some_actions(draw: st.DrawFn) -> tuple[Actions, np.ndarray[Any, np.dtype[np.int64]]]:
    n = draw(st.integers(0, 40))
    ids = st.sampled_from(["u1", "u2", "nötig", "a" * 128, "日本 語", ""])
    subjects = draw(st.lists(ids.filter(bool), min_size=n, max_size=n))
    actors, owners, items = (draw(st.lists(ids, min_size=n, max_size=n)) for _ in range(3))
    times = st.integers(1_700_000_000_000, 1_900_000_000_000)

    def column(dtype: type[np.generic], elements: st.SearchStrategy[int] | None = None) -> Any:
        return draw(hnp.arrays(dtype, n, elements=elements))

    actions = Actions(
        ts=column(np.int64, times),
        watermark=np.sort(column(np.int64, times)),
        verb=column(np.uint8, st.sampled_from([*Verb, Verb.LIKE + ONWARD, Verb.FOLLOW + ONWARD])),
        subject=hashed(subjects),
        actor=hashed(actors),
        owner=hashed(owners),
        item=hashed(items),
        position=column(np.uint16),
        device=column(np.uint32),
        mark=column(np.int8),
        traits=column(np.uint16),
        names=Known({hash_id(name): name for name in [*subjects, *actors, *owners, *items] if name}),
    )
    return actions, np.sort(column(np.int64, st.integers(0, 2**40)))


def example(n: int = 50) -> tuple[Actions, np.ndarray[Any, np.dtype[np.int64]]]:
    names = [f"u{i % 7}" for i in range(n)]
    actions = Actions(
        ts=np.arange(n, dtype=np.int64) + 1_764_000_000_000,
        watermark=np.arange(n, dtype=np.int64) + 1_763_999_880_000,
        verb=np.zeros(n, np.uint8),
        subject=hashed(names),
        actor=hashed([f"a{i}" for i in range(n)]),
        owner=np.zeros(n, np.uint64),
        item=np.zeros(n, np.uint64),
        position=np.zeros(n, np.uint16),
        device=np.zeros(n, np.uint32),
        mark=np.where(np.arange(n) % 2, NAMED_MARK_MIN, NAMED_MARK_MIN - 1).astype(np.int8),
        traits=np.zeros(n, np.uint16),
        names=Known({hash_id(name): name for name in [*names, *(f"a{i}" for i in range(n))]}),
    )
    return actions, np.arange(n, dtype=np.int64) * 2 + 100


@settings(deadline=None)
@given(some_actions())
def test_what_is_packed_comes_out_the_same(packed: tuple[Actions, np.ndarray[Any, np.dtype[np.int64]]]) -> None:
    actions, offsets = packed
    block = unpack(pack(actions, offsets, HEADER))
    assert block.header == HEADER
    assert block.offsets.tolist() == offsets.tolist()
    for name in COLUMNS:
        before, after = getattr(actions, name), getattr(block.actions, name)
        assert after.tolist() == before.tolist(), name
        assert after.dtype == before.dtype, name


def rows_of(block: Block, part: Part) -> dict[str, list[int]]:
    here = slice(part.start, part.end)
    columns = {name: getattr(block.actions, name)[here].tolist() for name in COLUMNS}
    return columns | {"offsets": block.offsets[here].tolist()}


def columns_of(actions: Actions, offsets: Any, rows: Any) -> dict[str, list[int]]:
    return {name: getattr(actions, name)[rows].tolist() for name in COLUMNS} | {"offsets": offsets[rows].tolist()}


@settings(deadline=None)
@given(st.lists(some_actions(), max_size=4), st.integers(1, 3), st.integers(1, 3), st.sampled_from([300, 1 << 20]))
def test_batches_of_several_sources_come_out_by_partition_and_source_in_their_order(
    packed: list[tuple[Actions, Any]], sources: int, partitions: int, bytes_max: int
) -> None:
    headers = [BlockHeader("likes", n % sources, 7 * n, 7 * n + 6, 1_000 + n) for n in range(len(packed))]
    batches = [Outgoing(header, *one) for header, one in zip(headers, packed, strict=True)]
    # A source goes on where it was.
    for n, batch in enumerate(batches):
        batch.offsets[:] += n * 2**50
        batch.actions.watermark[:] += n * 2**50
    with patch.object(blocks, "BLOCK_BYTES_MAX", bytes_max):
        values = pack_all(batches, partitions)
    found: dict[tuple[int, int], list[dict[str, list[int]]]] = {}
    for number, value, told in values:
        block = unpack(value)
        assert {(part.header.topic, part.header.partition) for part in block.parts} <= told
        for part in block.parts:
            assert part.header.offset_last == max(h.offset_last for h in headers if h.source == part.header.source)
            found.setdefault((number, part.header.partition), []).append(rows_of(block, part))
    joined = {
        key: {name: [one for piece in pieces for one in piece[name]] for name in pieces[0]}
        for key, pieces in found.items()
    }
    expected: dict[tuple[int, int], dict[str, list[int]]] = {}
    for batch in batches:
        partition = partition_of(batch.actions.subject, partitions)
        for number in np.unique(partition).tolist():
            columns = columns_of(batch.actions, batch.offsets, np.flatnonzero(partition == number))
            before = expected.setdefault((number, batch.header.partition), {name: [] for name in columns})
            for name, column in columns.items():
                before[name] += column
    assert joined == expected


def test_a_block_that_is_too_large_is_cut_and_keeps_names_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES_MAX", 900)
    actions, offsets = example(200)
    whole = [Outgoing(BlockHeader("likes", n, 100, 500, 0), actions, offsets) for n in (0, 1)]
    values = [value for _, value, _ in pack_all(whole, 1)]
    assert len(values) > 2
    assert max(map(len, values)) <= 900
    read = [unpack(value) for value in values]
    assert np.concatenate([block.offsets for block in read]).tolist() == [*offsets.tolist(), *offsets.tolist()]
    subjects = [block.actions.names.find(key) for block in read for key in block.actions.subject.tolist()]
    assert subjects == [f"u{i % 7}" for i in range(200)] * 2


def test_names_can_be_taken_from_the_events_that_the_actions_were_made_of() -> None:
    actions, offsets = example()
    n = len(actions)
    rows = np.arange(n, dtype=np.int32)[::-1].copy()
    texts = ([f"subject {i}" for i in range(n)], [None] * n, [None] * n, [f"actor {i}" for i in range(n)])
    # Behind another batch, whose names must not be taken for these.
    others = (["other"] * 3, [None] * 3, [None] * 3, ["other"] * 3)
    foreign = replace(actions.take(np.arange(3)), subject=hashed(["x", "y", "z"]), actor=hashed(["p", "q", "r"]))
    before = Outgoing(BlockHeader("a", 0, 0, 2, 0), foreign, offsets[:3], Origin(others, rows[-3:]))
    ((_, value, _),) = pack_all([Outgoing(HEADER, actions, offsets, Origin(texts, rows)), before], 1)
    block = unpack(value)
    assert [(part.header.source, part.start, part.end) for part in block.parts] == [
        ("a/0", 0, 3),
        ("likes/3", 3, n + 3),
    ]
    names = block.actions.names
    assert names.find(int(actions.subject[3])) == f"subject {n - 1 - 3}"
    assert names.find(int(actions.actor[1])) == f"actor {n - 1 - 1}"
    rare = [row for row in range(n) if (int(actions.actor[row]) ^ int(offsets[row])) % NAMED_ONE_IN]
    assert len(rare) > n // 2
    assert all((names.find(int(actions.actor[row])) is None) == (row % 2 == 0) for row in rare)
    assert all(names.find(int(actions.actor[row])) == f"actor {n - 1 - row}" for row in set(range(n)) - set(rare))


def with_onward(rows: int) -> Outgoing:
    """Return a batch in which each event's actor goes on from something that an earlier event had hit."""
    actions, offsets = example(rows)
    both = actions.take(np.repeat(np.arange(rows), 2))
    both.verb[::2] = Verb.LIKE + ONWARD
    both.subject[::2] = hashed([f"hit {i % 5}" for i in range(rows)])
    both.mark[::2] = 0
    texts = ([f"u{i % 7}" for i in range(rows)], [None] * rows, [None] * rows, [f"a{i}" for i in range(rows)])
    row = np.repeat(np.arange(rows, dtype=np.int32), 2)
    return Outgoing(HEADER, both, np.repeat(offsets, 2), Origin(texts, row))


def test_what_actors_go_on_from_has_no_name_of_its_own_and_takes_none_from_others() -> None:
    first, second = with_onward(40), with_onward(40)
    # Of the second batch an event has hit what actors of the first go on from: it has the name.
    second.actions.subject[1] = hashed(["hit 3"])[0]
    origin = second.origin
    assert origin is not None
    texts = (["hit 3", *origin.texts[0][1:]], *origin.texts[1:])
    second = replace(second, origin=Origin(texts, origin.rows), offsets=second.offsets + 1_000)
    ((_, value, _),) = pack_all([first, second], 1)
    block = unpack(value)
    names = block.actions.names
    assert [names.find(hash_id(f"hit {number}")) for number in range(5)] == [None, None, None, "hit 3", None]
    assert [names.find(hash_id(f"u{number}")) for number in range(7)] == [f"u{number}" for number in range(7)]
    assert block.actions.subject.tolist() == [*first.actions.subject.tolist(), *second.actions.subject.tolist()]


def test_the_two_rows_of_an_event_stay_in_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.blocks.BLOCK_BYTES_MAX", 600)
    batch = with_onward(61)
    blocks = [unpack(packed.value) for packed in pack_all([batch], 1)]
    assert len(blocks) > 2
    assert np.concatenate([block.offsets for block in blocks]).tolist() == batch.offsets.tolist()
    assert all(len(block.offsets) % 2 == 0 for block in blocks)


@settings(deadline=None)
@given(some_actions())
def test_names_of_subjects_owners_and_items_come_along(
    packed: tuple[Actions, np.ndarray[Any, np.dtype[np.int64]]],
) -> None:
    actions, offsets = packed
    names = unpack(pack(actions, offsets, HEADER)).actions.names
    for key in np.concatenate([actions.subject, actions.owner, actions.item]).tolist():
        assert names.find(key) == (actions.names.find(key) if key else None)
    assert names.find(12345) is None
    asked = np.concatenate([actions.subject, actions.item, actions.actor, np.array([12345], np.uint64)])
    assert names.find_all(asked) == [names.find(key) for key in asked.tolist()]
    assert names.find_all(asked[:0]) == []


def test_actors_that_stand_out_are_named_always_and_others_now_and_then() -> None:
    actions, offsets = example(400)
    names = unpack(pack(actions, offsets, HEADER)).actions.names
    named = np.array([names.find(hash_id(f"a{row}")) == f"a{row}" for row in range(400)])
    assert named[1::2].all()
    assert 20 < np.count_nonzero(named[::2]) < 90


def test_unpacked_columns_are_aligned_and_can_be_written_to() -> None:
    actions, offsets = example()
    block = unpack(pack(actions, offsets, HEADER))
    for name in COLUMNS:
        assert getattr(block.actions, name).flags.carray, name


def test_a_block_without_rows_carries_the_watermarks_of_several_sources() -> None:
    headers = [BlockHeader("searches", 7, 10, 9, 5_000, idle=True), BlockHeader("likes", 300, 0, -1, 7_000)]
    block = unpack(pack_watermarks(headers))
    assert [part.header for part in block.parts] == headers
    assert len(block.actions) == len(block.offsets) == 0


def test_an_action_takes_about_twenty_bytes() -> None:
    rng = np.random.default_rng(1)
    n = 4_000
    subjects = [f"n{int(x)}" for x in rng.zipf(1.3, n) % 100_000]
    actions, _ = example(n)
    actions = Actions(
        **{name: getattr(actions, name) for name in COLUMNS} | {"subject": hashed(subjects), "names": Known({})}
    )
    assert len(pack(actions, np.arange(n), HEADER)) < 25 * n


@pytest.mark.parametrize("value", [None, b"", b"{}", b"bwab", b"x" * 200])
def test_what_is_no_block_is_refused(value: bytes | None) -> None:
    with pytest.raises(BlockRefused, match="no block of actions"):
        unpack(value)


def test_another_version_is_refused_with_what_to_do() -> None:
    value = bytearray(pack(*example(), HEADER))
    value[4] = 9
    with pytest.raises(BlockRefused, match=r"version 9.*upgrade"):
        unpack(bytes(value))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_damaged_byte_is_refused(place: int, change: int) -> None:
    value = bytearray(pack(*example(), HEADER))
    value[place % len(value)] ^= change
    with pytest.raises(BlockRefused):
        unpack(bytes(value))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_block_that_was_cut_off_is_refused(length: int) -> None:
    value = pack(*example(), HEADER)
    with pytest.raises(BlockRefused):
        unpack(value[: length % len(value)])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise_anything_else(tail: bytes) -> None:
    with pytest.raises(BlockRefused):
        unpack(b"bwab\x01" + tail)
