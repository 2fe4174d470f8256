from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.flags import Kind, Subject, SubjectType
from streams.evaluation.traffic import Purchase, WatchedRecording, key_of
from streams.evaluation.windows import windows_of
from tests.streams.recordings import START_MS, follow, like, search, traffic, write

if TYPE_CHECKING:
    from pathlib import Path


def watched(directory: Path, lines: dict[str, list[dict[str, object]]]) -> WatchedRecording:
    recording = WatchedRecording(write(directory, lines))
    for _ in recording.batches(64):
        pass
    return recording


def test_every_event_is_remembered_once_in_event_time(tmp_path: Path) -> None:
    lines = traffic(600)
    lines["likes"].append(lines["likes"][0])
    found = watched(tmp_path, lines).traffic()
    assert len(found) == 600
    assert (np.diff(found.ts) >= 0).all()
    assert found.accounts == len({line["actor_id"] for part in lines.values() for line in part})
    assert found.days == float(found.ts[-1] - found.ts[0]) / 86_400_000


def test_the_times_of_an_attack_are_those_of_its_deliveries(tmp_path: Path) -> None:
    lines = {
        "follows": [
            follow(1, START_MS, "a1"),
            follow(2, START_MS + 5, "a2"),
            follow(3, START_MS + 9, "a1", action="unfollow"),
        ],
        "likes": [like(4, START_MS + 2)],
    }
    named = Subject(SubjectType.ACCOUNT, "o1")
    bought = Purchase("a0", Kind.FOLLOWER_SPIKE, named, 0, 9, "burst", event_ids=("f2", "f1", "f3", "gone"))
    other = Purchase("a1", Kind.LIKE_BOOST, named, 0, 9, "burst", event_ids=("l4",))
    timed = watched(tmp_path, lines).traffic().with_times([bought, other])
    assert [attack.times for attack in timed] == [(START_MS, START_MS + 5), (START_MS + 2,)]


def test_nothing_read_is_nothing_remembered(tmp_path: Path) -> None:
    found = watched(tmp_path, {"likes": []}).traffic()
    assert (len(found), found.days, found.accounts) == (0, 0.0, 0)
    bought = Purchase("a", Kind.LIKE_BOOST, Subject(SubjectType.NOTE, "n"), 0, 9, "burst", event_ids=("l4",))
    assert found.with_times([bought])[0].times == ()


def test_a_pushed_result_is_a_keyword_and_a_note(tmp_path: Path) -> None:
    clicked = search(2, START_MS + 1, clicked_note_id="n1", clicked_author_id="o1", position=3)
    lines = {"searches": [search(1, START_MS), clicked]}
    found = watched(tmp_path, lines).traffic()
    rows, keys = found.subjects_of(Kind.KEYWORD_RANKING)
    assert keys.tolist() == [key_of(Kind.KEYWORD_RANKING, "lamp", "n1")]
    assert len(rows) == 1
    assert found.subjects_of(Kind.KEYWORD_TREND)[1].tolist() == [key_of(Kind.KEYWORD_TREND, "lamp", None)] * 2


def test_windows_compare_with_the_subjects_earlier_windows_empty_ones_too() -> None:
    key = np.array([7, 7, 7, 7, 9, 7], np.uint64)
    ts = np.array([0, 1, 2, 300_000, 300_001, 900_000], np.int64)
    found = windows_of(key, ts)
    by_window = sorted(zip(key[found.order[found.first]].tolist(), found.slot.tolist(), found.count.tolist(),
                           found.mean.tolist(), strict=True))  # fmt: skip
    assert by_window == [(7, 0, 3, 0.0), (7, 1, 1, 3.0), (7, 3, 1, 4 / 3), (9, 1, 1, 0.0)]
    assert found.running[np.argsort(found.order)].tolist() == [1, 2, 3, 1, 1, 1]
    assert found.deviation[found.slot == 3][0] == np.sqrt(10 / 3 - 16 / 9)
