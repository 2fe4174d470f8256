"""In which order what was fetched of the input topics goes on, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.alignment import MISSED_S, SKEW_MS, Aligner, Reached, Together, turns_of
from streams.commits import Partition
from streams.fetched import FetchedBatch

TOPICS = ("searches", "likes", "follows")
FRESH_MS = 1_200
Place = tuple[str, int, int]


def records(source: Partition, first: int, times: list[int], unreadable: int = 0) -> FetchedBatch:
    n = len(times)
    return FetchedBatch(
        source, [b"x"] * n, [b"k"] * n, first + np.arange(n), np.array(times, np.int64), {}, first + n + unreadable,
        unreadable,
    )  # fmt: skip


@dataclass
class Fetching:
    """Logs that are fetched in some order into an aligner, and what goes on."""

    logs: dict[Partition, list[int]]
    records_max: int = 5
    now_ms: int = 1_000_000
    polled: dict[Partition, int] = field(default_factory=dict)
    at: dict[Partition, int] = field(default_factory=dict)
    went: list[Together] = field(default_factory=list)
    busy: set[Partition] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.aligner = Aligner(TOPICS, self.records_max, FRESH_MS)

    def fetch(self, source: Partition, count: int) -> None:
        first = self.at.get(source, 0)
        times = self.logs[source][first : first + count]
        self.at[source] = first + len(times)
        if times:
            self.aligner.add(records(source, first, times))

    def look(self, *, answered: list[Partition] | None = None, passed_ms: int = 200) -> None:
        self.now_ms += passed_ms
        for source in self.logs if answered is None else answered:
            self.polled[source] = self.now_ms
        self.aligner.look(
            {
                source: Reached(self.at.get(source, 0), len(log), self.polled[source])
                if source in self.polled
                else Reached(0, None, None)
                for source, log in self.logs.items()
            }
        )
        self.went += self.aligner.ready(self.busy.__contains__)

    def order(self, number: int = 0) -> list[Place]:
        """Return topic, offset and time of what went on, in the order in which a stage takes it."""
        places: list[Place] = []
        for together in self.went:
            if together.source.partition != number:
                continue
            begun = [0] * len(together.batches)
            for which, end in turns_of([batch.merge_ms for batch in together.batches]).tolist():
                batch = together.batches[which]
                rows = range(begun[which], end)
                places += [(batch.source.topic, int(batch.offsets[r]), int(batch.timestamps[r])) for r in rows]
                begun[which] = end
        return places

    def merged(self, number: int = 0) -> list[Place]:
        """Return the same of all logs of a number, by time, precedence and offset."""
        places = [
            (topic, offset, time)
            for (topic, of), log in self.logs.items()
            if of == number
            for offset, time in enumerate(log)
        ]
        return sorted(places, key=lambda place: (place[2], TOPICS.index(place[0]), place[1]))


def three(searches: list[int], likes: list[int], follows: list[int], number: int = 0) -> dict[Partition, list[int]]:
    return {Partition(t, number): log for t, log in zip(TOPICS, (searches, likes, follows), strict=True)}


SEARCHES, LIKES, FOLLOWS = (Partition(topic, 0) for topic in TOPICS)

logs = st.lists(st.integers(0, 50), max_size=25).map(lambda times: [1_000 * time for time in sorted(times)])


@settings(deadline=None, max_examples=50)
@given(logs, logs, logs, logs, st.integers(1, 9), st.data())
def test_a_backlog_goes_on_in_one_order_however_it_is_fetched(
    a: list[int], b: list[int], c: list[int], other: list[int], records_max: int, data: st.DataObject
) -> None:
    fetching = Fetching(three(a, b, c) | three(other, c, a, number=1), records_max)
    while True:
        waiting = [
            source
            for source, log in fetching.logs.items()
            if fetching.at.get(source, 0) < len(log) and fetching.aligner.wants(source, crowded=False)
        ]
        if not waiting:
            fetching.look()
            break
        for source in data.draw(st.lists(st.sampled_from(waiting), min_size=1, max_size=3), "fetched"):
            fetching.fetch(source, data.draw(st.integers(1, 6), "records"))
        fetching.look()
    assert fetching.order(0) == fetching.merged(0)
    assert fetching.order(1) == fetching.merged(1)
    assert (fetching.aligner.held_records, fetching.aligner.held_bytes) == (0, 0)
    assert all(sum(map(len, together.batches)) <= records_max for together in fetching.went)


def test_at_the_end_of_the_log_nobody_waits() -> None:
    fetching = Fetching(three([], [7], []))
    fetching.fetch(LIKES, 1)
    fetching.look()
    assert fetching.order() == [("likes", 0, 7)]


def test_what_is_behind_is_waited_for() -> None:
    fetching = Fetching(three([], [7], [3]))
    fetching.fetch(LIKES, 1)
    fetching.look()
    assert fetching.order() == []
    assert fetching.aligner.front(LIKES) == 0
    fetching.fetch(FOLLOWS, 1)
    fetching.look()
    assert fetching.order() == fetching.merged()
    assert fetching.aligner.front(LIKES) is None


def test_that_a_log_was_at_its_end_a_while_ago_does_not_count() -> None:
    fetching = Fetching(three([], [7], []))
    fetching.look()
    fetching.fetch(LIKES, 1)
    fetching.look(answered=[LIKES, SEARCHES], passed_ms=FRESH_MS + 1)
    assert fetching.order() == []
    fetching.look()
    assert fetching.order() == [("likes", 0, 7)]


def test_a_partition_that_cannot_be_fetched_while_others_can_is_given_up_until_it_comes_back() -> None:
    fetching = Fetching(three([], [7, 8, 30], [3, 20]), records_max=100)
    fetching.fetch(LIKES, 1)
    for _ in range(int(MISSED_S)):
        fetching.look(answered=[LIKES, SEARCHES], passed_ms=1_000)
    assert fetching.order() == []
    for _ in range(3):
        fetching.look(answered=[LIKES, SEARCHES], passed_ms=1_000)
    assert fetching.order() == [("likes", 0, 7)]
    fetching.fetch(LIKES, 1)
    fetching.look(answered=[LIKES, SEARCHES])
    assert fetching.order() == [("likes", 0, 7), ("likes", 1, 8)]
    assert fetching.aligner.given_up == 1
    fetching.fetch(FOLLOWS, 1)
    fetching.fetch(LIKES, 1)
    fetching.look()
    assert fetching.order()[2:] == [("follows", 0, 3)]
    fetching.fetch(FOLLOWS, 1)
    fetching.look()
    assert fetching.order()[3:] == [("follows", 1, 20), ("likes", 2, 30)]


def test_while_kafka_is_away_nobody_is_given_up() -> None:
    fetching = Fetching(three([], [7], [3]))
    fetching.fetch(LIKES, 1)
    fetching.look()
    for _ in range(100):
        fetching.look(answered=[])
    fetching.look(answered=[LIKES, SEARCHES], passed_ms=600_000)
    assert fetching.order() == []
    fetching.fetch(FOLLOWS, 1)
    fetching.look()
    assert fetching.order() == fetching.merged()


def test_a_number_with_too_much_in_flight_waits_and_gives_nobody_up() -> None:
    fetching = Fetching(three([], [7], []), busy={FOLLOWS})
    fetching.fetch(LIKES, 1)
    for _ in range(3 * int(MISSED_S)):
        fetching.look(answered=[LIKES], passed_ms=1_000)
    assert fetching.order() == []
    assert fetching.aligner.given_up == 0
    fetching.busy.clear()
    fetching.look()
    assert fetching.order() == [("likes", 0, 7)]


def test_one_number_is_not_read_far_ahead_of_another() -> None:
    far = [0, SKEW_MS, SKEW_MS + 1, 10 * SKEW_MS]
    fetching = Fetching(three([], far, []) | three([], [0, 10 * SKEW_MS], [], number=1), records_max=100)
    fetching.fetch(LIKES, 4)
    fetching.look()
    assert fetching.order(0) == []
    fetching.fetch(Partition("likes", 1), 1)
    fetching.look()
    assert [time for _, _, time in fetching.order(0)] == far[:2]
    fetching.fetch(Partition("likes", 1), 1)
    fetching.look()
    assert [time for _, _, time in fetching.order(0)] == far


def test_numbers_take_turns_of_no_more_than_that() -> None:
    times = [1_000 * second for second in range(60)]
    fetching = Fetching(three([], times, []) | three([], times, [], number=1), records_max=100)
    for number in (0, 1):
        fetching.fetch(Partition("likes", number), 60)
    fetching.look()
    reached = {0: 0, 1: 0}
    for together in fetching.went:
        reached[together.source.partition] = int(together.batches[0].timestamps[-1])
        assert abs(reached[0] - reached[1]) <= SKEW_MS + 1_000
    assert reached == {0: 59_000, 1: 59_000}


def test_a_round_ends_at_the_same_time_in_all_numbers_however_much_each_has() -> None:
    busy, quiet = [10 * place for place in range(100)], [100 * place for place in range(10)]
    fetching = Fetching(three([], busy, []) | three([], quiet, [], number=1), records_max=20)
    for number, count in ((0, 100), (1, 10)):
        fetching.fetch(Partition("likes", number), count)
    fetching.look()
    rounds: list[list[Together]] = [[]]
    for together in fetching.went:
        rounds[-1].append(together)
        if together.last:
            rounds.append([])
    assert rounds.pop() == []
    times = [[one.batches[0].timestamps.tolist() for one in some] for some in rounds]
    assert times == [[busy[20 * n : 20 * n + 20], quiet[2 * n : 2 * n + 2]] for n in range(5)]


def test_what_all_has_the_same_time_goes_on_in_rounds_too() -> None:
    fetching = Fetching(three([], [7] * 10, []) | three([], [7] * 3, [], number=1), records_max=4)
    for number, count in ((0, 10), (1, 3)):
        fetching.fetch(Partition("likes", number), count)
    fetching.look()
    assert [(one.source.partition, len(one.batches[0]), one.last) for one in fetching.went] == [
        (0, 4, False), (1, 3, True), (0, 4, True), (0, 2, True)
    ]  # fmt: skip


def test_while_memory_is_short_only_what_may_be_waited_for_is_fetched() -> None:
    fetching = Fetching(three([1], [7, 8], [3]))
    fetching.fetch(LIKES, 1)
    aligner = fetching.aligner
    assert [aligner.wants(source, crowded=True) for source in (SEARCHES, LIKES, FOLLOWS)] == [True, False, True]
    assert aligner.wants(LIKES, crowded=False)


def test_times_that_go_back_count_as_the_greatest_so_far() -> None:
    fetching = Fetching(three([], [5, 9, 2], [6, 9]))
    fetching.fetch(LIKES, 2)
    fetching.fetch(LIKES, 1)
    fetching.fetch(FOLLOWS, 2)
    fetching.look()
    assert [(topic, offset) for topic, offset, _ in fetching.order()] == [
        ("likes", 0), ("follows", 0), ("likes", 1), ("likes", 2), ("follows", 1)
    ]  # fmt: skip


@pytest.mark.parametrize("behind", [[], [8]])
def test_what_cannot_be_read_goes_on_in_the_order_of_its_partition(behind: list[int]) -> None:
    fetching = Fetching(three([], [], [4, 9]))
    for batch in (records(LIKES, 0, [3], unreadable=2), records(LIKES, 3, [], unreadable=1), records(LIKES, 4, behind)):
        fetching.aligner.add(batch)
    fetching.fetch(FOLLOWS, 2)
    fetching.logs[LIKES] = [0] * 5
    fetching.at[LIKES] = 5
    fetching.look()
    likes = [batch for together in fetching.went for batch in together.batches if batch.source == LIKES]
    assert [(batch.offset_first, batch.unreadable) for batch in likes] == [(0, 2), (3, 1), (4, 0)][: 2 + len(behind)]
    assert likes[-1].offset_next == 4 + len(behind)
    assert fetching.aligner.held_records == 0


def test_marks_of_transactions_are_passed_over_with_what_is_before_them() -> None:
    fetching = Fetching(three([], [7], [3]))
    assert not fetching.aligner.add(records(FOLLOWS, 0, []))
    fetching.fetch(LIKES, 1)
    marks = FetchedBatch(LIKES, [], [], np.empty(0, np.int64), np.empty(0, np.int64), {}, 3)
    assert fetching.aligner.add(marks)
    fetching.fetch(FOLLOWS, 1)
    fetching.look()
    assert fetching.went[-1].batches[-1].offset_next == 3 or fetching.went[-1].batches[0].offset_next == 3


def test_what_was_forgotten_does_not_come() -> None:
    fetching = Fetching(three([], [7], [3]))
    fetching.fetch(LIKES, 1)
    fetching.aligner.clear()
    fetching.look()
    assert fetching.went == []
    assert fetching.aligner.held_bytes == 0


def test_what_came_while_a_number_was_busy_goes_on_as_one_batch_of_each_topic() -> None:
    fetching = Fetching(three([], [1, 2, 3, 4, 5, 6], [2, 3, 4, 5]), records_max=50, busy={LIKES})
    for _ in range(3):
        fetching.fetch(LIKES, 2)
        fetching.fetch(FOLLOWS, 1)
        fetching.look()
    assert fetching.went == []
    fetching.busy.clear()
    fetching.fetch(FOLLOWS, 1)
    fetching.look()
    assert [[len(batch) for batch in together.batches] for together in fetching.went] == [[6, 4]]
    assert fetching.order() == fetching.merged()
    assert (fetching.aligner.held_records, fetching.aligner.held_bytes) == (0, 0)
