"""Create and check the topics: what is there, what differs from the plan, what can be mended and what can't.

Partitions of a topic are never added, for state is found by partition number; retention is never shortened, for that
deletes records. Both are told and left to people.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams import clients
from streams.errors import TopicMismatch, TopicMissing
from streams.topic_plan import AT_LEAST, CLEANUP, IN_SYNC, UNLIMITED, TopicNames, TopicPlan, plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Difference", "Mend", "TopicNames", "TopicPlan", "check", "create", "mend", "plan", "require", "run"]

# A topic's partitions have leaders within a second or two of its creation, also where there are hundreds.
LEADERS_TIMEOUT_MS = 30_000
# Altered settings are acknowledged by the controller and reach the brokers a moment later.
ALTERED_TIMEOUT_MS = 10_000
_POLL_S = 0.05
TOPIC = "topic"
PARTITIONS = "partitions"
REPLICATION = "replication"
SETTINGS = "settings"


class Mend(StrEnum):
    """What can be done about a difference."""

    CREATE = "create"
    ALTER = "alter"
    BY_HAND = "by hand"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as planned; `found` is None where there is nothing.

    `what` is "topic", "partitions", "replication", "settings" (all of them, unreadable) or a setting's name.
    """

    topic: str
    what: str
    found: str | None
    wanted: str
    mend: Mend
    stops_worker: bool = False

    def __str__(self) -> str:
        """Tell it in one clause, with the next step where a person must take it."""
        found, wanted = self.found, self.wanted
        said = {
            TOPIC: "is missing",
            PARTITIONS: f"has {found} partitions, not {wanted}",
            REPLICATION: f"has {found} replicas, not {wanted}",
            SETTINGS: f"has settings that can't be read ({found})",
        }.get(self.what, f"has {self.what} {found}, not {wanted}")
        if self.mend is Mend.NOT_NEEDED:
            return f"{said}, which does no harm and is left so"
        next_step = {
            PARTITIONS: f": set partitions to {found}, or name another topic",
            REPLICATION: ": reassign it (kafka-reassign-partitions)",
            SETTINGS: ": grant DescribeConfigs on it",
        }
        return said + next_step.get(self.what, "")


def check(admin: Any, topics: Sequence[TopicPlan]) -> list[Difference]:
    """Compare the cluster with the plan; `admin` is a KafkaAdminClient (`streams.clients.admin` gives one)."""
    described = {topic["name"]: topic for topic in admin.describe_topics([topic.name for topic in topics])}
    present, differences = [], []
    for topic in topics:
        error = for_code(described[topic.name]["error_code"])
        if error is UnknownTopicOrPartitionError:
            differences.append(Difference(topic.name, TOPIC, None, "there", Mend.CREATE, stops_worker=True))
            continue
        if error is not NoError and not error.retriable:
            raise error(f"topic {topic.name} can't be described")
        layout = _layout_differences(topic, described[topic.name]["partitions"])
        differences += layout
        # To demand more acknowledgements than there are replicas would refuse every record.
        present.append(_without(topic, IN_SYNC) if REPLICATION in {difference.what for difference in layout} else topic)
    return differences + _config_differences(admin, present)


def create(admin: Any, topics: Sequence[TopicPlan]) -> list[str]:
    """Create the topics that are missing and return their names, once every partition has a leader.

    Raises TopicMissing when the cluster refuses one, with its reason.
    """
    missing = [difference for difference in check(admin, topics) if difference.what == TOPIC]
    outcome = {difference.topic: refused for difference, refused in mend(admin, topics, missing).items()}
    reasons = [f"topic {name} can't be created: {refused}" for name, refused in outcome.items() if refused]
    if reasons:
        raise TopicMissing("; ".join(reasons))
    return list(outcome)


