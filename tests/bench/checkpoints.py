"""What a checkpoint and a restore cost through a real broker: `python -m tests.bench.checkpoints`.

A stage with a million actors is checkpointed whole, then with 100,000 changed rows while other work goes on in the
loop, then restored. `BOOSTWATCH_TEST_KAFKA` names a broker; else one is started.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from tests.bench.state import ACTORS as ROWS
from tests.bench.state import CHANGED, fill
from tests.kafka_broker import given_broker, running_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

WORK_S = 0.01
"""A turn of the loop that something else has: what a batch takes."""


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


async def measure(settings: Settings) -> None:
    """Measure and print."""
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

    async def checkpoint(told: str, offset: int) -> None:
        ledger.resume({likes: offset})
        began, cpu = time.perf_counter(), time.process_time()
        await keeper.leave()
        print(f"{told}: {time.perf_counter() - began:.2f} s, {time.process_time() - cpu:.2f} s of CPU")

    fill(stage, ROWS, 1)
    await checkpoint(f"checkpoint of all {ROWS:,} rows", 1)
    fill(stage, CHANGED, 2)
    await checkpoint(f"checkpoint of {CHANGED:,} changed rows", 2)
    fill(stage, CHANGED, 3)
    turns: list[float] = []
    working = asyncio.ensure_future(busy(turns))
    await asyncio.sleep(0.1)
    await checkpoint(f"checkpoint of {CHANGED:,} changed rows while the loop is kept busy", 3)
    working.cancel()
    print(f"  longest wait of that work for its turn: {max(turns) * 1e3:.0f} ms, of {len(turns)}")

    again, _, restored, other = parts(Lifecycle())
    began, cpu = time.perf_counter(), time.process_time()
    await other.resume({likes: 3}, 2)
    print(
        f"restore of {restored.tracked()[ACTORS]:,} rows: {time.perf_counter() - began:.2f} s, "
        f"{time.process_time() - cpu:.2f} s of CPU"
    )
    await app.producer.stop()
    del again


def run(bootstrap: str) -> None:
    """Create topics of one's own at a broker and measure there."""
    plain, prefix = TopicNames(), f"b{uuid.uuid4().hex[:8]}."
    names = {field: prefix + getattr(plain, field) for field in TopicNames.__dataclass_fields__}
    with clients.admin(bootstrap) as admin:
        topics.create(admin, topics.plan(TopicNames(**names), 1))
    chosen: dict[str, Any] = {f"topic_{field}": name for field, name in names.items()}
    asyncio.run(measure(Settings(bootstrap=bootstrap, partitions=1, **chosen)))
    with clients.admin(bootstrap) as admin:
        admin.delete_topics(list(names.values()))


def main() -> None:
    """Find a broker and run."""
    given = given_broker()
    if given is not None:
        run(given)
        return
    with tempfile.TemporaryDirectory(prefix="boostwatch-bench-") as place, running_broker(Path(place)) as broker:
        run(broker.bootstrap)


if __name__ == "__main__":
    main()
