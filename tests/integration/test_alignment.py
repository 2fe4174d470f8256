"""A backlog is marked as if it had been read while it came, whatever was fetched first."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.onward import ONWARD
from schemas.columns import Topic
from schemas.decode import decode_batch
from streams import clients
from streams.alignment import turns_of
from streams.blocks import unpack
from streams.pipeline import build_actor_stage
from streams.settings import Settings
from tests.integration.traffic import drain, follow, like, now_ms, search
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics

PARTITIONS, ROUNDS, ACTORS = 2, 60, 25
EACH = {"searches": 6, "likes": 40, "follows": 2}
"""Records of a round: many of one topic and few of another, of which the latter would be read first."""

MAKE = {"likes": like, "follows": follow, "searches": search}


def fill(kafka: str, names: TopicNames) -> None:
    """Write rounds of all topics, one after the other, by few actors who do all of it."""
    rng, begin = Random(3), now_ms() - 3_600_000
    producer = clients.producer(kafka)
    number = 0
    for turn in range(ROUNDS):
        for name, count in EACH.items():
            for _ in range(count):
                number += 1
                actor = f"u{rng.randrange(ACTORS)}"
                event = MAKE[name](number, begin + 20_000 * turn + rng.randrange(20_000), actor_id=actor)
                producer.send(getattr(names, name), value=json.dumps(event).encode(), key=actor.encode())
            producer.flush()
    producer.close()


Place = tuple[str, int, int, bool]
"""Topic, partition and offset of a record, and whether it is said of whom its actor goes on from."""


def expected_marks(kafka: str, names: TopicNames) -> dict[Place, int]:
    """Return the mark of every record, and who goes on at which, all merged by the times of the log."""
    logs: dict[tuple[str, int], list[Any]] = {}
    for name in EACH:
        for record in drain(kafka, getattr(names, name)):
            logs.setdefault((name, record.partition), []).append(record)
    marks = {}
    for number in range(PARTITIONS):
        stage = build_actor_stage(Settings())
        events = [
            decode_batch(
                Topic[name.upper()],
                [record.value for record in logs[name, number]],
                np.array([record.timestamp for record in logs[name, number]], np.int64),
            )[0]
            for name in EACH
        ]
        marked = stage.apply_in_turns(events, turns_of([each.arrival for each in events]))
        for name, one in zip(EACH, marked, strict=True):
            onward = (one.actions.verb >= ONWARD).tolist()
            for row, mark, goes_on in zip(one.rows.tolist(), one.actions.mark.tolist(), onward, strict=True):
                marks[getattr(names, name), number, logs[name, number][row].offset, goes_on] = mark
    return marks


def test_a_backlog_is_marked_in_the_order_of_its_times_also_across_a_kill(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(PARTITIONS)
    fill(kafka, names)
    slow = {"partitions": PARTITIONS, "fetch_bytes_max": 65_536, "batch_records_max": 100, "checkpoint_ms": 100}
    with WorkerProcess(kafka, names, tmp_path / "log", **slow) as worker:
        worker.wait_until_ready()
        worker.wait_for(lambda: sum(worker.read(names.likes).values()) > 0, "records to be read")
        worker.kill()
    with WorkerProcess(kafka, names, tmp_path / "log", **slow) as worker:
        worker.wait_until_idle()
        assert worker.stop() == 0
    found: dict[Place, set[int]] = {}
    for record in drain(kafka, names.actions):
        block = unpack(record.value)
        for header, start, end in block.parts:
            onward = block.actions.verb[start:end] >= ONWARD
            rows = zip(block.offsets[start:end].tolist(), block.actions.mark[start:end].tolist(), onward, strict=True)
            for offset, mark, goes_on in rows:
                found.setdefault((header.topic, header.partition, offset, bool(goes_on)), set()).add(mark)
    expected = expected_marks(kafka, names)
    assert len(set(expected.values())) > 5
    assert found == {place: {mark} for place, mark in expected.items()}
