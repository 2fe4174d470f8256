"""When checkpoints are taken, what they commit, and which stages are restored: on an in-memory log of state."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from detectors.state import Delta
from streams.checkpoints import Checkpoints, Name
from streams.commits import Ledger, Partition
from streams.errors import MembershipLost, StateUnreadable
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.settings import Settings
from streams.stages import ACTORS, SUBJECTS, Stages
from streams.state_reader import Some

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

SETTINGS = Settings(partitions=1, checkpoint_ms=20)
LIKES, FOLLOWS, SEARCHES = (Partition(topic, 0) for topic in SETTINGS.input_topics.values())
ACTIONS = Partition(SETTINGS.topic_actions, 0)
ALL: dict[Partition, int | None] = dict.fromkeys((LIKES, FOLLOWS, SEARCHES, ACTIONS))


class Stage:
    """A stage whose whole state is a number."""

    def __init__(self) -> None:
        self.number = 0

    def advance(self, *_: object) -> None: ...
    def tables(self) -> dict[str, Any]:
        return {}

    def take_delta(self) -> Delta:
        return Delta()

    def parts(self) -> dict[str, bytes]:
        return {"number": b"%d" % self.number}

    def restore_part(self, _: str, data: bytes) -> None:
        self.number = int(data)

    def finish_restore(self) -> None: ...

    restore_rows = remove_keys = restore_increment = None


class Kafka:
    """The state topics, and a group of which this worker may be a member."""

    def __init__(self) -> None:
        self.logs: dict[Partition, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        self.generation = 1
        self.committed: dict[Partition, int] = {}
        self.reads = 0

    async def state(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Awaitable[None]:
        self.logs[Partition(topic, partition)].append((key, value))
        return asyncio.sleep(0)

    async def commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:
        assert offsets
        if generation != self.generation:
            return False
        self.committed.update(offsets)
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self, source: Partition) -> AsyncIterator[Some]:
        self.reads += 1
        yield Some([(n, key, value) for n, (key, value) in enumerate(self.logs[source])], 1.0)

    def offsets(self) -> dict[Partition, int | None]:
        return {source: self.committed.get(source) for source in ALL}


class Worker:
    """What of a worker has to do with checkpoints."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.lifecycle = Lifecycle()
        self.ledger = Ledger(10, 1_000, checkpoints=True)
        self.stages = Stages(cast("Any", Stage), cast("Any", Stage), [])
        self.keeper = Checkpoints(
            SETTINGS, self.ledger, self.stages, self.lifecycle, Metrics([]), kafka, kafka,
            cast("Any", lambda: kafka),
        )  # fmt: skip

    async def assigned(self, generation: int = 1) -> set[Name]:
        """Do what the consumer does with an assignment, and return the stages that stayed."""
        self.kafka.generation = generation
        resumed, stayed = await self.keeper.resume(self.kafka.offsets(), generation)
        self.ledger.resume(resumed, committed=self.kafka.offsets())
        self.keeper.keep(resumed)
        return stayed

    def work(self, source: Partition, *, done: bool = True) -> Any:
        """Work on one record of a source, which adds one to the number of its stage."""
        offset = self.ledger.reached(source) or 0
        ticket = self.ledger.open(source, offset, offset + 1, 1)
        self.ledger.start(ticket)
        self.stage(SUBJECTS if source == ACTIONS else ACTORS).number += 1
        if done:
            self.ledger.finish(ticket)
        return ticket

    async def checkpoint(self) -> None:
        """Take one of everything, and go on with the same assignment."""
        await self.keeper.leave()
        self.keeper.keep(ALL)

    def stage(self, name: str) -> Stage:
        return cast("Stage", self.stages.actors(0) if name == ACTORS else self.stages.subjects(0)[0])


def test_a_new_worker_goes_on_with_the_numbers_and_offsets_of_the_one_before() -> None:
    async def play() -> None:
        kafka = Kafka()
        one = Worker(kafka)
        await one.assigned()
        for source in (LIKES, LIKES, FOLLOWS, ACTIONS):
            one.work(source)
        await one.keeper.leave()
        one.work(LIKES)  # after the last checkpoint: read again by the next
        two = Worker(kafka)
        assert await two.assigned(generation=2) == set()
        assert (two.stage(ACTORS).number, two.stage(SUBJECTS).number) == (3, 1)
        assert [two.ledger.reached(source) for source in ALL] == [2, 1, None, 1]

    asyncio.run(play())


def test_nothing_is_committed_before_what_it_caused_is_acknowledged() -> None:
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        ticket = worker.work(LIKES, done=False)
        leaving = asyncio.ensure_future(worker.keeper.leave())
        await asyncio.sleep(0.05)
        log = worker.kafka.logs[Partition(SETTINGS.topic_actor_state, 0)]
        assert log
        assert not any(key.startswith(b"manifest") for key, _ in log)
        assert not worker.kafka.committed
        worker.ledger.finish(ticket)
        await leaving
        assert worker.kafka.committed == {LIKES: 1}

    asyncio.run(play())


