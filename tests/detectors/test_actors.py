from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.actions import Trait
from detectors.actor_kernel import mark_events
from detectors.actors import ActorStage, Marked, Outcome
from detectors.marks import MarkModel
from detectors.onward import ONWARD
from detectors.settings import ActorSettings
from schemas.columns import Events, Topic
from tests.detectors.batches import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    Stream,
    alone,
    batch,
    browsing,
    recut,
    spread,
)
from tests.detectors.states import Keeper
from tests.detectors.states import whole as everything

ORDINARY = ActorSettings()
LATENESS_MS, LATE_AFTER_MS = ORDINARY.lateness_ms, ORDINARY.late_after_ms
MARKS = MarkModel.flat({
    "like": {"newness": 0.4, "gap_short": 0.3, "narrow": 1.0, "surface": 0.2},
    "follow": {"first": 1.5, "dormancy": 0.5, "device_shared": 0.5, "new_owners": 0.7},
    "search": {"shallow": 0.4, "hasty": 0.8, "met": -0.5},
    "search_click": {"position": 0.4, "account_newness": 0.3, "active": 0.2},
})  # fmt: skip


def new_stage(actors_max: int = ORDINARY.actors_max) -> ActorStage:
    return ActorStage(ActorSettings(actors_max=actors_max), MARKS)


def decisions(marked: Iterable[Marked]) -> dict[str, list[int]]:
    """Return all that was decided, event by event, in one piece; what actors went on from apart."""
    columns = ("actor", "subject", "mark", "traits", "watermark")
    told: dict[str, list[int]] = {name: [] for name in ("outcome", *columns, "onward", "onward_from", "onward_at")}
    for each in marked:
        actions = each.actions.verb < ONWARD
        assert each.rows[actions].tolist() == np.flatnonzero(each.outcome == Outcome.ACCEPTED).tolist()
        assert len(each.actions) == len(each.rows)
        told["outcome"] += each.outcome.tolist()
        for name in columns:
            told[name] += getattr(each.actions, name)[actions].tolist()
        told["onward"] += each.actions.verb[~actions].tolist()
        told["onward_from"] += each.actions.subject[~actions].tolist()
        told["onward_at"] += each.actions.ts[~actions].tolist()
    return told


def run(stage: ActorStage, stream: Iterable[Events]) -> dict[str, list[int]]:
    return decisions([stage.apply(events) for events in stream])


def outcomes(stage: ActorStage, events: Events) -> list[str]:
    return [Outcome(outcome).name.lower() for outcome in stage.apply(events).outcome.tolist()]


def by_dict(stream: Stream) -> tuple[list[int], list[int]]:
    """Return the outcome of each event and the watermark of each accepted one, in the obvious way."""
    counted: dict[tuple[int, int], int] = {}
    greatest = dict.fromkeys(Topic, 0)
    told, watermarks = [], []
    for events in stream:
        for ts, arrival, event in zip(events.ts.tolist(), events.arrival.tolist(), events.event.tolist(), strict=True):
            key = (events.topic, event)
            if key in counted and arrival - counted[key] <= ORDINARY.dedup_ms:
                told.append(int(Outcome.DUPLICATE))
                continue
            counted[key] = arrival
            if ts < greatest[events.topic] - LATENESS_MS - LATE_AFTER_MS:
                told.append(int(Outcome.LATE))
                continue
            greatest[events.topic] = max(greatest[events.topic], ts)
            told.append(int(Outcome.ACCEPTED))
            watermarks.append(greatest[events.topic] - LATENESS_MS)
    return told, watermarks


@cache
def ordinary() -> Stream:
    return browsing(1, 2_500)


@pytest.mark.parametrize("seed", [2, 3])
def test_outcomes_and_watermarks_are_those_of_a_dict_and_add_up(seed: int) -> None:
    stream = browsing(seed, 4_000, span_ms=4 * DAY_MS)
    told = run(new_stage(), stream)
    expected, watermarks = by_dict(stream)
    assert told["outcome"] == expected
    assert told["watermark"] == watermarks
    counts = [told["outcome"].count(outcome) for outcome in Outcome]
    assert sum(counts) == 4_000
    assert min(counts) > 10


def test_a_duplicate_changes_nothing_at_all() -> None:
    stage = new_stage()
    run(stage, ordinary()[:40])
    again = batch(Topic.LIKES, [START_MS + DAY_MS] * 2, event=[77, 77], actor=5, device=9)
    assert outcomes(stage, again) == ["accepted", "duplicate"]
    before = everything(stage)
    later = batch(Topic.LIKES, [START_MS + DAY_MS + 1], event=77, actor=6, device=10, surface=2, created_at=START_MS)
    assert outcomes(stage, later) == ["duplicate"]
    assert everything(stage) == before


