"""When open episodes are over: the first of them is found over all of their suspects' places."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.episodes import Episode, EpisodeBook
from detectors.settings import DetectorSettings
from detectors.sources import LAST_MS
from detectors.subjects import SubjectStage
from schemas.columns import Verb
from schemas.flags import Status
from tests.detectors.subject_traffic import HOUR_MS, START_MS, THRESHOLDS, actions_of, bought, feed, in_time


def listed(book: EpisodeBook) -> list[list[int]]:
    places, starts = book.places()
    return [part.tolist() for part in np.split(places, starts[1:])]


@given(st.lists(st.tuples(st.sampled_from(["enter", "join", "leave"]), st.integers(0, 5)), max_size=30))
@settings(deadline=None)
def test_the_book_tells_the_places_of_every_open_episode_however_they_came(steps: list[tuple[str, int]]) -> None:
    book = EpisodeBook(DetectorSettings())
    for place, (what, subject) in enumerate(steps):
        episode = book.find((0, subject))
        if what == "leave" and episode is not None:
            book.leave(episode, 0)
        elif what != "leave":
            if episode is None:
                episode = Episode((0, subject), str(subject), 0, place)
                book.enter(episode)
            book.join(episode, place, 0)
        if len(book):
            assert listed(book) == [list(each.places) for each in book.every()]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=8), st.integers(-1, 10))
@settings(deadline=None)
def test_the_first_end_over_all_places_is_found_and_nothing_closes_before_it(
    deadlines: list[list[int]], clock: int
) -> None:
    stage = SubjectStage(DetectorSettings(suspects_max=64), THRESHOLDS)
    life, state = stage._life, stage._tables.state
    place = 0
    for subject, each in enumerate(reversed(deadlines)):
        episode = Episode((0, len(deadlines) - subject), "n", 0, place)
        life.book.enter(episode)
        for deadline in each:
            state.suspects.places[place]["deadline_ms"] = deadline
            life.book.join(episode, place, 0)
            place += 1
    due = min((max(each) for each in deadlines), default=LAST_MS)
    assert life.due_ms(state) == due
    if due > clock:
        assert life.close_next(state, clock) is None


def test_episodes_close_in_the_order_of_their_ends() -> None:
    stage = SubjectStage(DetectorSettings(), THRESHOLDS)
    rng = np.random.default_rng(5)
    parts = [bought(rng, 60, START_MS + number * HOUR_MS // 4, HOUR_MS, Verb.LIKE, f"n{number}") for number in range(5)]
    feed(stage, actions_of(in_time(*parts)))
    opened = stage.open_episodes
    assert opened >= 3
    ends = {
        each.subject_id: max(int(stage._tables.state.suspects.places[place]["deadline_ms"]) for place in each.places)
        for each in stage._life.book.every()
    }
    closed = [flag for flag in stage.advance("likes-0", START_MS + 12 * HOUR_MS) if flag.status is Status.CLOSED]
    assert [flag.subject.id for flag in closed] == sorted(ends, key=lambda name: ends[name])
