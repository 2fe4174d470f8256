"""What the agents do with a batch: records to marked actions, blocks of actions and meetings to flags.

A batch's own work is synchronous, on columns; between two batches the loop runs. What a batch causes is queued
in order and awaited apart, so that several batches of a partition are on their way at once, and the ticket in
the ledger is finished when all of it is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from detectors.actions import Actions, partition_of
from detectors.actors import Outcome
from schemas.decode import decode_batch
from schemas.texts import Pieces, differing
from streams.alignment import turns_of
from streams.blocks import BlockHeader, BlockRefused, Origin, pack_all, unpack
from streams.dead_letters import StreamReason, letter, unreadable
from streams.publish import all_of
from streams.surges import pack_all as pack_surges

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from detectors.actors import Marked
    from schemas.columns import Events, Topic
    from schemas.flags import Flag
    from schemas.refusals import Refusal
    from streams.alignment import Together
    from streams.blocks import Block
    from streams.commits import Ledger, Partition
    from streams.dead_letters import DeadLetterWriter, Letter
    from streams.fetched import FetchedBatch
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.publish import Publisher, Sent
    from streams.sources import Sources
    from streams.stages import Stages
    from streams.surges import Met

log = logging.getLogger(__name__)

_Packed = TypeVar("_Packed")

BLOCK_BYTES_MAX = 512 * 1024
"""A block larger than this is cut in two: half of what a broker takes by default, 1 MiB."""

_OUTCOME_LABELS = {Outcome.ACCEPTED: "accepted", Outcome.DUPLICATE: "duplicate", Outcome.LATE: "late"}


class Completion:
    """Finishes tickets: when everything that came of a batch is acknowledged, and never otherwise."""

    def __init__(self, ledger: Ledger, lifecycle: Lifecycle) -> None:
        self._ledger = ledger
        self._lifecycle = lifecycle
        self._waiting: set[asyncio.Task[None]] = set()

    def finish_after(self, batch: FetchedBatch, sent: Sequence[Sent]) -> None:
        """Finish a batch's ticket after what was sent is acknowledged; the worker stops where it is not."""
        task = asyncio.ensure_future(self._finish(batch, sent))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _finish(self, batch: FetchedBatch, sent: Sequence[Sent]) -> None:
        try:
            await all_of(sent)
            if batch.ticket is not None:
                self._ledger.finish(batch.ticket)
        except Exception as error:  # noqa: BLE001  # whatever it is, the batch is not done
            self._lifecycle.fail(error)


class Agent:
    """What all agents have: the stages, where what they find goes to, and how a batch ends."""

    def __init__(
        self,
        stages: Stages,
        publisher: Publisher,
        dead_letters: DeadLetterWriter,
        metrics: Metrics,
        completion: Completion,
    ) -> None:
        self._stages = stages
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._completion = completion
        self.turn = asyncio.Lock()
        """Held from the start of a batch until all that it says is queued."""

    def _finish(self, batch: FetchedBatch, sent: list[Sent], letters: Sequence[Letter]) -> None:
        """Let a batch's ticket be finished once all of this is acknowledged, its dead letters included."""
        if letters:
            sent.append(self._dead_letters.write(letters, batch.source.partition))
        self._completion.finish_after(batch, sent)


