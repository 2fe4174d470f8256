# ruff: noqa: SLF001 -- private names of Faust and aiokafka are what this is made of; the contract test pins them
"""The consumer's thread: aiokafka with the group membership, on a loop of its own, and what it fetches.

It only receives: records are decompressed and read on the loop that works on them. Two threads that both run
Python would wait for the interpreter's lock, milliseconds each time that one of them lets go of it.
"""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver

from streams.alignment import Reached
from streams.commits import Partition
from streams.fetched import take_raw
from streams.lanes import fetch_in_lanes
from streams.record_batches import keep_fetched_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.consumer import BatchConsumer
    from streams.fetched import RawFetch

COLLECT_BYTES = 1 << 20
"""The broker collects this much before it answers a fetch of the inputs, for `fetch_wait_ms` at the most: some ten
thousand events. A batch costs about a millisecond whatever is in it, so at a thousand events a second spread over some
dozens of partitions, a batch for every few events would keep a whole core busy."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer on a thread and loop of its own, so that no batch, however long, delays a heartbeat."""

    mundane_level = "debug"
    consumer: BatchConsumer
    reached: Mapping[Partition, Reached] = MappingProxyType({})
    """How far every assigned partition is taken, as of the end of the last poll. Put in place whole, for any thread."""

    _heard: Mapping[Partition, tuple[int | None, int | None]] = MappingProxyType({})

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> AIOKafkaConsumer:  # noqa: ARG002
        options = self.consumer.options
        keep_fetched_bytes()
        fetch_in_lanes()
        return AIOKafkaConsumer(
            client_id=options.client_id,
            group_id=self.app.conf.id,
            group_instance_id=options.group_instance_id,
            bootstrap_servers=options.bootstrap_servers,
            # The same partition number of every topic goes to the same worker: the actor stage needs all three.
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=options.check_crcs,
            fetch_max_wait_ms=options.fetch_wait_ms,
            fetch_min_bytes=COLLECT_BYTES,
            fetch_max_bytes=options.fetch_bytes_max,
            max_partition_fetch_bytes=options.partition_fetch_bytes_max,
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=options.session_timeout_ms // 10,
            rebalance_timeout_ms=options.rebalance_timeout_ms,
            max_poll_records=options.records_max,
            request_timeout_ms=options.request_timeout_ms,
            **options.security,
        )

    async def commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:
        """Commit as a member of this generation of the group; False where it is not the current one any more."""
        return await self.call_thread(self._commit_as, generation, dict(offsets))  # type: ignore[no-any-return]

    async def _commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator
        if coordinator.generation != generation:
            return False
        try:
            await consumer.commit({TopicPartition(*source): offset for source, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError):  # the group, or this member, has moved on
            return False
        # A generation never comes back, so the one before and after is the one that was sent.
        return bool(coordinator.generation == generation)

    def close(self) -> None:
        """Do nothing: the thread closes its own client on its own loop when it ends."""

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[Partition],
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,
    ) -> Mapping[Partition, RawFetch]:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        consumer._coordinator.check_errors()
        fetcher.prompt_topics = self.consumer.options.prompt_topics
        with fetcher._subscriptions.fetch_context():
            return await self._take(fetcher, active_partitions, time.monotonic() + (timeout or 0.0), max_records or 1)

    async def _take(
        self, fetcher: Any, active: set[Partition], deadline: float, records_max: int
    ) -> Mapping[Partition, RawFetch]:
        """Do what aiokafka's `Fetcher.fetched_records` does, without reading the records."""
        collected: dict[Partition, RawFetch] = {}
        # What is taken once flow has stopped is dropped, so it must not be what comes after the next assignment's seek:
        # that would be passed over for good.
        while not fetcher._closed and self.consumer.flow_active:
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            collected = self._take_ready(fetcher, active, records_max)
            left_s = deadline - time.monotonic()
            if collected or left_s <= 0:
                break
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=left_s)
            if not waiter.done():
                waiter.cancel()
                break
            waiter.result()
        self.reached = self._reached()
        return collected

    def _take_ready(self, fetcher: Any, active: set[Partition], records_max: int) -> dict[Partition, RawFetch]:
        """Take what has arrived, about `records_max` records, as much of one partition as of another.

        What is taken of one topic alone waits for the others of its number, and goes on in pieces.
        """
        collected: dict[Partition, RawFetch] = {}
        ready = list(fetcher._records)
        fetcher.prompt_arrived = False
        share = max(1, 2 * records_max // max(1, len(ready)))
        count = 0
        for tp in ready:
            if tp not in active:
                if not fetcher._subscriptions.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            fetched = fetcher._records[tp]
            source = Partition(tp.topic, tp.partition)
            del fetcher._records[tp]
            if not isinstance(fetched, FetchResult):
                fetched.check_raise()
            raw = take_raw(fetched, source, share)
            if fetched.has_more():
                fetcher._records[tp] = fetched  # at the end: the other partitions have their turn
            else:
                fetcher._notify(fetcher._wait_consume_future)
            if raw is not None:
                collected[source] = raw
                count += raw.offset_next - raw.offset_first
            if count >= 2 * records_max:
                break
        return collected

    def _states(self) -> dict[Any, Any]:
        """Return aiokafka's state of every assigned partition."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or not assignment.active:
            return {}
        return {tp: assignment.state_value(tp) for tp in assignment.tps}

    @property
    def prompt_arrived(self) -> bool:
        """Whether something has come that must not wait with the inputs. To be read by any thread."""
        return self._consumer is not None and self._consumer._fetcher.prompt_arrived

    async def positions(self) -> dict[Partition, tuple[int | None, int | None]]:
        """Return where each assigned partition is read up to and its highwater, None where not known yet."""
        return await self.call_thread(self._positions)  # type: ignore[no-any-return]

    async def _positions(self) -> dict[Partition, tuple[int | None, int | None]]:
        return {source: (one.position, one.highwater) for source, one in self._reached().items()}

    def _reached(self) -> dict[Partition, Reached]:
        """Return how far every assigned partition is taken. When news came is told by the clock that never jumps."""
        now_ms = time.monotonic_ns() // 1_000_000
        before, self._heard = self._heard, {}
        reached = {}
        for tp, state in self._states().items():
            source = Partition(tp.topic, tp.partition)
            # aiokafka notes the time on the wall at every answer.
            noted, heard_ms = before.get(source, (None, None))
            if state.timestamp != noted:
                heard_ms = now_ms
            self._heard[source] = state.timestamp, heard_ms
            position = state.position if state.has_valid_position else None
            reached[source] = Reached(position, state.highwater, heard_ms)
        return reached
