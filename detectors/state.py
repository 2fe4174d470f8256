"""What a stage hands to whoever keeps its state, and takes back: the contract behind checkpoints.

A stage changes only inside `apply` and `advance`, so between two calls its state is that after exactly the events
it was given. A checkpoint is, at one such moment:

1. `take_delta()`: what rows changed or went since the last one, and what was noted besides;
2. `tables()[name].snapshot(rows)` for those rows, cut as the keeper likes. It copies, so events may go on once
   every snapshot is taken. Row numbers stay the same while a stage lives, and a row number may serve another key
   after its row went: that row is then among the changed ones;
3. `parts()`: what is shared by all rows, whole.

The first delta after a stage was made holds everything; the first one after a restore, what changed since.

A restore, into a fresh stage made with the same settings, is for each kept checkpoint in its order first
`remove_keys`, then `restore_rows`, and `restore_increment`; then `restore_part` once for every part of the last
checkpoint, and `finish_restore`. Rows of superseded checkpoints may be left out, as long as no removal is left out
that is later than rows which are not. Where the number of rows is known before, `tables()[name].reserve(rows)` saves
growing. The stage then goes on as the one that was saved: the same events bring the
same marks and flags, bit for bit, whatever numbers its rows have now.

Everything that is read back may be garbage. Nothing of it is executed, whatever would index memory is checked, and
what cannot be used is a `SnapshotMismatchError`; a stage that raised one is to be thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from detectors.arena import SnapshotMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from detectors.arena import Arena

__all__ = ["Delta", "Increment", "SnapshotMismatchError", "StageState"]


@dataclass(frozen=True, slots=True)
class Increment:
    """Entries that were only added since the last delta, such as event ids seen.

    Attributes:
        data: for `restore_increment`.
        needed_from_ms: increments of the same name whose `newest_ms` is below this are needed no more.
        newest_ms: greatest time in it, on the clock by which such entries are forgotten (arrival for event ids).

    """

    data: bytes
    newest_ms: int
    needed_from_ms: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed in a stage since the last delta, by table or name; names without any change are left out.

    Attributes:
        rows: numbers of the rows that changed, ascending.
        removed: keys whose rows went and were in an earlier delta or in what was restored. None of them is held now.
        increments: what was added.

    """

    rows: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    removed: dict[str, NDArray[np.uint64]] = field(default_factory=dict)
    increments: dict[str, Increment] = field(default_factory=dict)


class StageState(Protocol):
    """State of a stage as tables of rows, shared parts and increments; see the module for how it is used."""

    def tables(self) -> Mapping[str, Arena]:
        """Return the tables by name; names and tables stay the same."""
        ...

    def take_delta(self) -> Delta:
        """Return what changed since the last call, and count it as kept from here."""
        ...

    def parts(self) -> dict[str, bytes]:
        """Return every shared part whole. Equal states give equal bytes."""
        ...

    def restore_rows(self, table: str, snapshot: bytes) -> NDArray[np.int32]:
        """Put rows of `Arena.snapshot` in place of those with the same keys.

        Return their row numbers in this stage, in the order of the snapshot (ascending by key).

        Raises:
            SnapshotMismatchError: no such table, another row type or version, contents that no row can have, or
                more rows than the stage may hold.

        """
        ...

    def remove_keys(self, table: str, keys: NDArray[np.uint64]) -> None:
        """Forget the rows of these keys, shape (n,); keys that are not held are passed over.

        Raises:
            SnapshotMismatchError: no such table.

        """
        ...

    def restore_increment(self, name: str, data: bytes) -> None:
        """Add what an increment holds.

        Raises:
            SnapshotMismatchError: no such name, or not readable as an increment of it.

        """
        ...

    def restore_part(self, name: str, data: bytes) -> None:
        """Take a shared part in place of the stage's own.

        Raises:
            SnapshotMismatchError: no such part, another version, or contents that it cannot have.

        """
        ...

    def finish_restore(self) -> None:
        """Join what was restored, after which the stage is clean and goes on.

        Raises:
            SnapshotMismatchError: a part is missing, or rows and parts contradict each other.

        """
        ...
