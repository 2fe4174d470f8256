"""`boostwatch worker`: one process that reads, decides and publishes until it is told to stop.

Exit code 0 after SIGTERM or SIGINT, with everything that was begun finished and committed; the failure's own
code (`streams.errors`) after anything else, with nothing committed that is not done.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from aiokafka.errors import KafkaError

from streams import clients, topics
from streams.agents import ActorsAgent, SubjectsAgent
from streams.answering import Answering
from streams.app import add_agents, build_app
from streams.checkpoints import Checkpoints
from streams.commits import Ledger, Partition
from streams.completion import Completion
from streams.connections import planned_topics, security_of
from streams.dead_letters import DeadLetterWriter
from streams.errors import BoostwatchError, BrokerError, MembershipLost
from streams.groups_agent import GroupsAgent
from streams.heap import give_back_for_ever, keep_large_apart
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.outgoing import Gatherer
from streams.pipeline import build_actor_stage, build_group_stage, build_subject_stage, build_visit_stage, warm_up
from streams.publish import Publisher
from streams.recent import RecentFlags
from streams.runtime import Runtime
from streams.server import Server, Views
from streams.sources import Sources
from streams.stages import ACTORS, GROUPS, SUBJECTS, Stages
from streams.state_reader import StateReader
from streams.verdicts import VerdictReader, Verdicts
from streams.watchdog import Progress, Watchdog

if TYPE_CHECKING:
    from streams.settings import Settings

log = logging.getLogger(__name__)

GC_YOUNG_MAX = 100_000
"""New containers before the collector looks at them: some batches' worth."""

SWITCH_S = 0.001
"""How long this loop may keep the interpreter's lock from the consumer's thread, which needs it shortly for each
256 KiB that it receives: with Python's 5 ms that alone would bound what can be fetched to 50 MB a second."""

START_LOOK_S = 0.05
"""Between two looks whether what must be there first is there."""

STOP_S = 45.0
"""How long an orderly end may take before the process ends without more ado. Work in flight is given 20 s of it
(`TransportOptions.settle_timeout_ms`), the last checkpoints, leaving the group and closing connections the rest."""


def run_worker(settings: Settings) -> int:
    """Run until told to stop and return the exit code. Raises BoostwatchError for what is wrong at the start."""
    keep_large_apart()
    require_topics(settings)
    warm_up(settings)
    _tame_garbage_collector()
    sys.setswitchinterval(SWITCH_S)
    # Its warnings compare timers with a loop that works through batches; boostwatch_batch_seconds tells it better.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_run(settings))
    _leave_no_thread_behind(code)
    return code


def require_topics(settings: Settings) -> None:
    """Return where Kafka is there with the topics that a worker reads and writes. Raises BrokerError."""
    needed = {
        *settings.input_topics.values(),
        settings.topic_actions,
        settings.topic_surges,
        settings.topic_flags,
        settings.topic_verdicts,
        settings.topic_dead_letters,
    }
    if settings.checkpoint_ms > 0:
        needed |= {settings.topic_actor_state, settings.topic_subject_state, settings.topic_group_state}
    with clients.admin(settings.bootstrap, security_of(settings)) as admin:
        topics.require(admin, [planned for planned in planned_topics(settings) if planned.name in needed])


