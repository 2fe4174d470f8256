"""`boostwatch dead-letters`: look at what was refused, and send it again once it can be taken."""

from __future__ import annotations

import base64
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from kafka import TopicPartition
from rich.console import Console
from rich.table import Table

from schemas.dead_letters import DeadLetter, Header, read_headers
from streams import clients
from streams.connections import require_topics, security_of
from streams.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.settings import Settings

POLL_MS = 500
PATIENCE_POLLS = 20
"""Polls without a record before the end is given up on: ten seconds."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One dead letter as it lies in its topic."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    letter: DeadLetter

    @property
    def reason(self) -> str:
        """Why it was refused last."""
        return self.letter.last.reason or "unknown"

    @property
    def topic(self) -> str:
        """The topic it was refused in last."""
        return self.letter.last.topic


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: all of them, or those with one of these reasons or of these topics."""

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()

    def __call__(self, refused: Refused) -> bool:
        """Return whether this one is wanted."""
        return (not self.reasons or refused.reason in self.reasons) and (
            not self.topics or refused.topic in self.topics
        )


def run(settings: Settings, wanted: Wanted, *, limit: int, raw: bool) -> None:
    """Print the latest `limit` wanted dead letters, or as `raw` every one as a line of JSON, and a count of all.

    Raises BrokerUnavailable, TopicMissing.
    """
    require_topics(settings, [settings.topic_dead_letters])
    consumer = clients.consumer(settings.bootstrap, options=security_of(settings), client_id="boostwatch-dead-letters")
    try:
        partitions = partitions_of(consumer, settings.topic_dead_letters)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        if raw:
            for refused in filter(wanted, read_to_end(consumer, partitions)):
                sys.stdout.write(as_json(refused).decode() + "\n")
        else:
            _print(Console(highlight=False), read_to_end(consumer, partitions), wanted, limit)
    finally:
        consumer.close()


def partitions_of(consumer: Any, topic: str) -> list[TopicPartition]:
    """Return all partitions of a topic that is there."""
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]


def read_to_end(
    consumer: Any, partitions: list[TopicPartition], after_poll: Callable[[], None] = lambda: None
) -> Iterator[Refused]:
    """Yield the dead letters from where the consumer is to the end as it is now; what is none is left out."""
    ends = consumer.end_offsets(partitions)
    idle = 0
    while any(consumer.position(partition) < ends[partition] for partition in partitions) and idle < PATIENCE_POLLS:
        polled = consumer.poll(timeout_ms=POLL_MS)
        idle = 0 if polled else idle + 1
        for partition, records in polled.items():
            for record in records:
                found = read_headers(record.headers) if record.offset < ends[partition] else None
                if found is not None:
                    yield Refused(
                        partition.partition,
                        record.offset,
                        record.timestamp,
                        record.key,
                        record.value,
                        list(record.headers),
                        found,
                    )
        after_poll()


def as_json(refused: Refused) -> bytes:
    """Return a dead letter as one line of JSON; bytes that are no UTF-8 stand as base64 under another name.

    `contexts` are its refusals, the oldest first.
    """
    return orjson.dumps(
        {
            "partition": refused.partition,
            "offset": refused.offset,
            "timestamp": refused.timestamp_ms,
            **_text_or_base64("key", refused.key),
            **_text_or_base64("value", refused.value),
            "contexts": refused.letter.contexts,
        }
    )


def _text_or_base64(name: str, data: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data or b"").decode()}


def _print(console: Console, letters: Iterator[Refused], wanted: Wanted, limit: int) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    latest: list[Refused] = []
    for refused in filter(wanted, letters):
        counts[refused.topic, refused.reason] += 1
        latest.append(refused)
        if len(latest) > 2 * limit:  # now and then, not at each
            latest = _latest(latest, limit)
    if not counts:
        console.print("no dead letters")
        return
    table = Table("topic", "reason", "refused", title=f"{counts.total():,} dead letters", title_justify="left")
    table.columns[2].justify = "right"
    for (topic, reason), count in counts.most_common():
        table.add_row(printable(topic), reason, f"{count:,}")
    console.print(table)
    for refused in _latest(latest, limit):
        last = refused.letter.last
        place = f"{printable(last.topic)} partition {last.partition} offset {last.offset}"
        console.print(f"{place}: {printable(last.message or refused.reason)}", markup=False, soft_wrap=True)


def _latest(letters: list[Refused], limit: int) -> list[Refused]:
    return sorted(letters, key=lambda one: (one.timestamp_ms, one.partition, one.offset))[-limit:] if limit else []
