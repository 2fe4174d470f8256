"""Groups are found by a worker as by a replay of the same traffic, also by one that was killed on the way."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from schemas.flags import Flag, Kind, decode_flag
from streams.recorded import Recording
from streams.replay import Totals, replay
from streams.settings import Settings
from tests.integration.traffic import drain, encoded, like, now_ms, send
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
MEMBERS, TARGETS = 10, 14


def traffic() -> list[dict[str, object]]:
    """Three days of likes: ten accounts that like one note after another within minutes, among everybody else."""
    chance = random.Random(5)
    begin = now_ms() - 72 * HOUR_MS
    made = [
        (begin + chance.randrange(71 * HOUR_MS), f"u{chance.randrange(4_000)}", chance.randrange(2_000))
        for _ in range(20_000)
    ]
    for target in range(TARGETS):
        at = begin + HOUR_MS + target * 5 * HOUR_MS
        made += [
            (at + chance.randrange(3 * MINUTE_MS), f"bought{member}", 2_000 + 2 * target) for member in range(MEMBERS)
        ]
    return [
        like(number, ts, actor_id=actor, note_id=f"n{note}", author_id=f"a{note // 2}")
        for number, (ts, actor, note) in enumerate(sorted(made))
    ]


def told(flags: list[Flag]) -> list[tuple[object, ...]]:
    """Say what flags are about, each once: all but names, which a worker knows of fewer accounts."""
    said = {
        (flag.detected_at, flag.flag_id, flag.subject.id, flag.status.value, flag.window.start, flag.window.end,
         flag.evidence.observed, flag.evidence.members_total, flag.evidence.targets_total, tuple(flag.evidence.reasons))
        for flag in flags if flag.kind is Kind.LOCKSTEP
    }  # fmt: skip
    return sorted(said)


def replayed(events: list[dict[str, object]], directory: Path) -> list[Flag]:
    directory.mkdir()
    (directory / "likes.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return [flag for flags in replay(Settings(), Recording(directory), 500, Totals()) for flag in flags]


def published(kafka: str, names: TopicNames) -> list[Flag]:
    return [decode_flag(record.value) for record in drain(kafka, names.flags)]


def test_a_worker_finds_the_groups_that_a_replay_finds_also_after_a_kill(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    events = traffic()
    expected = told(replayed(events, tmp_path / "recorded"))
    assert expected
    names = kafka_topics(1)
    first, second = len(events) // 2, len(events) * 3 // 4
    with WorkerProcess(kafka, names, tmp_path / "log", partitions=1) as worker:
        worker.wait_until_ready()
        send(kafka, names.likes, encoded(events[:first]))
        worker.wait_until_idle()
        send(kafka, names.likes, encoded(events[first:second]))
        worker.wait_until_read({names.likes: second})
        worker.kill()
    with WorkerProcess(kafka, names, tmp_path / "log", partitions=1) as worker:
        worker.wait_until_ready()
        send(kafka, names.likes, encoded(events[second:]))
        worker.wait_until_idle()
        assert worker.metrics()["boostwatch_tracked"]["groups",] == 1
        assert worker.stop() == 0
    found = published(kafka, names)
    assert told(found) == expected
    assert drain(kafka, names.dead_letters) == []
    members = {name for flag in found if flag.kind is Kind.LOCKSTEP for name in flag.evidence.members or ()}
    assert all(name.startswith(("bought", "#")) for name in members)
    assert any(name.startswith("bought") for name in members), members
