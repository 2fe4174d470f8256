from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from detectors.arena import EVICTED_SHARE, Arena, SnapshotMismatchError
from detectors.compiled import compiled
from detectors.hash_index import LOAD_MAX, NO_ROOM, View, find, find_all, find_or_insert, mix

FIELDS = [("count", np.int64), ("share", np.float32), ("hours", np.uint8, 3)]
CAPACITY_MAX = 3000


@compiled
def count_kernel(view: View, keys: NDArray[np.uint64], ts: NDArray[np.int64], start: int) -> int:
    for place in range(start, len(keys)):
        row, _ = find_or_insert(view, keys[place], ts[place])
        if row == NO_ROOM:
            return place
        record = view.rows[row]
        record["count"] += 1
        record["hours"][place % 3] = 7
    return len(keys)


def count(arena: Arena, keys: NDArray[np.uint64], ts: NDArray[np.int64]) -> int:
    """Run the loop as a stage does; return how many rows were evicted on the way."""
    place = evicted = 0
    while (place := count_kernel(arena.view(), keys, ts, place)) < len(keys):
        evicted += arena.make_room()
    return evicted


def contents(arena: Arena) -> dict[int, tuple[int, int]]:
    rows = arena.view().rows[arena.live_rows()]
    return {int(row["key"]): (int(row["count"]), int(row["touched"])) for row in rows}


def numbered_keys(n: int, seed: int = 5) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(1, 2**64 - 1, n, np.uint64)


