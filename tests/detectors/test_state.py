"""Checkpoints of a stage: taken anywhere and restored, nobody can tell; garbage is refused by name."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actors import ActorStage
from detectors.models import NOVELTY_WINDOW, RATES_MAX, LaneModels
from detectors.settings import ActorSettings, DetectorSettings
from detectors.state import SnapshotMismatchError
from detectors.subject_state import models_part
from detectors.subjects import SubjectStage
from schemas.columns import Verb
from streams.pipeline import shipped_marks
from tests.detectors.batches import browsing, recut
from tests.detectors.states import Keeper, whole
from tests.detectors.subject_traffic import (
    HOUR_MS,
    START_MS,
    THRESHOLDS,
    Act,
    actions_of,
    bought,
    feed,
    in_time,
    organic,
)
from tests.detectors.subject_traffic import (
    stage as subject_stage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.actions import Actions
    from detectors.actors import Marked
    from detectors.kept_state import KeptState

EVENTS = 1_500
RNG = np.random.default_rng


def actor_stage(actors_max: int) -> ActorStage:
    return ActorStage(ActorSettings(actors_max=actors_max), shipped_marks())


def told(marked: Marked) -> list[bytes]:
    actions = marked.actions
    columns = (marked.outcome, actions.mark, actions.traits, actions.watermark, actions.actor, actions.device)
    return [column.tobytes() for column in columns]


def actor_run(stage: ActorStage, seed: int, start: int, end: int, cuts: Sequence[int]) -> list[bytes]:
    """Apply events [start, end) of a stream; return what was told of each, wherever batches were cut."""
    outcomes, at = [b"", b"", b"", b"", b"", b""], 0
    for events in recut(browsing(seed, EVENTS), [start, end, *cuts]):
        if start <= at and at + len(events) <= end:
            outcomes = [before + now for before, now in zip(outcomes, told(stage.apply(events)), strict=True)]
        at += len(events)
    return outcomes


@given(
    seed=st.integers(0, 50),
    actors_max=st.sampled_from([25, 10_000]),
    cuts=st.lists(st.integers(0, EVENTS), min_size=1, max_size=4),
    batches=st.lists(st.integers(0, EVENTS), max_size=5),
    rows_max=st.sampled_from([3, 1_000]),
)
@settings(max_examples=6, deadline=None)
def test_actors_go_on_from_a_checkpoint_anywhere_as_if_nothing_had_happened(
    seed: int, actors_max: int, cuts: list[int], batches: list[int], rows_max: int
) -> None:
    uninterrupted, stage, keeper = actor_stage(actors_max), actor_stage(actors_max), Keeper(rows_max)
    for start, end in pairwise([0, *sorted(cuts), EVENTS]):
        expected = actor_run(uninterrupted, seed, start, end, [])
        assert actor_run(stage, seed, start, end, batches) == expected
        keeper.take(stage)
        # What came after the checkpoint is lost with the process, and comes again.
        actor_run(stage, seed, end, min(end + 100, EVENTS), [])
        stage = actor_stage(actors_max)
        keeper.restore(stage)
        assert remembered(stage) == remembered(uninterrupted)


def remembered(stage: ActorStage) -> dict[str, bytes]:
    """Everything but event ids, of which those that are too old are as good as gone, wherever they still lie."""
    return {name: held for name, held in whole(stage).items() if not name.startswith("seen.")}


def bounded(bounds: dict[str, int]) -> SubjectStage:
    return SubjectStage(DetectorSettings(**bounds), THRESHOLDS)  # type: ignore[arg-type]


def traffic(seed: int) -> list[Act]:
    """Half a day of attacks of every kind in turn, on many subjects, among ordinary actions and removals."""
    rng, parts = RNG(seed), []
    for number in range(3):
        at = START_MS + int(rng.integers(1, 8)) * HOUR_MS
        parts += [
            bought(rng, 40, at, HOUR_MS, Verb.FOLLOW, f"u{number}"),
            bought(rng, 40, at, HOUR_MS, Verb.LIKE, f"n{number}", owner="u2"),
            bought(rng, 40, at, HOUR_MS, Verb.SEARCH, f"tea{number % 2}", item=f"n{number}", owner="u3", position=14),
            bought(rng, 50, at, HOUR_MS, Verb.SEARCH, "hat"),
            organic(rng, 20, at, HOUR_MS, Verb.UNFOLLOW, f"u{number}"),
            organic(rng, 40, START_MS, 11 * HOUR_MS, Verb.FOLLOW, f"u{number}"),
            organic(rng, 40, START_MS, 11 * HOUR_MS, Verb.LIKE, f"n{number}", owner="u2"),
            organic(rng, 60, START_MS, 11 * HOUR_MS, Verb.SEARCH, f"q{number}", item="n9", owner="u9", position=1),
        ]
    strangers = [
        Act(START_MS + int(at), Verb.LIKE, f"x{number}", f"y{number}", owner=f"z{number}")
        for number, at in enumerate(rng.integers(0, 11 * HOUR_MS, 250))
    ]
    return in_time(*parts, strangers)


def encoded(flags: Sequence[object]) -> list[bytes]:
    return [msgspec.json.encode(flag) for flag in flags]


def half(actions: Actions, odd: int) -> Actions:
    return actions.take(np.flatnonzero(np.arange(len(actions)) % 2 == odd))


def subject_run(stage: SubjectStage, actions: Actions, cuts: Sequence[int], end_ms: int) -> list[bytes]:
    """Apply actions that come by turns from two sources, then let the clock go on."""
    flags = []
    for start, end in pairwise([0, *sorted(min(cut, len(actions)) for cut in cuts), len(actions)]):
        piece = actions.take(np.arange(start, end))
        for odd in (0, 1):
            flags += feed(stage, half(piece, odd), source=f"likes-{odd}")
    for odd in (0, 1):
        flags += stage.advance(f"likes-{odd}", end_ms)
    return encoded(flags)


@given(
    seed=st.integers(0, 20),
    bounds=st.sampled_from([{}, {"subjects_max": 30}, {"suspects_max": 4}, {"subjects_max": 60, "suspects_max": 6}]),
    cuts=st.lists(st.integers(0, 1_300), min_size=1, max_size=4),
    rows_max=st.sampled_from([3, 1_000]),
)
@settings(max_examples=6, deadline=None)
def test_subjects_go_on_from_a_checkpoint_anywhere_as_if_nothing_had_happened(
    seed: int, bounds: dict[str, int], cuts: list[int], rows_max: int
) -> None:
    actions = actions_of(traffic(seed))
    uninterrupted, stage, keeper = bounded(bounds), bounded(bounds), Keeper(rows_max)
    for start, end in pairwise([0, *sorted(min(cut, len(actions)) for cut in cuts), len(actions)]):
        piece = actions.take(np.arange(start, end))
        clock_ms = int(actions.watermark[max(end - 1, 0)])
        if end == len(actions):
            clock_ms += 3 * HOUR_MS
        pieces = list(range(0, end - start, 37))
        expected = subject_run(uninterrupted, piece, pieces, clock_ms)
        assert subject_run(stage, piece, pieces, clock_ms) == expected
        keeper.take(stage)
        subject_run(stage, actions.take(np.arange(end, min(end + 100, len(actions)))), [], clock_ms)
        stage = bounded(bounds)
        keeper.restore(stage)
        assert whole(stage) == whole(uninterrupted)


def kept_stages() -> dict[str, tuple[KeptState, Keeper]]:
    """Make a stage of each kind with everything in it, and its checkpoint."""
    actors, subjects = actor_stage(10_000), subject_stage()
    actor_run(actors, 1, 0, EVENTS, [])
    actions = actions_of(traffic(3))
    for start in range(0, len(actions), 50):
        feed(subjects, actions.take(np.arange(start, min(start + 50, len(actions)))))
        if subjects.open_episodes > 1:
            break
    made = {"actors": (actors, Keeper()), "subjects": (subjects, Keeper())}
    for stage, keeper in made.values():
        keeper.take(stage)
    assert subjects.open_episodes > 1
    return made


KEPT = kept_stages()
FRESH: dict[str, Callable[[], KeptState]] = {"actors": lambda: actor_stage(10_000), "subjects": subject_stage}
PARTS = [(kind, name) for kind, (stage, _) in KEPT.items() for name in stage.parts()]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_part_that_is_garbage_cut_short_or_of_another_version_is_refused(kind: str, name: str) -> None:
    right = KEPT[kind][1].kept[-1].parts[name]
    for wrong in (b"", b"x" * 40, right[:-1], right + b"x", right[:4] + b"\xff" + right[5:], right[:20] + b"\xc1" * 30):
        with pytest.raises(SnapshotMismatchError, match=name):
            FRESH[kind]().restore_part(name, wrong)


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), which=st.sampled_from(PARTS))
@settings(max_examples=60, deadline=None)
def test_one_changed_bit_of_a_part_is_refused(place: int, bit: int, which: tuple[str, str]) -> None:
    kind, name = which
    changed = bytearray(KEPT[kind][1].kept[-1].parts[name])
    changed[place % len(changed)] ^= 1 << bit
    with pytest.raises(SnapshotMismatchError, match=name):
        FRESH[kind]().restore_part(name, bytes(changed))


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_one_changed_bit_of_rows_or_seen_ids_is_refused(place: int, bit: int) -> None:
    kept = KEPT["actors"][1].kept[-1]
    ids, fresh = kept.increments["seen.likes"].data, FRESH["actors"]()
    for restore, name, data in (
        (fresh.restore_rows, "actors", kept.rows[0][1]),
        (fresh.restore_increment, "seen.likes", ids),
    ):
        changed = bytearray(data)
        changed[place % len(changed)] ^= 1 << bit
        with pytest.raises(SnapshotMismatchError):
            restore(name, bytes(changed))


def test_a_missing_part_is_named() -> None:
    stage, parts = FRESH["subjects"](), KEPT["subjects"][0].parts()
    for name in sorted(parts)[1:]:
        stage.restore_part(name, parts[name])
    with pytest.raises(SnapshotMismatchError, match=f"part '{min(parts)}' is missing"):
        stage.finish_restore()


def test_what_a_stage_does_not_have_is_refused_by_name() -> None:
    stage = FRESH["actors"]()
    with pytest.raises(SnapshotMismatchError, match="no table 'likes' here, only actors"):
        stage.restore_rows("likes", b"")
    with pytest.raises(SnapshotMismatchError, match="no increment 'ids'"):
        stage.restore_increment("ids", b"")
    with pytest.raises(SnapshotMismatchError, match="no part 'pools'"):
        stage.restore_part("pools", b"")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("marks_at", 48, "marks_at over 47"),
        ("marks_held", 255, "marks_held over 48"),
        ("merged", -(2**31), "hours that were never merged"),
        ("suspect", 4_096, "no suspect's"),
        ("suspect", 4_000, "do not know each other"),
    ],
)
def test_rows_that_would_lead_a_loop_outside_its_arrays_are_refused(field: str, value: int, said: str) -> None:
    kept, keeper = KEPT["subjects"]
    table = FRESH["subjects"]().tables()["likes"]
    table.restore(kept.tables()["likes"].snapshot())
    table.view().rows[field][table.live_rows()[3]] = value
    last = keeper.kept[-1]
    rows = [("likes", table.snapshot()), *(entry for entry in last.rows if entry[0] != "likes")]
    with pytest.raises(SnapshotMismatchError, match=said):
        Keeper(kept=[replace(last, rows=rows)]).restore(FRESH["subjects"]())


def test_a_delta_holds_what_changed_and_what_went_and_then_nothing() -> None:
    stage = actor_stage(25)
    actor_run(stage, 5, 0, 700, [])
    first = stage.take_delta()
    assert len(first.rows["actors"]) == stage.tracked
    assert not first.removed  # what was never handed out need not be taken back
    before = set(stage.tables()["actors"].view().rows["key"][first.rows["actors"]].tolist())
    actor_run(stage, 5, 700, EVENTS, [])
    second = stage.take_delta()
    held = {int(key) for key in stage.tables()["actors"].view().rows["key"] if key}
    assert set(second.removed["actors"].tolist()) == before - held
    third = stage.take_delta()
    assert (third.rows, third.removed, third.increments) == ({}, {}, {})


def test_novelty_and_drift_go_on_from_what_was_kept() -> None:
    rng, one, other = RNG(3), LaneModels(7), LaneModels(7)
    for number in range(RATES_MAX + 300):
        one.pass_rate.learn(number // 6, 500.0, float(rng.binomial(500, 0.02 if number < 900 else 0.1)))
        if number % 3 == 0:
            one.novelty.learn({"size": float(rng.random()), "lift": float(rng.random())})
        one.cycle.learn(number // 6, float(rng.integers(1, 100)))
    assert one.novelty.learned > 2 * NOVELTY_WINDOW
    assert one.pass_rate.drifts > 0
    models_part(other).read(models_part(one).write())
    assert models_part(other).write() == models_part(one).write()
    for number in range(600):
        hour = {"size": float(rng.random()), "lift": float(rng.random())}
        assert one.novelty.score(hour) == other.novelty.score(hour)
        for models in (one, other):
            models.novelty.learn(hour)
            models.pass_rate.learn(number // 6, 500.0, 10.0 if number < 100 else 90.0)
        assert one.pass_rate.drifts == other.pass_rate.drifts
    assert models_part(other).write() == models_part(one).write()
    assert (one.cycle.factors() == other.cycle.factors()).all()
