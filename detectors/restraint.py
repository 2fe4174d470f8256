"""What is left out where more accounts meet than can be remembered for long enough.

Members of a group meet again after hours, so a first meeting must be remembered for hours; how many that is grows with
the platform, and memory does not. Two things are left out, and only as far as the pace of the meetings asks for it:

- meetings on owners of whom many are heard: most meetings are there, and what a group is hired for seldom is
  (popularity discounted, SynchroTrap, Cao et al. 2014, sec. 4.2);
- then accounts, by hash, so that both of a pair are watched or neither: of `n` members a share of `1 / 2**level`.

Of a group one pair that is watched is enough. Once two are linked, nothing that either does is left out any more, and
through them the rest of their group is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.compiled import compiled, inlined
from detectors.hash_index import mix
from detectors.kept_state import Part, array_of, read_part, write_part
from detectors.state import SnapshotMismatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HORIZON_MS = 4 * 3_600_000
"""A first meeting is to be remembered for so long at least: groups for hire act a few times a day."""

EPOCH_MS = 10 * 60_000
"""The pace is looked at so often, event time."""

SMOOTHING = 0.5
"""Weight of the last epoch in the pace."""

LEVEL_MAX = 4
"""One account in sixteen, at the least: of a group of thirty two are left."""

OWNERS = 1 << 20
"""Counters of meetings by owner, of one byte: owners that share one are as popular as both."""

POPULAR = 160
"""Meetings of pairs on one owner in a day from which on it is popular. In simulated traffic three in five meetings of
groups come before that, and one in six of all others."""

FORGET_MS = 12 * 3_600_000
"""The counters are halved after so long: twice that many meetings count at the most."""

NOW, COUNTED, PACE, LEVEL, CAPPED, HALVED = 0, 1, 2, 3, 4, 5
"""Places of the state: the epoch that runs, pairs that met in it (without popular owners, once those are left out), the
same in a usual epoch, the level, whether popular owners are left out, and when the counters were last halved (ms)."""

STATE = 6
KEPT_VERSION = 1


class Kept(msgspec.Struct):
    """What is kept: the state as bytes, the counters of owners only where any counts."""

    state: bytes
    owners: bytes


class Restraint:
    """What is left out at this pace: `state`, shape (STATE,), and the counters by owner, shape (OWNERS,)."""

    def __init__(self) -> None:
        self.state = np.zeros(STATE, np.float64)
        self.owners = np.zeros(OWNERS, np.uint8)

    def part(self) -> Part:
        """Return how it is kept."""
        return Part(self._write, self._read)

    def _write(self) -> bytes:
        owners = self.owners.tobytes() if self.owners.any() else b""
        return write_part(Kept(self.state.tobytes(), owners), KEPT_VERSION)

    def _read(self, data: bytes) -> None:
        kept = read_part(data, Kept, KEPT_VERSION)
        state = array_of(kept.state, np.float64, STATE)
        if not np.isfinite(state).all() or not 0 <= state[LEVEL] <= LEVEL_MAX:
            raise SnapshotMismatchError("what is left out at this pace was changed: start without it")
        self.state[:] = state
        self.owners[:] = array_of(kept.owners, np.uint8, OWNERS) if kept.owners else 0


@compiled
def keep_pace(state: NDArray[np.float64], owners: NDArray[np.uint8], ts: int, cells: int) -> None:
    """Close the epoch where a meeting is the first after it, and settle what is left out in the next."""
    epoch = ts // EPOCH_MS
    if epoch <= state[NOW]:
        return
    if state[NOW] > 0.0:
        over = float(epoch - state[NOW])
        came = state[COUNTED] / over
        state[PACE] = came if state[PACE] <= 0.0 else state[PACE] + SMOOTHING * (came - state[PACE])
        wanted = state[PACE] * (HORIZON_MS / EPOCH_MS) / cells
        if wanted > 1.0:
            if state[CAPPED] > 0.0:
                state[LEVEL] = min(max(np.ceil(0.5 * np.log2(wanted)), 0.0), LEVEL_MAX)
            else:
                state[CAPPED], state[HALVED], state[PACE] = 1.0, ts, 0.0
        else:
            state[LEVEL] = 0.0
    state[NOW], state[COUNTED] = epoch, 0.0
    if state[CAPPED] > 0.0 and ts - state[HALVED] >= FORGET_MS:
        state[HALVED] = ts
        for place in range(len(owners)):
            owners[place] >>= np.uint8(1)


@inlined
def place_of_owner(owner: np.uint64) -> int:
    """Return the counter of an owner."""
    return int(np.int64(mix(owner, np.int64(11)) >> np.uint64(40))) & (OWNERS - 1)


@inlined
def count_pair(state: NDArray[np.float64], owners: NDArray[np.uint8], place: int) -> bool:
    """Count a pair that met on an owner. False where meetings on it are left out, as many as there were."""
    if state[CAPPED] > 0.0:
        if owners[place] >= POPULAR:
            return False
        owners[place] += np.uint8(1)
    state[COUNTED] += 1.0
    return True


@inlined
def is_watched(account: np.uint64, level: int) -> bool:
    """Say whether an account is among those that are watched at a level."""
    return bool((mix(account, np.int64(12)) & np.uint64((1 << level) - 1)) == np.uint64(0))
