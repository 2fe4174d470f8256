"""What the agents do with a batch: records to marked actions, blocks of actions to flags and visits.

A batch's own work is synchronous, on columns; between two batches the loop runs. What a batch causes is queued
in order and awaited apart, so that several batches of a partition are on their way at once, and the ticket in
the ledger is finished when all of it is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from detectors.actors import Outcome
from schemas.decode import decode_batch
from schemas.texts import Pieces, differing
from streams.alignment import turns_of
from streams.block_parts import BlockHeader
from streams.blocks import BlockRefused, Origin, Outgoing, unpack
from streams.dead_letters import StreamReason, letter, unreadable
from streams.surges import pack_all as pack_surges

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from detectors.actions import Actions
    from detectors.actors import Marked
    from schemas.columns import Events, Topic
    from schemas.flags import Flag
    from schemas.refusals import Refusal
    from streams.alignment import Together
    from streams.blocks import Block
    from streams.commits import Partition
    from streams.completion import Completion
    from streams.dead_letters import DeadLetterWriter, Letter
    from streams.fetched import FetchedBatch
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.outgoing import Gatherer
    from streams.publish import Publisher, Sent
    from streams.sources import Sources
    from streams.stages import Seen, Stages
    from streams.surges import Visited

_Packed = TypeVar("_Packed")

_OUTCOME_LABELS = {Outcome.ACCEPTED: "accepted", Outcome.DUPLICATE: "duplicate", Outcome.LATE: "late"}


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
        self._completion.finish_after([batch], self._with_letters(batch, sent, letters))

    def _with_letters(self, batch: FetchedBatch, sent: list[Sent], letters: Sequence[Letter]) -> list[Sent]:
        return [*sent, self._dead_letters.write(letters, batch.source.partition)] if letters else sent


class ActorsAgent(Agent):
    """likes, follows, searches → marked actions, which go on in blocks, and flags about actors."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        stages: Stages,
        sources: Sources,
        publisher: Publisher,
        dead_letters: DeadLetterWriter,
        metrics: Metrics,
        completion: Completion,
        gatherer: Gatherer,
    ) -> None:
        """`topics` says which input topic a Kafka topic is; `gatherer` takes what goes on to the subjects."""
        super().__init__(stages, publisher, dead_letters, metrics, completion)
        self._topics = topics
        self._sources = sources
        self._gatherer = gatherer

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
        for batch, of_batch, (outgoing, letters) in zip(batches, marked, made, strict=True):
            sent: list[Sent] = [await self._publisher.flag(flag) for flag in of_batch.flags]
            self._sources.get(batch.source, time.monotonic())
            last = together.last and batch is batches[-1]
            await self._gatherer.add(batch, outgoing, self._with_letters(batch, sent, letters), last=last)

    async def end_round(self) -> None:
        """Let go on what was made since the last time, once the batch that is being worked on is done."""
        async with self.turn:
            pass
        await self._gatherer.end_round()

    def _made(
        self, batch: FetchedBatch, decoded: tuple[Events, Sequence[Refusal]], marked: Marked
    ) -> tuple[Outgoing, list[Letter]]:
        """Return the actions for the subject partitions and the dead letters that come of a batch, and count."""
        if len(batch) and batch.timestamps[0] > 0:  # very old producers write none
            delay_s = time.time() - int(batch.timestamps[0]) / 1000
            self._metrics.receive_delay.labels(batch.source.topic).observe(max(0.0, delay_s))
        events, refusals = decoded
        letters = _letters(batch, refusals)
        self._count(batch, events, marked, letters)
        header = BlockHeader(*batch.source, batch.offset_first, batch.offset_next - 1, marked.watermark)
        texts = (events.subject_ids, events.owner_ids, events.item_ids, events.actor_ids)
        offsets = batch.offsets[events.row[marked.rows]]
        return Outgoing(header, marked.actions, offsets, Origin(texts, marked.rows)), letters

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
    """Blocks of actions → flags, and the visits among them."""

    async def process(self, batch: FetchedBatch) -> None:
        """Work on one batch whose ticket was started."""
        started = time.perf_counter()
        flags: list[Flag] = []
        visited: list[Visited] = []
        blocks, letters = unpacked(batch, unpack)
        for row, block in blocks:
            flags += self.apply(batch.source, block, int(batch.offsets[row]), visited)
        surges = pack_surges(batch.source.partition, visited)
        count_letters(self._metrics, batch.source.topic, letters)
        self._metrics.batch_seconds.labels("subjects").observe(time.perf_counter() - started)
        sent: list[Sent] = [await self._publisher.flag(flag) for flag in flags]
        sent += [await self._publisher.surges(value) for value in surges]
        self._finish(batch, sent, letters)

    def apply(self, at: Partition, block: Block, offset: int, visited: list[Visited]) -> list[Flag]:
        """Apply the block at an offset; return the flags, and add the visits among its actions to `visited`."""
        stage, seen = self._stages.subjects(at.partition)
        actions, sources = self._new(block, seen)
        flags: list[Flag] = []
        if len(actions):
            visits = self._stages.visits(at.partition)
            if visits is not None:
                visited.append((offset, visits.apply(actions)))
            flags = stage.apply_all(actions, sources)
        quiet = [(one.source, one.watermark_ms, one.idle) for one, start, end in block.parts if start == end]
        return flags + stage.advance_all(quiet) if quiet else flags

    def _new(self, block: Block, seen: Seen) -> tuple[Actions, list[tuple[str, int]]]:
        """Return the actions that were not applied before, and how many are of each source; take them for seen."""
        sources: list[tuple[str, int]] = []
        rows: list[NDArray[np.intp]] = []
        for header, start, end in block.parts:
            if start == end:
                continue
            source, offsets = header.source, block.offsets[start:end]
            new = int(np.searchsorted(offsets, seen.get(source, -1), side="right"))
            seen[source] = max(seen.get(source, -1), int(offsets[-1]))
            if new < len(offsets):
                sources.append((source, len(offsets) - new))
                rows.append(np.arange(start + new, end))
        count = sum(count for _, count in sources)
        self._metrics.actions.inc(count)
        if count == len(block.offsets):
            return block.actions, sources
        self._metrics.repeated_actions.inc(len(block.offsets) - count)
        return block.actions.take(np.concatenate(rows) if rows else np.empty(0, np.intp)), sources


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


async def guarded(work: Coroutine[Any, Any, None], lifecycle: Lifecycle) -> None:
    """Run an agent's work; what it raises stops the worker, since Faust would count the batch as done."""
    try:
        await work
    except Exception as error:  # noqa: BLE001
        lifecycle.fail(error)
