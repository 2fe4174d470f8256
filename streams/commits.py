"""Which fetched batches are done, and so what may be committed: one watermark per partition, moved in order.

Every batch that is handed to an agent gets a ticket. The ticket is done when everything that came of the batch
is acknowledged by the broker. A partition is done up to the end of the longest unbroken run of done tickets from
its front, whatever order the acknowledgements came in. What may be committed is that, or with checkpoints what the
last of them covers. The bounds on what is in flight are held here as well, since the same tickets count them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

log = logging.getLogger(__name__)

WAIT_S = 5.0
"""Between two looks of somebody who waits for acknowledgements; every change is a look as well."""


class Partition(NamedTuple):
    """A topic partition; equal to, and hashed like, Faust's and aiokafka's own."""

    topic: str
    partition: int


class State(Enum):
    """Where a batch is on its way."""

    QUEUED = "queued"  # handed over, its agent has not begun
    STARTED = "started"  # its agent has begun: its effects must be seen to their end
    DONE = "done"  # all that came of it is acknowledged
    DROPPED = "dropped"  # never begun, and it will be fetched again


@dataclass(slots=True, eq=False)
class Ticket:
    """One batch in flight: records `offset_first` up to, not including, `offset_next` of its partition."""

    source: Partition
    offset_first: int
    offset_next: int
    size_bytes: int
    state: State = State.QUEUED


class Ledger:
    """The batches in flight of the partitions that this worker has. Belongs to the event loop, not to threads."""

    def __init__(self, batches_max: int, bytes_max: int, *, checkpoints: bool = False) -> None:
        """`batches_max` bounds each partition, `bytes_max` all of them; one batch always fits.

        With `checkpoints` only what `checkpointed` was told may be committed, else whatever is done.
        """
        self.batches_max = batches_max
        self.bytes_max = bytes_max
        self.in_flight_batches = 0
        self.in_flight_bytes = 0
        self.batches_done = 0
        self._queues: dict[Partition, deque[Ticket]] = {}
        self._done: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._checkpointed: dict[Partition, int] | None = {} if checkpoints else None
        self._changed = asyncio.Event()

    def open(self, source: Partition, offset_first: int, offset_next: int, size_bytes: int) -> Ticket:
        """Enter a batch that is handed to its agent, in the order of its partition."""
        queue = self._queues.setdefault(source, deque())
        if queue and offset_first < queue[-1].offset_next:
            raise AssertionError(
                f"{source}: batch at {offset_first} comes after one that ends at {queue[-1].offset_next}"
            )
        if offset_first < self._done.get(source, 0):
            log.warning(
                "a partition goes on before the offset that it is committed at; was its topic truncated or made anew?",
                extra={"fields": {"topic": source.topic, "partition": source.partition, "offset": offset_first}},
            )
            self._done[source] = self._committed[source] = offset_first
            if self._checkpointed is not None:
                self._checkpointed[source] = offset_first
        ticket = Ticket(source, offset_first, offset_next, size_bytes)
        queue.append(ticket)
        self.in_flight_batches += 1
        self.in_flight_bytes += size_bytes
        return ticket

    def start(self, ticket: Ticket) -> bool:
        """Say that the agent begins. False where the batch was dropped meanwhile, and must not be begun."""
        if ticket.state is not State.QUEUED:
            return False
        ticket.state = State.STARTED
        self.wake()
        return True

    def finish(self, ticket: Ticket) -> None:
        """Say that everything that came of a started batch is acknowledged."""
        if ticket.state is not State.STARTED:
            raise AssertionError(f"{ticket} cannot be done: it was not started")
        ticket.state = State.DONE
        self.batches_done += 1
        self._release(ticket)
        queue = self._queues.get(ticket.source)
        while queue and queue[0].state is State.DONE:
            self._done[ticket.source] = queue.popleft().offset_next

    def drop_queued(self) -> int:
        """Give up what no agent has begun, and return how many batches that were; they are fetched again later."""
        dropped = 0
        for queue in self._queues.values():
            # Agents begin a partition's batches in order, so the queued ones are a tail.
            while queue and queue[-1].state is State.QUEUED:
                ticket = queue.pop()
                ticket.state = State.DROPPED
                self._release(ticket)
                dropped += 1
        return dropped

    def full(self, source: Partition) -> bool:
        """Say whether a partition has as many batches in flight as it may have."""
        return len(self._queues.get(source, ())) >= self.batches_max

    def busy(self, source: Partition) -> bool:
        """Say whether a partition is full, or has a batch that no agent has begun: what comes next goes together."""
        queue = self._queues.get(source)
        return queue is not None and bool(queue) and (self.full(source) or queue[-1].state is State.QUEUED)

    @property
    def crowded(self) -> bool:
        """Whether all partitions together have as many bytes in flight as they may have."""
        return self.in_flight_bytes >= self.bytes_max

    async def wait_changed(self, timeout_s: float) -> None:
        """Wait until a batch leaves, or for `timeout_s`."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    async def wait_settled(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; False where that took longer than `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self.in_flight_batches:
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self.wait_changed(left)
        return True

    async def wait_begun(self, tickets: Collection[Ticket], timeout_s: float) -> bool:
        """Wait until these batches are begun or dropped; False where that took longer than `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while any(ticket.state is State.QUEUED for ticket in tickets):
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self.wait_changed(left)
        return True

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()

    def front(self, source: Partition) -> int | None:
        """Return the offset of the oldest record in flight, or None where nothing of the partition is."""
        queue = self._queues.get(source)
        return queue[0].offset_first if queue else None

    def reached(self, source: Partition) -> int | None:
        """Return the next offset of what agents have begun, in order: what state has seen. None before any."""
        offset = self._done.get(source)
        for ticket in self._queues.get(source, ()):
            if ticket.state is State.QUEUED:
                break
            offset = ticket.offset_next
        return offset

    async def wait_done(self, offsets: Mapping[Partition, int]) -> None:
        """Wait until everything before these offsets is done."""
        while any(self._done.get(source, -1) < offset for source, offset in offsets.items()):
            await self.wait_changed(WAIT_S)

    def committable(self) -> dict[Partition, int]:
        """Return the next offset of every partition that may be committed further than it is."""
        may = self._done if self._checkpointed is None else self._checkpointed
        return {source: offset for source, offset in may.items() if offset > self._committed.get(source, -1)}

    def checkpointed(self, offsets: Mapping[Partition, int]) -> None:
        """Note that a complete checkpoint covers everything before these offsets."""
        if self._checkpointed is not None:
            self._checkpointed.update(offsets)

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note what the broker has accepted."""
        for source, offset in offsets.items():
            if source in self._done:
                self._committed[source] = offset

    def resume(
        self, offsets: Mapping[Partition, int | None], committed: Mapping[Partition, int | None] | None = None
    ) -> set[Partition]:
        """Begin with the partitions of a new assignment at these offsets (None: at the first record there is).

        `committed` is what the group has, where that is not the same. Returns those that do not begin where this
        worker was: somebody else has worked on them, or the last commit did not arrive, so state kept for them does
        not match what will be read next.
        """
        strangers = {source for source, offset in offsets.items() if self._done.get(source) != offset}
        self._queues.clear()
        self._done = _known(offsets)
        self._committed = _known(offsets if committed is None else committed)
        if self._checkpointed is not None:
            self._checkpointed = dict(self._done)
        self.in_flight_batches = self.in_flight_bytes = 0
        self.wake()
        return strangers

    def _release(self, ticket: Ticket) -> None:
        self.in_flight_batches -= 1
        self.in_flight_bytes -= ticket.size_bytes
        self.wake()


def _known(offsets: Mapping[Partition, int | None]) -> dict[Partition, int]:
    return {source: offset for source, offset in offsets.items() if offset is not None}
