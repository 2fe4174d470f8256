"""Visits on their way to where groups are found: packed, read, refused, and counted once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import partition_of
from detectors.lockstep import GroupStage
from detectors.subjects import SubjectStage
from detectors.visits import COLUMNS, Visits, VisitStage
from schemas.flags import encode_flag
from streams.block_names import NameTable, write_names
from streams.blocks import BlockRefused
from streams.pipeline import build_actor_stage, build_subject_stage
from streams.settings import Settings
from streams.stages import GROUPS, SUBJECTS, JointState, Stages
from streams.surges import MAGIC, ROWS_AIM, Visited, pack_all, unpack
from tests.detectors.states import Keeper
from tests.detectors.test_lockstep import Told, actions_of, bustle, gang, part

if TYPE_CHECKING:
    from schemas.flags import Flag

SETTINGS = Settings()


def stages() -> Stages:
    return Stages(
        lambda: build_actor_stage(SETTINGS), lambda: build_subject_stage(SETTINGS), [], VisitStage, GroupStage
    )


def visits_of(n: int, first: int = 1) -> Visits:
    numbers = np.arange(first, first + n)
    keys = numbers.astype(np.uint64)
    crowd = np.full(n, 30.5, np.float32)
    return Visits(
        1_000 * numbers, keys, keys * np.uint64(3), keys, crowd, numbers, np.arange(n), Told()
    )  # fmt: skip


@given(st.lists(st.integers(0, 40), max_size=6))
@settings(deadline=None)
def test_what_is_read_is_what_was_packed(counts: list[int]) -> None:
    visited: list[Visited] = [(10 + place, visits_of(n)) for place, n in enumerate(counts)]
    read = [unpack(value) for value in pack_all(3, visited)]
    assert all(one.partition == 3 for one in read)
    assert [offset for one in read for offset in one.offsets.tolist()] == [
        offset for offset, visits in visited for _ in range(len(visits))
    ]
    for name in COLUMNS:
        packed = [row for _, visits in visited for row in getattr(visits, name).tolist()]
        assert [row for one in read for row in getattr(one.visits, name).tolist()] == packed
    for one in read:
        for key in {*one.visits.actor.tolist(), *one.visits.target.tolist()}:
            assert one.visits.names.find(key) == f"{key:016x}"


def test_a_record_is_bounded_and_the_visits_of_one_block_stay_together() -> None:
    visited: list[Visited] = [(n, visits_of(ROWS_AIM // 3)) for n in range(7)]
    read = [unpack(value) for value in pack_all(0, visited)]
    assert len(read) == 2
    assert not set(read[0].offsets.tolist()) & set(read[1].offsets.tolist())


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: MAGIC + rest))
def test_garbage_is_refused(value: bytes) -> None:
    with pytest.raises(BlockRefused):
        unpack(value)


@given(st.data())
@settings(deadline=None, max_examples=50)
def test_a_record_that_was_cut_short_or_changed_is_refused(data: st.DataObject) -> None:
    (value,) = pack_all(0, [(0, visits_of(9))])
    place = data.draw(st.integers(0, len(value) - 1))
    changed = bytearray(value)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    for wrong in (value[:place], bytes(changed), None):
        with pytest.raises(BlockRefused):
            unpack(wrong)


def flags_of(kept: Stages, visited: list[Visited], partition: int = 0) -> list[bytes]:
    flags: list[Flag] = []
    for value in pack_all(partition, visited):
        flags += kept.groups(0).apply(unpack(value))
    return [encode_flag(flag) for flag in flags]


def visited_of(cuts: int) -> list[Visited]:
    actions = actions_of(gang(1) + bustle(2))
    stage, edges = VisitStage(), np.linspace(0, len(actions), cuts + 1).astype(int).tolist()
    return [(n, stage.apply(part(actions, edges[n], edges[n + 1]))) for n in range(cuts)]


def test_what_is_sent_again_changes_nothing() -> None:
    visited = visited_of(20)
    kept, once = stages(), flags_of(stages(), visited)
    assert once
    again = flags_of(kept, visited[:12]) + flags_of(kept, visited[7:12]) + flags_of(kept, visited[9:])
    assert again == once


def test_actions_are_counted_over_all_partitions() -> None:
    kept = stages()
    flags_of(kept, [(0, visits_of(5))], partition=0)
    flags_of(kept, [(0, visits_of(9))], partition=1)
    flags_of(kept, [(1, visits_of(1, first=6))], partition=0)
    assert kept.groups(0).counts == {}  # they wait for each other
    flags_of(kept, [(2, visits_of(1, first=10_000))], partition=2)
    assert kept.groups(0).counts == {"0": 6, "1": 9}
    assert kept.groups(0).seen == {"0": 1, "1": 0, "2": 2}


def test_the_visits_of_all_partitions_come_together() -> None:
    actions = actions_of(gang(1) + bustle(2))
    kept, partition = stages(), partition_of(actions.subject, 3)
    meeting = [VisitStage() for _ in range(3)]
    edges = np.linspace(0, len(actions), 40).astype(int).tolist()
    found: list[Flag] = []
    for batch, (start, end) in enumerate(pairwise(edges)):
        for number in range(3):
            rows = np.arange(start, end)[partition[start:end] == number]
            for value in pack_all(number, [(batch, meeting[number].apply(actions.take(rows)))]):
                found += kept.groups(0).apply(unpack(value))
    assert len({flag.subject.id for flag in found}) == 1
    assert (found[-1].evidence.members_total or 0) >= 10


def test_groups_that_were_saved_and_restored_go_on_as_before() -> None:
    visited = visited_of(20)
    once = flags_of(stages(), visited)
    first, second, keeper = stages(), stages(), Keeper()
    held = first.new(GROUPS)
    first.put(GROUPS, 0, held)
    assert once
    flags = flags_of(first, visited[:9])
    keeper.take(held.state)  # type: ignore[arg-type]
    restored = second.new(GROUPS)
    keeper.restore(restored.state)  # type: ignore[arg-type]
    second.put(GROUPS, 0, restored)
    assert flags + flags_of(second, visited[5:]) == once


def test_the_visits_of_a_partition_are_saved_with_its_subjects() -> None:
    first, second, keeper = stages(), stages(), Keeper()
    actions = actions_of(gang(23))
    held, restored = first.new(SUBJECTS), second.new(SUBJECTS)
    for kept, one in ((first, held), (second, restored)):
        kept.put(SUBJECTS, 0, one)
    before = first.visits(0)
    assert before is not None
    before.apply(part(actions, 0, 50))
    first.subjects(0)[1]["likes/0"] = 49
    keeper.take(held.state)  # type: ignore[arg-type]
    keeper.restore(restored.state)  # type: ignore[arg-type]
    after = second.visits(0)
    assert after is not None
    assert second.subjects(0)[1] == {"likes/0": 49}
    ours, theirs = (stage.apply(part(actions, 50, len(actions))) for stage in (after, before))
    assert all(getattr(ours, name).tolist() == getattr(theirs, name).tolist() for name in COLUMNS)


def test_stages_that_are_saved_together_have_names_of_their_own() -> None:
    subjects, meetings = build_subject_stage(SETTINGS), VisitStage()
    assert isinstance(subjects, SubjectStage)
    joint = JointState([subjects, meetings], {"seen": {}})
    assert len(joint.tables()) == len(subjects.tables()) + len(meetings.tables())
    assert len(joint.parts()) == len(subjects.parts()) + len(meetings.parts()) + 1


@given(
    names=st.lists(st.text(max_size=8), min_size=1, max_size=12),
    wanted=st.lists(st.integers(1, 16), max_size=20),
)
@settings(deadline=None)
def test_of_names_asked_for_more_than_once_each_is_told_once_in_the_order_of_the_table(
    names: list[str], wanted: list[int]
) -> None:
    keys = np.arange(1, len(names) + 1, dtype=np.uint64)
    some = NameTable(memoryview(bytearray(write_names(keys, names))), len(names)).some(np.array(wanted, np.uint64))
    due = [(key, names[key - 1].encode()) for key in sorted(set(wanted)) if key <= len(names) and names[key - 1]]
    assert some.keys.tolist() == [key for key, _ in due]
    assert some.lengths.tolist() == [len(name) for _, name in due]
    assert some.text == b"".join(name for _, name in due)
