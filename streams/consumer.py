"""The consumer of the batch transport: one message per fetched partition batch, and commits that it owns.

Faust's consumer makes four tasks per message and commits past work in flight; of it there remain the thread
with the group membership, the rebalance callbacks and the life cycle. What is overridden here are names that
Faust does not promise to keep, so the contract test pins the versions and each name.

On its way out (a rebalance, a stop) everything that an agent has begun is seen to its end, checkpointed and committed;
what none has begun is dropped and fetched again by whoever has the partition next. When the begun work does not end
in time the worker stops: state that has seen records which nobody acknowledged must not live on.
"""

# ruff: noqa: SLF001 -- private names of Faust and aiokafka are what this is made of; the contract test pins them
from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from streams.commits import Partition
from streams.consumer_thread import BatchConsumerThread
from streams.errors import BrokerError
from streams.outgoing import TOGETHER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.alignment import Aligner, Together
    from streams.commits import Ledger
    from streams.fetched import FetchedBatch, RawFetch
    from streams.lifecycle import Lifecycle
    from streams.transport import TransportOptions

log = logging.getLogger(__name__)

POLL_S = 1.0
"""A poll without records returns after this, so that a stop or a rebalance is noticed."""

PACKED_MAX = 8
"""Records of packed topics handled as one batch: a fetch of a backlog holds dozens, which kept everything else waiting
for seconds."""

FULL_POLL_S = 0.02
"""The same while a partition has all the batches in flight that it may have."""


