"""Which suspects' rows made way for others: one compiled pass, since rows go all the time where tables are full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.compiled import compiled
from detectors.suspects import holds

if TYPE_CHECKING:
    from numpy.typing import NDArray


def vacated(places: NDArray[Any], rows: NDArray[Any], lane: int) -> NDArray[np.int32]:
    """Return the places of a lane's suspects that no row of it holds any more (`suspects.holds`), ascending."""
    found = np.empty(len(places), np.int32)
    return found[: _find_vacated(places, rows, lane, found)]


@compiled
def _find_vacated(places: NDArray[Any], rows: NDArray[Any], lane: int, found: NDArray[np.int32]) -> int:
    many = 0
    for place in range(len(places)):
        held = places[place]
        if held["key"] != np.uint64(0) and held["lane"] == lane and not holds(rows, held, place):
            found[many] = place
            many += 1
    return many