def mend(admin: Any, topics: Sequence[TopicPlan], differences: Sequence[Difference]) -> dict[Difference, str]:
    """Create what is missing and alter the settings that differ.

    Returns each difference that could be mended with the cluster's reason against it, "" where it was mended.
    """
    to_create = {difference.topic: difference for difference in differences if difference.mend is Mend.CREATE}
    to_alter: dict[str, list[Difference]] = defaultdict(list)
    for difference in differences:
        if difference.mend is Mend.ALTER:
            to_alter[difference.topic].append(difference)
    outcome: dict[Difference, str] = {}
    if to_create:
        refused = _create(admin, [topic for topic in topics if topic.name in to_create])
        outcome |= {difference: refused[name] for name, difference in to_create.items()}
    if to_alter:
        refused = _alter(admin, to_alter)
        outcome |= {difference: refused[name] for name, several in to_alter.items() for difference in several}
        _wait_until_seen(admin, [topic for topic in topics if refused.get(topic.name) == ""])
    return outcome


def require(admin: Any, topics: Sequence[TopicPlan]) -> None:
    """Return if a worker can do its work with these topics.

    Raises TopicMissing or TopicMismatch with one line that says what mends it. What only deserves a remark, such as
    another retention, does not stop a worker.
    """
    stopping = [difference for difference in check(admin, topics) if difference.stops_worker]
    missing = [difference.topic for difference in stopping if difference.what == TOPIC]
    if missing:
        what, them = ("topic", "it") if len(missing) == 1 else ("topics", "them")
        raise TopicMissing(f"{what} {', '.join(missing)} missing: `boostwatch topics` creates {them}")
    if stopping:
        first = stopping[0]
        others = f" ({len(stopping) - 1} more: `boostwatch topics --check` lists them)" if len(stopping) > 1 else ""
        mends = ": `boostwatch topics` mends it" if first.mend is Mend.ALTER else ""
        raise TopicMismatch(f"topic {first.topic} {first}{mends}{others}")


def run(
    bootstrap: str,
    topics: Sequence[TopicPlan],
    check_only: bool,  # noqa: FBT001 -- the command's own switch
    client_options: Mapping[str, object] | None = None,
    console: Console | None = None,
) -> int:
    """Do what `boostwatch topics [--check]` does: mend (or only look), print a table, return the exit code.

    0 when everything is as planned in the end, 1 when something is not (with `check_only`: is not yet). Raises
    BrokerUnavailable.
    """
    with clients.admin(bootstrap, client_options) as admin:
        differences = check(admin, topics)
        outcome = {} if check_only else mend(admin, topics, differences)
    table = Table("topic", "partitions", "state", title=f"topics at {bootstrap}", title_justify="left")
    wrong = False
    for topic in topics:
        of_topic = [difference for difference in differences if difference.topic == topic.name]
        states = [_state(difference, outcome.get(difference)) for difference in of_topic]
        wrong = wrong or not all(right for right, _ in states)
        found = next((difference.found for difference in of_topic if difference.what == PARTITIONS), None)
        table.add_row(topic.name, found or str(topic.partitions), Text("\n".join(words for _, words in states) or "ok"))
    (console or Console()).print(table)
    return 1 if wrong else 0


def _without(topic: TopicPlan, setting: str) -> TopicPlan:
    return replace(topic, config={name: value for name, value in topic.config.items() if name != setting})


def _layout_differences(topic: TopicPlan, partitions: Sequence[Mapping[str, Any]]) -> list[Difference]:
    differences = []
    if len(partitions) != topic.partitions:
        matters = topic.co_partitioned
        differences.append(
            Difference(
                topic.name,
                PARTITIONS,
                found=str(len(partitions)),
                wanted=str(topic.partitions),
                mend=Mend.BY_HAND if matters else Mend.NOT_NEEDED,
                stops_worker=matters,
            )
        )
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=topic.replication)
    if replicas < topic.replication:
        differences.append(Difference(topic.name, REPLICATION, str(replicas), str(topic.replication), Mend.BY_HAND))
    return differences


