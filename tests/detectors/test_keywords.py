"""Keywords: what a click says beside who clicks, and what it says that nobody clicks."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import keyword_ranking, keyword_trend
from detectors.arena import Arena
from detectors.calibration import untrained
from detectors.clicks import click_nats, is_lifted, lift_nats
from detectors.subject_rows import ROW_FIELDS, RULE
from schemas.columns import Verb
from schemas.flags import Kind
from streams.pipeline import shipped_thresholds
from tests.detectors.subject_traffic import HOUR_MS, START_MS, actions_of, crowd, feed, in_time, organic, stage


def new_row() -> Any:
    return np.zeros(1, Arena(ROW_FIELDS, 1).view().rows.dtype)[0]


def rule_of(spec: Any) -> Any:
    rule = np.zeros(1, RULE)
    rule[0] = spec.rule(untrained())
    return rule[0]


def lift_of(clicks: float, earned: float) -> float:
    row = new_row()
    row["clicks"], row["earned"] = clicks, earned
    return float(lift_nats(row, rule_of(keyword_ranking.SPEC)))


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 60))
@settings(deadline=None)
def test_more_clicks_than_are_earned_never_say_less(clicks: float, more: float, earned: float) -> None:
    most = keyword_ranking.SPEC.lift_nats[1]
    assert 0.0 <= lift_of(clicks, earned) <= lift_of(clicks + more, earned) + 1e-6 <= most + 2e-6


def test_what_a_position_earns_says_nothing_and_two_clicks_say_hardly_anything() -> None:
    assert lift_of(40.0, 40.0) == 0.0
    assert lift_of(2.0, 0.01) < 0.25
    assert lift_of(40.0, 0.2) == pytest.approx(keyword_ranking.SPEC.lift_nats[1])


def is_lifted_at(clicks: float, earned: float) -> bool:
    row = new_row()
    row["clicks"], row["earned"] = clicks, earned
    return bool(is_lifted(row, rule_of(keyword_ranking.SPEC)))


@pytest.mark.parametrize(("clicks", "earned"), [(9.9, 3.8), (9.1, 3.4), (40.0, 21.0), (0.0, 0.0001)])
def test_clicks_that_chance_brings_lift_nothing(clicks: float, earned: float) -> None:
    # The first two were flags on news: of all that is searched for at once some result gets so many.
    assert not is_lifted_at(clicks, earned)


@pytest.mark.parametrize(("clicks", "earned"), [(8.3, 0.05), (20.0, 6.0), (40.0, 19.0)])
def test_clicks_on_what_stands_low_or_many_of_them_lift_a_result(clicks: float, earned: float) -> None:
    assert is_lifted_at(clicks, earned)


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 60))
@settings(deadline=None)
def test_more_clicks_never_lift_less(clicks: float, more: float, earned: float) -> None:
    assert is_lifted_at(clicks + more, earned) or not is_lifted_at(clicks, earned)


UNREAD = log((1 - 0.5 * exp(keyword_trend.SPEC.clicked_nats)) / (1 - 0.5))
"""What a search without a click says where half of all bring one, nats."""


def read(outcomes: list[bool], usual: float = 0.5) -> list[float]:
    row, rule, said = new_row(), rule_of(keyword_trend.SPEC), []
    for number, clicked in enumerate(outcomes, 1):
        row["total"] = number
        said.append(float(click_nats(row, rule, usual, clicked)))
    return said


def test_a_search_without_a_click_says_the_more_the_longer_nobody_clicked() -> None:
    said = read([False] * 80)
    assert said[0] == pytest.approx(UNREAD)
    assert all(later >= earlier for earlier, later in pairwise(said))
    assert said[-1] > UNREAD * (1.0 + 0.9 * keyword_trend.SPEC.unread_more)


def test_where_half_of_the_searches_bring_a_click_one_without_says_what_it_always_said() -> None:
    assert max(read([True, False] * 60)) < UNREAD + 0.02


def test_where_no_clicks_are_sent_a_search_without_one_says_nothing() -> None:
    assert max(read([False] * 80, usual=0.0)) == 0.0
    assert max(read([False] * 80, usual=0.1)) < 0.2
    assert max(read([False] * 3, usual=1.0)) < 3.0


def test_hired_people_who_look_like_anybody_are_found_by_what_they_all_click() -> None:
    rng = np.random.default_rng(5)
    past = organic(rng, 60, START_MS, 10 * HOUR_MS, Verb.SEARCH, "tea", item="n1", owner="u1", position=1)
    at = START_MS + 8 * HOUR_MS
    hired = crowd(
        rng, 120, at, HOUR_MS, Verb.SEARCH, "tea", mean=-0.2, who="h", item="n2", owner="u2", position=17
    )  # fmt: skip
    flags = feed(stage(shipped_thresholds()), actions_of(in_time(past, hired)))
    assert [(flag.kind, flag.evidence.note_id) for flag in flags][:1] == [(Kind.KEYWORD_RANKING, "n2")]


def test_a_crowd_of_ordinary_people_at_the_place_that_it_earns_is_left_alone() -> None:
    rng = np.random.default_rng(6)
    read_by = crowd(
        rng, 60, START_MS, HOUR_MS, Verb.SEARCH, "tea", mean=-0.2, who="h", item="n2", owner="u2", position=1
    )  # fmt: skip
    others = crowd(rng, 180, START_MS, HOUR_MS, Verb.SEARCH, "tea", mean=-0.8, who="o")
    flags = feed(stage(shipped_thresholds()), actions_of(in_time(read_by, others)))
    assert Kind.KEYWORD_RANKING not in {flag.kind for flag in flags}


@pytest.mark.parametrize(("passing_over", "flagged"), [(20, True), (50, False)])
def test_odd_searchers_are_let_alone_where_chance_may_have_lifted_what_they_click(
    passing_over: int,
    flagged: bool,  # noqa: FBT001
) -> None:
    # The second result gets ten clicks: of thirty searches too many, of sixty more than twice what it earns, by chance.
    rng = np.random.default_rng(7)
    past = organic(rng, 60, START_MS, 10 * HOUR_MS, Verb.SEARCH, "tea", item="n1", owner="u1", position=1)
    at = START_MS + 8 * HOUR_MS
    clicked = crowd(rng, 10, at, HOUR_MS, Verb.SEARCH, "tea", mean=2.5, who="h", item="n2", owner="u2", position=2)
    others = crowd(rng, passing_over, at, HOUR_MS, Verb.SEARCH, "tea", mean=2.5, who="o")
    flags = feed(stage(shipped_thresholds()), actions_of(in_time(past, clicked, others)))
    assert (Kind.KEYWORD_RANKING in {flag.kind for flag in flags}) is flagged
