"""`boostwatch topics` against a real Kafka."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from rich.console import Console

from streams import clients, topics
from streams.connections import with_partitions_found
from streams.errors import TopicMismatch, TopicMissing
from streams.settings import Settings
from streams.topic_plan import CLEANUP, IN_SYNC, MESSAGE_BYTES, RETENTION_MS, TIMESTAMPS, TopicNames
from streams.topics import Mend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.integration.conftest import MakeTopics

    Run = Callable[..., tuple[int, str]]

HOUR_MS = 3_600_000


@pytest.fixture
def admin(kafka: str) -> Iterator[Any]:
    with clients.admin(kafka) as client:
        yield client


@pytest.fixture
def run(kafka: str) -> Run:
    def run_it(plan: Sequence[topics.TopicPlan], *, check_only: bool = False) -> tuple[int, str]:
        shown = io.StringIO()
        code = topics.run(kafka, plan, check_only, console=Console(file=shown, width=250))
        return code, shown.getvalue()

    return run_it


def set_on(admin: Any, topic: str, **settings: str) -> None:
    values = {name.replace("_", "."): value for name, value in settings.items()}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, values)])
    while any(value_of(admin, topic, name) != value for name, value in values.items()):
        time.sleep(0.02)


def value_of(admin: Any, topic: str, setting: str) -> str:
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic, [setting])]
    return str(admin.describe_configs(asked, config_filter="all")["topic"][topic][setting]["value"])


def test_created_topics_are_as_planned_and_a_worker_may_start(kafka_topics: MakeTopics, admin: Any) -> None:
    plan = topics.plan(kafka_topics(partitions=3), 3)
    assert topics.check(admin, plan) == []
    topics.require(admin, plan)
    assert topics.create(admin, plan) == []


def test_topics_are_shown_then_created_then_found_right(kafka: str, admin: Any, run: Run) -> None:
    names = TopicNames(**{field: f"shown.{field}" for field in TopicNames.__dataclass_fields__})
    plan = topics.plan(names, 2)
    try:
        code, shown = run(plan, check_only=True)
        assert (code, shown.count("would create it")) == (1, len(plan))
        with pytest.raises(TopicMissing, match="`boostwatch topics` creates them"):
            topics.require(admin, plan)

        code, shown = run(plan)
        assert (code, shown.count("created")) == (0, len(plan))

        code, shown = run(plan, check_only=True)
        assert (code, shown.count(" ok ")) == (0, len(plan))
    finally:
        admin.delete_topics([topic.name for topic in plan])


def test_a_setting_that_differs_is_shown_then_changed(kafka_topics: MakeTopics, admin: Any, run: Run) -> None:
    names = kafka_topics(2)
    plan = topics.plan(names, 2)
    set_on(admin, names.actor_state, cleanup_policy="delete")
    set_on(admin, names.likes, message_timestamp_type="CreateTime", retention_ms="1000")

    code, shown = run(plan, check_only=True)
    assert code == 1
    assert f"would change {CLEANUP} delete -> compact" in shown
    with pytest.raises(
        TopicMismatch, match=f"{names.actor_state} has {CLEANUP} delete, not compact: `boostwatch topics` m"
    ):
        topics.require(admin, plan)

    code, shown = run(plan)
    assert code == 0
    assert f"changed {RETENTION_MS} 1000 -> {72 * HOUR_MS}" in shown
    assert value_of(admin, names.likes, TIMESTAMPS) == "LogAppendTime"
    assert value_of(admin, names.actor_state, CLEANUP) == "compact"


def test_what_keeps_records_longer_or_takes_larger_ones_is_left_alone(
    kafka_topics: MakeTopics, admin: Any, run: Run
) -> None:
    names = kafka_topics(2)
    set_on(admin, names.likes, retention_ms="-1")
    set_on(admin, names.actions, max_message_bytes="9000000")

    code, shown = run(topics.plan(names, 2))
    assert code == 0
    assert f"ok, but has {RETENTION_MS} -1, not {72 * HOUR_MS}, which does no harm and is left so" in shown
    assert value_of(admin, names.likes, RETENTION_MS) == "-1"
    assert value_of(admin, names.actions, MESSAGE_BYTES) == "9000000"


def test_a_topic_that_cannot_carry_a_block_stops_a_worker(kafka_topics: MakeTopics, admin: Any) -> None:
    names = kafka_topics(2)
    set_on(admin, names.actions, max_message_bytes="1000000")
    with pytest.raises(TopicMismatch, match=f"{names.actions} has {MESSAGE_BYTES} 1000000"):
        topics.require(admin, topics.plan(names, 2))


def test_partitions_are_not_added_under_state(kafka_topics: MakeTopics, run: Run) -> None:
    code, shown = run(topics.plan(kafka_topics(2), 4))
    assert code == 1
    assert shown.count("has 2 partitions, not 4: set partitions to 2, or name another topic") == 8
    assert shown.count("has 2 partitions, not 4, which does no harm") == 3


def test_more_acknowledgements_than_replicas_are_not_asked_for(kafka_topics: MakeTopics, admin: Any) -> None:
    plan = topics.plan(kafka_topics(1), 1, replication=3)
    found = topics.check(admin, plan)
    assert {(difference.what, difference.mend) for difference in found} == {("replication", Mend.BY_HAND)}
    assert all(IN_SYNC in topic.config for topic in plan)


def test_a_topic_that_the_cluster_refuses_is_told_with_its_reason(kafka: str, admin: Any, run: Run) -> None:
    plan = topics.plan(TopicNames(likes="refused"), 1, replication=9)[:1]
    code, shown = run(plan)
    assert code == 1
    assert "can't create it: Unable to replicate the partition 9 time(s)" in shown
    with pytest.raises(TopicMissing, match=r"topic refused can't be created: Unable to replicate.*InvalidReplicationF"):
        topics.create(admin, plan)


def test_a_backfill_keeps_the_producers_time_and_old_records(kafka: str, kafka_topics: MakeTopics) -> None:
    long_ago_ms = 1_500_000_000_000
    names = kafka_topics(1, create_time=True)
    producer = clients.producer(kafka)
    producer.send(names.likes, b"{}", timestamp_ms=long_ago_ms).get(10)
    producer.close()
    consumer = clients.consumer(kafka, names.likes)
    assert next(consumer).timestamp == long_ago_ms
    consumer.close()


def test_the_partitions_of_topics_that_are_there_count_more_than_the_default(
    kafka: str, kafka_topics: MakeTopics
) -> None:
    names = kafka_topics(3)
    inputs: dict[str, Any] = {f"topic_{name}": getattr(names, name) for name in ("likes", "follows", "searches")}
    assert with_partitions_found(Settings(bootstrap=kafka, **inputs)).partitions == 3
    assert with_partitions_found(Settings(bootstrap=kafka, partitions=5, **inputs)).partitions == 5
    absent: dict[str, Any] = {name: f"{value}-absent" for name, value in inputs.items()}
    assert with_partitions_found(Settings(bootstrap=kafka, **absent)) == Settings(bootstrap=kafka, **absent)
