"""Verdicts over a real Kafka: what is dismissed is retracted once, across restarts, and garbage stops nothing."""

from __future__ import annotations

import json
import random
import re
import time
from typing import TYPE_CHECKING

from schemas.dead_letters import read_headers
from schemas.flags import Flag, Status, decode_flag
from streams.verdict_command import encoded as verdict
from tests.integration.traffic import drain, encoded, like, now_ms, send
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics

HOUR_MS = 3_600_000
UNKNOWN = "00000000-0000-5000-8000-000000000000"


def traffic() -> list[dict[str, object]]:
    """Ten hours of likes, a program that likes on and on, and sixty bought likes of one note."""
    chance = random.Random(5)
    begin = now_ms() - 10 * HOUR_MS
    bought_ms = begin + 8 * HOUR_MS
    made = [
        like(n, begin + chance.randrange(10 * HOUR_MS), actor_id=f"u{chance.randrange(800)}", note_id=f"n{n % 400}")
        for n in range(3_000)
    ]
    made += [
        like(10_000 + n, begin + 5 * HOUR_MS + n * 90_000, actor_id="program", note_id=f"p{n}", author_id=f"pa{n}",
             surface="feed") for n in range(120)
    ]  # fmt: skip
    made += [
        like(20_000 + n, bought_ms + n * 1_500, actor_id=f"bot{n}", note_id="boosted", author_id="buyer",
             surface="external", actor_created_at=bought_ms - HOUR_MS, device_id="rack") for n in range(60)
    ]  # fmt: skip
    return sorted(made, key=lambda event: int(str(event["ts"])))


def published(kafka: str, names: TopicNames) -> list[Flag]:
    return [decode_flag(record.value) for record in drain(kafka, names.flags)]


def answers(flags: list[Flag], judgement: str) -> Iterator[tuple[bytes, bytes]]:
    for flag_id in dict.fromkeys(flag.flag_id for flag in flags):
        yield flag_id.encode(), verdict(flag_id, judgement, by="kim", note=None, ts=now_ms())


def names_in(log: str, events: list[dict[str, object]]) -> set[str]:
    """Return which of the accounts and notes that acted or were acted on are named in a log."""
    names = {str(event[field]) for event in events for field in ("actor_id", "note_id", "author_id")}
    return names & set(re.findall(r"[\w-]+", log))


def assert_logged(lines: list[dict[str, object]], flags: list[Flag]) -> None:
    """Demand a line for the start, each flag, its verdict and its retraction, by its id, and for what was refused."""
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    said = {line["message"] for line in lines}
    assert {"serving", "partitions assigned", "flag", "verdict"} <= said
    for flag in flags:
        about = [line for line in lines if line.get("flag_id") == flag.flag_id]
        last = about[-1]
        assert (about[0]["message"], about[0]["status"], last["status"]) == ("flag", "opened", "retracted")
        assert ("verdict", "dismissed") in [(line["message"], line.get("verdict")) for line in about]
    (refused,) = (line for line in lines if str(line["message"]).startswith("records refused"))
    assert (refused["level"], refused["reason"], refused["records"]) == ("warning", "not_json", 1)


def wait_until_saved(worker: WorkerProcess) -> None:
    """Wait until no more checkpoint comes, of those that are due twice a second where something has changed."""
    seen, since = -1.0, time.monotonic()

    def at_rest() -> bool:
        nonlocal seen, since
        count = sum(worker.metrics()["boostwatch_checkpoint_seconds_count"].values())
        if count != seen:
            seen, since = count, time.monotonic()
        return time.monotonic() - since > 4

    worker.wait_for(at_rest, "rest")


def test_dismissed_flags_are_retracted_once_also_by_a_worker_that_was_killed(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names, events = kafka_topics(2), traffic()
    with WorkerProcess(kafka, names, tmp_path / "log", partitions=2, log_format="json") as worker:
        worker.wait_until_ready()
        send(kafka, names.likes, encoded(events))
        worker.wait_until_idle()
        wait_until_saved(worker)
        flags = published(kafka, names)
        assert {flag.kind.value for flag in flags} == {"automation", "like_boost"}
        confirmed = [flag for flag in flags if flag.kind.value == "automation"]
        send(kafka, names.verdicts, answers(confirmed, "confirmed"))
        send(kafka, names.verdicts, [*answers(flags, "dismissed"), (b"k", b"no JSON")])
        send(kafka, names.verdicts, [(UNKNOWN.encode(), verdict(UNKNOWN, "dismissed", by="kim", note=None, ts=1))])
        dismissed = ("like_boost", "dismissed")
        worker.wait_for(lambda: worker.metrics()["boostwatch_verdicts_total"].get(dismissed, 0) == 1, "the answer")
        worker.wait_for(
            lambda: sum(worker.metrics()["boostwatch_verdict_records_total"].values()) == 5, "all of the topic"
        )
        worker.wait_for(lambda: len(published(kafka, names)) == len(flags) + 2, "two retractions")
        wait_until_saved(worker)
        assert_logged([json.loads(line) for line in worker.log.splitlines()], flags)
        assert names_in(worker.log, events) == set()
        worker.kill()
    with WorkerProcess(kafka, names, tmp_path / "log", partitions=2) as worker:
        worker.wait_until_ready()
        send(kafka, names.verdicts, answers(flags, "dismissed"))
        send(kafka, names.likes, encoded(like(50_000 + n, now_ms(), note_id="boosted") for n in range(200)))
        worker.wait_for(
            lambda: sum(worker.metrics()["boostwatch_verdict_records_total"].values()) == 2, "what came since"
        )
        worker.wait_until_idle()
        assert sum(worker.metrics()["boostwatch_verdicts_total"].values()) == 0
        assert worker.stop() == 0
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    plain = [line for line in lines if not line.startswith("{")]
    assert plain
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (info|warning) +[a-z_.]+: ", line) for line in plain), plain
    assert names_in("\n".join(plain), events) == set()
    last = {flag.flag_id: flag.status for flag in published(kafka, names)}
    assert last == dict.fromkeys((flag.flag_id for flag in flags), Status.RETRACTED)
    assert len([flag for flag in published(kafka, names) if flag.status is Status.RETRACTED]) == 2
    (letter,) = drain(kafka, names.dead_letters)
    context = read_headers(letter.headers)
    assert context is not None
    assert (context.last.topic, context.last.reason, letter.value) == (names.verdicts, "not_json", b"no JSON")