class BatchConsumer(driver.Consumer):
    """Hands whole partition batches to the agents, and commits what the ledger says is done."""

    mundane_level = "debug"
    _thread: BatchConsumerThread
    _departures = 0  # how often partitions were told to leave

    @property
    def options(self) -> TransportOptions:
        """How to fetch, from the app."""
        return self.app.options  # type: ignore[no-any-return]

    @property
    def ledger(self) -> Ledger:
        """The batches in flight, from the app."""
        return self.app.ledger  # type: ignore[no-any-return]

    @property
    def aligner(self) -> Aligner:
        """What waits for its turn, from the app."""
        return self.app.aligner  # type: ignore[no-any-return]

    @property
    def lifecycle(self) -> Lifecycle:
        """What stops the worker, from the app."""
        return self.app.lifecycle  # type: ignore[no-any-return]

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        """Leave it to the watchdog: Faust's check compares two different clocks and never fires."""

    async def positions(self) -> dict[Partition, tuple[int | None, int | None]]:
        """Return where each assigned partition is read up to and its highwater, None where not known yet.

        What waits here for other topics is not read yet.
        """
        positions = await self._thread.positions()
        held = {source: front for source in positions if (front := self.aligner.front(source)) is not None}
        return positions | {source: (front, positions[source][1]) for source, front in held.items()}

    async def commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:
        """Commit as a member of this generation of the group; False where it is not the current one any more.

        Raises BrokerError.
        """
        try:
            return await self._thread.commit_as(generation, offsets)
        except KafkaError as error:
            raise BrokerError(f"cannot commit: {error!r}") from error

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Stop the flow until the seek; take note of an assignment without partitions, where Faust seeks nothing.

        Faust stops the flow when partitions leave. Where none were here it goes on, and what is fetched of the new ones
        before their seek would be worked on twice.
        """
        self.stop_flow()
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            self.app.observer.on_assigned({}, self.ledger.resume({}))

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if self.ledger.crowded:
                    await self.ledger.wait_changed(POLL_S)
                    continue
                taken, _ = await self._wait_next_records(POLL_S)
                if not await self._go_on(taken or {}, self.app.consumer_generation_id):
                    self.aligner.clear()
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except KafkaError as error:
            self.lifecycle.fail(BrokerError(f"cannot fetch: {error!r}"))

    async def _getmany(self, active_partitions: set[Any] | None, timeout: float) -> Any:  # noqa: ASYNC109
        active = active_partitions or set()
        crowded = self.aligner.held_bytes + self.ledger.in_flight_bytes >= self.ledger.bytes_max
        free = {tp for tp in active if not self.ledger.full(tp) and self.aligner.wants(tp, crowded=crowded)}
        if not free:
            await self.ledger.wait_changed(timeout)
            return {}
        # What waits in a full partition is already here, and so is what waits for others: look again soon.
        at_ease = len(free) == len(active) and not self.aligner.held_records
        return await self._thread.getmany(free, timeout if at_ease else FULL_POLL_S)

    async def _go_on(self, taken: Mapping[Partition, RawFetch], generation: int) -> bool:
        """Read what was fetched and hand over what has its turn; False where nothing is to be had any more."""
        # As of the same poll: what was taken after it is not among these batches.
        reached = self._thread.reached
        prompt = self.options.prompt_topics
        # What must not wait comes first: more of it is taken while the inputs are read, and goes on behind it.
        for raw in sorted(taken.values(), key=lambda raw: raw.source.topic not in prompt):
            if raw.source.topic not in prompt and not await self._breathe(generation):
                return False
            if not await self._read(raw, generation):
                return False
        self.aligner.look(reached)
        together = None
        for together in self.aligner.ready(self.ledger.busy):
            if not (await self._breathe(generation) and self._flows(generation)):
                return False
            await self._hand_over(together.batches, together)
        # Its agent takes them in this order, so what came of this round is complete with the last of them.
        if together is not None and await self.ledger.wait_begun(together.tickets, TOGETHER_S):
            await self.app.end_round()
        return True

    async def _breathe(self, generation: int) -> bool:
        """Let the loop have its turn, and what came meanwhile that must not wait until the inputs are through."""
        await asyncio.sleep(0)
        if not self._thread.prompt_arrived:
            return True
        topics = self.options.prompt_topics
        free = {tp for tp in self._active_partitions or () if tp.topic in topics and not self.ledger.full(tp)}
        taken = await self._thread.getmany(free, 0.0) if free else {}
        # Of an assignment that came meanwhile it is worked on all the same: it would not be fetched again.
        current = self.app.consumer_generation_id
        read = [await self._read(raw, current) for raw in taken.values()]
        return all(read) and current == generation

    async def _read(self, raw: RawFetch, generation: int) -> bool:
        """Read what was fetched of a partition, and hand it over or let it wait for its turn, as `_go_on` says."""
        records_max = self.options.records_max
        most = min(records_max, PACKED_MAX) if raw.source.topic in self.options.packed_topics else records_max
        for batch in raw.read(most, check_crcs=self.options.check_crcs):
            if not self._flows(generation):
                return False
            if batch.source not in self._active_partitions:
                break
            if not (self.aligner.takes(batch.source) and self.aligner.add(batch)):
                await self._hand_over([batch], batch)
        return True

    def _flows(self, generation: int) -> bool:
        """Say whether what was fetched in this generation is still to be worked on."""
        flows = self.flow_active and not self.should_stop and self.app.consumer_generation_id == generation
        if not flows:
            log.info("fetched batches are dropped on a rebalance; they are fetched again")
        return bool(flows)

    async def _hand_over(self, batches: list[FetchedBatch], record: FetchedBatch | Together) -> None:
        """Enter batches in the ledger and give them to their agent."""
        # Nothing here suspends until the message lies in its agent's queue, so flow cannot stop in between.
        for batch in batches:
            batch.ticket = self.ledger.open(batch.source, batch.offset_first, batch.offset_next, batch.size_bytes)
            if not len(batch) and not batch.unreadable:
                self.ledger.start(batch.ticket)
                self.ledger.finish(batch.ticket)
                return
        await self.callback(self._to_message(record.source, record))

    def _to_message(self, tp: Any, record: FetchedBatch | Together) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset_first,
            0.0,
            0,
            (),
            None,
            record,
            None,
            0,
            record.size_bytes,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002
        """Commit what the ledger says is done; True where something was committed."""
        offsets = self.ledger.committable()
        if not offsets or self._thread._consumer is None:
            return False
        if not await self._commit(offsets):
            return False
        self.ledger.committed(offsets)
        self.app.observer.on_committed(offsets)
        return True

    async def wait_empty(self) -> None:
        """Drop what no agent has begun, see the rest to its end, checkpoint and commit it."""
        self._departures += 1
        self.aligner.clear()
        dropped = self.ledger.drop_queued()
        log.info("waiting for the work in flight", extra={"fields": {"dropped": dropped}})
        timeout_s = self.options.settle_timeout_ms / 1000
        if self.lifecycle.failure is None and not await self._settled(timeout_s):
            self.lifecycle.fail(
                BrokerError(f"{self.ledger.in_flight_batches} batches were not acknowledged within {timeout_s:.0f} s")
            )
        if self.lifecycle.failure is None:
            try:
                await self.app.observer.leave()
            except Exception as error:  # noqa: BLE001  # whatever it is, what it was for is not durable
                self.lifecycle.fail(error)
        # A commit that is under way when this one begins answers for it, perhaps with less: ask again.
        for _ in range(3):
            if not self.ledger.committable() or await self.commit():
                break

    async def _settled(self, timeout_s: float) -> bool:
        settled = asyncio.ensure_future(self.ledger.wait_settled(timeout_s))
        failed = asyncio.ensure_future(self.lifecycle.failed())
        try:
            await asyncio.wait({settled, failed}, return_when=asyncio.FIRST_COMPLETED)
            return settled.done() and settled.result()
        finally:
            settled.cancel()
            failed.cancel()

    async def perform_seek(self) -> None:
        """Begin a new assignment where its state stands; the app restores, keeps or forgets what state it has."""
        departures, generation = self._departures, self.app.consumer_generation_id
        try:
            committed = await self.seek_to_committed()
        except IllegalStateError:  # assigned anew meanwhile: the next assignment seeks again
            return
        except KafkaError as error:
            self.lifecycle.fail(BrokerError(f"cannot read the committed offsets: {error!r}"))
            raise
        offsets = {Partition(tp.topic, tp.partition): offset for tp, offset in committed.items()}
        try:
            resumed = await self.app.observer.resume(offsets, generation)
        except Exception as error:
            self.lifecycle.fail(error)
            raise
        if departures != self._departures:
            # Partitions were told to leave while their state was restored. Flow must not begin with them: the next
            # assignment, or the end, cancels this.
            await asyncio.Event().wait()
        elsewhere = sum(offset != offsets[tp] for tp, offset in resumed.items())
        if elsewhere:
            log.info("going on where the state stands", extra={"fields": {"partitions": elsewhere}})
        self.aligner.clear()
        # All of them: a restore takes its time, and the positions must be these when flow begins.
        await self.seek_wait({tp: offset for tp, offset in resumed.items() if offset is not None})
        self.app.observer.on_assigned(resumed, self.ledger.resume(resumed, committed=offsets))
