"""Suspects that have gone quiet are looked at once more, when more is known of who was there."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.calibration import Thresholds, untrained
from detectors.company import LOOK_AFTER_MS
from detectors.crowd import SHARES, SIGN_NAMES, Sign
from detectors.onward import ONWARD, ONWARD_MS
from detectors.settings import DetectorSettings
from detectors.subject_rows import FOLLOWS
from detectors.subjects import SPECS, SubjectStage
from detectors.suspects import LOOK_STEP_MS, NO_LOOK
from detectors.trees import ANSWERS, QUESTIONS, Forest, Tree
from schemas.columns import Verb
from schemas.flags import Flag, Status
from tests.detectors.states import Keeper
from tests.detectors.subject_traffic import (
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    Act,
    actions_of,
    bought,
    feed,
    in_time,
    organic,
)

BOUGHT_MS = START_MS + 20 * HOUR_MS
USUALLY_ON = 0.6


def asking(sign: Sign, limit: float) -> Thresholds:
    """Thresholds by which follows are flagged where a sign is over a limit, and nothing else is."""
    tree = Tree((SHARES + sign,) * QUESTIONS, (limit,) * QUESTIONS, (0.0,) * (ANSWERS - 1) + (30.0,))
    kinds = {spec.kind: msgspec.structs.replace(untrained(), factor=(1e6,) * 5) for spec in SPECS}
    kinds[SPECS[FOLLOWS].kind] = msgspec.structs.replace(
        untrained(), crowd=Forest(SIGN_NAMES, (tree,)), factor=(0.5,) * 5
    )
    return Thresholds(1, {}, kinds)


def stage_for(sign: Sign, limit: float) -> SubjectStage:
    """Return a stage in which people usually go on."""
    made = SubjectStage(DetectorSettings(), asking(sign, limit))
    pools = made._tables.state.pools
    pools["goes_on"] = USUALLY_ON
    pools["awaited"], pools["gone_on"] = 1e9, USUALLY_ON * 1e9
    return made


def delivery(seconds: int = 60, count: int = 30, *, after_s: int = 600) -> list[Act]:
    """Return a purchase that is over within a minute, and others' traffic that lets time go on."""
    rng = np.random.default_rng(5)
    paid = bought(rng, count, BOUGHT_MS, seconds * 1000, Verb.FOLLOW, "u1")
    others = organic(rng, 300, START_MS, BOUGHT_MS - START_MS, Verb.FOLLOW, "u2")
    others += organic(rng, 60, BOUGHT_MS, after_s * 1000, Verb.FOLLOW, "u3")
    return in_time(paid, others)


def opened(flags: list[Flag]) -> list[tuple[str, int]]:
    return [(flag.subject.id, flag.detected_at) for flag in flags if flag.status is Status.OPENED]


def test_that_nobody_went_on_is_seen_though_nothing_more_comes() -> None:
    found = opened(feed(stage_for(Sign.STAYED_AWAY_FAR, 3.0), actions_of(delivery()), source="follows-0"))
    assert [subject for subject, _ in found] == ["u1"]
    late_ms = found[0][1] - BOUGHT_MS
    assert ONWARD_MS < late_ms <= 60_000 + ONWARD_MS + LOOK_STEP_MS


def test_a_crowd_that_went_on_is_left_alone() -> None:
    acts = delivery()
    rng = np.random.default_rng(6)
    stayed = [
        dataclasses.replace(act, ts=act.ts + 30_000, verb=Verb(Verb.FOLLOW), subject="u9")
        for act in acts
        if act.subject == "u1" and rng.random() < USUALLY_ON
    ]
    columns = actions_of(in_time(acts, stayed))
    # The row by which the actor stage tells it, of the account that it is about.
    rows = np.flatnonzero(columns.subject == actions_of([Act(1, Verb.FOLLOW, "u9", "x")]).subject[0])
    columns.verb[rows] = Verb.FOLLOW + ONWARD
    columns.subject[rows] = actions_of([Act(1, Verb.FOLLOW, "u1", "x")]).subject[0]
    columns.mark[rows] = 0
    assert not feed(stage_for(Sign.STAYED_AWAY_FAR, 3.0), columns, source="follows-0")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 390), max_size=6))
