"""The flags of the last while, in memory, for the page: written by the loop, read by the server's threads."""

from __future__ import annotations

import threading
from collections import deque

RECENT_MAX = 500
"""Flags kept. At a few kilobytes each that is a megabyte or two."""


class RecentFlags:
    """A bounded ring of flags as they were published, each with a number that rises by one."""

    def __init__(self, most: int = RECENT_MAX, before: int = 0) -> None:
        """`before` is the number before the first; one that no earlier process came to tells the two apart."""
        self._ring: deque[tuple[int, bytes]] = deque(maxlen=most)
        self._changed = threading.Condition()
        self._last = before
        self._closed = False

    def add(self, value: bytes) -> None:
        """Add one flag's JSON."""
        with self._changed:
            self._last += 1
            self._ring.append((self._last, value))
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody who waits go; what they then get is what there is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def since(self, number: int, wait_s: float = 0.0) -> list[tuple[int, bytes]]:
        """Return the flags after `number`, oldest first; where there are none, wait for one for up to `wait_s`.

        A number that was not given here, larger than any or from before the first, gives all there is.
        """
        with self._changed:
            after = number if number <= self._last else 0
            if after == self._last and wait_s > 0:
                self._changed.wait_for(lambda: self._last > after or self._closed, wait_s)
            return [entry for entry in self._ring if entry[0] > after]
