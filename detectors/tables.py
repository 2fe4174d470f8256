"""The rows, pools and suspects of one partition, as one `State` for the compiled loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.arena import Arena
from detectors.company import COMPANY_FIELDS, COMPANY_ROWS, COMPANY_VERSION
from detectors.crowd import SIGNS
from detectors.deciding import JUDGED_FIRST
from detectors.pools import make_pools
from detectors.subject_kernel import OUT_SIZE, Columns, State
from detectors.subject_rows import LANES, ROW_FIELDS, ROW_VERSION, RULE
from detectors.suspects import make_suspects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.actions import Actions
    from detectors.calibration import KindThresholds
    from detectors.settings import DetectorSettings
    from detectors.specs import Spec


class Tables:
    """Owns the arrays that the loop changes; `state` gives them to it, until the next `make_room`."""

    def __init__(self, settings: DetectorSettings, specs: Sequence[Spec], learned: Sequence[KindThresholds]) -> None:
        self.arenas = [Arena(ROW_FIELDS, settings.subjects_max, ROW_VERSION) for _ in range(LANES)]
        self.company = Arena(COMPANY_FIELDS, COMPANY_ROWS, COMPANY_VERSION)
        rules = np.zeros(LANES, RULE)
        for lane, (spec, numbers) in enumerate(zip(specs, learned, strict=True)):
            rules[lane] = spec.rule(numbers)
        follows, likes, searches, clicks = (arena.view() for arena in self.arenas)
        self.state = State(
            follows,
            likes,
            searches,
            clicks,
            make_suspects(settings.suspects_max, settings.quiet_ms, settings.quiet_gaps, settings.quiet_ms_max),
            self.company.view(),
            rules,
            make_pools(specs, learned),
            np.zeros(OUT_SIZE, np.int64),
        )

    def note_judged(self, most: int) -> None:
        """Make room for so many looks at crowds, which are then noted down."""
        suspects = self.state.suspects._replace(judged=np.zeros((most, JUDGED_FIRST + SIGNS)))
        self.state = self.state._replace(suspects=suspects)

    def make_room(self, lane: int) -> int:
        """Make room for a row of a lane, or of `company` for LANES. Return how many others made way for it."""
        evicted = (self.company if lane == LANES else self.arenas[lane]).make_room()
        self.refresh()
        return evicted

    def refresh(self) -> None:
        """Take the arenas' arrays anew."""
        follows, likes, searches, clicks = (arena.view() for arena in self.arenas)
        self.state = self.state._replace(
            follows=follows, likes=likes, searches=searches, clicks=clicks, company=self.company.view()
        )

    @property
    def bytes_resident(self) -> int:
        """Bytes of all arrays."""
        state = self.state
        shared = (*state.suspects, state.rules, state.pools)
        arenas = (*self.arenas, self.company)
        return sum(arena.bytes_resident for arena in arenas) + sum(array.nbytes for array in shared)


def columns_of(actions: Actions) -> Columns:
    """Return the columns that the loop reads, of the types it was compiled for."""
    return Columns(
        np.ascontiguousarray(actions.ts, np.int64),
        np.ascontiguousarray(actions.watermark, np.int64),
        np.ascontiguousarray(actions.verb, np.uint8),
        np.ascontiguousarray(actions.subject, np.uint64),
        np.ascontiguousarray(actions.actor, np.uint64),
        np.ascontiguousarray(actions.item, np.uint64),
        np.ascontiguousarray(actions.owner, np.uint64),
        np.ascontiguousarray(actions.position, np.uint16),
        np.ascontiguousarray(actions.mark, np.int8),
        np.ascontiguousarray(actions.traits, np.uint16),
    )