def test_a_late_event_changes_nothing_but_that_its_id_was_seen() -> None:
    stage = new_stage()
    run(stage, ordinary()[:40])
    before, watermark = everything(stage), stage.watermark(Topic.FOLLOWS)
    assert watermark > 0
    too_late = watermark - LATE_AFTER_MS - 1
    late = batch(Topic.FOLLOWS, [too_late] * 2, event=[78, 78], arrival=START_MS + DAY_MS, actor=6, device=10)
    assert outcomes(stage, late) == ["late", "duplicate"]
    after = everything(stage)
    assert {name for name, held in after.items() if held != before[name]} == {"seen.follows"}
    assert stage.watermark(Topic.FOLLOWS) == watermark


def test_the_same_id_in_another_topic_is_no_duplicate() -> None:
    stage = new_stage()
    for topic in Topic:
        assert outcomes(stage, batch(topic, [START_MS, START_MS], event=[5, 5])) == ["accepted", "duplicate"]


def test_an_event_is_late_beyond_the_limit_and_not_at_it() -> None:
    stage = new_stage()
    limit = START_MS - LATENESS_MS - LATE_AFTER_MS
    ts = [START_MS, limit, limit - 1, START_MS + 1, limit, limit + 1]
    told = ["accepted", "accepted", "late", "accepted", "late", "accepted"]
    assert outcomes(stage, batch(Topic.LIKES, ts, arrival=START_MS)) == told
    assert outcomes(stage, batch(Topic.SEARCHES, [limit - 1], arrival=START_MS)) == ["accepted"]


def test_the_watermark_does_not_reverse_in_a_batch_or_between_batches() -> None:
    stage = new_stage()
    ts = START_MS + np.array([5, 3, 9, 1, 9, 12]) * MINUTE_MS
    greatest = START_MS + np.array([5, 5, 9, 9, 9, 12]) * MINUTE_MS
    marked = stage.apply(batch(Topic.LIKES, ts))
    assert marked.actions.watermark.tolist() == (greatest - LATENESS_MS).tolist()
    assert marked.watermark == stage.watermark(Topic.LIKES) == greatest[-1] - LATENESS_MS
    older = stage.apply(batch(Topic.LIKES, ts[:2], event=[98, 99]))
    assert older.actions.watermark.tolist() == [marked.watermark] * 2
    assert older.watermark == marked.watermark


def test_each_topic_has_a_watermark_of_its_own_and_none_before_its_first_event() -> None:
    stage = new_stage()
    stage.apply(batch(Topic.LIKES, [START_MS]))
    assert stage.watermark(Topic.LIKES) == START_MS - LATENESS_MS
    assert stage.watermark(Topic.FOLLOWS) == stage.watermark(Topic.SEARCHES) == -LATENESS_MS
    empty = stage.apply(batch(Topic.SEARCHES, []))
    assert (len(empty.actions), empty.watermark) == (0, -LATENESS_MS)


@given(cuts=st.lists(st.integers(1, 2_499), max_size=12), by_one=st.booleans())
@settings(max_examples=15, deadline=None)
def test_where_batches_are_cut_changes_no_decision(cuts: list[int], by_one: bool) -> None:  # noqa: FBT001
    whole, parts = new_stage(12), new_stage(12)  # fewer than come, so that some are forgotten for good
    at_once = run(whole, ordinary())
    places = [*cuts, *range(cuts[0], min(cuts[0] + 200, 2_499))] if by_one and cuts else cuts
    assert run(parts, recut(ordinary(), places)) == at_once
    assert everything(parts) == everything(whole)
    assert parts.evicted == whole.evicted
    assert whole.evicted["actors"] > 0
    assert len(set(at_once["mark"])) > 20
    assert len(set(at_once["traits"])) > 6


@pytest.mark.parametrize("actors_max", [40, 10_000])
def test_a_stage_goes_on_from_what_was_kept_or_its_pickle_as_if_nothing_had_happened(actors_max: int) -> None:
    stage = new_stage(actors_max)
    run(stage, ordinary()[:50])
    keeper, restored = Keeper(), new_stage(actors_max)
    keeper.take(stage)
    keeper.restore(restored)
    assert everything(restored) == everything(stage)
    pickled: ActorStage = pickle.loads(pickle.dumps(stage))  # noqa: S301 our own bytes
    assert run(restored, ordinary()[40:]) == run(pickled, ordinary()[40:]) == run(stage, ordinary()[40:])
    assert everything(restored) == everything(pickled) == everything(stage)
    for name in ("watermark", "usual"):
        arguments: list[Any] = [Topic.LIKES] if name == "watermark" else []
        assert np.array_equal(getattr(restored, name)(*arguments), getattr(stage, name)(*arguments))


def test_memory_stays_bounded_under_very_many_actors() -> None:
    actors_max, n = 2_000, 100_000
    stage = new_stage(actors_max)
    actor = spread(np.arange(n), 2)
    most = 0
    for start in range(0, n, 10_000):
        ts = START_MS + np.arange(start, start + 10_000)
        event = spread(np.arange(start, start + 10_000), 3)
        stage.apply(batch(Topic.FOLLOWS, ts, actor=actor[start : start + 10_000], event=event, subject=actor[start]))
        assert stage.tracked <= actors_max
        most = max(most, stage.tracked)
    assert most == actors_max
    assert stage.evicted == {"actors": n - stage.tracked, "rhythms": 0, "event_ids": 0}
    again = stage.apply(batch(Topic.FOLLOWS, [START_MS + n] * 2, actor=[actor[-1], actor[0]], event=[1, 2]))
    traits = again.actions.traits[again.actions.verb < ONWARD]
    assert [bool(each & Trait.FIRST_SEEN) for each in traits.tolist()] == [False, True]


