"""One run: the stream, the faults, the drain; then an uninterrupted worker over the same log, and the comparison."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.settings import Settings
from tests.chaos.accounts import keep_accounts
from tests.chaos.cluster import INPUTS, given_cluster, own_cluster
from tests.chaos.director import Director
from tests.chaos.exact import compare_exactly
from tests.chaos.feeder import Feeder
from tests.chaos.flags import compare, published
from tests.chaos.schedule import draw
from tests.chaos.supervisor import Supervisor
from tests.chaos.traffic import HISTORY_S, Stream
from tests.chaos.verdict import Verdict
from tests.chaos.watcher import Watcher
from tests.integration.worker_process import WorkerProcess
from tests.kafka_broker import given_broker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.chaos.cluster import Cluster

SESSION_MS = 6_000
"""The least that the settings take: a zombie is one after that long."""

FETCH_BYTES, BATCH_RECORDS = 65_536, 256
"""Small fetches of each partition in turn, so that no partition of a backlog is read hours ahead of the others."""

READY_S, SENT_S, DRAIN_S = 300.0, 300.0, 420.0
"""Generous: a machine that does other things too makes all of it slow, and none of it wrong."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    seconds: float
    seed: int
    rate_per_s: float = 60.0
    partitions: int = 4
    workers: int = 2
    checkpoint_ms: int = 2_000
    faults: bool = True
    history_s: float = HISTORY_S


class ChaosFailed(RuntimeError):  # noqa: N818 - as streams.errors names them
    """The run itself could not be carried out; the message says what was waited for."""


def carry_out(plan: Plan, directory: Path, tell: Callable[[str], None]) -> Verdict:
    """Run all of it. Raises ChaosFailed, LocalKafkaError and BoostwatchError where it cannot be run."""
    with ExitStack() as stack:
        given = given_broker()
        cluster = given_cluster(given) if given else stack.enter_context(own_cluster(directory / "kafka"))
        names = cluster.make_topics(plan.partitions)
        run = _Run(plan, cluster, names, directory, tell)
        run.under_fire()
        reference = cluster.make_topics(plan.partitions, names)
        run.uninterrupted(reference)
        return run.judge(reference)