def test_where_batches_are_cut_changes_nothing(cuts: list[int]) -> None:
    acts = actions_of(delivery())
    whole = feed(stage_for(Sign.STAYED_AWAY_FAR, 3.0), acts, source="follows-0")
    assert feed(stage_for(Sign.STAYED_AWAY_FAR, 3.0), acts, cuts=cuts, source="follows-0") == whole


@pytest.mark.parametrize("cut", [320, 331, 340, 345])
def test_a_look_that_is_due_outlives_a_restore(cut: int) -> None:
    acts = actions_of(delivery())
    first, second = stage_for(Sign.STAYED_AWAY_FAR, 3.0), stage_for(Sign.STAYED_AWAY_FAR, 3.0)
    keeper = Keeper()
    before = feed(first, acts.take(np.arange(cut)), source="follows-0")
    keeper.take(first)
    keeper.restore(second)
    after = feed(second, acts.take(np.arange(cut, len(acts))), source="follows-0")
    assert before + after == feed(stage_for(Sign.STAYED_AWAY_FAR, 3.0), acts, source="follows-0")


def test_a_quiet_partition_is_looked_at_when_event_time_is_told_to_go_on() -> None:
    target = stage_for(Sign.STAYED_AWAY_FAR, 3.0)
    acts = [act for act in delivery() if act.ts < BOUGHT_MS + MINUTE_MS]
    assert not feed(target, actions_of(acts), source="follows-0")
    assert [subject for subject, _ in opened(target.advance("follows-0", BOUGHT_MS + HOUR_MS))] == ["u1"]


def test_a_customer_is_looked_at_again_when_its_followers_turn_up_elsewhere() -> None:
    rng = np.random.default_rng(7)
    first = bought(rng, 24, BOUGHT_MS, 10 * MINUTE_MS, Verb.FOLLOW, "c1")
    later = [
        dataclasses.replace(act, ts=act.ts + 2 * HOUR_MS, subject="c2", actor=before.actor)
        for act, before in zip(first, first, strict=True)
    ]
    usual = [organic(rng, 60, START_MS, 26 * HOUR_MS, Verb.FOLLOW, f"u{each}") for each in range(4)]
    target = stage_for(Sign.SHARED, 10.0)
    found = opened(feed(target, actions_of(in_time(first, later, *usual)), source="follows-0"))
    assert {subject for subject, _ in found} == {"c1", "c2"}
    when = dict(found)
    # The first of them has had no action for hours.
    assert when["c1"] - (BOUGHT_MS + 2 * HOUR_MS) < 10 * MINUTE_MS + LOOK_AFTER_MS + LOOK_STEP_MS


def test_what_is_bought_is_found_where_no_more_comes_than_usual() -> None:
    rng = np.random.default_rng(8)
    every_day = organic(rng, 24 * 12, START_MS, 24 * HOUR_MS, Verb.FOLLOW, "u1")
    instead = bought(rng, 24, START_MS + 24 * HOUR_MS, 2 * HOUR_MS, Verb.FOLLOW, "u1")
    target = stage_for(Sign.MEAN_SHORT, 1.5)
    assert opened(feed(target, actions_of(in_time(every_day, instead)), source="follows-0"))


def test_a_place_that_is_given_back_is_not_looked_at() -> None:
    target = stage_for(Sign.STAYED_AWAY_FAR, 50.0)
    rng = np.random.default_rng(9)
    back = organic(rng, 200, BOUGHT_MS + 2 * MINUTE_MS, HOUR_MS, Verb.FOLLOW, "u1")
    feed(target, actions_of(in_time(delivery(), back)), source="follows-0")
    suspects = target._tables.state.suspects
    assert not suspects.places["key"].any()
    assert (suspects.looks == NO_LOOK).all()