class ArenaAgainstDict(RuleBasedStateMachine):
    """Whatever is inserted, evicted, removed, saved and restored: the arena holds what a dict would."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(FIELDS, CAPACITY_MAX)
        self.model: dict[int, list[int]] = {}

    @rule(
        start=st.integers(1, 9000),
        n=st.integers(1, 1500),
        step=st.sampled_from([1, 1 << 33, 0x9E3779B97F4A7C15]),
        ts=st.integers(-5, 1000),
    )
    def touch(self, start: int, n: int, step: int, ts: int) -> None:
        keys = np.array([(start + i) * step % 2**64 or 1 for i in range(n)], np.uint64)
        count(self.arena, keys, np.arange(ts, ts + n))
        for i, key in enumerate(keys.tolist()):
            if key not in self.model and len(self.model) == CAPACITY_MAX:
                coldest = sorted(self.model, key=lambda held: (self.model[held][1], held))
                for evicted in coldest[: int(CAPACITY_MAX * EVICTED_SHARE)]:
                    del self.model[evicted]
            entry = self.model.setdefault(key, [0, ts + i])
            self.model[key] = [entry[0] + 1, max(entry[1], ts + i)]

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=40))
        self.arena.remove(find_all(self.arena.view(), np.array(chosen, np.uint64)))
        for key in chosen:
            del self.model[key]

    @rule()
    def save_and_restore(self) -> None:
        saved = self.arena.snapshot()
        self.arena = Arena(FIELDS, CAPACITY_MAX)
        self.arena.restore(saved)
        assert self.arena.snapshot() == saved
        assert len(self.arena.take_dirty()) == 0

    @rule(n=st.integers(0, 5000))
    def reserve(self, n: int) -> None:
        self.arena.reserve(n)

    @rule(key=st.integers(1, 2**64 - 1))
    def look_up_a_stranger(self, key: int) -> None:
        assert (self.arena.find(key) >= 0) == (key in self.model)

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        assert len(self.arena) == len(self.model) <= CAPACITY_MAX
        assert contents(self.arena) == {key: tuple(value) for key, value in self.model.items()}
        keys = np.array(list(self.model), np.uint64)
        rows = find_all(self.arena.view(), keys)
        assert (self.arena.view().rows["key"][rows] == keys).all()

    @invariant()
    def index_is_not_overfull(self) -> None:
        view = self.arena.view()
        assert np.count_nonzero(view.slots) == len(self.arena) <= LOAD_MAX * len(view.slots)


ArenaAgainstDict.TestCase.settings = settings(max_examples=12, stateful_step_count=16, deadline=None)
TestArenaAgainstDict = ArenaAgainstDict.TestCase


@given(cuts=st.lists(st.integers(0, 6000), max_size=6), growth=st.booleans())
@settings(max_examples=20, deadline=None)
def test_where_a_batch_is_cut_changes_neither_contents_nor_evictions(cuts: list[int], growth: bool) -> None:  # noqa: FBT001
    keys = numbered_keys(6000)
    ts = np.random.default_rng(6).integers(0, 10**6, 6000)
    whole = Arena(FIELDS, CAPACITY_MAX)
    count(whole, keys, ts)
    parts = Arena(FIELDS, CAPACITY_MAX)
    edges = [0, *sorted(cuts), 6000]
    for start, end in pairwise(edges):
        if growth:
            parts.reserve(end - start)
        count(parts, keys[start:end], ts[start:end])
    rows_whole, rows_parts = (a.view().rows[a.live_rows()][["key", "touched", "count"]] for a in (whole, parts))
    assert (rows_whole == rows_parts).all()
    assert whole.evicted == parts.evicted > 0


def test_evicts_the_rows_touched_longest_ago_and_clears_them() -> None:
    arena = Arena(FIELDS, 64)
    keys = np.arange(1, 66, dtype=np.uint64)
    ts = np.arange(65, 0, -1)
    assert count(arena, keys[:64], ts[:64]) == 0
    assert count(arena, keys[64:], ts[64:]) == 4
    assert set(contents(arena)) == set(range(1, 61)) | {65}
    assert contents(arena)[65] == (1, 1)
    assert arena.evicted == 4


def test_memory_stays_bounded_under_far_more_keys_than_rows() -> None:
    arena = Arena(FIELDS, 5000)
    count(arena, numbered_keys(200_000), np.arange(200_000))
    assert len(arena) <= 5000
    assert arena.capacity == 5000
    assert arena.bytes_resident < 5000 * (arena.view().rows.itemsize + 5 + 8 * 2 / LOAD_MAX + 1)


def test_colliding_keys_move_the_seed_and_stay_findable() -> None:
    arena = Arena(FIELDS, 4000)
    arena.reserve(4000)
    mask = len(arena.view().slots) - 1
    candidates = np.arange(1, 4_000_000, dtype=np.uint64)
    mixed = candidates ^ (candidates >> np.uint64(33))
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = mixed * np.uint64(factor)
        mixed ^= mixed >> np.uint64(33)
    assert int(mixed[7]) == int(mix(np.uint64(8), np.int64(0)))
    collide = candidates[(mixed & np.uint64(mask)) < 4][:1500]
    assert len(collide) > 600
    count(arena, collide, np.arange(len(collide)))
    assert int(arena.view().counters[1]) > 0
    assert contents(arena) == {int(key): (1, i) for i, key in enumerate(collide)}


def test_only_changed_rows_are_dirty() -> None:
    arena = Arena(FIELDS, 100)
    keys = np.arange(1, 11, dtype=np.uint64)
    count(arena, keys, np.zeros(10, np.int64))
    assert len(arena.take_dirty()) == 10
    count(arena, keys[2:4], np.ones(2, np.int64))
    assert find(arena.view(), keys[5]) >= 0
    assert set(arena.view().rows["key"][arena.take_dirty()]) == {3, 4}
    assert len(arena.take_dirty()) == 0


def test_a_snapshot_of_some_rows_overwrites_just_those() -> None:
    arena = Arena(FIELDS, 100)
    keys = np.arange(1, 11, dtype=np.uint64)
    count(arena, keys, np.zeros(10, np.int64))
    later = Arena(FIELDS, 100)
    count(later, keys[4:], np.ones(6, np.int64))
    count(later, keys[4:], np.ones(6, np.int64))
    arena.restore(later.snapshot(find_all(later.view(), keys[5:7])))
    assert {key for key, (times, _) in contents(arena).items() if times == 2} == {6, 7}
    assert len(arena) == 10


def test_equal_contents_give_equal_snapshots_whatever_the_order() -> None:
    keys = numbered_keys(2000)
    one, other = Arena(FIELDS, 2500), Arena(FIELDS, 2500)
    count(one, keys, np.zeros(2000, np.int64))
    other.reserve(2500)
    count(other, keys[::-1].copy(), np.zeros(2000, np.int64))
    for arena in (one, other):
        arena.view().rows["hours"] = 0
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    ("snapshot", "says"),
    [
        (Arena([("other", np.int64)], 10).snapshot(), "other fields"),
        (Arena(FIELDS, 10, version=2).snapshot(), "version 2"),
        (Arena(FIELDS, 10).snapshot() + b"x", "bytes, not"),
        (b"", "shorter"),
    ],
)
def test_a_foreign_snapshot_is_refused(snapshot: bytes, says: str) -> None:
    arena = Arena(FIELDS, 10)
    with pytest.raises(SnapshotMismatchError, match=says):
        arena.restore(snapshot)
    assert len(arena) == 0


def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    large = Arena(FIELDS, 100)
    count(large, np.arange(1, 60, dtype=np.uint64), np.zeros(59, np.int64))
    small = Arena(FIELDS, 50)
    count(small, np.arange(1, 11, dtype=np.uint64), np.zeros(10, np.int64))
    before = small.snapshot()
    with pytest.raises(SnapshotMismatchError, match="capacity_max"):
        small.restore(large.snapshot())
    assert small.snapshot() == before


def test_removing_a_row_twice_is_refused() -> None:
    arena = Arena(FIELDS, 10)
    count(arena, np.array([5], np.uint64), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="given twice"):
        arena.remove(np.array([arena.find(5)] * 2, np.int32))


def test_a_capacity_below_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity_max is 0"):
        Arena(FIELDS, 0)


UNCOMPILED = """
import hashlib, sys
import numpy as np
sys.path.insert(0, ".")
from tests.detectors.test_arena import FIELDS, Arena, count, find_or_insert, numbered_keys
assert not hasattr(find_or_insert, "py_func")
arena = Arena(FIELDS, 300)
with np.errstate(over="ignore"):
    count(arena, numbered_keys(1500), np.arange(1500) % 97)
    print(hashlib.sha256(arena.snapshot()).hexdigest(), arena.evicted)