def _tame_garbage_collector() -> None:
    """Let the collector leave alone what stays, and come rarely: a batch's objects die by their reference counts.

    With Python's defaults it walks every batch several times, which costs more than reading it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_MAX, 20, 20)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # not there on Windows
    except ImportError:  # Windows
        return None
    # The consumer's thread makes its loop by the policy.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return uvloop.Loop


async def _run(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, lifecycle.request_stop)
    worker = Worker(settings, lifecycle)
    try:
        await worker.run()
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)
    if lifecycle.failure is None:
        log.info("stopped; all that was begun is committed")
    return exit_code(lifecycle)


def exit_code(lifecycle: Lifecycle) -> int:
    """Return the exit code of a worker that has ended so.

    Where its group went on without it while it was ending as asked, it has ended in order: what it had in flight is
    done by others, and nobody is to start it again.
    """
    failure = lifecycle.failure
    if failure is None or (lifecycle.asked_first and isinstance(failure, MembershipLost)):
        return 0
    return failure.exit_code if isinstance(failure, BoostwatchError) else 1


class Worker:
    """The parts of a worker, put together once."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        checkpoints = settings.checkpoint_ms > 0
        self._ledger = Ledger(settings.in_flight_batches_max, settings.in_flight_bytes_max, checkpoints=checkpoints)
        self._metrics = Metrics(settings.input_topics.values())
        self._recent = RecentFlags(before=time.time_ns() // 1_000_000)
        sources = Sources(settings.partitions, settings.idle_ms)
        stages = Stages(
            lambda: build_actor_stage(settings),
            lambda: build_subject_stage(settings),
            [Partition(topic, n) for topic in settings.input_topics.values() for n in range(settings.partitions)],
            build_visit_stage,
            lambda: build_group_stage(settings),
        )
        progress = self._progress = Progress()
        self._runtime = Runtime(settings, self._ledger, lifecycle, self._metrics, stages, sources, progress)
        self._app = build_app(settings, self._ledger, lifecycle, self._runtime)
        producer = self._app.producer
        self._publisher = Publisher(
            producer,
            self._metrics,
            self._recent,
            actions=settings.topic_actions,
            flags=settings.topic_flags,
            source=f"/boostwatch/{settings.group_id}",
            surges=settings.topic_surges,
        )
        options, verdicts = self._app.options, Verdicts()
        self._answering = Answering(verdicts, stages, self._publisher, self._metrics, lifecycle)
        if checkpoints:
            self._runtime.checkpoints = Checkpoints(
                settings,
                self._ledger,
                stages,
                lifecycle,
                self._metrics,
                self._app.consumer,
                self._publisher,
                lambda: StateReader(options),
                self._answering.settled,
            )
        dead_letters = DeadLetterWriter(producer, self._metrics, settings.topic_dead_letters)
        self._verdict_reader = VerdictReader(
            settings.topic_verdicts,
            settings.group_id,
            options,
            verdicts,
            dead_letters,
            self._metrics,
            lifecycle,
            producer.partitions_of,
            lambda number: self._runtime.has(Partition(settings.topic_actions, number % settings.partitions)),
        )
        completion = Completion(self._ledger, lifecycle)
        named = {name: topic for topic, name in settings.input_topics.items()}
        gatherer = Gatherer(self._publisher, sources, completion, self._metrics, lifecycle)
        actors = ActorsAgent(named, stages, sources, self._publisher, dead_letters, self._metrics, completion, gatherer)
        subjects = SubjectsAgent(stages, self._publisher, dead_letters, self._metrics, completion)
        groups = GroupsAgent(stages, self._publisher, dead_letters, self._metrics, completion)
        self._turns = {ACTORS: actors.turn, SUBJECTS: subjects.turn, GROUPS: groups.turn}
        add_agents(self._app, settings, actors, subjects, groups)

    async def run(self) -> None:
        """Start, run until the life cycle ends, stop in order."""
        settings, loop = self._settings, asyncio.get_running_loop()
        stuck_s = settings.stuck_after_ms / 1000
        server = Server(
            settings.http_host,
            settings.http_port,
            Views(
                live=lambda: self._runtime.live(stuck_s / 2),
                ready=self._runtime.ready,
                metrics=self._metrics.render,
                health=self._runtime.health,
                recent=self._recent,
            ),
        )
        watchdog = Watchdog(self._progress, self._lifecycle, loop, stuck_s)
        server.start()
        log.info("serving", extra={"fields": {"url": f"http://{settings.http_host}:{server.port}/"}})
        watchdog.start()
        starting = loop.create_task(self._start())
        asking = [loop.create_task(self._tick(starting)), loop.create_task(self._read_verdicts(starting))]
        checkpoints = self._runtime.checkpoints
        others = [loop.create_task(checkpoints.for_ever())] if checkpoints is not None else []
        others += [loop.create_task(self._answering.for_ever(self._turns)), loop.create_task(give_back_for_ever())]
        try:
            await self._lifecycle.ended()
            await self._stop(asking, [starting, *others])
        finally:
            watchdog.stop()
            server.stop()

    async def _start(self) -> None:
        try:
            await self._app.start()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever kept it from starting ends the worker
            self._lifecycle.fail(_told(error))
            return
        # What crashes inside Faust is told to the app alone.
        await self._app.wait_until_stopped()
        if not self._lifecycle.stopping:
            self._lifecycle.fail(_told(self._app.crash_reason or BrokerError("the Faust app ended by itself")))

    async def _tick(self, starting: asyncio.Task[None]) -> None:
        while not self._app.consumer.started and not starting.done():  # noqa: ASYNC110  # Faust offers no event
            await asyncio.sleep(START_LOOK_S)
        await self._runtime.tick_for_ever(self._app.consumer, self._publisher)

    async def _read_verdicts(self, starting: asyncio.Task[None]) -> None:
        while not self._runtime.ready()[0] and not starting.done():  # noqa: ASYNC110  # it is asked, and tells nobody
            await asyncio.sleep(START_LOOK_S)
        await self._verdict_reader.for_ever()

    async def _stop(self, asking: list[asyncio.Task[None]], others: list[asyncio.Task[None]]) -> None:
        began = time.monotonic()
        # Before the app: they ask the consumer and the producer, which are closed on the way down.
        for task in asking:
            task.cancel()
        if self._lifecycle.failure is not None:
            self._app.producer.give_up()
        stopping = asyncio.ensure_future(self._app.stop())
        done, _ = await asyncio.wait({stopping}, timeout=STOP_S)
        if not done:
            # What hangs there, in this loop or the consumer's, would hang in any further attempt to end in order.
            self._lifecycle.fail(BrokerError(f"the worker did not end in order within {STOP_S:.0f} s"))
            log.critical("ending the process after %.0f s: what was asked to stop did not", STOP_S)
            _end_now(exit_code(self._lifecycle))
        for task in others:
            task.cancel()
        if stopping.exception() is not None:
            self._lifecycle.fail(stopping.exception() or BrokerError("the app could not stop"))
        await asyncio.gather(*asking, *others, return_exceptions=True)
        log.debug("ended", extra={"fields": {"seconds": round(time.monotonic() - began, 1)}})


def _told(error: BaseException) -> BaseException:
    """Give what Kafka's client raised the exit code of a broker that cannot do what is needed."""
    return BrokerError(f"Kafka cannot be worked with: {error!r}") if isinstance(error, KafkaError) else error


def _leave_no_thread_behind(code: int) -> None:
    """End the process where a thread of a library would keep it for ever: its work is over."""
    threads = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if threads:
        _end_now(code)


def _end_now(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