class _Run:
    """The parts of a run that is under way."""

    def __init__(
        self, plan: Plan, cluster: Cluster, names: TopicNames, directory: Path, tell: Callable[[str], None]
    ) -> None:
        self._plan, self._cluster, self._names, self._directory = plan, cluster, names, directory
        self._say = tell
        self._began_s = time.monotonic()
        self._verdict = Verdict(plan.seconds, plan.seed)
        self._told_s = 0.0

    def under_fire(self) -> None:
        """Send the stream, let the faults come, and wait until all is worked off."""
        plan, verdict = self._plan, self._verdict
        events = draw(plan.seed, plan.seconds, own_broker=self._cluster.broker is not None) if plan.faults else []
        records = Stream(plan.seed, plan.seconds, plan.rate_per_s, _now_ms(), plan.history_s).records()
        with ExitStack() as stack:
            feeder = Feeder(self._cluster.bootstrap, self._names, records)
            stack.callback(feeder.stop)
            watcher = self._watcher(stack, self._names, "chaos")
            supervisor = stack.enter_context(
                Supervisor(self._cluster.workers, self._names, self._directory, self._settings("chaos"))
            )
            for place in range(plan.workers):
                supervisor.want(place)
            self._wait(lambda: self._all_ready(supervisor), READY_S, "workers to be ready")
            feeder.start()
            self._wait(lambda: feeder.live.is_set() or feeder.done, SENT_S, "the history to be sent")
            director = Director(self._cluster, supervisor, watcher, SESSION_MS / 1_000, self._tell)
            self._tell(f"live: {plan.seconds:.0f} s with {len(events)} faults")
            director.follow(events, time.monotonic(), lambda: self._look(feeder, watcher, supervisor))
            while not feeder.done:
                self._look(feeder, watcher, supervisor)
                time.sleep(0.2)
            self._tell("all is sent; draining")
            if not supervisor.places:
                supervisor.want(0)
            self._drain(watcher, lambda: self._look(feeder, watcher, supervisor))
            for place in supervisor.places:
                supervisor.release(place)
            verdict.faults, verdict.sent = Counter(director.done), Counter(feeder.sent)
            verdict.acknowledged = feeder.acknowledged
            verdict.ends, verdict.starts = supervisor.ends, supervisor.restarts()
            verdict.recoveries = watcher.recoveries

    def uninterrupted(self, names: TopicNames) -> None:
        """Let one worker of another group read the same inputs from their beginning, and keep its counters."""
        self._tell("an uninterrupted worker reads the same log")
        with ExitStack() as stack:
            watcher = self._watcher(stack, names, "reference")
            log = self._directory / "reference.log"
            worker = stack.enter_context(
                WorkerProcess(self._cluster.bootstrap, names, log, **self._settings("reference"))
            )
            worker.wait_until_ready()
            self._drain(watcher, lambda: _still_runs(worker))
            counted = worker.metrics()["boostwatch_events_total"]
            for (outcome, topic), value in counted.items():
                self._verdict.counted[topic, outcome] = int(value)
            code = worker.stop()
            if code != 0:
                raise ChaosFailed(f"the uninterrupted worker ended with {code}: see {log}")

    def judge(self, reference: TopicNames) -> Verdict:
        """Compare, and add up."""
        self._tell("comparing")
        verdict, bootstrap = self._verdict, self._cluster.bootstrap
        ours, theirs = published(bootstrap, self._names), published(bootstrap, reference)
        verdict.flags, verdict.ours, verdict.theirs = compare(ours, theirs), ours, theirs
        verdict.accounts, verdict.applied = keep_accounts(bootstrap, self._names)
        inputs = {f"topic_{name}": getattr(self._names, name) for name in INPUTS}
        settings = Settings(partitions=self._plan.partitions, **inputs)
        verdict.exactly = compare_exactly(bootstrap, self._names, settings)
        verdict.seconds_in_all = time.monotonic() - self._began_s
        return verdict

    def _settings(self, group: str) -> dict[str, object]:
        chosen: dict[str, Any] = {
            "group_id": f"{self._names.likes}.{group}",
            "partitions": self._plan.partitions,
            "session_timeout_ms": SESSION_MS,
            "fetch_bytes_max": FETCH_BYTES,
            "batch_records_max": BATCH_RECORDS,
            # Nobody is idle because a broker was down: who is left out decides when windows close.
            "idle_ms": 3_600_000,
        }
        if "checkpoint_ms" in Settings.model_fields:
            chosen["checkpoint_ms"] = self._plan.checkpoint_ms
        return chosen

    def _watcher(self, stack: ExitStack, names: TopicNames, group: str) -> Watcher:
        topics = [*(getattr(names, field) for field in INPUTS), names.actions]
        watcher = Watcher(self._cluster.bootstrap, f"{self._names.likes}.{group}", topics, self._plan.partitions)
        stack.callback(watcher.close)
        return watcher

    def _all_ready(self, supervisor: Supervisor) -> bool:
        workers = [supervisor.process(place) for place in supervisor.places]
        return all(worker is not None and worker.get("/ready") is not None for worker in workers)

    def _drain(self, watcher: Watcher, look: Callable[[], None]) -> None:
        end_s = time.monotonic() + DRAIN_S
        while not (watcher.lag == 0 and watcher.settled()):
            look()
            if time.monotonic() > end_s:
                raise ChaosFailed(f"{watcher.lag} records are left {DRAIN_S:.0f} s after the last was sent")
            time.sleep(0.25)

    def _wait(self, what: Callable[[], bool], within_s: float, told: str) -> None:
        end_s = time.monotonic() + within_s
        while not what():
            if time.monotonic() > end_s:
                raise ChaosFailed(f"waited {within_s:.0f} s for {told}")
            time.sleep(0.2)

    def _look(self, feeder: Feeder, watcher: Watcher, supervisor: Supervisor) -> None:
        if feeder.failure is not None:
            raise feeder.failure
        now_s = time.monotonic()
        if now_s - self._told_s >= 5.0:
            self._told_s = now_s
            self._tell(
                f"{feeder.acknowledged:,} records in the log, {watcher.lag} not done, workers {supervisor.running},"
                f" unasked ends {supervisor.ends.unasked.total()}"
            )

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began_s:6.1f} s  {text}")


def _still_runs(worker: WorkerProcess) -> None:
    code = worker.process.poll()
    if code is not None:
        raise ChaosFailed(f"the uninterrupted worker ended with {code}:\n{worker.log[-2_000:]}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