"""


def test_uncompiled_functions_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    plain = subprocess.run([sys.executable, "-c", UNCOMPILED], capture_output=True, text=True, check=False)
    assert plain.returncode == 0, plain.stderr
    arena = Arena(FIELDS, 300)
    count(arena, numbered_keys(1500), np.arange(1500) % 97)
    assert plain.stdout.split() == [hashlib.sha256(arena.snapshot()).hexdigest(), str(arena.evicted)]


def test_a_cached_loop_is_recompiled_when_what_it_took_in_changes(tmp_path: Any) -> None:
    program = "import sys; sys.path[:0] = ['{0}', '.']; import caller; print(caller.ask())"
    (tmp_path / "caller.py").write_text(
        "from callee import answer, FACTOR\nfrom detectors.compiled import compiled\n\n"
        "@compiled\ndef ask():\n    return answer() * FACTOR\n"
    )

    def told(value: int, factor: int) -> str:
        (tmp_path / "callee.py").write_text(
            "from detectors.compiled import compiled\n\n"
            f"FACTOR = {factor}\n\n@compiled\ndef answer():\n    return {value}\n"
        )
        command = [sys.executable, "-c", program.format(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert told(4, 10) == "40"
    assert told(55, 10) == "550"
    assert told(55, 12) == "660"
