from __future__ import annotations

import pytest

from streams.commits import Partition
from streams.sources import QUIET_S, Sources

A, B = Partition("likes", 0), Partition("likes", 1)
IDLE_MS = 10_000


def told(
    sources: Sources, now_s: float, caught_up: tuple[Partition, ...] = ()
) -> list[tuple[Partition, int | None, int, bool]]:
    return [
        (due.source.partition, due.subject_partition, due.watermark_ms, due.idle)
        for due in sources.due(caught_up, now_s)
    ]


def test_a_subject_partition_without_rows_is_told_how_far_its_source_is() -> None:
    sources = Sources(3, IDLE_MS)
    sources.assign([A], [], 0.0)
    sources.get(A, 0.0).sent({0}, 5_000, 99)
    assert told(sources, QUIET_S) == [(A, 1, 5_000, False), (A, 2, 5_000, False)]
    assert told(sources, 2 * QUIET_S) == []


def test_a_silent_source_is_idle_only_once_it_is_caught_up() -> None:
    sources = Sources(2, IDLE_MS)
    sources.assign([A, B], [], 0.0)
    assert told(sources, 11.0, (A,)) == [(A, None, 0, True)]
    assert [source.idle for source in sources] == [True, False]


def test_an_idle_source_says_so_again_for_whoever_came_later_and_stops_when_it_speaks() -> None:
    sources = Sources(1, IDLE_MS)
    sources.assign([A], [], 0.0)
    assert told(sources, 10.0, (A,)) == [(A, None, 0, True)]
    assert told(sources, 15.0, (A,)) == []
    assert told(sources, 20.0, (A,)) == [(A, None, 0, True)]
    sources.get(A, 21.0).sent({0}, 7_000, 5)
    assert told(sources, 22.0, (A,)) == []
    assert told(sources, 31.0, (A,)) == [(A, None, 7_000, True)]


def test_many_are_told_a_part_at_a_time_and_nobody_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sources.TOLD_MOST", 8)
    sources = Sources(6, IDLE_MS)
    everybody = [Partition("likes", number) for number in range(4)]
    sources.assign(everybody, [], 0.0)
    for source in everybody:
        sources.get(source, 0.0).sent({0}, 5_000, 9)
    calls = [told(sources, QUIET_S + second) for second in range(3)]
    assert [{number for _, number, _, _ in call} for call in calls] == [{1}, {2, 3}, {4, 5}]
    assert all(len(call) == 4 * len({number for _, number, _, _ in call}) for call in calls)


def test_a_watermark_never_falls() -> None:
    sources = Sources(1, IDLE_MS)
    source = sources.get(A, 0.0)
    source.sent({0}, 9_000, 10)
    source.sent({0}, 8_000, 20)
    assert (source.watermark_ms, source.offset_last) == (9_000, 20)


def test_partitions_that_stay_keep_their_watermark_and_strangers_lose_it() -> None:
    sources = Sources(1, IDLE_MS)
    sources.assign([A, B], [], 0.0)
    for partition in (A, B):
        sources.get(partition, 0.0).sent({0}, 9_000, 10)
    sources.assign([A, B], [B], 1.0)
    assert {source.partition: source.watermark_ms for source in sources} == {A: 9_000, B: 0}
    sources.assign([B], [], 2.0)
    assert [source.partition for source in sources] == [B]
