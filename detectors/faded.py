"""Who had to make way: what is left of an actor after its row went, so that who comes back is no newcomer.

At the bound the coldest rows are evicted. People come back after weeks, and to take them for first seen would make them
look like bought accounts. So 40 bytes stay of the 168: since when the actor is known, when it came last, and its
habits, each on a logarithmic scale of one byte. What goes is whom it met, its devices, and what it did last. The
entries are rows of an arena of their own, bounded like every one, so a checkpoint keeps them as it keeps rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.arena import Arena
from detectors.compiled import inlined
from detectors.hash_index import NO_ROOM, View, find

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.arena import Field

FADED_VERSION: Final = 1
"""Raised when a field changes its meaning: older snapshots are then refused."""

FADED_PER_ROW: Final = 2
"""Entries to a row of the actors at the most. Full, they add two thirds to the memory of the rows."""

STEPS: Final = 16.0
"""Of the scale for each doubling: values are kept to 2%, up to 63,000."""

COUNTS: Final = 6
SCALED: Final = ("owner_actions", "new_owners", "sessions", "gap_var", "actions")
"""Fields of an actor's row that are kept on the scale, after its `COUNTS` counts."""

FADED_FIELDS: Final[list[Field]] = [
    ("first_s", np.uint32),
    ("created_s", np.uint32),
    ("gap_mean", np.float32),
    ("scaled", np.uint8, COUNTS + len(SCALED)),
]
"""Fields of an entry after the arena's own; "touched" is when the actor acted last."""


def make_faded(actors_max: int) -> Arena:
    """Return room for those who make way where at most `actors_max` rows are held. It grows as they do."""
    return Arena(FADED_FIELDS, FADED_PER_ROW * actors_max, FADED_VERSION)


def fade(faded: Arena, leaving: NDArray[Any]) -> None:
    """Keep what is left of actors, shape (n,) of their records, whose rows go now. Those longest away make way."""
    rows = faded.rows_of(leaving["key"])
    kept = faded.view().rows
    for name in ("touched", "first_s", "created_s", "gap_mean"):
        kept[name][rows] = leaving[name]
    kept["scaled"][rows, :COUNTS] = _scale(leaving["counts"])
    for place, name in enumerate(SCALED, start=COUNTS):
        kept["scaled"][rows, place] = _scale(leaving[name])


def _scale(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values from 0 on as steps of the scale."""
    return np.asarray(np.minimum(np.rint(STEPS * np.log2(1.0 + values.astype(np.float64))), 255), np.uint8)


@inlined
def _value(step: int) -> float:
    return float(2.0 ** (step / STEPS) - 1.0)


@inlined
def recall(faded: View, actor: np.uint64, row: Any) -> None:
    """Let a new row of an actor begin with what is left of its last one, where there is anything."""
    at = find(faded, actor)
    if at == NO_ROOM:
        return
    kept = faded.rows[at]
    scaled = kept["scaled"]
    row["last_ms"] = kept["touched"]
    row["first_s"] = kept["first_s"]
    row["created_s"] = kept["created_s"]
    row["gap_mean"] = kept["gap_mean"]
    counts = row["counts"]
    for place in range(len(counts)):
        counts[place] = _value(scaled[place])
    row["owner_actions"] = _value(scaled[COUNTS])
    row["new_owners"] = _value(scaled[COUNTS + 1])
    row["sessions"] = _value(scaled[COUNTS + 2])
    row["gap_var"] = _value(scaled[COUNTS + 3])
    row["actions"] = max(int(np.rint(_value(scaled[COUNTS + 4]))), 1)
