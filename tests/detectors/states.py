"""A keeper of stages' states, as simple as it can be: every delta in its order, the parts of the last one."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from detectors.actors import ActorStage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.kept_state import KeptState
    from detectors.state import Increment


def whole(stage: KeptState) -> dict[str, bytes]:
    """Everything that a stage knows, whatever numbers its rows have."""
    tables = {f"rows of {name}": table.snapshot() for name, table in stage.tables().items()}
    seen = stage._seen if isinstance(stage, ActorStage) else {}
    return tables | stage.parts() | {f"seen.{topic.name.lower()}": ids.snapshot() for topic, ids in seen.items()}


@dataclass(frozen=True)
class Kept:
    """One checkpoint."""

    removed: dict[str, NDArray[np.uint64]]
    rows: list[tuple[str, bytes]]
    increments: dict[str, Increment]
    parts: dict[str, bytes]


@dataclass
class Keeper:
    """Checkpoints of a stage, `rows_max` rows a snapshot."""

    rows_max: int = 1_000
    kept: list[Kept] = field(default_factory=list)

    def take(self, stage: KeptState) -> None:
        delta = stage.take_delta()
        rows = []
        for name, numbers in delta.rows.items():
            edges = [*range(0, len(numbers), self.rows_max), len(numbers)]
            for start, end in pairwise(edges):
                rows.append((name, stage.tables()[name].snapshot(numbers[start:end])))
        self.kept.append(Kept(delta.removed, rows, delta.increments, stage.parts()))

    def restore(self, stage: KeptState) -> None:
        """Restore into a fresh stage, without the increments that are needed no more."""
        needed = {name: one.needed_from_ms for kept in self.kept for name, one in kept.increments.items()}
        for kept in self.kept:
            for name, keys in kept.removed.items():
                stage.remove_keys(name, keys)
            for name, snapshot in kept.rows:
                numbers = stage.restore_rows(name, snapshot)
                keys = stage.tables()[name].view().rows["key"][numbers]
                assert (np.diff(keys.astype(object)) > 0).all()
            for name, increment in kept.increments.items():
                if increment.newest_ms >= needed[name]:
                    stage.restore_increment(name, increment.data)
        for name, part in self.kept[-1].parts.items():
            stage.restore_part(name, part)
        stage.finish_restore()
