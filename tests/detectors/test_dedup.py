from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from detectors.compiled import compiled
from detectors.dedup import REPEATED, SLOTS_FIRST, TOO_FULL, SeenIds, SeenView, note, seek
from detectors.hash_index import LOAD_MAX, PROBE_MAX
from tests.detectors.batches import MINUTE_MS, SECOND_MS, spread

REMEMBERED_MS = 10 * MINUTE_MS


@compiled
def take_from(
    view: SeenView,
    keys: NDArray[np.uint64],
    arrivals: NDArray[np.int64],
    remembered_ms: int,
    start: int,
    accepted: NDArray[np.bool_],
) -> int:
    for place in range(start, len(keys)):
        slot = seek(view, keys[place], arrivals[place], remembered_ms)
        if slot == TOO_FULL:
            return place
        accepted[place] = slot != REPEATED
        if accepted[place]:
            note(view, slot, keys[place], arrivals[place])
    return len(keys)


def take(seen: SeenIds, keys: ArrayLike, arrivals: ArrayLike) -> list[bool]:
    """Offer ids as a stage's loop does; return which of them count."""
    ids, times = np.asarray(keys, np.uint64), np.asarray(arrivals, np.int64)
    accepted, place = np.zeros(len(ids), np.bool_), 0
    while (place := take_from(seen.view(), ids, times, seen.remembered_ms, place, accepted)) < len(ids):
        seen.make_room(int(times[place]))
    return [bool(counts) for counts in accepted]


def by_dict(keys: list[int], arrivals: list[int]) -> list[bool]:
    """Do the same without a bound, in the obvious way."""
    counted: dict[int, int] = {}
    accepted = []
    for key, arrival in zip(keys, arrivals, strict=True):
        counts = key not in counted or arrival - counted[key] > REMEMBERED_MS
        if counts:
            counted[key] = arrival
        accepted.append(counts)
    return accepted


@pytest.mark.parametrize(
    ("later_ms", "counts"),
    [(0, False), (1, False), (REMEMBERED_MS, False), (REMEMBERED_MS + 1, True), (24 * 60 * MINUTE_MS, True)],
)
def test_the_same_id_counts_once_in_ten_minutes_and_again_after_them(later_ms: int, counts: bool) -> None:  # noqa: FBT001
    assert take(SeenIds(REMEMBERED_MS), [7, 7], [1_000, 1_000 + later_ms]) == [True, counts]


def test_an_id_that_keeps_coming_counts_once_in_that_time_and_not_once_for_ever() -> None:
    minutes = np.arange(0, 34)
    accepted = take(SeenIds(REMEMBERED_MS), np.full(34, 7), minutes * MINUTE_MS)
    assert np.flatnonzero(accepted).tolist() == [0, 11, 22, 33]


def test_a_repeat_whose_record_is_stamped_earlier_is_still_a_repeat() -> None:
    arrivals = [REMEMBERED_MS, 0, 20 * MINUTE_MS + 1]
    assert take(SeenIds(REMEMBERED_MS), [7, 7, 7], arrivals) == [True, False, True]


def test_the_least_and_the_greatest_id_are_ids_like_others() -> None:
    keys = [1, 2**64 - 1, 2**63, 2**32, 1, 2**64 - 1, 2**63, 2**32]
    assert take(SeenIds(REMEMBERED_MS), keys, [0] * 8) == [True] * 4 + [False] * 4


