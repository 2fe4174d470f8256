from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import Topic
from schemas.events import RECORD_BYTES_MAX
from schemas.refusals import Reason
from streams import lines
from streams.arrival import VOTERS, ArrivalClock
from streams.errors import RecordedTrafficError
from streams.recorded import STEP_MS, Recording
from tests.streams.recordings import START_MS, follow, like, search, traffic, write

HOUR_MS = 3_600_000


def sequence(directory: Path, batch: int = 8_192) -> list[tuple[Topic, int, str, int]]:
    """Everything that tells one event and its place from another."""
    return [
        (events.topic, int(events.ts[row]), events.actor_ids[row], int(events.arrival[row]))
        for events in Recording(directory).batches(batch)
        for row in range(len(events))
    ]


def refusals(recording: Recording) -> dict[str, int]:
    for _ in recording.batches(1_000):
        pass
    counts: dict[str, int] = {}
    for (_, reason), count in recording.report.refused.items():
        counts[reason] = counts.get(reason, 0) + count
    return counts


def test_the_files_are_merged_by_arrival_and_searches_lead(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "likes": [like(1, START_MS), like(2, START_MS + 3 * STEP_MS)],
            "follows": [follow(1, START_MS + STEP_MS)],
            "searches": [search(1, START_MS), search(2, START_MS + 2 * STEP_MS)],
        },
    )
    topics = [topic for topic, *_ in sequence(tmp_path)]
    assert topics == [Topic.SEARCHES, Topic.LIKES, Topic.FOLLOWS, Topic.SEARCHES, Topic.LIKES]


@pytest.mark.parametrize(("most", "block"), [(1, 65_536), (40, 997), (700, 5_000), (8_192, 65_536)])
def test_in_turns_the_same_events_come_in_the_same_order_a_batch_of_each_topic_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, block: int
) -> None:
    write(tmp_path, traffic(1_500))
    whole = sequence(tmp_path)
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    found: list[tuple[Topic, int, str, int]] = []
    for batches, turns in Recording(tmp_path).in_turns(most):
        assert len({events.topic for events in batches}) == len(batches)
        assert sum(map(len, batches)) <= most
        done = [0] * len(batches)
        for whose, end in turns.tolist():
            events = batches[whose]
            found += [
                (events.topic, int(events.ts[row]), events.actor_ids[row], int(events.arrival[row]))
                for row in range(done[whose], end)
            ]
            done[whose] = end
        assert done == list(map(len, batches))
    assert found == whole


@pytest.mark.parametrize("block", [100, 997, 65_536])
def test_the_order_does_not_depend_on_how_the_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    recording = traffic(1_500)
    recording["likes"][400]["ts"] = START_MS + 400 * HOUR_MS
    recording["likes"][-1]["ts"] += 100 * HOUR_MS
    write(tmp_path, recording)
    whole = sequence(tmp_path)
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    assert sequence(tmp_path, batch=1 + block % 7) == whole


def test_a_gzipped_file_reads_like_the_plain_one_even_in_members_with_padding(tmp_path: Path) -> None:
    write(tmp_path / "plain", traffic(800))
    (tmp_path / "packed").mkdir()
    for path in (tmp_path / "plain").iterdir():
        data = path.read_bytes()
        members = gzip.compress(data[:5_000]) + gzip.compress(data[5_000:]) + b"\0" * 64
        (tmp_path / "packed" / f"{path.name}.gz").write_bytes(members)
    assert sequence(tmp_path / "packed") == sequence(tmp_path / "plain")


def test_a_truncated_gzip_gives_what_can_be_unpacked_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, traffic(2_000))
    packed = gzip.compress((tmp_path / "likes.jsonl").read_bytes())
    (tmp_path / "likes.jsonl").unlink()
    (tmp_path / "likes.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    recording = Recording(tmp_path)
    likes = sum(len(events) for events in recording.batches(1_000) if events.topic is Topic.LIKES)
    assert likes > 100
    assert [text for text in recording.report.damaged if text.startswith("likes.jsonl.gz: it is cut off")]


def test_garbage_named_gz_is_reported_and_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "likes.jsonl.gz").write_bytes(b"this is no gzip at all")
    recording = Recording(tmp_path)
    assert not list(recording.batches(10))
    assert "damaged" in recording.report.damaged[0]


