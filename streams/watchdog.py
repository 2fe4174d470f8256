"""Is the worker alive: a counter that the loop touches while it makes progress, and a thread that minds it.

An idle topic is progress; records that wait while none is finished are not, and neither is a loop that is
stuck. Both `/live` and the watchdog go by the same counter, the watchdog with the longer patience.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from streams.errors import NoProgress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from streams.lifecycle import Lifecycle

log = logging.getLogger(__name__)

GRACE_S = 15.0
"""How long a loop that still runs may take to end in order, once the watchdog has asked it to."""


class Progress:
    """When the worker last made progress. Touched by the loop, read by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touched_s = clock()
        self._done = -1

    def touch(self) -> None:
        """Say that there is progress."""
        self._touched_s = self._clock()

    def observe(self, batches_done: int, lag_records: int) -> None:
        """Touch it where nothing waits, or where batches were done since the last look."""
        if lag_records <= 0 or batches_done != self._done:
            self.touch()
        self._done = batches_done

    @property
    def age_s(self) -> float:
        """Seconds since the last progress."""
        return self._clock() - self._touched_s


class Watchdog:
    """A thread that ends the worker when it makes no progress for `stuck_after_s`."""

    def __init__(
        self,
        progress: Progress,
        lifecycle: Lifecycle,
        loop: asyncio.AbstractEventLoop,
        stuck_after_s: float,
        end_process: Callable[[int], None] = os._exit,
        grace_s: float = GRACE_S,
    ) -> None:
        self._progress = progress
        self._lifecycle = lifecycle
        self._loop = loop
        self._stuck_after_s = stuck_after_s
        self._end_process = end_process
        self._grace_s = grace_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._mind, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to mind the progress, which counts from now."""
        self._progress.touch()
        self._thread.start()

    def stop(self) -> None:
        """Stop minding."""
        self._stopped.set()

    def _mind(self) -> None:
        while not self._stopped.wait(min(1.0, self._stuck_after_s / 4)):
            if self._progress.age_s >= self._stuck_after_s:
                self._bark()
                return

    def _bark(self) -> None:
        reason = NoProgress(
            f"records wait and none was finished for {self._progress.age_s:.0f} s; the worker ends, so that it is "
            "started again. If this repeats look at the broker and at boostwatch_batch_seconds"
        )
        self._loop.call_soon_threadsafe(self._lifecycle.fail, reason)
        if not self._stopped.wait(self._grace_s):
            # The loop itself is stuck: nothing of it can end in order, and nothing more will be committed.
            log.critical("the event loop is stuck as well; ending the process now")
            self._end_process(NoProgress.exit_code)
