"""Reading what people answer: every worker reads the whole verdicts topic, since any of its stages may be meant.

A verdict is keyed by `flag_id`, which says nothing about the partition where the flag's episode is. People answer
seldom, so instead of sending each verdict on, every worker keeps the newest of all flags in memory and holds them
against its own (`streams.answering`); after a restart or a rebalance it does so again, and nothing that was decided
before is lost or done twice. Refusing is done once: by the worker that has the actions partition of the same number,
which commits how far it has come.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import dead_letters as wire
from schemas.refusals import Refusal
from schemas.verdicts import Judgement, decode_verdict
from streams.agents import count_letters
from streams.dead_letters import Letter
from streams.errors import BoostwatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from streams.dead_letters import DeadLetterWriter
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.transport import TransportOptions

log = logging.getLogger(__name__)

HELD_MAX = 100_000
"""Verdicts kept in memory: 15 MB at the most, a month of a large review team. The oldest makes way."""

POLL_MS = 1_000
AGAIN_S = 5.0
"""Between two attempts to read while Kafka does not answer. Nothing else waits for it."""


class Verdicts:
    """The newest verdict on each flag. Belongs to the event loop."""

    def __init__(self, most: int = HELD_MAX) -> None:
        self._most = most
        self._held: dict[str, Judgement] = {}
        self.caught_up = False
        """Whether everything was read that there was at the start: before, an older verdict may be overruled yet."""
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, flag_id: str, judgement: Judgement) -> None:
        """Take a verdict in, in place of an earlier one on the same flag."""
        self._held.pop(flag_id, None)
        self._held[flag_id] = judgement
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        self.changed.set()

    def on(self, flag_ids: Iterable[str]) -> list[tuple[str, Judgement]]:
        """Return the verdicts on these flags, in their order."""
        held = self._held
        return [(flag_id, held[flag_id]) for flag_id in flag_ids if flag_id in held]


class VerdictReader:
    """Fills the table and refuses what is no verdict. Nothing that it reads can stop the worker."""

    def __init__(
        self,
        topic: str,
        group_id: str,
        options: TransportOptions,
        verdicts: Verdicts,
        dead_letters: DeadLetterWriter,
        metrics: Metrics,
        lifecycle: Lifecycle,
        partitions_of: Callable[[str], Awaitable[int]],
        mine: Callable[[int], bool],
    ) -> None:
        """`mine` says whether this worker answers for a partition of the topic, which must be so in one worker."""
        self._topic = topic
        self._group_id = f"{group_id}.verdicts"
        self._options = options
        self._verdicts = verdicts
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._partitions_of = partitions_of
        self._mine = mine
        self._answered_for: dict[TopicPartition, int] = {}  # of my partitions, the first offset not answered for
        self._ends: dict[TopicPartition, int] = {}  # what was there at the start, and again after going back

    async def for_ever(self) -> None:
        """Read until cancelled, through every absence of Kafka."""
        while True:
            try:
                await self._read()
            except KafkaError as error:
                log.warning("verdicts cannot be read just now", extra={"fields": {"error": repr(error)}})
            except BoostwatchError as error:  # a dead letter was not acknowledged: like any other that is lost
                self._lifecycle.fail(error)
                return
            await asyncio.sleep(AGAIN_S)

    async def _read(self) -> None:
        options = self._options
        count = await self._partitions_of(self._topic)
        consumer = AIOKafkaConsumer(
            client_id=options.client_id,
            bootstrap_servers=options.bootstrap_servers,
            group_id=self._group_id,  # for its offsets alone: partitions are assigned by hand
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=options.check_crcs,
            request_timeout_ms=options.request_timeout_ms,
            **options.security,
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(self._topic, number) for number in range(count)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            self._verdicts.caught_up = False
            self._ends = dict(await consumer.end_offsets(partitions))
            self._answered_for.clear()
            while True:
                await self._take_over(consumer, partitions)
                await self._take(consumer, await consumer.getmany(timeout_ms=POLL_MS))
                if not self._verdicts.caught_up:
                    reached = [await consumer.position(tp) >= self._ends[tp] for tp in partitions]
                    self._verdicts.caught_up = all(reached)
        finally:
            await consumer.stop()

    async def _take_over(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Answer for the partitions that are mine now, from where the last one who did has come to."""
        for tp in partitions:
            if not self._mine(tp.partition):
                self._answered_for.pop(tp, None)
            elif tp not in self._answered_for:
                committed = await consumer.committed(tp) or 0
                self._answered_for[tp] = committed
                position = await consumer.position(tp)
                if position > committed:
                    # Read again, so an older verdict may for a moment stand where a newer one did.
                    self._verdicts.caught_up = False
                    self._ends[tp] = max(self._ends[tp], position)
                    consumer.seek(tp, committed)

    async def _take(self, consumer: Any, found: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for tp, records in found.items():
            mine_from = self._answered_for.get(tp)
            letters: list[Letter] = []
            accepted = 0
            for record in records:
                verdict = decode_verdict(record.value)
                mine = mine_from is not None and record.offset >= mine_from
                if not isinstance(verdict, Refusal):
                    self._verdicts.take(verdict.flag_id, verdict.verdict)
                    accepted += mine
                elif mine:
                    letters.append(_letter(record, verdict))
            if mine_from is None or records[-1].offset < mine_from:
                continue
            self._metrics.verdict_records.labels("accepted").inc(accepted)
            if letters:
                await self._dead_letters.write(letters, tp.partition)
                count_letters(self._metrics, self._topic, letters)
                self._metrics.verdict_records.labels("dead_letter").inc(len(letters))
            self._answered_for[tp] = records[-1].offset + 1
            await consumer.commit({tp: records[-1].offset + 1})


def _letter(record: Any, refusal: Refusal) -> Letter:
    headers = wire.headers(
        record.topic, record.partition, record.offset, refusal.reason, refusal.detail, list(record.headers)
    )
    timestamp_ms = record.timestamp if record.timestamp is not None and record.timestamp >= 0 else None
    return Letter(refusal.reason, record.value, record.key, timestamp_ms, headers)
