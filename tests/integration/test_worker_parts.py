"""Parts of the worker against a real broker, without the process around them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas.dead_letters import read_headers
from schemas.refusals import Reason
from streams import clients
from streams.app import build_app
from streams.commits import Partition
from streams.dead_letters import DeadLetterWriter, Letter, letter
from streams.errors import BrokerError, BrokerUnavailable, TopicMismatch, TopicMissing
from streams.fetched import FetchedBatch
from streams.metrics import Metrics
from streams.settings import Settings
from streams.worker import require_topics
from tests.integration.traffic import drain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics


def settings_for(kafka: str, names: TopicNames, **changes: Any) -> Settings:
    topics = {f"topic_{field}": getattr(names, field) for field in names.__dataclass_fields__}
    return Settings(**{"bootstrap": kafka, "partitions": 2, **topics, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"bootstrap": "127.0.0.1:1"}, BrokerUnavailable, "no Kafka broker answers at 127.0.0.1:1"),
        ({"topic_likes": "nowhere"}, TopicMissing, "topic nowhere missing: `boostwatch topics` creates it"),
        ({"partitions": 3}, TopicMismatch, "set partitions to 2"),
    ],
)
def test_what_is_wrong_at_the_start_is_told_in_one_line(
    changes: dict[str, Any], error: type[BrokerError], told: str, kafka: str, kafka_topics: MakeTopics
) -> None:
    with pytest.raises(error) as caught:
        require_topics(settings_for(kafka, kafka_topics(2), **changes))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@contextmanager
def topic_with(kafka: str, **config: str) -> Iterator[str]:
    """Give a topic that has this configuration from the start: a change of one takes its time to arrive."""
    name = f"t{uuid.uuid4().hex[:10]}"
    with clients.admin(kafka) as admin:
        configs = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1, "configs": configs}})
        admin.wait_for_topics([name], timeout_ms=30_000)
    yield name
    with clients.admin(kafka) as admin:
        admin.delete_topics([name])


def refused(values: list[bytes | None], timestamp_ms: int = 1_764_000_000_000) -> list[Letter]:
    n = len(values)
    batch = FetchedBatch(
        Partition("likes", 1), values, [b"k"] * n, np.arange(n), np.full(n, timestamp_ms), {0: [("a", b"1")]}, n
    )
    return [letter(batch, row, Reason.NOT_JSON, "why") for row in range(n)]


def written(settings: Settings, letters: list[Letter]) -> tuple[list[Any], float]:
    """Write dead letters and return what the topic then holds, and how many had to be mended."""
    metrics = Metrics([])

    async def write() -> None:
        app = build_app(settings, None, None, None)  # type: ignore[arg-type]  # only its producer is used
        await app.producer.start()
        await DeadLetterWriter(app.producer, metrics, settings.topic_dead_letters).write(letters, 1)
        await app.producer.stop()

    asyncio.run(write())
    return drain(settings.bootstrap, settings.topic_dead_letters), metrics.dead_letters_mended._value.get()


def test_dead_letters_are_written_in_order_to_one_partition(kafka: str, kafka_topics: MakeTopics) -> None:
    values: list[bytes | None] = [b"%d" % n * 1_000 for n in range(1_000)]
    records, mended = written(settings_for(kafka, kafka_topics(2)), refused([*values, None]))
    assert [record.value for record in records] == [*values, None]
    assert {record.partition for record in records} == {1}
    assert {record.timestamp for record in records} == {1_764_000_000_000}
    assert mended == 0


def test_one_that_is_too_large_for_the_topic_is_shortened_and_the_others_are_not(kafka: str) -> None:
    values: list[bytes | None] = [b"small", b"x" * 900_000, b"small", b"y" * 150_000, b"y" * 150_000]
    with topic_with(kafka, max_message_bytes="200000") as topic:
        records, mended = written(Settings(bootstrap=kafka, topic_dead_letters=topic), refused(values))
    assert mended == 1
    assert Counter(record.value for record in records) == Counter([*values[:1], b"x" * 65_536, *values[2:]])
    short = next(record for record in records if len(record.value) == 65_536)
    assert dict(short.headers)["boostwatch.errors.mended"].startswith(b"MessageSizeTooLargeError: value of 900000")
    found = read_headers(short.headers)
    assert found is not None
    assert (found.last.topic, found.last.offset) == ("likes", 1)


def test_one_with_a_timestamp_that_the_broker_takes_no_more_gets_the_time_of_writing(kafka: str) -> None:
    letters = refused([b"old"], timestamp_ms=1_600_000_000_000)
    with topic_with(kafka, message_timestamp_before_max_ms="60000") as topic:
        records, mended = written(Settings(bootstrap=kafka, topic_dead_letters=topic), letters)
    assert mended == 1
    assert records[0].value == b"old"
    assert records[0].timestamp > 1_700_000_000_000
    assert b"at 1600000000000" in dict(records[0].headers)["boostwatch.errors.mended"]
