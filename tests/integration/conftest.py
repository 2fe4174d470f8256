"""Fixtures with a real Kafka: one broker for the session, topics of one's own, and a broker to be killed."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from streams import clients, topics
from streams.errors import BrokerUnavailable
from streams.topic_plan import TopicNames
from tests.kafka_broker import GIVEN_BROKER, given_broker, running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.kafka.broker import KafkaBroker

HERE = Path(__file__).parent

NEEDS_KAFKA = {"kafka", "own_broker"}


class MakeTopics(Protocol):
    """Create every topic under a prefix of its own and return the names."""

    def __call__(self, partitions: int = 4, *, create_time: bool = False) -> TopicNames: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # One process takes all of them, one after the other: each has workers and a broker of its own to wait for.
            item.add_marker(pytest.mark.xdist_group("integration"))
        if NEEDS_KAFKA & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give `host:port` of a real Kafka: the one that BOOSTWATCH_TEST_KAFKA names, else one of our own."""
    given = given_broker()
    if given is None:
        with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
            yield broker.bootstrap
        return
    try:
        clients.require_broker(given)
    except BrokerUnavailable as error:
        pytest.fail(f"{GIVEN_BROKER} is set, and {error}")
    yield given


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Give a started broker that the test may kill, freeze and restart."""
    with running_broker(tmp_path_factory.mktemp("own-kafka")) as broker:
        yield broker


@pytest.fixture
def kafka_topics(kafka: str) -> Iterator[MakeTopics]:
    """Give a maker of topic sets on the session's broker that no other test has; they are deleted in the end."""
    made: list[str] = []

    def make(partitions: int = 4, *, create_time: bool = False) -> TopicNames:
        plain = TopicNames()
        prefix = f"t{uuid.uuid4().hex[:10]}."
        names = TopicNames(**{field: prefix + getattr(plain, field) for field in TopicNames.__dataclass_fields__})
        with clients.admin(kafka) as admin:
            made.extend(topics.create(admin, topics.plan(names, partitions, create_time=create_time)))
        return names

    yield make
    if made:
        with clients.admin(kafka) as admin:
            admin.delete_topics(made)
