"""What it costs to hand out and take back a stage's state, without Kafka: `python -m tests.bench.state`.

A million actors are restored from snapshots as a checkpoint makes them; then 100,000 of them change and are taken.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from detectors.actors import ActorStage
from detectors.settings import ActorSettings
from schemas.columns import Topic
from streams.pipeline import shipped_marks
from tests.detectors.batches import START_MS, batch, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTORS, CHANGED = 1_000_000, 100_000
CHUNK_ROWS = 1_900
"""About 300 KB."""


def fill(stage: ActorStage, actors: int, salt: int) -> None:
    """Let each of so many actors act once."""
    for start in range(0, actors, 50_000):
        numbers = np.arange(start, min(start + 50_000, actors))
        ts = START_MS + salt * 3_600_000 + numbers // 100
        stage.apply(batch(Topic.FOLLOWS, ts, actor=spread(numbers, 2), event=spread(numbers, salt), subject=7))


def snapshots(stage: ActorStage, rows: NDArray[np.int64]) -> list[bytes]:
    """Return rows in chunks."""
    table = stage.tables()["actors"]
    return [table.snapshot(rows[start : start + CHUNK_ROWS]) for start in range(0, len(rows), CHUNK_ROWS)]


def main() -> None:
    """Measure and print."""
    settings, marks = ActorSettings(), shipped_marks()
    stage = ActorStage(settings, marks)
    fill(stage, ACTORS, 1)
    chunks, parts = snapshots(stage, stage.take_delta().rows["actors"]), stage.parts()

    begin, begin_cpu = time.perf_counter(), time.process_time()
    restored = ActorStage(settings, marks)
    for chunk in chunks:
        restored.restore_rows("actors", chunk)
    for name, part in parts.items():
        restored.restore_part(name, part)
    restored.finish_restore()
    took, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    size = sum(map(len, chunks))
    held = f"{restored.tracked:,} actors from {len(chunks)} chunks, {size / 1e6:.0f} MB"
    print(f"restore {held}: {took:.2f} s, {cpu:.2f} s of CPU")

    fill(restored, CHANGED, 2)
    begin = time.perf_counter()
    delta = restored.take_delta()
    took = time.perf_counter() - begin
    taken = snapshots(restored, delta.rows["actors"])
    copied = time.perf_counter() - begin
    restored.parts()
    whole = time.perf_counter() - begin
    print(
        f"take {len(delta.rows['actors']):,} changed rows: delta {took * 1e3:.0f} ms,"
        f" with {len(taken)} snapshots {copied * 1e3:.0f} ms, with parts {whole * 1e3:.0f} ms"
    )


if __name__ == "__main__":
    main()
