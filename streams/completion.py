"""The end of a batch: its ticket is finished when all that came of it is acknowledged, and never otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.publish import all_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.commits import Ledger
    from streams.fetched import FetchedBatch
    from streams.lifecycle import Lifecycle
    from streams.publish import Sent


class Completion:
    """Finishes tickets: when everything that came of a batch is acknowledged, and never otherwise."""

    def __init__(self, ledger: Ledger, lifecycle: Lifecycle) -> None:
        self._ledger = ledger
        self._lifecycle = lifecycle
        self._waiting: set[asyncio.Task[None]] = set()

    def finish_after(self, batches: Sequence[FetchedBatch], sent: Sequence[Sent]) -> None:
        """Finish the tickets of batches after what was sent is acknowledged; the worker stops where it is not."""
        task = asyncio.ensure_future(self._finish(batches, sent))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _finish(self, batches: Sequence[FetchedBatch], sent: Sequence[Sent]) -> None:
        try:
            await all_of(sent)
            for batch in batches:
                if batch.ticket is not None:
                    self._ledger.finish(batch.ticket)
        except Exception as error:  # noqa: BLE001  # whatever it is, the batches are not done
            self._lifecycle.fail(error)