def test_checkpoints_are_spread_over_their_interval() -> None:
    """All stages of an assignment were due at once, and what came in those seconds waited for all of them."""

    async def play() -> None:
        worker = Worker(Kafka())
        worker.keeper._interval_s = 7_200.0
        began_s = time.monotonic()
        await worker.assigned()
        due = [kept.due_s - began_s for kept in worker.keeper._kept.values()]
        assert due == pytest.approx([3_600.0, 7_200.0], abs=600.0)

    asyncio.run(play())


def test_nothing_is_written_while_nothing_happens() -> None:
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        worker.work(LIKES)
        keeping = asyncio.ensure_future(worker.keeper.for_ever())
        await asyncio.sleep(0.1)
        written = {source: len(log) for source, log in worker.kafka.logs.items()}
        await asyncio.sleep(0.1)
        assert {source: len(log) for source, log in worker.kafka.logs.items()} == written
        keeping.cancel()
        assert worker.kafka.committed == {LIKES: 1}
        assert worker.lifecycle.failure is None

    asyncio.run(play())


@pytest.mark.parametrize(("generation", "stays"), [(1, True), (2, True), (3, False)])
def test_a_stage_is_kept_only_where_nobody_else_can_have_had_it(generation: int, stays: bool) -> None:  # noqa: FBT001
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        worker.work(LIKES)
        await worker.keeper.leave()
        before, reads = worker.stage(ACTORS), worker.kafka.reads
        stayed = await worker.assigned(generation)
        assert stayed == ({Name(ACTORS, 0), Name(SUBJECTS, 0)} if stays else set())
        assert (worker.stage(ACTORS) is before) is stays
        assert (worker.kafka.reads == reads) is stays
        assert worker.stage(ACTORS).number == 1

    asyncio.run(play())


def test_a_stage_that_went_on_after_its_last_checkpoint_is_read_back() -> None:
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        worker.work(LIKES)
        await worker.keeper.leave()
        worker.work(LIKES)
        assert await worker.assigned(2) == {Name(SUBJECTS, 0)}
        assert worker.stage(ACTORS).number == 1
        assert worker.ledger.reached(LIKES) == 1

    asyncio.run(play())


def test_no_checkpoint_is_taken_between_a_restore_and_its_assignment() -> None:
    async def play() -> None:
        kafka = Kafka()
        one = Worker(kafka)
        await one.assigned()
        one.work(LIKES)
        await one.keeper.leave()
        two = Worker(kafka)
        keeping = asyncio.ensure_future(two.keeper.for_ever())
        kafka.generation = 2
        await two.keeper.resume(kafka.offsets(), 2)
        await asyncio.sleep(0.1)  # the ledger does not know of the assignment yet, so it has nothing to say
        assert two.lifecycle.failure is None
        keeping.cancel()
        written = len(kafka.logs[Partition(SETTINGS.topic_actor_state, 0)])
        await two.keeper.leave()  # nor where the partitions leave again before they were worked on
        assert len(kafka.logs[Partition(SETTINGS.topic_actor_state, 0)]) == written

    asyncio.run(play())


def test_who_was_overtaken_ends_and_deletes_nothing() -> None:
    async def play() -> None:
        kafka = Kafka()
        one = Worker(kafka)
        await one.assigned()
        one.work(LIKES)
        await one.checkpoint()
        two = Worker(kafka)
        await two.assigned(2)
        two.work(LIKES)
        two.work(LIKES)
        await two.keeper.leave()
        log = kafka.logs[Partition(SETTINGS.topic_actor_state, 0)]
        deleted = sum(value is None for _, value in log)
        one.work(LIKES)
        with pytest.raises(MembershipLost):
            await one.keeper.leave()
        assert sum(value is None for _, value in log) == deleted
        three = Worker(kafka)
        await three.assigned(3)
        assert (three.stage(ACTORS).number, three.ledger.reached(LIKES)) == (3, 3)

    asyncio.run(play())


def test_a_topic_that_begins_anew_under_its_state_is_told() -> None:
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        for _ in range(3):
            worker.work(LIKES)
        await worker.checkpoint()
        worker.ledger.finish(_started(worker.ledger, LIKES, 0, 1))
        with pytest.raises(StateUnreadable, match=r"goes on at 1, .* seen everything before 3"):
            await worker.keeper.leave()

    asyncio.run(play())


def _started(ledger: Ledger, source: Partition, first: int, following: int) -> Any:
    ticket = ledger.open(source, first, following, 1)
    ledger.start(ticket)
    return ticket


def test_what_fails_in_the_background_ends_the_worker() -> None:
    async def play() -> None:
        worker = Worker(Kafka())
        await worker.assigned()
        worker.stages.actors(0).take_delta = None  # type: ignore[method-assign,assignment]
        worker.work(LIKES)
        keeping = asyncio.ensure_future(worker.keeper.for_ever())
        await asyncio.wait_for(worker.lifecycle.failed(), 10)
        keeping.cancel()
        assert not worker.kafka.committed

    asyncio.run(play())