def test_bytes_resident_is_what_is_allocated() -> None:
    n = 60_000
    events = batch(Topic.FOLLOWS, START_MS + np.arange(n), actor=spread(np.arange(n), 2))
    run(new_stage(), ordinary()[:3])
    tracemalloc.start()
    try:
        stage = new_stage()
        stage.apply(events)
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert stage.tracked == n
    assert 0.97 < stage.bytes_resident / allocated < 1.03


def test_an_actor_costs_at_most_what_its_row_is_documented_to() -> None:
    rows = new_stage()._arena.view().rows
    assert rows.dtype.itemsize - 16 <= 160


def test_names_are_found_by_the_hash_of_what_was_accepted() -> None:
    events = batch(Topic.SEARCHES, [START_MS], actor=11, subject=12, owner=13, item=14, position=1)
    names = new_stage().apply(events).actions.names
    assert [names.find(key) for key in (11, 12, 13, 14, 15, 0)] == ["a11", "s12", "o13", "i14", None, None]


def test_a_device_is_passed_on_by_its_low_bits_and_is_absent_only_where_it_was() -> None:
    events = batch(Topic.LIKES, [START_MS] * 3, device=[0, 1 << 40, (7 << 32) | 5])
    assert new_stage().apply(events).actions.device.tolist() == [0, 1, 5]


def test_columns_that_are_not_contiguous_are_taken_as_they_are() -> None:
    events = next(iter(ordinary()))
    strided: dict[str, Any] = {}
    for column in fields(events):
        values = getattr(events, column.name)
        strided[column.name] = np.repeat(values, 2)[::2] if isinstance(values, np.ndarray) else values
    assert not strided["ts"].flags.c_contiguous
    assert run(new_stage(), [replace(events, **strided)]) == run(new_stage(), [events])


def in_turns(stream: Stream) -> tuple[list[Events], NDArray[np.int64]]:
    """Return the events of each topic in one batch, and in whose turn they come in the stream."""
    batches: list[Events] = []
    turns: list[tuple[int, int]] = []
    ends = dict.fromkeys(Topic, 0)
    topics = [topic for topic in Topic if any(events.topic == topic for events in stream)]
    for topic in topics:
        own = [events for events in stream if events.topic == topic]
        columns: dict[str, Any] = {
            column.name: np.concatenate([getattr(events, column.name) for events in own])
            for column in fields(Events)
            if isinstance(getattr(own[0], column.name), np.ndarray) and column.name not in {"row", "ts"}
        }
        batches.append(batch(topic, np.concatenate([events.ts for events in own]), **columns))
    for events in stream:
        ends[events.topic] += len(events)
        turns.append((topics.index(events.topic), ends[events.topic]))
    return batches, np.array(turns, np.int64)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 20), st.integers(1, 600), st.sampled_from([20, ORDINARY.actors_max]))
def test_topics_in_turns_are_taken_as_one_batch_after_the_other(seed: int, n: int, actors_max: int) -> None:
    stream = browsing(seed, n, span_ms=20 * HOUR_MS)
    apart, together = new_stage(actors_max), new_stage(actors_max)
    separate = [apart.apply(events) for events in stream]
    batches, turns = in_turns(stream)
    marked = together.apply_in_turns(batches, turns)
    assert everything(together) == everything(apart)
    for events, one in zip(batches, marked, strict=True):
        own = [each for each, of in zip(separate, stream, strict=True) if of.topic == events.topic]
        assert decisions([one]) == decisions(own)
        assert one.watermark == own[-1].watermark


def digest() -> str:
    """Return what a stage made of some traffic, in short: decisions, features to six digits and what is kept."""
    stage, told = new_stage(20), []
    features: list[NDArray[np.float32]] = []
    for events in browsing(6, 450, actors=40, span_ms=5 * HOUR_MS):
        ((marked, described),) = stage.apply_and_describe(*alone(events))
        told.append(marked)
        features.append(np.round(described, 4) + 0.0)
    rows = stage._arena.view().rows[stage._arena.live_rows()]
    counted = [(name, rows[name].tolist()) for name in ("key", "actions", "last_ms", "met", "session", "gaps")]
    made = repr((decisions(told), np.concatenate(features).tolist(), counted, stage.evicted))
    return hashlib.sha256(made.encode()).hexdigest()


UNCOMPILED = """
import sys
sys.path.insert(0, ".")
import numpy as np
from tests.detectors.test_actors import digest, mark_events
assert not hasattr(mark_events, "py_func")
with np.errstate(over="ignore"):
    print(digest())
"""


def test_uncompiled_functions_decide_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(mark_events, "py_func")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    plain = subprocess.run([sys.executable, "-c", UNCOMPILED], capture_output=True, text=True, check=False)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == digest()
