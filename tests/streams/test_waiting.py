"""Visits wait for those of all partitions: the same groups at the same time, whoever is read first."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import partition_of
from detectors.lockstep import GroupStage
from detectors.state import SnapshotMismatchError
from detectors.visits import COLUMNS, VisitStage
from schemas.flags import encode_flag
from streams.stages import GROUPS, Stages
from streams.surges import Surges, pack_all, unpack
from streams.waiting import HOLD_MS, InTurn, Waiting
from tests.detectors.batches import DAY_MS, MINUTE_MS, SECOND_MS, START_MS
from tests.detectors.states import Keeper
from tests.detectors.test_lockstep import Row, actions_of, bustle, gang
from tests.streams.test_surges import stages, visits_of

PARTITIONS, PIECE_MS = 3, MINUTE_MS // 2


def hurried(seed: int, members: int) -> list[Row]:
    """Return the likes of a group that goes on so soon that it is at two notes at once."""
    rng = np.random.default_rng(seed)
    begin, gone_ms = START_MS + 2 * DAY_MS, 50 * SECOND_MS
    return [
        (
            begin + gone_ms * target + int(rng.integers(0, 2 * MINUTE_MS)),
            100 * seed + member,
            100 * seed + target,
            seed + target,
        )
        for target in range(20)
        for member in range(members)
        if rng.random() < 0.7
    ]


@cache
def pieces() -> list[tuple[int, int, bytes]]:
    """Return records by partition, each of half a minute: when it begins (ms), partition, value."""
    actions = actions_of(gang(1) + hurried(31, members=6) + hurried(32, members=9) + bustle(2, n=20_000))
    made: list[tuple[int, int, bytes]] = []
    for number in range(PARTITIONS):
        mine = actions.take(np.flatnonzero(partition_of(actions.subject, PARTITIONS) == number))
        stage = VisitStage()
        edges = np.unique(mine.ts // PIECE_MS, return_index=True)[1].tolist()
        for piece, (start, end) in enumerate(zip(edges, [*edges[1:], len(mine)], strict=True)):
            met = stage.apply(mine.take(np.arange(start, end)))
            made += [(int(mine.ts[start]), number, value) for value in pack_all(number, [(piece, met)])]
    return sorted(made)


def flags_of(kept: Stages, values: list[bytes]) -> list[bytes]:
    return [encode_flag(flag) for value in values for flag in kept.groups(0).apply(unpack(value))]


@cache
def at_one_pace() -> list[bytes]:
    return flags_of(stages(), [value for _, _, value in pieces()])


def delayed(lags_ms: list[list[int]]) -> list[bytes]:
    """Return the records as they come where each partition lags so far behind, another lag in each part of the run."""
    every = pieces()
    first, last = every[0][0], every[-1][0] + 1

    def comes(piece: tuple[int, int, bytes]) -> tuple[int, int, int]:
        ts, partition, _ = piece
        lags = lags_ms[partition]
        return ts + lags[(ts - first) * len(lags) // (last - first)], partition, ts

    # A partition is read in its own order, however its lag changes.
    order = sorted(every, key=comes)
    queues = {number: [value for _, of, value in every if of == number] for number in range(PARTITIONS)}
    return [queues[partition].pop(0) for _, partition, _ in order]


lags = st.lists(
    st.lists(st.integers(0, HOLD_MS - 2 * PIECE_MS), min_size=40, max_size=40),
    min_size=PARTITIONS, max_size=PARTITIONS,
)  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(lags)
def test_flags_do_not_depend_on_which_partition_is_behind(lags_ms: list[list[int]]) -> None:
    assert at_one_pace()
    assert flags_of(stages(), delayed(lags_ms)) == at_one_pace()


def test_without_waiting_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.waiting.HOLD_MS", 0)
    rng = np.random.default_rng(3)
    told = {tuple(flags_of(stages(), delayed(rng.integers(0, MINUTE_MS, (PARTITIONS, 40)).tolist()))) for _ in range(6)}
    assert len(told) > 1


def surges_of(times: list[int], partition: int = 0, offset: int = 0) -> list[Surges]:
    """Return records of one visit each at these times (ms)."""
    made = []
    for place, ts in enumerate(times):
        met = visits_of(1, first=ts + 1)
        met.ts[:] = ts
        made += [unpack(value) for value in pack_all(partition, [(offset + place, met)])]
    return made


def joined(surges: list[Surges]) -> Surges:
    """Return the same visits in one record."""
    (value,) = pack_all(surges[0].partition, [(int(one.offsets[0]), one.visits) for one in surges])
    return unpack(value)


def rows_of(going: InTurn | None) -> list[tuple[object, ...]]:
    if going is None:
        return []
    columns = [going.partition.tolist(), *(getattr(going.visits, name).tolist() for name in COLUMNS)]
    return list(zip(*columns, strict=True))


times = st.lists(st.integers(0, 4 * HOLD_MS), min_size=1, max_size=30)


@settings(deadline=None)
@given(times, st.lists(st.integers(1, 29), max_size=5), st.integers(0, 30))
def test_the_turn_does_not_depend_on_how_visits_were_cut_or_kept(at: list[int], cuts: list[int], saved: int) -> None:
    one_by_one, cut = Waiting(), Waiting()
    records = surges_of(at)
    whole = [row for one in records for row in rows_of(one_by_one.take(one, -1))]
    edges = sorted({0, *(each for each in cuts if each < len(at)), len(at)})
    parts: list[tuple[object, ...]] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        parts += rows_of(cut.take(joined(records[start:end]), -1))
        if number == saved:
            keeper, fresh = Keeper(), Waiting()
            keeper.take(cut)
            keeper.restore(fresh)
            assert len(fresh) == len(cut)
            cut = fresh
    assert parts == whole
    assert len(cut) == len(one_by_one)


def test_what_was_seen_before_does_not_come_again() -> None:
    records = surges_of([1_000, 2_000, 3_000, 10 * HOLD_MS])
    waiting = Waiting()
    assert waiting.take(joined(records[:2]), -1) is None
    going = waiting.take(joined(records), 1)
    assert going is not None
    assert going.visits.ts.tolist() == [1_000, 2_000, 3_000]


def test_what_waits_is_bounded_and_the_oldest_go_first() -> None:
    waiting = Waiting(rows_max=10)
    gone = [row[1] for one in surges_of(list(range(100))) for row in rows_of(waiting.take(one, -1))]
    assert len(waiting) <= 10
    assert 0 < waiting.bytes_resident < 10_000
    assert gone == list(range(100 - len(waiting)))


def test_where_too_many_wait_few_go_at_once() -> None:
    """Half of them at once held up everything else for a quarter second."""
    waiting = Waiting(rows_max=159)
    assert all(waiting.take(one, -1) is None for one in surges_of(list(range(159))))
    going = waiting.take(surges_of(list(range(160)))[159], -1)
    assert going is not None
    assert going.visits.ts.tolist() == list(range(11))


def test_names_go_with_the_visits() -> None:
    waiting = Waiting()
    waiting.take(joined(surges_of([1_000, 2_000], partition=1)), -1)
    going = waiting.take(joined(surges_of([3_000, 10 * HOLD_MS])), -1)
    assert going is not None
    assert going.partition.tolist() == [1, 1, 0]
    for key in {*going.visits.actor.tolist(), *going.visits.target.tolist()}:
        assert going.visits.names.find(key) == f"{key:016x}"


def test_state_from_before_there_was_a_wait_is_read_and_garbage_is_not() -> None:
    kept = stages()
    restored = kept.new(GROUPS)
    old = Keeper()
    old.take(GroupStage())
    old.restore(restored.state)  # type: ignore[arg-type]
    assert len(restored.what.waiting) == 0
    with pytest.raises(SnapshotMismatchError):
        Waiting().restore_part("waiting", b"y" * 40)
