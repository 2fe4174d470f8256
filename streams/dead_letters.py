"""Writing dead letters: a refused record as it came, beside why, in a topic of its own.

The original may be as large as its topic allows, and the headers come on top; its timestamp may be one that
the broker takes no more. Neither may stop the worker: what is refused as it is goes again by itself, then
mended, which is counted and told in a header.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from schemas import dead_letters as wire
from schemas.refusals import Reason
from streams.errors import ProduceFailed
from streams.logs import SELDOM_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from streams.fetched import FetchedBatch
    from streams.metrics import Metrics
    from streams.transport import BatchProducer

log = logging.getLogger(__name__)

MENDED_BYTES_MAX = 64 * 1024
"""What is kept of a value, and of a key, that the broker refused for its size: enough to see what it was."""

MENDED_HEADER = "boostwatch.errors.mended"

_REFUSED_AS_IT_IS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)


class StreamReason(StrEnum):
    """Reasons that lie in how a record travels, beside `schemas.refusals.Reason` for what is in it."""

    NOT_A_BLOCK = "not_a_block"  # a record of the actions topic that no worker of this version packed
    UNREADABLE = "unreadable"  # the record itself cannot be read, so neither can its bytes be kept


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused record: everything it came with, and why it was refused."""

    reason: Reason | StreamReason
    value: bytes | None
    key: bytes | None
    timestamp_ms: int | None
    headers: list[wire.Header]


def letter(batch: FetchedBatch, row: int, reason: Reason | StreamReason, detail: str) -> Letter:
    """Make the dead letter of one record of a fetched batch."""
    # The wire module knows the reasons of what is in a record; for the headers any small fixed set will do.
    original, timestamp_ms = batch.headers.get(row, []), int(batch.timestamps[row])
    headers = wire.headers(*batch.source, int(batch.offsets[row]), cast("Reason", reason), detail, original)
    return Letter(reason, batch.values[row], batch.keys[row], timestamp_ms if timestamp_ms >= 0 else None, headers)


def unreadable(batch: FetchedBatch) -> Iterator[Letter]:
    """Make the dead letters of the records that could not be read: their place is all that is known."""
    for offset in range(batch.offset_next - batch.unreadable, batch.offset_next):
        detail = "its bytes are no record"
        headers = wire.headers(*batch.source, offset, cast("Reason", StreamReason.UNREADABLE), detail, [])
        yield Letter(StreamReason.UNREADABLE, b"", None, None, headers)


class Refusals:
    """Tells the log of refused records: of each topic and reason the first, and in `SELDOM_S` how many more there were.

    A producer that was released with another format has everything refused, which is no reason for a line each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[float, int]] = {}  # when last, and how many were refused since

    def tell(self, letters: Iterable[Letter]) -> None:
        """Say where the first of each reason was, with nothing of what is in it."""
        now_s = self._clock()
        for reason, some in groupby(sorted(letters, key=lambda one: one.reason), key=lambda one: one.reason):
            first, *others = some
            found = wire.read_headers(first.headers)
            if found is None:
                continue
            at = found.last
            said_s, untold = self._told.get((at.topic, reason), (-SELDOM_S, 0))
            records = untold + 1 + len(others)
            if now_s - said_s < SELDOM_S:
                self._told[at.topic, reason] = said_s, records
                continue
            self._told[at.topic, reason] = now_s, 0
            where = {"topic": at.topic, "partition": at.partition, "offset": at.offset}
            log.warning(
                "records refused; see `boostwatch dead-letters`",
                extra={"fields": {"reason": str(reason), "records": records, **where}},
            )


class DeadLetterWriter:
    """Writes dead letters to the topic's partition that the source's number names, in order."""

    def __init__(self, producer: BatchProducer, metrics: Metrics, topic: str) -> None:
        self._producer = producer
        self._metrics = metrics
        self._topic = topic
        self._refusals = Refusals()

    async def write(self, letters: Sequence[Letter], source_partition: int) -> None:
        """Write and wait until the broker has them. Raises ProduceFailed where it takes them in no form."""
        try:
            partition = source_partition % await self._producer.partitions_of(self._topic)
            waiting = [
                (some, await self._producer.submit_batch(batch, self._topic, partition))
                for some, batch in self._batches(letters)
            ]
            for _, sent in waiting:
                # Where one fails the others' failures say nothing more, and are not to be logged as never looked at.
                sent.add_done_callback(lambda done: done.cancelled() or done.exception())
            for some, sent in waiting:
                try:
                    await sent
                except _REFUSED_AS_IT_IS as error:
                    await self._again(some, partition, error)
            self._refusals.tell(letters)
        except KafkaError as error:
            raise ProduceFailed(
                f"{len(letters)} dead letters for topic {self._topic} were not acknowledged ({error!r}); start the "
                "worker again once the broker is well"
            ) from error

    async def _again(self, letters: Sequence[Letter], partition: int, error: KafkaError) -> None:
        """Send one by one what was refused together, and what is refused alone in a form that is taken."""
        for one in letters:
            if len(letters) > 1:
                try:
                    await self._send(one, partition)
                except _REFUSED_AS_IT_IS as alone:
                    await self._send(mended(one, alone), partition)
                else:
                    continue
            else:
                await self._send(mended(one, error), partition)
            self._metrics.dead_letters_mended.inc()
            log.warning(
                "a dead letter was shortened: the broker refused it as it was; raise max.message.bytes of the topic",
                extra={"fields": {"topic": self._topic, "error": type(error).__name__}},
            )

    async def _send(self, one: Letter, partition: int) -> None:
        for _, batch in self._batches([one]):
            await (await self._producer.submit_batch(batch, self._topic, partition))

    def _batches(self, letters: Sequence[Letter]) -> Iterator[tuple[list[Letter], Any]]:
        batch, some = self._producer.new_batch(), list[Letter]()
        for one in letters:
            if _append(batch, one) is None:
                batch.close()
                yield some, batch
                batch, some = self._producer.new_batch(), []
                _append(batch, one)  # the first record of a batch always fits
            some.append(one)
        if some:
            batch.close()
            yield some, batch


def mended(one: Letter, error: KafkaError) -> Letter:
    """Shorten a dead letter that the broker refused: value and key cut, the producer's headers left out."""
    found = wire.read_headers(one.headers)
    last = len(one.headers) if found is None else len(one.headers) - len(found.original_headers)
    context = [header for header in one.headers[-last:] if header[0] != MENDED_HEADER] if last else []
    told = f"{type(error).__name__}: value of {_size(one.value)} bytes, key of {_size(one.key)}, at {one.timestamp_ms}"
    return Letter(
        one.reason,
        one.value if one.value is None else one.value[:MENDED_BYTES_MAX],
        one.key if one.key is None else one.key[:MENDED_BYTES_MAX],
        None,
        [(MENDED_HEADER, told.encode()), *context],
    )


def _append(batch: Any, one: Letter) -> Any:
    return batch.append(timestamp=one.timestamp_ms, key=one.key, value=one.value, headers=one.headers)


def _size(data: bytes | None) -> int:
    return 0 if data is None else len(data)
