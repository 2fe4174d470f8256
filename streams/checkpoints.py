"""Checkpoints of the stages that this worker has: taken on an interval and before partitions leave, restored first.

The order of one checkpoint is what makes it safe. State is copied between two batches, so it is that after exactly
the records before W. Its chunks are sent, then everything that those records caused is acknowledged, then the
manifest is sent, then W is committed *under the generation of the group in which the partition was assigned*. Only
when the broker has accepted that commit are dead chunks deleted: it proves that nobody else had the partition when
the manifest was written, so whoever has it next reads that manifest, and none that needs what is deleted. An owner
that was overtaken (paused, cut off) fails at that commit and ends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.checkpoint_format import Manifest, manifest_key, owner_name, pack, pack_manifest
from streams.checkpoint_log import CheckpointLog
from streams.checkpoint_restore import Collected
from streams.commits import Partition
from streams.errors import MembershipLost, StateUnreadable
from streams.stages import ACTORS, GROUPS, SUBJECTS
from streams.surges import PARTITION as GROUPS_PARTITION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from detectors.state import StageState
    from streams.checkpoint_log import Taken
    from streams.commits import Ledger
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.settings import Settings
    from streams.stages import Held, Stages
    from streams.state_reader import StateReader

log = logging.getLogger(__name__)

IN_FLIGHT_CHUNKS = 8
"""Chunks sent and not acknowledged: 4 MiB before compression, so that blocks and flags find room beside them."""

LOOK_S = 0.25
"""Between two looks for a checkpoint that is due, at the most."""


class Name(NamedTuple):
    """A stage: "actors", "subjects" or "groups", and its partition number."""

    stage: str
    partition: int


class Group(Protocol):
    """What a checkpoint needs of the consumer."""

    async def commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:
        """Commit as a member of this generation of the group; False where it is not the current one any more."""


class Sender(Protocol):
    """What it needs of the publisher."""

    async def state(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Awaitable[None]:
        """Queue one record; await the result for its acknowledgement."""


@dataclass(slots=True)
class Kept:
    """A stage that is restored and kept."""

    name: Name
    source: Partition  # of the state topic
    inputs: list[Partition]
    state: StageState
    log: CheckpointLog
    term: int
    nonce: str
    generation: int
    offsets: dict[Partition, int]  # that the last complete checkpoint covers
    due_s: float
    number: int = 0
    taken_at: float = field(default_factory=time.time)
    dead: list[bytes] = field(default_factory=list)  # keys to delete once a manifest without them counts


async def _at_once() -> None:
    """Wait for nothing."""


class Checkpoints:
    """The checkpoints of one worker. Belongs to the event loop."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        stages: Stages,
        lifecycle: Lifecycle,
        metrics: Metrics,
        group: Group,
        sender: Sender,
        open_reader: Callable[[], StateReader],
        settled: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        """`settled` waits until what verdicts have brought is acknowledged."""
        self._settings = settings
        self._inputs = list(settings.input_topics.values())
        self._ledger = ledger
        self._stages = stages
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._group = group
        self._sender = sender
        self._open_reader = open_reader
        self._settled = settled
        self._interval_s = settings.checkpoint_ms / 1000
        self._kept: dict[Name, Kept] = {}
        self._one_at_a_time = asyncio.Lock()
        self._moving = True
        self.restoring = ""

    async def for_ever(self) -> None:
        """Take the checkpoints that are due until cancelled. What goes wrong in it stops the worker."""
        try:
            while True:
                now = time.monotonic()
                due = [kept for kept in self._kept.values() if kept.due_s <= now]
                for kept in due:
                    async with self._one_at_a_time:
                        if not self._moving and self._kept.get(kept.name) is kept and self._lifecycle.failure is None:
                            await self._checkpoint(kept)
                await asyncio.sleep(min(LOOK_S, self._interval_s / 4))
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)

    async def leave(self) -> None:
        """Take a last checkpoint of everything: partitions may go elsewhere after it. Raises BoostwatchError."""
        already, self._moving = self._moving, True
        async with self._one_at_a_time:
            # Between leaving and the next assignment nothing is worked on, and the ledger tells nothing of use.
            for kept in () if already else list(self._kept.values()):
                if self._lifecycle.failure is None:
                    await self._checkpoint(kept)

    async def resume(
        self, offsets: Mapping[Partition, int | None], generation: int
    ) -> tuple[dict[Partition, int | None], set[Name]]:
        """Restore the stages of an assignment, given what is committed. Raises StateUnreadable, BrokerError.

        Returns from where each input is to be read, and the stages that stayed as they are.
        """
        self._moving = True
        wanted = {Name(SUBJECTS, p.partition) for p in offsets if p.topic == self._settings.topic_actions}
        if Partition(self._settings.topic_surges, GROUPS_PARTITION) in offsets:
            wanted.add(Name(GROUPS, GROUPS_PARTITION))
        wanted |= {Name(ACTORS, p.partition) for p in offsets if p.topic in self._inputs}
        async with self._one_at_a_time:
            for name, kept in list(self._kept.items()):
                if name in wanted and self._fits(kept, offsets, generation):
                    kept.generation = generation
                else:
                    del self._kept[name]
            stayed = set(self._kept)
            await self._restore_all(sorted(wanted - stayed), offsets, generation)
        resumed = dict(offsets)
        for kept in self._kept.values():
            resumed.update((source, offset) for source, offset in kept.offsets.items() if source in resumed)
        return resumed, stayed

    def _fits(self, kept: Kept, committed: Mapping[Partition, int | None], generation: int) -> bool:
        """Say whether nobody else can have had a stage, and it is as its last checkpoint says."""
        if generation - kept.generation not in {0, 1}:
            return False
        return all(
            source in committed and committed[source] == kept.offsets.get(source) == self._ledger.reached(source)
            for source in kept.inputs
        )

    async def _restore_all(self, names: list[Name], committed: Mapping[Partition, int | None], generation: int) -> None:
        if not names:
            return
        began = time.monotonic()
        try:
            async with self._open_reader() as reader:
                for done, name in enumerate(names):
                    await self._restore(reader, name, committed, generation, (done, len(names)))
        finally:
            self.restoring = ""
        seconds = time.monotonic() - began
        self._metrics.restore_progress.set(1.0)
        self._metrics.restore_seconds.observe(seconds)
        log.info("state restored", extra={"fields": {"stages": len(names), "seconds": round(seconds, 2)}})

    async def _restore(
        self,
        reader: StateReader,
        name: Name,
        committed: Mapping[Partition, int | None],
        generation: int,
        count: tuple[int, int],
    ) -> None:
        done, among = count
        settings = self._settings
        state_topic, topics = {
            ACTORS: (settings.topic_actor_state, self._inputs),
            SUBJECTS: (settings.topic_subject_state, [settings.topic_actions]),
            GROUPS: (settings.topic_group_state, [settings.topic_surges]),
        }[name.stage]
        source = Partition(state_topic, name.partition)
        inputs = [Partition(topic, name.partition) for topic in topics]
        self.restoring = f"restoring state, {done} of {among} partitions done"
        collected = Collected(source)
        async for some in reader.read(source):
            for offset, key, value in some.records:
                collected.add(offset, key, value)
            self._metrics.restore_progress.set((done + some.progress / 2) / among)
        collected.require(name.stage, settings.partitions, set(topics))
        term, nonce = max(collected.term_max + 1, generation), secrets.token_hex(8)
        held = self._stages.new(name.stage)
        owned = CheckpointLog(owner_name(term, nonce))
        rows = 0
        for some_rows in collected.apply(held.state, owned):
            rows += some_rows
            self._metrics.restored_rows.inc(some_rows)
            await asyncio.sleep(0)
        self._metrics.restore_progress.set((done + 1) / among)
        self._enter(name, source, inputs, held, owned, collected, committed, (term, nonce, generation))
        manifest = collected.manifest
        told = {"stage": name.stage, "partition": name.partition, "rows": rows}
        if manifest is not None:
            log.info("restored", extra={"fields": {**told, "checkpoint": f"{manifest.owner} number {manifest.number}"}})
        elif any(committed.get(each) is not None for each in inputs):
            log.warning(
                "nothing to restore, although offsets are committed: baselines begin anew", extra={"fields": told}
            )

    def _enter(
        self,
        name: Name,
        source: Partition,
        inputs: list[Partition],
        held: Held,
        owned: CheckpointLog,
        collected: Collected,
        committed: Mapping[Partition, int | None],
        who: tuple[int, str, int],
    ) -> None:
        """Keep a stage from here on. Nothing in it waits, so it is kept whole or not at all."""
        manifest = collected.manifest
        offsets = {each: offset for each in inputs if (offset := committed.get(each)) is not None}
        if manifest is not None:
            offsets |= {each: manifest.offsets[each.topic] for each in inputs if each.topic in manifest.offsets}
        term, nonce, generation = who
        kept = Kept(
            name, source, inputs, held.state, owned, term, nonce, generation, offsets,
            due_s=time.monotonic() + self._interval_s,
            number=manifest.number if manifest is not None else 0,
            dead=collected.leftovers(),
        )  # fmt: skip
        if manifest is not None:
            kept.dead.append(manifest_key(manifest.owner))
        self._stages.put(name.stage, name.partition, held)
        self._kept[name] = kept

    async def _checkpoint(self, kept: Kept) -> None:
        """Take one checkpoint. Nothing is lost by an error in it: the one before counts, and the worker ends."""
        kept.due_s = time.monotonic() + self._interval_s
        offsets = {s: offset for s in kept.inputs if (offset := self._ledger.reached(s)) is not None}
        if offsets == kept.offsets and kept.name not in self._stages.answered:
            kept.taken_at = time.time()
            return
        for source, seen in kept.offsets.items():
            if offsets.get(source, -1) < seen:
                raise StateUnreadable(
                    f"topic {source.topic}, partition {source.partition} goes on at {offsets.get(source)}, and the "
                    f"state has seen everything before {seen}: was the topic truncated or made anew? Then delete the "
                    "state topics too and run `boostwatch topics`, to begin anew"
                )
        began, taken_at = time.monotonic(), time.time()
        # From here to the end of `take` nothing waits: state and offsets are of one moment.
        self._stages.answered.discard(kept.name)
        taken = kept.log.take(kept.state)
        copied_s = time.monotonic() - began
        manifest = self._manifest(kept, offsets, taken_at)
        size = await self._send(kept, taken)
        await self._ledger.wait_done(offsets)
        await self._settled()
        await (await self._sender.state(*kept.source, manifest_key(kept.log.owner), pack_manifest(manifest)))
        if not await self._group.commit_as(kept.generation, offsets):
            raise MembershipLost(
                "the group went on without this worker, which was paused or cut off from Kafka for longer than "
                f"session_timeout_ms = {self._settings.session_timeout_ms}; nothing of that time counts, and the "
                "worker ends to be started again"
            )
        self._ledger.checkpointed(offsets)
        self._ledger.committed(offsets)
        kept.number, kept.offsets, kept.taken_at = manifest.number, offsets, taken_at
        await self._delete(kept, taken)
        self._observe(kept, taken, size, time.monotonic() - began, copied_s)

    def _manifest(self, kept: Kept, offsets: Mapping[Partition, int], taken_at: float) -> Manifest:
        owners, chunks = kept.log.refs()
        return Manifest(
            term=kept.term,
            generation=kept.generation,
            nonce=kept.nonce,
            number=kept.number + 1,
            stage=kept.name.stage,
            partition=kept.name.partition,
            partitions=self._settings.partitions,
            offsets={source.topic: offset for source, offset in offsets.items()},
            owners=owners,
            chunks=chunks,
            written_at=int(taken_at * 1000),
        )

    async def _send(self, kept: Kept, taken: Taken) -> int:
        """Send the chunks and return how many bytes that were, once all of them are acknowledged."""
        waiting: deque[Awaitable[None]] = deque()
        size = 0
        while taken.chunks:
            await asyncio.sleep(0)  # packing one takes a millisecond: let the loop have its turn
            chunk, envelope = taken.chunks.pop(0)
            value = pack(envelope)
            size += len(value)
            waiting.append(await self._sender.state(*kept.source, chunk.key, value))
            while len(waiting) >= IN_FLIGHT_CHUNKS:
                await waiting.popleft()
        while waiting:
            await waiting.popleft()
        return size

    async def _delete(self, kept: Kept, taken: Taken) -> None:
        keys, kept.dead = [*kept.dead, *(chunk.key for chunk in taken.dead)], []
        waiting = [await self._sender.state(*kept.source, key, None) for key in keys]
        for deleted in waiting:
            await deleted

    def _observe(self, kept: Kept, taken: Taken, size: int, seconds: float, copied_s: float) -> None:
        metrics, stage = self._metrics, kept.name.stage
        metrics.commits.inc()
        metrics.last_commit.set_to_current_time()
        metrics.checkpoint_seconds.labels(stage).observe(seconds)
        metrics.checkpoint_copy_seconds.labels(stage).observe(copied_s)
        metrics.checkpoint_rows.labels(stage).inc(taken.rows)
        metrics.checkpoint_bytes.labels(stage).inc(size)
        log.debug(
            "checkpoint",
            extra={"fields": {"stage": stage, "partition": kept.name.partition, "rows": taken.rows, "bytes": size}},
        )

    def set_gauges(self) -> None:
        """Tell how old the oldest checkpoint is, and how much a restore would read."""
        by_stage: dict[str, int] = dict.fromkeys((ACTORS, SUBJECTS, GROUPS), 0)
        for kept in self._kept.values():
            by_stage[kept.name.stage] += kept.log.raw_bytes
        for stage, size in by_stage.items():
            self._metrics.state_log_bytes.labels(stage).set(size)
        if self._kept:
            self._metrics.last_checkpoint.set(min(kept.taken_at for kept in self._kept.values()))

    def keep(self, assigned: Iterable[Partition]) -> set[Name]:
        """Begin with an assignment that the ledger knows: forget what is of none of it, and return what is left."""
        self._moving = False
        here = set(assigned)
        self._kept = {name: kept for name, kept in self._kept.items() if here.intersection(kept.inputs)}
        # Evenly over the interval: all at once would hold up what comes for as long as all of them take.
        now = time.monotonic()
        for number, kept in enumerate(self._kept.values(), 1):
            kept.due_s = min(kept.due_s, now + self._interval_s * number / len(self._kept))
        return set(self._kept)
