from __future__ import annotations

import asyncio
import threading

from streams.errors import NoProgress
from streams.lifecycle import Lifecycle
from streams.watchdog import Progress, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_idle_topic_is_progress() -> None:
    clock = Clock()
    progress = Progress(clock)
    for _ in range(10):
        clock.now += 60
        progress.observe(batches_done=5, lag_records=0)
        assert progress.age_s == 0


def test_records_that_wait_while_none_is_done_are_none() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.observe(5, 100)
    clock.now = 30
    progress.observe(5, 100)
    assert progress.age_s == 30
    progress.observe(6, 100)
    assert progress.age_s == 0


def test_a_worker_without_progress_is_ended_with_its_reason() -> None:
    async def bark() -> BaseException | None:
        clock = Clock()
        lifecycle = Lifecycle()
        progress = Progress(clock)
        watchdog = Watchdog(progress, lifecycle, asyncio.get_running_loop(), stuck_after_s=0.2)
        watchdog.start()
        clock.now = 1.0
        await asyncio.wait_for(lifecycle.failed(), 10)
        watchdog.stop()
        return lifecycle.failure

    assert isinstance(asyncio.run(bark()), NoProgress)


def test_a_stuck_loop_ends_the_process() -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    async def stuck() -> None:
        clock = Clock()
        watchdog = Watchdog(Progress(clock), Lifecycle(), asyncio.get_running_loop(), 0.2, end, grace_s=0.1)
        watchdog.start()
        clock.now = 1.0
        assert ended.wait(10)  # the loop does nothing else meanwhile

    asyncio.run(stuck())
    assert codes == [NoProgress.exit_code]


def test_the_first_reason_counts() -> None:
    lifecycle = Lifecycle()
    first, second = NoProgress("first"), NoProgress("second")
    lifecycle.fail(first)
    lifecycle.fail(second)
    assert lifecycle.failure is first
