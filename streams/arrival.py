"""When the lines of a recording arrived, which the recording does not say.

On Kafka every record has a timestamp of its own, and a `ts` that is far ahead of it or behind it is refused.
A recorded line has only its `ts` and its place in the file, and one wrong `ts` must not move event time. So the
clock is the greatest `ts` so far, and it takes a leap only where the lines that follow bear it out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from schemas.events import AHEAD_MS_MAX, BEHIND_MS_MAX
from schemas.refusals import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VOTERS = 64
"""Lines after a leap that are asked. Three quarters of them must be earlier to call it wrong, so a backfill in
the recording costs no honest line, and fifteen wrong ones in a row move nothing."""

VOTERS_FEW = 16
"""With fewer to ask (a recording of a few lines), a leap of less than `LENIENT_MS` is believed."""

LENIENT_MS = 24 * 3_600_000

_UPPER_QUARTILE = 0.75


class ArrivalClock:
    """The arrival time of each line of one file, estimated in order; where the file is cut changes nothing."""

    def __init__(self) -> None:
        self._clock_ms: int | None = None
        self._before: deque[int] = deque(maxlen=VOTERS)

    def judge(self, ts: NDArray[np.int64], following: Sequence[int]) -> tuple[NDArray[np.int64], dict[int, Reason]]:
        """Return the arrival of n events, shape (n,), ms, and which of them (by index) to refuse, and why.

        `following` is the `ts` of the valid lines after them: at least `VOTERS`, or all that are left.
        """
        times = ts.tolist()
        arrival = np.empty(len(times), np.int64)
        refused: dict[int, Reason] = {}
        clock = self._clock_ms
        for index, time in enumerate(times):
            if clock is None or time > clock + AHEAD_MS_MAX:
                after = times[index + 1 : index + 1 + VOTERS]
                after += following[: VOTERS - len(after)]
                if self._ahead(time, after):
                    refused[index] = Reason.TS_IN_FUTURE
                else:
                    clock = self._clock_ms = time
            elif time < clock - BEHIND_MS_MAX:
                refused[index] = Reason.TS_TOO_OLD
            elif time > clock:
                clock = self._clock_ms = time
            arrival[index] = time if clock is None else clock
            if index not in refused:
                self._before.append(time)
        return arrival, refused

    def _ahead(self, time: int, after: list[int]) -> bool:
        """Say whether a leap to `time` is an error, by the lines after it.

        At the end of the file, where too few follow, the lines before stand in for them, turned about the
        clock: the recording is taken to have gone on as it went.
        """
        votes = list(after)
        if len(votes) < VOTERS and self._clock_ms is not None:
            before = list(self._before)[: -(VOTERS - len(votes)) - 1 : -1]
            votes += [2 * self._clock_ms - earlier for earlier in before]
        if not votes:
            return False
        votes.sort()
        allowed = AHEAD_MS_MAX if len(votes) >= VOTERS_FEW else LENIENT_MS
        return time > votes[int(_UPPER_QUARTILE * (len(votes) - 1))] + allowed
