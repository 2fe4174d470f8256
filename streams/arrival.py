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

_STRETCH = 256
"""Lines looked at together where nothing is wrong with them."""


class ArrivalClock:
    """The arrival time of each line of one file, estimated in order; where the file is cut changes nothing."""

    def __init__(self) -> None:
        self._clock_ms: int | None = None
        self._before: deque[int] = deque(maxlen=VOTERS)

    def judge(self, ts: NDArray[np.int64], following: Sequence[int]) -> tuple[NDArray[np.int64], dict[int, Reason]]:
        """Return the arrival of n events, shape (n,), ms, and which of them (by index) to refuse, and why.

        `following` is the `ts` of the valid lines after them: at least `VOTERS`, or all that are left.
        """
        arrival = np.empty(len(ts), np.int64)
        refused: dict[int, Reason] = {}
        for start in range(0, len(ts), _STRETCH):
            end = min(start + _STRETCH, len(ts))
            if not self._plain(ts[start:end], arrival[start:end]):
                self._one_by_one(ts, start, end, following, arrival, refused)
        return arrival, refused

    def _plain(self, ts: NDArray[np.int64], arrival: NDArray[np.int64]) -> bool:
        """Take a stretch without a leap or an old `ts` all at once; return False, and do nothing, for any other."""
        if self._clock_ms is None:
            return False
        np.maximum.accumulate(ts, out=arrival)
        np.maximum(arrival, self._clock_ms, out=arrival)
        if ts[0] > self._clock_ms + AHEAD_MS_MAX or (ts[1:] > arrival[:-1] + AHEAD_MS_MAX).any():
            return False
        if (ts < arrival - BEHIND_MS_MAX).any():
            return False
        self._clock_ms = int(arrival[-1])
        self._before.extend(ts[-VOTERS:].tolist())
        return True

    def _one_by_one(
        self,
        ts: NDArray[np.int64],
        start: int,
        end: int,
        following: Sequence[int],
        arrival: NDArray[np.int64],
        refused: dict[int, Reason],
    ) -> None:
        times = ts[start : end + VOTERS].tolist()
        if len(times) < end - start + VOTERS:
            times += following[:VOTERS]
        for place in range(end - start):
            time, clock = times[place], self._clock_ms
            if clock is None or time > clock + AHEAD_MS_MAX:
                if self._ahead(time, times[place + 1 : place + 1 + VOTERS]):
                    refused[start + place] = Reason.TS_IN_FUTURE
                else:
                    self._clock_ms = time
            elif time < clock - BEHIND_MS_MAX:
                refused[start + place] = Reason.TS_TOO_OLD
            elif time > clock:
                self._clock_ms = time
            arrival[start + place] = time if self._clock_ms is None else self._clock_ms
            if start + place not in refused:
                self._before.append(time)

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
