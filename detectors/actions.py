"""Actions: what an accepted event becomes once its actor is known, keyed by what it hits.

The actor stage makes them, the subject stage reads them; between the two they may cross a topic as packed
blocks (`streams.blocks`) or just be handed over (`streams.replay`). Both stages see the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARK_SCALE = 16.0
"""`Actions.mark` counts sixteenths of a nat: a log-likelihood ratio in [-7.9, 7.9] fits an int8."""


class Trait(IntFlag):
    """What stood out about the actor when it acted: evidence in words, and the groups of an ablation."""

    NEW_ACCOUNT = 1  # created, or first seen, within days
    FIRST_SEEN = 2  # this is its first action
    NARROW = 4  # does one thing, for few owners
    REGULAR = 8  # its gaps are those of a program
    BUSY = 16  # acts faster than people do
    STRANGER = 32  # no contact with this owner before
    UNUSUAL_PATH = 64  # came from where few come from
    SHARED_DEVICE = 128  # its device or address serves many actors
    DORMANT = 256  # came back after a long silence
    NO_BROWSING = 512  # never searches, clicks or likes around


class Names(Protocol):
    """Gives the string behind a hash that occurs in the actions it comes with."""

    __slots__ = ()

    def find(self, key: int) -> str | None:
        """Return the id or query hashed to `key`, or None where it was not carried."""
        ...

    def find_all(self, keys: NDArray[np.uint64]) -> list[str | None]:
        """Return those behind some hashes, shape (k,), in their order."""
        return [self.find(key) for key in keys.tolist()]


@dataclass(frozen=True, slots=True)
class Actions:
    """Accepted actions as columns of length n, in the order of their source.

    `watermark` is that of the action's own source after it (ms of event time, never falling), carried row
    by row so that nothing depends on where a batch was cut.
    """

    ts: NDArray[np.int64]
    watermark: NDArray[np.int64]
    verb: NDArray[np.uint8]
    subject: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    owner: NDArray[np.uint64]
    item: NDArray[np.uint64]
    position: NDArray[np.uint16]
    device: NDArray[np.uint32]  # low bits of the device's hash, 0 where absent
    mark: NDArray[np.int8]  # log-likelihood ratio bought / organic of this action, times MARK_SCALE
    traits: NDArray[np.uint16]  # bits of Trait
    names: Names

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: NDArray[np.intp]) -> Actions:
        """Return the given rows, in the given order, with the same names behind them."""
        return Actions(
            self.ts[rows],
            self.watermark[rows],
            self.verb[rows],
            self.subject[rows],
            self.actor[rows],
            self.owner[rows],
            self.item[rows],
            self.position[rows],
            self.device[rows],
            self.mark[rows],
            self.traits[rows],
            self.names,
        )


def partition_of(subject: NDArray[np.uint64], partitions: int) -> NDArray[np.int32]:
    """Return the subject partition of each subject hash, shape (n,).

    The high bits choose, since the low ones choose the slot in the arena's index.
    """
    return ((subject >> np.uint64(32)) % np.uint64(partitions)).astype(np.int32)
