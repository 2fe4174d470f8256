"""Holding verdicts against the flags of this worker's stages, and publishing what they overturn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from streams.publish import all_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from typing import Protocol

    from detectors.answers import Answered
    from schemas.verdicts import Judgement
    from streams.lifecycle import Lifecycle
    from streams.metrics import Metrics
    from streams.publish import Publisher, Sent
    from streams.stages import Stages
    from streams.verdicts import Verdicts

    class Answerable(Protocol):
        """A stage, as far as verdicts go."""

        def answerable(self) -> list[str]:
            """Return the ids of its flags that can be answered."""

        def answer(self, flag_id: str, judgement: Judgement) -> Answered | None:
            """Take an answer; None where it knows no such flag, or has the same answer."""


log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks, where no verdict comes: a flag may be published anew after its verdict, by a restored stage."""


class Answering:
    """Answers the flags of all stages. Belongs to the event loop."""

    def __init__(
        self, verdicts: Verdicts, stages: Stages, publisher: Publisher, metrics: Metrics, lifecycle: Lifecycle
    ) -> None:
        self._verdicts = verdicts
        self._stages = stages
        self._publisher = publisher
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._turn = asyncio.Lock()
        self._sent: set[asyncio.Future[None]] = set()

    async def for_ever(self, turns: Mapping[str, asyncio.Lock]) -> None:
        """Look until cancelled. `turns` are what an agent holds while it works on a batch, by the name of its stage.

        What goes wrong in it stops the worker.
        """
        try:
            while True:
                if self._verdicts.caught_up and len(self._verdicts):
                    await self.look(turns)
                self._verdicts.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._verdicts.changed.wait(), LOOK_S)
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)

    async def look(self, turns: Mapping[str, asyncio.Lock]) -> None:
        """Answer what can be answered now."""
        for name, turn in turns.items():
            if self._lifecycle.stopping or self._lifecycle.failure is not None:
                return  # what comes now would come after the last checkpoint
            # Between two batches of its agent: what the stage has said before is queued, so a retraction comes after.
            async with turn, self._turn:
                for partition, stage in self._stages.answerable(name).items():
                    await self._answer(name, partition, stage)

    async def _answer(self, name: str, partition: int, stage: Answerable) -> None:
        for flag_id, judgement in self._verdicts.on(stage.answerable()):
            answered = stage.answer(flag_id, judgement)
            if answered is None:
                continue
            self._stages.answered.add((name, partition))
            self._metrics.verdicts.labels(answered.kind.value, judgement.value).inc()
            log.info(
                "verdict",
                extra={"fields": {"flag_id": flag_id, "verdict": judgement.value, "kind": answered.kind.value}},
            )
            sent: list[Sent] = [await self._publisher.flag(flag) for flag in answered.flags]
            if sent:
                self._wait_for(all_of(sent))

    def _wait_for(self, sent: Awaitable[None]) -> None:
        future = asyncio.ensure_future(sent)
        self._sent.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[None]) -> None:
        self._sent.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            self._lifecycle.fail(error)

    async def settled(self) -> None:
        """Wait until the broker has every retraction of the state as it is now. Raises ProduceFailed."""
        async with self._turn:
            waiting = list(self._sent)
        await asyncio.gather(*waiting)
