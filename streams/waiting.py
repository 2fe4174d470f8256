"""Visits wait here until those of all partitions are there: who meets whom is found in the order of event time.

Workers read their partitions at their own paces, and after a crash or a rebalance one is behind. Who was at a target
first, which four accounts are linked first, and at their how manieth meeting, would hang on that, and with it a
group's id, when its flag is opened and whether it is updated. So a visit waits until one comes that is later by
`HOLD_MS`: whoever is behind by less than that changes nothing. Groups meet again after minutes to days, beside which
the wait is little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.kept_state import KeptState, Part, read_part, write_part
from detectors.visits import COLUMNS, Visits
from streams.block_names import NameTable, join_names
from streams.surges import names_of, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.surges import Surges

HOLD_MS = 2 * 60_000
"""How long a visit waits, event time: a worker that was killed is back within half a minute."""

STEP_MS = 5_000
"""Visits go on in steps of so much event time, since each step looks at all that wait."""

ROWS_MAX = 131_072
"""Visits that wait at the most, some ten megabytes: where more come within `HOLD_MS`, the oldest go early."""

EARLY_SHARE = 1 / 16
"""Of those that wait goes early at once. The rest of the worker waits meanwhile: for half of them, a quarter second."""

ROW_BYTES = 80
"""Of a visit that waits, about: its columns and its share of the names."""

KEPT_VERSION = 1


@dataclass(frozen=True, slots=True)
class InTurn:
    """Visits in several partitions in the order of their times, and the partition of each, shape (m,)."""

    partition: NDArray[np.int64]
    visits: Visits


class Came(msgspec.Struct):
    """A record, and how things stood when it came: the visits up to `after` had come before, see also `Waiting`."""

    value: bytes
    after: int
    clock_ms: int
    due_ms: int


class Kept(msgspec.Struct):
    """What is kept: records of which visits wait, and as of now what `Came` has of then."""

    records: list[Came]
    clock_ms: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class _Record:
    """What waits of a record: `turn_ms`, shape (m,), is when it is the turn of each, `late` whether it is late."""

    came: Came
    surges: Surges
    turn_ms: NDArray[np.int64]
    late: NDArray[np.bool_]

    def where(self, rows: NDArray[np.bool_]) -> _Record:
        return _Record(self.came, self.surges.where(rows), self.turn_ms[rows], self.late[rows])


class Waiting(KeptState):
    """Takes the visits in each partition, and gives those in all partitions in turn.

    The turn of a visit is its time, or where that is over already, when it comes: nothing is ever put before what
    has gone, and the order does not depend on how visits were cut into records.

    Args:
        rows_max: most visits that wait.

    """

    def __init__(self, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._records: list[_Record] = []
        self._rows = 0
        self._clock_ms = 0  # the latest visit
        self._due_ms = 0  # visits whose turn is before this have gone
        super().__init__({}, {"waiting": Part(self._write, self._read)})

    def __len__(self) -> int:
        return self._rows

    @property
    def bytes_resident(self) -> int:
        """Bytes held: the records as they came, and the columns of what waits."""
        return sum(len(record.came.value) for record in self._records) + self._rows * ROW_BYTES

    def take(self, surges: Surges, after: int) -> InTurn | None:
        """Take what a record has from behind the offset `after`; return what goes on now, None where nothing does."""
        record = _read_again(Came(surges.value, after, self._clock_ms, self._due_ms), surges)
        new = len(record.turn_ms)
        if not new:
            return None
        self._records.append(record)
        self._rows += new
        latest = np.maximum(record.surges.visits.ts.max(), self._clock_ms)
        self._clock_ms, due_ms = int(latest), int(_due(latest))
        if self._rows > self._rows_max:
            turns = np.concatenate([one.turn_ms for one in self._records])
            oldest = int(EARLY_SHARE * len(turns))
            due_ms = max(due_ms, int(np.partition(turns, oldest)[oldest]) + 1)
        if due_ms <= self._due_ms:
            return None
        self._due_ms = due_ms
        return self._let_go()

    def _let_go(self) -> InTurn | None:
        going: list[_Record] = []
        staying: list[_Record] = []
        for record in self._records:
            goes = record.turn_ms < self._due_ms
            if goes.all():
                going.append(record)
            elif goes.any():
                going.append(record.where(goes))
                staying.append(record.where(~goes))
            else:
                staying.append(record)
        self._records = staying
        self._rows = sum(len(record.turn_ms) for record in staying)
        return _in_turn(going) if going else None

    def finish_restore(self) -> None:
        """Go on with what was restored. Where there was no part, a release wrote it in which none waited."""

    def _write(self) -> bytes:
        return write_part(Kept([one.came for one in self._records], self._clock_ms, self._due_ms), KEPT_VERSION)

    def _read(self, data: bytes) -> None:
        kept = read_part(data, Kept, KEPT_VERSION)
        self._clock_ms, self._due_ms = kept.clock_ms, kept.due_ms
        records = [_read_again(came, unpack(came.value)) for came in kept.records]
        self._records = [record.where(record.turn_ms >= kept.due_ms) for record in records]
        self._rows = sum(len(record.turn_ms) for record in self._records)


def _due(clock_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return (clock_ms - HOLD_MS) // STEP_MS * STEP_MS


def _read_again(came: Came, surges: Surges) -> _Record:
    """Return what a record brought when it came; the same whenever it is asked."""
    new = surges.since(came.after)
    ts = new.visits.ts
    clock_ms = np.maximum.accumulate(np.maximum(ts, came.clock_ms))
    due_ms = np.maximum(_due(clock_ms), came.due_ms)
    return _Record(came, new, np.maximum(ts, due_ms), ts < due_ms)


def _in_turn(records: list[_Record]) -> InTurn:
    """Put visits in the order of their turns: at equal ones those that are late last, in the order they came."""
    surges = [record.surges for record in records]
    turn_ms, late = (np.concatenate([getattr(record, name) for record in records]) for name in ("turn_ms", "late"))
    partition = np.repeat([one.partition for one in surges], [len(one) for one in surges])
    columns = {name: np.concatenate([getattr(one.visits, name) for one in surges]) for name in COLUMNS}
    actor, target = (np.where(late, np.uint64(0), columns[name]) for name in ("actor", "target"))
    order = np.lexsort((actor, target, late, turn_ms))
    table, named = join_names([names_of(one.visits) for one in surges])
    names = NameTable(memoryview(bytearray(table)), named)  # one that can be written to, as all others
    visits = Visits(**columns, rows=np.arange(len(order)), names=names)
    return InTurn(partition[order], visits.where(order))
