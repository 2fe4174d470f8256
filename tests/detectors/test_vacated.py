"""Suspects whose rows went: the compiled pass finds those that `suspects.holds` says are held by nobody."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arena import Arena
from detectors.settings import DetectorSettings
from detectors.subject_rows import ROW_FIELDS, ROW_VERSION, SUSPECT
from detectors.subjects import SubjectStage
from detectors.suspects import FREE, holds
from detectors.vacated import vacated
from schemas.columns import Verb
from tests.detectors.subject_traffic import HOUR_MS, START_MS, THRESHOLDS, Act, actions_of, bought, feed, in_time

PLACES, ROWS, LANES = 12, 6, 2


@given(
    held=st.lists(st.tuples(st.integers(0, 3), st.integers(-1, ROWS), st.integers(0, LANES - 1)), max_size=PLACES),
    known=st.lists(st.tuples(st.integers(0, 3), st.integers(-1, PLACES - 1)), min_size=ROWS, max_size=ROWS),
    lane=st.integers(0, LANES - 1),
)
@settings(deadline=None)
def test_exactly_the_places_of_the_lane_that_no_row_holds_are_found_in_their_order(
    held: list[tuple[int, int, int]], known: list[tuple[int, int]], lane: int
) -> None:
    places = np.zeros(PLACES, SUSPECT)
    for place, (key, row, own) in enumerate(held):
        places[place]["key"], places[place]["row"], places[place]["lane"] = key, row, own
    arena = Arena(ROW_FIELDS, ROWS, ROW_VERSION)
    rows = arena.view().rows
    for row, (key, suspect) in enumerate(known):
        rows[row]["key"], rows[row]["suspect"] = key, suspect
    due = [
        place for place, one in enumerate(places) if one["key"] and one["lane"] == lane and not holds(rows, one, place)
    ]
    assert vacated(places, rows, lane).tolist() == due


def test_places_of_evicted_rows_are_free_again_whether_an_episode_was_open_or_not() -> None:
    stage = SubjectStage(DetectorSettings(subjects_max=100, suspects_max=64), THRESHOLDS)
    rng = np.random.default_rng(31)
    opened = [bought(rng, 40, START_MS, HOUR_MS, Verb.LIKE, f"n{number}") for number in range(4)]
    warm = [bought(rng, 3, START_MS, HOUR_MS, Verb.LIKE, f"w{number}") for number in range(12)]
    feed(stage, actions_of(in_time(*opened, *warm)))
    suspects = stage._tables.state.suspects
    assert stage.open_episodes >= 2
    assert int(np.count_nonzero(suspects.places["key"])) > stage.open_episodes
    strangers = [Act(START_MS + 2 * HOUR_MS + at, Verb.LIKE, f"s{at}", f"a{at}") for at in range(400)]
    flags = feed(stage, actions_of(strangers, START_MS + 2 * HOUR_MS))
    suspects = stage._tables.state.suspects
    free = suspects.free[: int(suspects.counters[FREE])].tolist()
    assert stage.open_episodes == 0
    assert flags
    assert sorted(free) == list(range(64))
    assert not suspects.places["key"].any()
