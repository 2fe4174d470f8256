"""What a checkpoint and a restore cost through a real broker: `python -m tests.bench.checkpoints`.

A stage with a million actors is checkpointed whole, then with 100,000 changed rows while other work goes on in the
loop, then restored. `BOOSTWATCH_TEST_KAFKA` names a broker; else one is started.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from streams import clients, topics
from streams.app import build_app, transport_options
from streams.checkpoints import Checkpoints
from streams.commits import Ledger, Partition
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.pipeline import build_actor_stage, build_subject_stage
from streams.publish import Publisher
from streams.recent import RecentFlags
from streams.settings import Settings
from streams.stages import ACTORS, Stages
from streams.state_reader import StateReader
from streams.topic_plan import TopicNames
from tests.bench.processes import RunFailed
from tests.bench.report import Wanted, print_rows
from tests.bench.state import ACTORS as ROWS
from tests.bench.state import CHANGED, fill
from tests.kafka_broker import given_broker, running_broker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKPOINT, RESTORE = "checkpoint of what changed", "restore of everything"
CHECKPOINT_S_MAX, RESTORE_S_MAX = 3.0, 10.0
"""As asked for, of 100,000 changed rows and of a million."""

WORK_S = 0.01
"""A turn of the loop that something else has: what a batch takes."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was done with so many rows, and how long it took."""

    what: str
    rows: int
    seconds: float
    cpu_seconds: float


class AlwaysMember:
    """A group that this worker never loses: commits are not what is measured."""

    async def commit_as(self, generation: int, offsets: Mapping[Partition, int]) -> bool:  # noqa: ARG002
        return True


async def busy(turns: list[float]) -> None:
    """Take turns of the loop like batches do, and note how long each had to wait for its turn."""
    while True:
        end = time.perf_counter() + WORK_S
        while time.perf_counter() < end:
            pass
        asked = time.perf_counter()
        await asyncio.sleep(0)
        turns.append(time.perf_counter() - asked)


async def measure(settings: Settings) -> list[Figure]:
    """Measure one checkpoint or restore after another."""
    likes = Partition(settings.topic_likes, 0)

    def parts(lifecycle: Lifecycle) -> tuple[Any, Ledger, Stages, Checkpoints]:
        ledger, metrics = Ledger(4, 1 << 30, checkpoints=True), Metrics([])
        stages = Stages(lambda: build_actor_stage(settings), lambda: build_subject_stage(settings), [likes])
        app = build_app(settings, ledger, lifecycle, None)  # type: ignore[arg-type]  # only its producer is used
        publisher = Publisher(app.producer, metrics, RecentFlags(), actions="a", flags="f", source="bench")
        options = transport_options(settings)
        keeper = Checkpoints(
            settings, ledger, stages, lifecycle, metrics, AlwaysMember(), publisher, lambda: StateReader(options)
        )
        return app, ledger, stages, keeper

    app, ledger, stages, keeper = parts(Lifecycle())
    await app.producer.start()
    await keeper.resume({likes: None}, 1)
    stage = stages.actors(0)

    figures: list[Figure] = []

    async def checkpoint(what: str, rows: int, offset: int) -> None:
        ledger.resume({likes: offset})
        keeper.keep([likes])
        began, cpu = time.perf_counter(), time.process_time()
        await keeper.leave()
        figures.append(Figure(what, rows, time.perf_counter() - began, time.process_time() - cpu))

    fill(stage, ROWS, 1)
    await checkpoint("checkpoint of everything", ROWS, 1)
    fill(stage, CHANGED, 2)
    await checkpoint(CHECKPOINT, CHANGED, 2)
    fill(stage, CHANGED, 3)
    turns: list[float] = []
    working = asyncio.ensure_future(busy(turns))
    await asyncio.sleep(0.1)
    await checkpoint("the same while other work goes on", CHANGED, 3)
    working.cancel()
    figures.append(Figure("  longest wait of that work for its turn", len(turns), max(turns), 0.0))

    again, _, restored, other = parts(Lifecycle())
    began, cpu = time.perf_counter(), time.process_time()
    await other.resume({likes: 3}, 2)
    figures.append(Figure(RESTORE, restored.tracked()[ACTORS], time.perf_counter() - began, time.process_time() - cpu))
    await app.producer.stop()
    if figures[-1].rows != ROWS:
        raise RunFailed(f"{figures[-1].rows:,} rows came back of {ROWS:,}: what was measured is no checkpoint")
    del again
    return figures


def run(bootstrap: str) -> list[Figure]:
    """Create topics of one's own at a broker and measure there."""
    plain, prefix = TopicNames(), f"b{uuid.uuid4().hex[:8]}."
    names = {field: prefix + getattr(plain, field) for field in TopicNames.__dataclass_fields__}
    with clients.admin(bootstrap) as admin:
        topics.create(admin, topics.plan(TopicNames(**names), 1))
    chosen: dict[str, Any] = {f"topic_{field}": name for field, name in names.items()}
    figures = asyncio.run(measure(Settings(bootstrap=bootstrap, partitions=1, **chosen)))
    with clients.admin(bootstrap) as admin:
        admin.delete_topics(list(names.values()))
    return figures


def rows(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures by name."""
    return [
        {"what": one.what, "rows": one.rows, "seconds": round(one.seconds, 2), "cpu_seconds": round(one.cpu_seconds, 2)}
        for one in figures
    ]


def asked(figures: Sequence[Figure]) -> list[Wanted]:
    """Return what was asked for of checkpoints."""
    took = {one.what: one for one in figures}
    return [
        Wanted(f"s, {name}, {took[name].rows:,} rows", round(took[name].seconds, 2), mark, at_least=False)
        for name, mark in ((CHECKPOINT, CHECKPOINT_S_MAX), (RESTORE, RESTORE_S_MAX))
    ]


def main() -> None:
    """Find a broker and run."""
    given = given_broker()
    if given is not None:
        print_rows("checkpoints", rows(run(given)), Console())
        return
    with tempfile.TemporaryDirectory(prefix="boostwatch-bench-") as place, running_broker(Path(place)) as broker:
        print_rows("checkpoints", rows(run(broker.bootstrap)), Console())


if __name__ == "__main__":
    main()