class ActorsAgent(Agent):
    """likes, follows, searches → marked actions, in blocks for the subject partitions, and flags about actors."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        stages: Stages,
        sources: Sources,
        publisher: Publisher,
        dead_letters: DeadLetterWriter,
        metrics: Metrics,
        completion: Completion,
    ) -> None:
        """`topics` says which input topic a Kafka topic is."""
        super().__init__(stages, publisher, dead_letters, metrics, completion)
        self._topics = topics
        self._sources = sources

    async def process(self, together: Together) -> None:
        """Work on batches of one partition number, merged, whose tickets were started."""
        started = time.perf_counter()
        batches = together.batches
        decoded = [decode_batch(self._topics[batch.source.topic], batch.values, batch.timestamps) for batch in batches]
        events = [each for each, _ in decoded]
        stage = self._stages.actors(together.source.partition)
        turns = turns_of([batch.merge_ms[each.row] for batch, each in zip(batches, events, strict=True)])
        marked = stage.apply_in_turns(events, turns)
        made = [self._made(*each) for each in zip(batches, decoded, marked, strict=True)]
        self._metrics.batch_seconds.labels("actors").observe(time.perf_counter() - started)
        for batch, of_batch, (blocks, letters) in zip(batches, marked, made, strict=True):
            sent: list[Sent] = [await self._publisher.block(partition, value) for partition, value in blocks]
            sent += [await self._publisher.flag(flag) for flag in of_batch.flags]
            source = self._sources.get(batch.source, time.monotonic())
            source.sent({partition for partition, _ in blocks}, of_batch.watermark, batch.offset_next - 1)
            self._finish(batch, sent, letters)

    def _made(
        self, batch: FetchedBatch, decoded: tuple[Events, Sequence[Refusal]], marked: Marked
    ) -> tuple[list[tuple[int, bytes]], list[Letter]]:
        """Return the blocks for the subject partitions and the dead letters that come of a batch, and count."""
        if len(batch) and batch.timestamps[0] > 0:  # very old producers write none
            delay_s = time.time() - int(batch.timestamps[0]) / 1000
            self._metrics.receive_delay.labels(batch.source.topic).observe(max(0.0, delay_s))
        events, refusals = decoded
        letters = _letters(batch, refusals)
        self._count(batch, events, marked, letters)
        return self._blocks(batch, events, marked, batch.offsets[events.row[marked.rows]]), letters

    def _blocks(
        self, batch: FetchedBatch, events: Events, marked: Marked, offsets: NDArray[np.int64]
    ) -> list[tuple[int, bytes]]:
        actions = marked.actions
        if not len(actions):
            return []
        partition = partition_of(actions.subject, self._sources.subject_partitions)
        # Sorted once and then sliced: a stable order by partition, so each block keeps the order of its source.
        order = np.argsort(partition, kind="stable")
        actions, offsets, partition = actions.take(order), offsets[order], partition[order]
        starts = np.flatnonzero(np.r_[True, partition[1:] != partition[:-1], True])
        header = BlockHeader(*batch.source, batch.offset_first, batch.offset_next - 1, marked.watermark)
        numbers = partition[starts[:-1]].tolist()
        texts = (events.subject_ids, events.owner_ids, events.item_ids, events.actor_ids)
        values = pack_all(actions, offsets, starts, header, Origin(texts, marked.rows[order]))
        cut = cut_to_size(values, actions, offsets, starts, header)
        return [(number, value) for number, values in zip(numbers, cut, strict=True) for value in values]

    def _count(self, batch: FetchedBatch, events: Events, marked: Marked, letters: Sequence[Letter]) -> None:
        topic = batch.source.topic
        for code, count in enumerate(np.bincount(marked.outcome, minlength=len(Outcome)).tolist()):
            if count:
                self._metrics.events.labels(topic, _OUTCOME_LABELS[Outcome(code)]).inc(count)
        count_letters(self._metrics, topic, letters)
        if letters:
            self._metrics.events.labels(topic, "dead_letter").inc(len(letters))
        misrouted = misrouted_keys(batch, events)
        if misrouted:
            self._metrics.misrouted.labels(topic).inc(misrouted)
        self._metrics.suspicious.labels(topic).inc(int(np.count_nonzero(marked.actions.mark > 0)))
        if len(batch):
            self._metrics.last_record.labels(topic).set(int(batch.timestamps[-1]) / 1000)


class SubjectsAgent(Agent):
    """Blocks of actions → flags, and the meetings among them."""

    async def process(self, batch: FetchedBatch) -> None:
        """Work on one batch whose ticket was started."""
        started = time.perf_counter()
        flags: list[Flag] = []
        met: list[Met] = []
        blocks, letters = unpacked(batch, unpack)
        for row, block in blocks:
            flags += self.apply(batch.source, block, int(batch.offsets[row]), met)
        surges = pack_surges(batch.source.partition, met)
        count_letters(self._metrics, batch.source.topic, letters)
        self._metrics.batch_seconds.labels("subjects").observe(time.perf_counter() - started)
        sent: list[Sent] = [await self._publisher.flag(flag) for flag in flags]
        sent += [await self._publisher.surges(value) for value in surges]
        self._finish(batch, sent, letters)

    def apply(self, at: Partition, block: Block, offset: int, met: list[Met]) -> list[Flag]:
        """Apply the block at an offset; return the flags, and add the meetings of its actions to `met`."""
        stage, seen = self._stages.subjects(at.partition)
        header = block.header
        if not len(block.offsets):
            return stage.advance(header.source, header.watermark_ms, idle=header.idle)
        new = int(np.searchsorted(block.offsets, seen.get(header.source, -1), side="right"))
        if new:
            self._metrics.repeated_actions.inc(new)
        seen[header.source] = max(seen.get(header.source, -1), int(block.offsets[-1]))
        if new == len(block.offsets):
            return []
        actions = _slice(block.actions, new, len(block.offsets)) if new else block.actions
        meetings = self._stages.meetings(at.partition)
        if meetings is not None:
            met.append((offset, meetings.apply(actions)))
        return stage.apply(actions, header.source)


def unpacked(
    batch: FetchedBatch, unpack_one: Callable[[bytes | None], _Packed]
) -> tuple[list[tuple[int, _Packed]], list[Letter]]:
    """Return what a worker packed into the records of a batch, by row, and a dead letter for every other record."""
    found: list[tuple[int, _Packed]] = []
    letters = list(unreadable(batch))
    for row, value in enumerate(batch.values):
        try:
            found.append((row, unpack_one(value)))
        except BlockRefused as refused:
            letters.append(letter(batch, row, StreamReason.NOT_A_BLOCK, str(refused)))
    return found, letters


def cut_to_size(
    values: list[bytes], actions: Actions, offsets: NDArray[np.int64], starts: NDArray[np.int64], header: BlockHeader
) -> list[list[bytes]]:
    """Return for each block itself, or where it is too large some that together hold its rows, in order."""
    return [
        [value] if len(value) <= BLOCK_BYTES_MAX else _halves(_slice(actions, start, end), offsets[start:end], header)
        for value, (start, end) in zip(values, pairwise(starts.tolist()), strict=True)
    ]


def _halves(actions: Actions, offsets: NDArray[np.int64], header: BlockHeader) -> list[bytes]:
    # An event makes one action, so a cut between rows is also one between offsets.
    n = len(actions)
    starts = np.array([0, n // 2, n]) if n > 1 else np.array([0, n])
    values = pack_all(actions, offsets, starts, header)
    if n == 1:
        return values
    return [value for some in cut_to_size(values, actions, offsets, starts, header) for value in some]


def misrouted_keys(batch: FetchedBatch, events: Events) -> int:
    """Count the valid records of a batch whose key is not their actor."""
    keys = Pieces.over(batch.keys)
    return differing(events.actor_ids, keys if len(events) == len(keys) else keys[events.row])


def _letters(batch: FetchedBatch, refusals: Sequence[Refusal]) -> list[Letter]:
    made = [letter(batch, refusal.row, refusal.reason, refusal.detail) for refusal in refusals]
    return [*made, *unreadable(batch)] if batch.unreadable else made


def count_letters(metrics: Metrics, topic: str, letters: Sequence[Letter]) -> None:
    """Count dead letters by their reason."""
    for one in letters:
        metrics.dead_letters.labels(topic, one.reason.value).inc()


def _slice(actions: Actions, start: int, end: int) -> Actions:
    return Actions(
        actions.ts[start:end],
        actions.watermark[start:end],
        actions.verb[start:end],
        actions.subject[start:end],
        actions.actor[start:end],
        actions.owner[start:end],
        actions.item[start:end],
        actions.position[start:end],
        actions.device[start:end],
        actions.mark[start:end],
        actions.traits[start:end],
        actions.names,
    )


async def guarded(work: Coroutine[Any, Any, None], lifecycle: Lifecycle) -> None:
    """Run an agent's work; what it raises stops the worker, since Faust would count the batch as done."""
    try:
        await work
    except Exception as error:  # noqa: BLE001
        lifecycle.fail(error)
