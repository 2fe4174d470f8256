"""What the consumer's news and the clock do to the parts of a worker: assignments, lag, idle sources, gauges."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from streams.block_parts import BlockHeader
from streams.blocks import pack_watermarks
from streams.errors import ProduceFailed
from streams.publish import all_of
from streams.stages import ACTORS, GROUPS, SUBJECTS
from streams.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.alignment import Aligner
    from streams.checkpoints import Checkpoints, Name
    from streams.commits import Ledger, Partition
    from streams.consumer import BatchConsumer
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.publish import Publisher
    from streams.settings import Settings
    from streams.sources import Due, Sources
    from streams.stages import Stages
    from streams.watchdog import Progress

log = logging.getLogger(__name__)

TICK_S = 1.0
"""How often the clock is looked at: progress, lag, idle sources, gauges."""

Positions = dict["Partition", tuple[int | None, int | None]]


class Runtime:
    """Observes the consumer and ticks once a second. Belongs to the event loop; `health` is for any thread."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        lifecycle: Lifecycle,
        metrics: Metrics,
        stages: Stages,
        sources: Sources,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._topics = {name: topic for topic, name in settings.input_topics.items()}
        self._inputs = frozenset(self._topics)
        self._ledger = ledger
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._stages = stages
        self._sources = sources
        self._progress = progress
        self.checkpoints: Checkpoints | None = None
        self._stayed: set[Name] = set()
        self._assigned: frozenset[Partition] = frozenset()
        self._lag: Counter[str] = Counter()
        self._ready = False
        self._health: dict[str, object] = {}
        self._given_up = 0
        self._vitals = Vitals(settings, metrics, stages)

    async def leave(self) -> None:
        """Take a last checkpoint of everything."""
        if self.checkpoints is not None:
            await self.checkpoints.leave()

    async def resume(self, offsets: Mapping[Partition, int | None], generation: int) -> dict[Partition, int | None]:
        """Restore the state of an assignment; without checkpoints begin where the group has committed."""
        if self.checkpoints is None:
            return dict(offsets)
        self._ready = False
        resumed, self._stayed = await self.checkpoints.resume(offsets, generation)
        return resumed

    def on_assigned(self, offsets: Mapping[Partition, int | None], strangers: set[Partition]) -> None:
        """Keep the state of partitions that stay and fits, or was restored; drop the rest."""
        before, self._assigned = self._assigned, frozenset(offsets)
        fits = (self._assigned & before) - strangers
        actions = self._settings.topic_actions
        # An actor stage is shared by one partition number of three topics: it fits when all of them do.
        kept = [number for number in {p.partition for p in fits} if {(t, number) for t in self._inputs} <= fits]
        subjects = [p.partition for p in fits if p.topic == actions]
        if self.checkpoints is None:
            groups = [p.partition for p in fits if p.topic == self._settings.topic_surges]
            self._stages.keep(kept, subjects, groups)
        else:
            names = self.checkpoints.keep(self._assigned)
            kept = [n.partition for n in self._stayed & names if n.stage == ACTORS]
            self._stages.keep(*([n.partition for n in names if n.stage == each] for each in (ACTORS, SUBJECTS, GROUPS)))
        inputs = [p for p in self._assigned if p.topic in self._inputs]
        self._sources.assign(inputs, [p for p in inputs if p.partition not in kept], time.monotonic())
        self._catch_up_sources(offsets)
        self._metrics.rebalances.inc()
        by_topic = Counter(p.topic for p in self._assigned)
        for topic in (*self._inputs, actions, self._settings.topic_surges):
            self._metrics.assigned_partitions.labels(topic).set(by_topic[topic])
        self._progress.touch()
        self._ready = True
        log.info("partitions assigned", extra={"fields": {"partitions": len(offsets), "kept": len(fits)}})

    def _catch_up_sources(self, offsets: Mapping[Partition, int | None]) -> None:
        """Let restored sources know how far they are, so that a silent one can tell that it is idle."""
        stages = self._stages.actor_stages()
        for source in self._sources:
            topic, number = source.partition
            stage, offset = stages.get(number), offsets.get(source.partition)
            if stage is not None and offset is not None and self.checkpoints is not None:
                source.sent((), stage.watermark(self._topics[topic]), offset - 1)

    def has(self, partition: Partition) -> bool:
        """Say whether this worker has a partition."""
        return partition in self._assigned

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note a commit."""
        self._metrics.commits.inc()
        self._metrics.last_commit.set_to_current_time()
        log.debug("committed", extra={"fields": {"partitions": len(offsets)}})

    async def tick_for_ever(self, consumer: BatchConsumer, publisher: Publisher) -> None:
        """Tick until cancelled. What goes wrong in it stops the worker."""
        telling: asyncio.Future[None] | None = None
        try:
            while True:
                await asyncio.sleep(TICK_S)
                positions = await consumer.positions()
                self._look(positions)
                self._mind_alignment(consumer.aligner)
                self._mind_deliveries(publisher.oldest_unacknowledged_s, consumer.options.delivery_timeout_ms / 1000)
                # While Kafka is away what is told is not acknowledged, and the clock must be looked at all the same.
                if telling is None or telling.done():
                    if telling is not None:
                        telling.result()
                    telling = asyncio.ensure_future(self._tell_watermarks(positions, publisher))
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)
        finally:
            if telling is not None:
                telling.cancel()

    def _mind_alignment(self, aligner: Aligner) -> None:
        self._metrics.aligning_records.set(aligner.held_records)
        self._metrics.alignment_given_up.inc(aligner.given_up - self._given_up)
        self._given_up = aligner.given_up

    def _mind_deliveries(self, waiting_s: float, most_s: float) -> None:
        self._metrics.oldest_unacknowledged.set(waiting_s)
        if waiting_s > most_s:
            self._lifecycle.fail(
                ProduceFailed(
                    f"a record was not acknowledged for {waiting_s:.0f} s; nothing that it came from is committed, so "
                    "start the worker again once the broker is well"
                )
            )

    def _look(self, positions: Positions) -> None:
        lag: Counter[str] = Counter()
        for partition, (position, highwater) in positions.items():
            done = self._ledger.front(partition)
            reached = position if done is None else done
            if highwater is not None and reached is not None:
                lag[partition.topic] += max(0, highwater - reached)
        self._lag = lag
        self._progress.observe(self._ledger.batches_done, lag.total())
        self._set_gauges()

    def _set_gauges(self) -> None:
        metrics, now = self._metrics, time.time()
        for topic in (*self._inputs, self._settings.topic_actions, self._settings.topic_surges):
            metrics.consumer_lag.labels(topic).set(self._lag[topic])
        metrics.in_flight_batches.set(self._ledger.in_flight_batches)
        metrics.in_flight_bytes.set(self._ledger.in_flight_bytes)
        metrics.last_progress.set(now - self._progress.age_s)
        metrics.dedup_evicted.set(self._stages.event_ids_evicted())
        metrics.ready.set(self.ready()[0])
        self._vitals.look()
        if self.checkpoints is not None:
            self.checkpoints.set_gauges()
        tracked, state_bytes = self._stages.tracked(), self._stages.bytes_resident()
        for what, held in tracked.items():
            metrics.tracked.labels(what).set(held)
        for stage, size in state_bytes.items():
            metrics.state_bytes.labels(stage).set(size)
        self._health = {
            "partitions": len(self._assigned),
            "lag_records": dict(self._lag),
            "in_flight_batches": self._ledger.in_flight_batches,
            "in_flight_bytes": self._ledger.in_flight_bytes,
            "tracked": tracked,
            "state_bytes": state_bytes,
        }
        for topic in self._inputs:
            of_topic = [source for source in self._sources if source.partition.topic == topic]
            live = [source.watermark_ms for source in of_topic if not source.idle and source.watermark_ms > 0]
            metrics.watermark_lag.labels(topic).set(max(0.0, now - min(live) / 1000) if live else 0.0)
            metrics.idle_partitions.labels(topic).set(sum(source.idle for source in of_topic))

    async def _tell_watermarks(self, positions: Positions, publisher: Publisher) -> None:
        caught_up = [
            partition
            for partition, (position, highwater) in positions.items()
            if position is not None and highwater is not None and position >= highwater
            if self._ledger.front(partition) is None
        ]
        told: defaultdict[int, list[BlockHeader]] = defaultdict(list)
        for due in self._sources.due(caught_up, time.monotonic()):
            everybody = range(self._sources.subject_partitions)
            for number in everybody if due.subject_partition is None else (due.subject_partition,):
                told[number].append(_header(due))
        sent = [await publisher.block(number, pack_watermarks(headers)) for number, headers in told.items()]
        await all_of(sent)

    def live(self, stall_s: float) -> tuple[bool, str]:
        """Say whether the loop makes progress."""
        age = self._progress.age_s
        return age < stall_s, f"last progress {age:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Say whether partitions are assigned and nothing has failed."""
        if self._lifecycle.failure is not None:
            return False, "stopping after a failure"
        if self._lifecycle.stopping:
            return False, "stopping"
        if self.checkpoints is not None and self.checkpoints.restoring:
            return False, self.checkpoints.restoring
        if not self._ready:
            return False, "no partitions assigned yet"
        return True, f"{len(self._assigned)} partitions assigned"

    def health(self) -> dict[str, object]:
        """Return the numbers that the page shows about the pipeline, as of the last tick."""
        return {**self._health, "ready": self.ready()[0], "last_progress_s": round(self._progress.age_s, 1)}


def _header(due: Due) -> BlockHeader:
    source = due.source
    return BlockHeader(*source.partition, source.offset_last + 1, source.offset_last, due.watermark_ms, due.idle)