def _config_differences(admin: Any, topics: Sequence[TopicPlan]) -> list[Difference]:
    if not topics:
        return []
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name, list(topic.config)) for topic in topics]
    try:
        found = admin.describe_configs(asked, config_filter="all").get("topic", {})
        reason = "refused"
    except KafkaError as error:  # the embedded broker has no such request, a strict one forbids it
        found, reason = {}, str(error)
    differences = []
    for topic in topics:
        values = found.get(topic.name)
        if not values:
            differences.append(Difference(topic.name, SETTINGS, reason, "readable", Mend.BY_HAND))
            continue
        for name, wanted in topic.config.items():
            value = values.get(name, {}).get("value")
            if value == wanted or (name == CLEANUP and value is not None and _policies(value) == _policies(wanted)):
                continue
            enough = name in AT_LEAST and value is not None and _is_at_least(value, wanted)
            differences.append(
                Difference(
                    topic.name,
                    name,
                    value,
                    wanted,
                    Mend.NOT_NEEDED if enough else Mend.ALTER,
                    stops_worker=name in topic.vital and not enough,
                )
            )
    return differences


def _policies(value: str) -> set[str]:
    return {policy.strip() for policy in value.split(",")}


def _is_at_least(found: str, wanted: str) -> bool:
    return found == UNLIMITED or (wanted != UNLIMITED and int(found) >= int(wanted))


def _create(admin: Any, topics: Sequence[TopicPlan]) -> dict[str, str]:
    """Create topics and return by name the reason against each, "" where it is there now."""
    asked = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replication,
            "configs": dict(topic.config),
        }
        for topic in topics
    }
    response = admin.create_topics(asked, raise_errors=False)
    refused = {topic["name"]: _reason(topic) for topic in response["topics"]}
    there = [name for name, reason in refused.items() if not reason]
    if there:
        admin.wait_for_topics(there, timeout_ms=LEADERS_TIMEOUT_MS)
    return refused


def _reason(topic: Mapping[str, Any]) -> str:
    error = for_code(topic["error_code"])
    if error in {NoError, TopicAlreadyExistsError}:  # somebody else created it at the same moment
        return ""
    return f"{topic.get('error_message') or error.description} ({error.__name__})"


def _alter(admin: Any, to_alter: Mapping[str, Sequence[Difference]]) -> dict[str, str]:
    """Alter settings and return by topic the reason against it, "" where they are altered."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, {difference.what: difference.wanted for difference in several})
        for name, several in to_alter.items()
    ]
    answers = admin.alter_configs(resources, raise_on_unknown=False).get("topic", {})
    return {name: "" if answers.get(name) == "OK" else str(answers.get(name, "no answer")) for name in to_alter}


def _wait_until_seen(admin: Any, altered: Sequence[TopicPlan]) -> None:
    """Return once the brokers tell the altered settings, so that a worker started next does not meet the old ones."""
    deadline = time.monotonic() + ALTERED_TIMEOUT_MS / 1000
    while time.monotonic() < deadline:
        if all(difference.mend is not Mend.ALTER for difference in _config_differences(admin, altered)):
            return
        time.sleep(_POLL_S)


def _state(difference: Difference, refused: str | None) -> tuple[bool, str]:
    """Return whether the topic is right in this after all, and how to put it; `refused` is None if none was asked."""
    if difference.mend is Mend.NOT_NEEDED:
        return True, f"ok, but {difference}"
    if difference.mend is Mend.BY_HAND:
        return False, f"wrong: {difference}"
    change = f"{difference.what} {difference.found} -> {difference.wanted}"
    todo, done = (f"change {change}", f"changed {change}")
    if difference.mend is Mend.CREATE:
        todo, done = ("create it", "created")
    if refused is None:
        return False, f"would {todo}"
    return (False, f"wrong: can't {todo}: {refused}") if refused else (True, done)
