"""The topic plan, and its check against the embedded broker (which tells partitions, but no settings)."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streams import clients, topics
from streams.embedded import EmbeddedBroker
from streams.errors import BrokerUnavailable, TopicMismatch, TopicMissing
from streams.topic_plan import CLEANUP, IN_SYNC, MESSAGE_BYTES, RECORD_BYTES_MAX, RETENTION_MS, TIMESTAMPS
from streams.topics import Difference, Mend, TopicNames, TopicPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = TopicNames()
INPUTS = (NAMES.likes, NAMES.follows, NAMES.searches)
STATE = (NAMES.actor_state, NAMES.subject_state, NAMES.group_state)


def planned(partitions: int = 4, **options: int | bool) -> dict[str, TopicPlan]:
    return {topic.name: topic for topic in topics.plan(NAMES, partitions, **options)}  # type: ignore[arg-type]


@given(st.integers(1, 512), st.integers(1, 7))
def test_every_name_is_planned_once_with_the_same_partitions_and_replication(partitions: int, replication: int) -> None:
    plan = topics.plan(NAMES, partitions, replication=replication)
    assert sorted(topic.name for topic in plan) == sorted(getattr(NAMES, field.name) for field in fields(NAMES))
    assert {(topic.partitions, topic.replication) for topic in plan} == {(partitions, replication)}


def test_other_names_are_planned_alike() -> None:
    assert "social.likes" in {topic.name for topic in topics.plan(TopicNames(likes="social.likes"), 1)}


def test_inputs_take_the_brokers_clock_unless_history_is_filled_in() -> None:
    for name in INPUTS:
        assert planned()[name].config[TIMESTAMPS] == "LogAppendTime"
        backfill = planned(create_time=True)[name].config
        assert (backfill[TIMESTAMPS], backfill[RETENTION_MS]) == ("CreateTime", "-1")


def test_only_state_is_compacted_and_a_worker_insists_on_it() -> None:
    plan = planned()
    assert {name for name, topic in plan.items() if topic.config[CLEANUP] == "compact"} == set(STATE)
    assert all(CLEANUP in plan[name].vital for name in STATE)


def test_whatever_carries_more_than_one_input_record_may_be_large() -> None:
    plan = planned()
    for name in (NAMES.actions, NAMES.surges, NAMES.dead_letters, *STATE):
        assert int(plan[name].config[MESSAGE_BYTES]) > RECORD_BYTES_MAX
        assert MESSAGE_BYTES in plan[name].vital


@pytest.mark.parametrize(("replication", "in_sync"), [(1, None), (2, None), (3, "2"), (5, "4")])
def test_one_replica_may_be_down_where_there_are_three(replication: int, in_sync: str | None) -> None:
    assert {topic.config.get(IN_SYNC) for topic in topics.plan(NAMES, 1, replication=replication)} == {in_sync}


def required(plan: Mapping[str, TopicPlan], there: Mapping[str, int]) -> None:
    with EmbeddedBroker(there) as broker, clients.admin(broker.bootstrap) as admin:
        topics.require(admin, list(plan.values()))


def test_a_worker_starts_when_every_topic_is_there() -> None:
    required(planned(4), dict.fromkeys(planned(), 4))


def test_a_worker_is_told_every_topic_that_is_missing_in_one_line() -> None:
    with pytest.raises(TopicMissing) as caught:
        required(planned(), dict.fromkeys(set(planned()) - {NAMES.flags, NAMES.likes}, 4))
    assert str(caught.value) == "topics likes, flags missing: `boostwatch topics` creates them"


def test_a_worker_does_not_start_on_other_partitions_than_its_state_is_cut_by() -> None:
    with pytest.raises(TopicMismatch, match=r"^topic follows has 3 partitions, not 4: set partitions to 3, or name an"):
        required(planned(4), {**dict.fromkeys(planned(), 4), NAMES.follows: 3})


def test_partitions_of_topics_that_only_people_read_do_not_matter() -> None:
    required(planned(4), {**dict.fromkeys(planned(), 4), NAMES.flags: 9, NAMES.verdicts: 1, NAMES.dead_letters: 2})


def test_differences_say_what_can_be_done() -> None:
    with EmbeddedBroker({NAMES.likes: 3, NAMES.flags: 1}) as broker, clients.admin(broker.bootstrap) as admin:
        plan = planned(4)
        found = topics.check(admin, [plan[NAMES.likes], plan[NAMES.flags], plan[NAMES.actions]])
    assert [(difference.topic, difference.what, difference.mend) for difference in found] == [
        (NAMES.likes, "partitions", Mend.BY_HAND),
        (NAMES.flags, "partitions", Mend.NOT_NEEDED),
        (NAMES.actions, "topic", Mend.CREATE),
        (NAMES.likes, "settings", Mend.BY_HAND),
        (NAMES.flags, "settings", Mend.BY_HAND),
    ]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference("t", "topic", None, "there", Mend.CREATE), "is missing"),
        (Difference("t", "replication", "1", "3", Mend.BY_HAND), "has 1 replicas, not 3: reassign it"),
        (Difference("t", "retention.ms", "9", "5", Mend.NOT_NEEDED), "has retention.ms 9, not 5, which does no harm"),
        (Difference("t", "cleanup.policy", "delete", "compact", Mend.ALTER), "has cleanup.policy delete, not compact"),
    ],
)
def test_a_difference_says_what_was_found_what_is_wanted_and_the_next_step(difference: Difference, words: str) -> None:
    assert str(difference).startswith(words)


def test_the_command_shows_what_it_would_do_and_fails() -> None:
    shown = io.StringIO()
    with EmbeddedBroker({NAMES.likes: 3}) as broker:
        plan = [topic for name, topic in planned(4).items() if name in {NAMES.likes, NAMES.follows}]
        code = topics.run(broker.bootstrap, plan, check_only=True, console=Console(file=shown, width=200))
    assert code == 1
    assert "has 3 partitions, not 4: set partitions to 3" in shown.getvalue()
    assert "would create it" in shown.getvalue()


def test_a_broker_that_is_not_there_is_one_line_that_names_it_and_the_next_step() -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        clients.require_broker("127.0.0.1:1,nosuch.invalid:9092", timeout_ms=100)
    assert str(caught.value) == (
        "no Kafka broker answers at 127.0.0.1:1 (connection refused) or nosuch.invalid:9092 (no such host):"
        " start it, or correct the settings bootstrap and security_protocol"
    )