def test_bad_lines_are_counted_by_reason_with_their_place_and_the_rest_is_read(tmp_path: Path) -> None:
    good = [json.dumps(like(number, START_MS + number)) for number in range(5)]
    text = [good[0], "{not json", "", good[1], "\r", good[2] + "\r", '{"event_id": "x"}', good[3], good[4]]
    (tmp_path / "likes.jsonl").write_text("\n".join(text), encoding="utf-8")  # and no newline at the end
    recording = Recording(tmp_path)
    assert sum(len(events) for events in recording.batches(2)) == 5
    assert recording.report.empty == 2
    assert recording.report.read[Topic.LIKES] == 7
    assert {(bad.file, bad.line, bad.reason) for bad in recording.report.examples} == {
        ("likes.jsonl", 2, Reason.NOT_JSON),
        ("likes.jsonl", 7, Reason.MISSING_FIELD),
    }


def test_an_endless_line_is_skipped_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 4_096)
    first, last = json.dumps(like(1, START_MS)), json.dumps(like(2, START_MS))
    (tmp_path / "likes.jsonl").write_text(f"{first}\n{'x' * 10 * RECORD_BYTES_MAX}\n{last}\n", encoding="utf-8")
    recording = Recording(tmp_path)
    assert refusals(recording) == {Reason.TOO_LARGE: 1}
    assert recording.report.examples[0].line == 2
    assert len(sequence(tmp_path)) == 2


@pytest.mark.parametrize("where", [0, 1, 700, -2, -1])
def test_one_wrong_ts_is_refused_and_does_not_move_the_clock(tmp_path: Path, where: int) -> None:
    right = traffic(1_500)
    write(tmp_path / "right", right)
    expected = sequence(tmp_path / "right")
    wrong = dict(right)
    wrong["likes"] = list(right["likes"])
    future = like(99_999, START_MS + 9_000 * HOUR_MS, actor="future")
    wrong["likes"].insert(where if where >= 0 else len(wrong["likes"]) + where + 1, future)
    write(tmp_path / "wrong", wrong)
    recording = Recording(tmp_path / "wrong")
    assert refusals(recording) == {Reason.TS_IN_FUTURE: 1}
    assert sequence(tmp_path / "wrong") == expected


def test_a_ts_of_long_ago_is_refused(tmp_path: Path) -> None:
    recording = traffic(1_500)
    recording["follows"].insert(100, follow(99_999, START_MS - 8 * 24 * HOUR_MS))
    write(tmp_path, recording)
    assert refusals(Recording(tmp_path)) == {Reason.TS_TOO_OLD: 1}


def test_quiet_hours_and_a_sparse_file_are_no_errors(tmp_path: Path) -> None:
    sparse = [search(number, START_MS + number * 7 * HOUR_MS) for number in range(40)]
    gap = [like(number, START_MS + number * 1_000 + (20 * HOUR_MS if number > 300 else 0)) for number in range(600)]
    write(tmp_path, {"searches": sparse, "likes": gap})
    assert refusals(Recording(tmp_path)) == {}


def test_a_late_backfill_in_the_file_costs_no_honest_line(tmp_path: Path) -> None:
    live = [like(number, START_MS + number * 1_000) for number in range(1_000)]
    backfill = [like(5_000 + number, START_MS - 48 * HOUR_MS + number * 1_000) for number in range(200)]
    write(tmp_path, {"likes": [*live[:500], *backfill, *live[500:]]})
    assert refusals(Recording(tmp_path)) == {}


@given(st.lists(st.integers(0, 2**53), max_size=200), st.integers(1, 200))
def test_the_clock_never_falls_and_cuts_do_not_matter(times: list[int], cut: int) -> None:
    import numpy as np

    whole = ArrivalClock()
    arrival, refused = whole.judge(np.array(times, np.int64), [])
    assert (np.diff(arrival[[row not in refused for row in range(len(times))]]) >= 0).all()
    parts, found = ArrivalClock(), []
    for start in range(0, len(times), cut):
        _, part = parts.judge(np.array(times[start : start + cut], np.int64), times[start + cut : start + cut + VOTERS])
        found += [start + row for row in part]
    assert found == list(refused)


def test_what_cannot_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordedTrafficError, match="is no directory"):
        Recording(tmp_path / "nowhere")
    with pytest.raises(RecordedTrafficError, match="holds no recorded traffic"):
        Recording(tmp_path)
    (tmp_path / "likes.jsonl").touch()
    assert not list(Recording(tmp_path).batches(10))
    (tmp_path / "likes.jsonl.gz").touch()
    with pytest.raises(RecordedTrafficError, match="keep one of them"):
        Recording(tmp_path)