@st.composite
def offered(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw ids, some of which come again, over up to hours of arrival time that never falls."""
    seed, n = draw(st.integers(0, 2**32)), draw(st.integers(1, 6_000))
    distinct = draw(st.sampled_from([3, 100, 3_000, 10**6]))
    step_ms = draw(st.sampled_from([0, 10, SECOND_MS, 30 * SECOND_MS]))
    rng = np.random.default_rng(seed)
    keys = spread(rng.integers(0, distinct, n))
    return keys.tolist(), np.cumsum(rng.integers(0, step_ms + 1, n)).tolist()


@given(stream=offered(), cuts=st.lists(st.integers(0, 6_000), max_size=5), saved=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_dict_would_say_the_same_wherever_the_batches_are_cut(
    stream: tuple[list[int], list[int]],
    cuts: list[int],
    saved: bool,  # noqa: FBT001
) -> None:
    keys, arrivals = stream
    seen, accepted = SeenIds(REMEMBERED_MS), []
    for start, end in pairwise([0, *sorted(min(cut, len(keys)) for cut in cuts), len(keys)]):
        accepted += take(seen, keys[start:end], arrivals[start:end])
        if saved:
            snapshot, seen = seen.snapshot(), SeenIds(REMEMBERED_MS)
            seen.restore(snapshot)
            assert seen.snapshot() == snapshot
    assert accepted == by_dict(keys, arrivals)
    assert seen.evicted == 0
    assert len(seen) <= LOAD_MAX * len(seen.view().slots)


@given(cuts=st.lists(st.integers(0, 20_000), max_size=5), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_where_a_batch_is_cut_does_not_change_what_is_forgotten_at_the_bound(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys, arrivals = spread(rng.integers(0, 9_000, 20_000)), np.sort(rng.integers(0, REMEMBERED_MS, 20_000))
    whole, parts = SeenIds(REMEMBERED_MS, 4_000), SeenIds(REMEMBERED_MS, 4_000)
    at_once = take(whole, keys, arrivals)
    piecewise: list[bool] = []
    for start, end in pairwise([0, *sorted(cuts), 20_000]):
        piecewise += take(parts, keys[start:end], arrivals[start:end])
    assert piecewise == at_once
    assert parts.evicted == whole.evicted > 0
    assert parts.snapshot() == whole.snapshot()


def test_memory_stays_bounded_and_the_oldest_are_forgotten_first_and_counted() -> None:
    seen = SeenIds(REMEMBERED_MS, entries_max=10_000)
    keys, arrivals = spread(np.arange(300_000)), np.arange(300_000)
    for start in range(0, 300_000, 50_000):
        assert all(take(seen, keys[start : start + 50_000], arrivals[start : start + 50_000]))
        assert len(seen) <= 10_000
        assert seen.bytes_resident <= 16 * 2 * 10_000 / LOAD_MAX + 100
    assert seen.evicted == 300_000 - len(seen)
    assert not any(take(seen, keys[-7_000:], np.full(7_000, 300_000)))
    assert all(take(seen, keys[:100], np.full(100, 300_000)))


def test_ids_past_their_time_make_room_without_being_missed() -> None:
    seen = SeenIds(REMEMBERED_MS, entries_max=10_000)
    keys = spread(np.arange(300_000))
    arrivals = np.arange(300_000) * (REMEMBERED_MS // 5_000)
    assert all(take(seen, keys, arrivals))
    assert seen.evicted == 0
    assert len(seen) <= 10_000
    assert not any(take(seen, keys[-5_000:], np.full(5_000, arrivals[-1])))


@pytest.mark.parametrize("entries_max", [1, 2, 3])
def test_even_a_bound_of_a_few_ids_lets_every_event_through(entries_max: int) -> None:
    seen = SeenIds(REMEMBERED_MS, entries_max)
    assert all(take(seen, spread(np.arange(500)), np.zeros(500)))
    assert len(seen) <= entries_max
    assert seen.evicted == 500 - len(seen)


def test_ids_chosen_to_collide_are_scattered_under_another_seed() -> None:
    candidates = np.arange(1, 3_000_000, dtype=np.uint64)
    mixed = candidates ^ (candidates >> np.uint64(33))
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = mixed * np.uint64(factor)
        mixed ^= mixed >> np.uint64(33)
    collide = candidates[(mixed & np.uint64(SLOTS_FIRST - 1)) < 2][: 2 * PROBE_MAX]
    assert len(collide) == 2 * PROBE_MAX
    seen = SeenIds(REMEMBERED_MS)
    assert all(take(seen, collide, np.zeros(len(collide))))
    assert not any(take(seen, collide, np.zeros(len(collide))))
    assert seen.evicted == 0
    assert int(seen.view().counters[2]) > 0


def test_a_table_that_only_grows_keeps_its_seed_and_with_it_the_order_of_its_ids() -> None:
    keys = spread(np.arange(20_000))
    seen = SeenIds(REMEMBERED_MS)
    assert all(take(seen, keys, np.zeros(len(keys))))
    assert not any(take(seen, keys, np.zeros(len(keys))))
    assert int(seen.view().counters[2]) == 0


def test_equal_contents_give_equal_snapshots_whatever_the_order() -> None:
    keys = spread(np.arange(3_000))
    one, other = SeenIds(REMEMBERED_MS), SeenIds(REMEMBERED_MS)
    take(one, keys, np.zeros(3_000))
    take(other, keys[::-1], np.zeros(3_000))
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    ("snapshot", "says"),
    [
        (b"", "no snapshot of seen ids"),
        (b"XXXX" + bytes(16), "no snapshot of seen ids"),
        (SeenIds(REMEMBERED_MS).snapshot() + b"x", "snapshot of 0 seen ids is 21 bytes long"),
        (b"BWS1" + b"\xff" * 16, "snapshot of 18446744073709551615 seen ids is 20 bytes long"),
    ],
)
def test_a_foreign_snapshot_is_refused_and_changes_nothing(snapshot: bytes, says: str) -> None:
    seen = SeenIds(REMEMBERED_MS)
    take(seen, [7, 8], [0, 0])
    before = seen.snapshot()
    with pytest.raises(ValueError, match=says):
        seen.restore(snapshot)
    assert seen.snapshot() == before
