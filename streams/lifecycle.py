"""Why the worker ends: somebody asks it to, or something failed. Whoever is first gives the reason."""

from __future__ import annotations

import asyncio
import logging

from streams.errors import BoostwatchError

log = logging.getLogger(__name__)


class Lifecycle:
    """The end of a worker, asked for or forced. All of it belongs to the event loop, except where it says so."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.stopping = False
        self.asked_first = False  # to end, before it failed
        self._ending = asyncio.Event()
        self._failed = asyncio.Event()

    def request_stop(self) -> None:
        """Ask for a clean end: finish what is in flight, commit, leave."""
        self.stopping = True
        self._ending.set()

    def fail(self, reason: BaseException) -> None:
        """End without committing what is not done. Only the first reason counts; the others follow from it."""
        if self.failure is None:
            self.failure = reason
            self.asked_first = self.stopping
            mistake = not isinstance(reason, BoostwatchError)
            log.error("the worker stops: %s", reason or repr(reason), exc_info=reason if mistake else None)
        self._ending.set()
        self._failed.set()

    async def ended(self) -> None:
        """Wait until the worker should end, for whatever reason."""
        await self._ending.wait()

    async def failed(self) -> None:
        """Wait until something fails."""
        await self._failed.wait()
