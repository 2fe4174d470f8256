"""`boostwatch flags`: the flags topic in a terminal, as it grows."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from kafka import TopicPartition
from rich.console import Console

from schemas.flags import Flag, decode_flag
from streams import clients
from streams.connections import security_of
from streams.errors import TopicMissing
from streams.flag_text import flag_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streams.settings import Settings

POLL_MS = 200
"""How long one look at the topic waits: what a person takes for at once."""


def run(settings: Settings, *, since: Literal["beginning", "now"], kinds: Collection[str], raw: bool) -> None:
    """Print flags until interrupted, which is how it ends. Raises BrokerUnavailable, TopicMissing."""
    if not raw and sys.stderr.isatty():
        sys.stderr.write(f"following {settings.topic_flags} at {settings.bootstrap}; Ctrl-C ends it\n")
    with suppress(KeyboardInterrupt):
        _print(settings, since, kinds, raw=raw)


def _print(settings: Settings, since: Literal["beginning", "now"], kinds: Collection[str], *, raw: bool) -> None:
    out = Console(highlight=False, soft_wrap=True)
    for value in follow(settings, since=since):
        try:
            flag = decode_flag(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            sys.stderr.write(f"boostwatch: a record in {settings.topic_flags} is no flag: {error}\n")
            continue
        if kinds and flag.kind not in kinds:
            continue
        if raw:
            sys.stdout.write(value.decode() + "\n")
            sys.stdout.flush()
        else:
            show(out, flag)


def show(out: Console, flag: Flag) -> None:
    """Print one flag."""
    out.print(flag_text(flag))


def follow(settings: Settings, *, since: Literal["beginning", "now"]) -> Iterator[bytes]:
    """Yield the value of every record of the flags topic, for ever; tombstones are left out.

    Raises BrokerUnavailable, and TopicMissing where there is no such topic.
    """
    topic = settings.topic_flags
    consumer = clients.consumer(settings.bootstrap, options=security_of(settings), client_id="boostwatch-flags")
    try:
        assign(consumer, topic, since, settings.bootstrap)
        while True:
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                for record in records:
                    if record.value is not None:
                        yield record.value
    finally:
        consumer.close()


def assign(consumer: Any, topic: str, since: Literal["beginning", "now"], bootstrap: str) -> None:
    """Give a consumer every partition of a topic, without a group: it commits nothing and disturbs nobody."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not partitions:
        raise TopicMissing(f"there is no topic {topic!r} at {bootstrap}; `boostwatch topics` makes it")
    consumer.assign(partitions)
    if since == "beginning":
        consumer.seek_to_beginning(*partitions)
    else:
        consumer.seek_to_end(*partitions)
        for partition in partitions:
            consumer.position(partition)  # now, and not at the first look
