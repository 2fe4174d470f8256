"""Dead letters: a refused record as it came, with headers that say where it came from and what was wrong.

Value, key, timestamp and the producer's headers stay as they were. After them stands one context, in the
header names of Kafka Connect so that tools for its dead letters read ours. A record that is sent again and
refused again carries the context of each refusal, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.refusals import Reason

Header = tuple[str, bytes | None]

TOPIC: Final = "__connect.errors.topic"
PARTITION: Final = "__connect.errors.partition"
OFFSET: Final = "__connect.errors.offset"
STAGE: Final = "__connect.errors.stage"
MESSAGE: Final = "__connect.errors.exception.message"
REASON: Final = "boostwatch.errors.reason"

STAGE_DECODE: Final = b"VALUE_CONVERTER"
"""Kafka Connect's name for the step from a record's bytes to what they mean, the only one that refuses."""

CONTEXTS_MAX: Final = 8
"""Contexts that a record keeps, the first always among them: resending in a loop must not grow it for ever."""

_MESSAGE_CHARACTERS_MAX: Final = 1_000
"""Far above any detail there is; it bounds what one could come to."""

_CONTEXT: Final = frozenset({TOPIC, PARTITION, OFFSET, STAGE, MESSAGE, REASON})


@dataclass(frozen=True, slots=True)
class Context:
    """One refusal of a record: where it was, and why. What is None was not in the headers, or unreadable."""

    topic: str
    partition: int | None
    offset: int | None
    stage: str | None
    reason: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The headers of a dead letter, taken apart: its refusals, the oldest first, and the producer's headers."""

    contexts: list[Context]
    original_headers: list[Header]

    @property
    def last(self) -> Context:
        """The refusal that made the record the dead letter that it is."""
        return self.contexts[-1]


def headers(
    topic: str, partition: int, offset: int, reason: Reason, detail: str, original_headers: Sequence[Header]
) -> list[Header]:
    """Return the headers of a dead letter: what the record had, then the context of this refusal.

    Args:
        topic: the Kafka topic that the record was read from.
        partition: its partition there.
        offset: its offset there.
        reason: what was wrong, of a fixed set.
        detail: the same for people, with field and value.
        original_headers: the record's headers, in their order; contexts of earlier refusals among them are kept.

    """
    producers, contexts = _split(original_headers)
    if len(contexts) >= CONTEXTS_MAX:
        contexts = [contexts[0], *contexts[len(contexts) - CONTEXTS_MAX + 2 :]]
    message = f"{reason.value}: {detail}"[:_MESSAGE_CHARACTERS_MAX]
    now: list[Header] = [
        (TOPIC, topic.encode()),
        (PARTITION, str(partition).encode()),
        (OFFSET, str(offset).encode()),
        (STAGE, STAGE_DECODE),
        (MESSAGE, message.encode("utf-8", "replace")),
        (REASON, reason.value.encode()),
    ]
    return [*producers, *(header for context in contexts for header in context), *now]


def read_headers(record_headers: Iterable[Header]) -> DeadLetter | None:
    """Take the headers of a dead letter apart, or return None where they hold no context. Never raises."""
    producers, contexts = _split(record_headers)
    if not contexts:
        return None
    return DeadLetter([_context(context) for context in contexts], producers)


def _split(record_headers: Iterable[Header]) -> tuple[list[Header], list[list[Header]]]:
    """Return the headers of the record itself, and those of each context; a context starts with its topic."""
    producers: list[Header] = []
    contexts: list[list[Header]] = []
    for name, value in record_headers:
        if name == TOPIC:
            contexts.append([(name, value)])
        elif name in _CONTEXT and contexts:
            contexts[-1].append((name, value))
        else:
            producers.append((name, value))
    return producers, contexts


def _context(context: Iterable[Header]) -> Context:
    found = {name: None if value is None else value.decode("utf-8", "replace") for name, value in context}
    return Context(
        topic=found.get(TOPIC) or "",
        partition=_integer(found.get(PARTITION)),
        offset=_integer(found.get(OFFSET)),
        stage=found.get(STAGE),
        reason=found.get(REASON),
        message=found.get(MESSAGE),
    )


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None
