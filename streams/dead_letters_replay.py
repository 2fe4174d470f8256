"""`boostwatch dead-letters --replay`: send what was refused to where it came from, as it was or mended.

How far it came is committed under a consumer group of its own, after the broker has acknowledged what was sent, so
that a second run goes on where the first ended. A record that is refused again comes back as a dead letter with both
refusals in its headers. One that was taken twice counts once, by its `event_id`; a verdict, as the newest on its flag.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from streams import clients
from streams.connections import require_topics, security_of
from streams.dead_letters_view import Refused, Wanted, partitions_of, read_to_end
from streams.errors import ConfigurationError, ProduceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafka import TopicPartition

    from streams.settings import Settings

TOGETHER = 500
"""Sent before the next are read: what is in flight is bounded, and what a crash repeats."""

SEND_S = 60.0
MEND_S = 120.0
"""For a mending command to go through one lot."""


def run(settings: Settings, wanted: Wanted, *, mend: str | None, again: bool) -> None:
    """Send the wanted dead letters again up to the end of the topic as it is now, and say how many.

    Args:
        settings: the broker, the topics and the group.
        wanted: which; the others are passed over, and count as seen.
        mend: a shell command that gets the values, one a line, and writes as many lines; an empty one leaves its
            record out.
        again: begin at the first dead letter there is, and not where the last run ended.

    Raises:
        BrokerUnavailable, TopicMissing: at the start.
        ConfigurationError: the mending command failed, or wrote another number of lines.
        ProduceFailed: a record was not acknowledged; a further run begins with those that were sent with it.

    """
    ours = frozenset([*settings.input_topics.values(), settings.topic_verdicts])
    require_topics(settings, [settings.topic_dead_letters, *ours])
    options = security_of(settings)
    consumer = clients.consumer(
        settings.bootstrap,
        options=options,
        client_id="boostwatch-dead-letters",
        group_id=f"{settings.group_id}.dead-letters-replay",
        max_poll_records=TOGETHER,
    )
    producer = clients.producer(settings.bootstrap, options, client_id="boostwatch-dead-letters")
    counts: Counter[str] = Counter()
    lot: list[Refused] = []

    def settle() -> None:
        counts.update(_send(producer, lot, ours, mend))
        lot.clear()
        _commit(consumer, partitions)

    try:
        partitions = partitions_of(consumer, settings.topic_dead_letters)
        consumer.assign(partitions)
        if again:
            consumer.seek_to_beginning(*partitions)
        for refused in read_to_end(consumer, partitions, after_poll=settle):
            counts["seen"] += 1
            if wanted(refused):
                lot.append(refused)
    finally:
        producer.close()
        consumer.close()
    sys.stdout.write(told(counts))


def told(counts: Counter[str]) -> str:
    r"""Say what was done.

    >>> told(Counter(seen=7, sent=5, left_out=1))
    '5 of 7 dead letters sent again; 1 left out by the mending command\n'
    >>> told(Counter())
    'no dead letters since the last time\n'
    """
    if not counts["seen"]:
        return "no dead letters since the last time\n"
    parts = [f"{counts['sent']:,} of {counts['seen']:,} dead letters sent again"]
    if counts["left_out"]:
        parts.append(f"{counts['left_out']:,} left out by the mending command")
    if counts["elsewhere"]:
        parts.append(f"{counts['elsewhere']:,} were of the workers' own topics and cannot be sent again")
    return "; ".join(parts) + "\n"


def _send(producer: Any, lot: list[Refused], topics: frozenset[str], mend: str | None) -> Counter[str]:
    ours = [refused for refused in lot if refused.topic in topics]
    values = [refused.value for refused in ours] if mend is None else mended(mend, ours)
    futures = [
        producer.send(
            refused.topic,
            key=refused.key,
            value=value,
            headers=refused.headers,
            timestamp_ms=refused.timestamp_ms if refused.timestamp_ms >= 0 else None,
        )
        for refused, value in zip(ours, values, strict=True)
        if mend is None or value
    ]
    try:
        for future in futures:
            future.get(timeout=SEND_S)
    except KafkaError as error:
        raise ProduceFailed(
            f"a dead letter was not acknowledged ({error}): run it again once the broker is well; it goes on from there"
        ) from error
    return Counter(sent=len(futures), left_out=len(ours) - len(futures), elsewhere=len(lot) - len(ours))


def mended(command: str, lot: Iterable[Refused]) -> list[bytes]:
    r"""Put values through a shell command, a line each, and return what it wrote, a line each.

    A line feed in a value can only be white space between JSON's tokens, so it is handed over as a space.

    Raises:
        ConfigurationError: it failed, took too long, or wrote another number of lines.

    """
    lines = [(refused.value or b"").replace(b"\n", b" ") for refused in lot]
    if not lines:
        return []
    try:
        done = subprocess.run(  # noqa: S602 -- the operator's own command line is what this is for
            command, shell=True, input=b"\n".join(lines) + b"\n", capture_output=True, timeout=MEND_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"--mend {command!r} took more than {MEND_S:.0f} s; nothing of this lot was sent"
        ) from None
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ConfigurationError(
            f"--mend {command!r} ended with exit code {done.returncode} ({''.join(last)}); nothing of this lot was sent"
        )
    written = done.stdout.removesuffix(b"\n").split(b"\n") if done.stdout else []
    if len(written) != len(lines):
        raise ConfigurationError(
            f"--mend {command!r} wrote {len(written)} lines for {len(lines)}: it must write one for each, an empty one"
            " to leave the record out; nothing of this lot was sent"
        )
    return written


def _commit(consumer: Any, partitions: list[TopicPartition]) -> None:
    consumer.commit({tp: OffsetAndMetadata(consumer.position(tp), "", -1) for tp in partitions})
