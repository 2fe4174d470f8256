"""What a position on a results page earns: how likely a search brings a click there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors.subject_rows import POSITIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLICKS_PER_SEARCH: Final = 0.545
"""4,926,623 clicks on 9,038,794 searches of the AOL query log of 2006 (Pass, Chowdhury, Torgeson 2006, A picture
of search)."""

SHARE_AT: Final = (
    0.0, 0.423, 0.119, 0.084, 0.060, 0.049, 0.040, 0.034, 0.030, 0.028, 0.030,
    0.0066, 0.0056, 0.0052, 0.0048, 0.0047, 0.0039, 0.0036, 0.0034, 0.0032, 0.0030,
)  # fmt: skip
"""Share of all clicks by position in the same log, 1 to 20."""

EARNED_LEAST: Final = 0.001
"""Chance of a click far down the page."""


def earned_at() -> NDArray[np.float32]:
    """Return the chance that a search brings a click at each position, shape (64,); indexed by position.

    >>> chance = earned_at()
    >>> round(float(chance[1]), 2), round(float(chance[10]), 3), round(float(chance[40]), 3)
    (0.23, 0.016, 0.001)
    """
    chances = np.full(POSITIONS, EARNED_LEAST, np.float32)
    chances[: len(SHARE_AT)] = np.array(SHARE_AT) * CLICKS_PER_SEARCH
    # A position that was not given is that of the middle of the first page.
    chances[0] = chances[5]
    return np.maximum(chances, EARNED_LEAST)
