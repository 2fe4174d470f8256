"""How far each source has got: a window closes on the least watermark over those that are live."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST_MS = (1 << 62) - 1
"""Watermark of nobody: it holds nothing back."""


class Sources:
    """The last watermark of every live source, ms of event time.

    >>> sources = Sources()
    >>> sources.speak("likes-0", 5_000)
    >>> sources.speak("likes-1", 3_000)
    >>> sources.least, sources.others("likes-1")
    (3000, 5000)
    >>> sources.leave("likes-1")
    >>> sources.least
    5000
    """

    def __init__(self) -> None:
        self._watermarks: dict[str, int] = {}

    def speak(self, source: str, watermark_ms: int) -> None:
        """Note that a source is live and how far it has got; a watermark never falls."""
        self._watermarks[source] = max(watermark_ms, self._watermarks.get(source, watermark_ms))

    def leave(self, source: str) -> None:
        """Leave an idle source out until it speaks again."""
        self._watermarks.pop(source, None)

    def others(self, source: str) -> int:
        """Return the least watermark of the other live sources, LAST_MS where there is none."""
        return min((mark for name, mark in self._watermarks.items() if name != source), default=LAST_MS)

    @property
    def least(self) -> int | None:
        """The least watermark of all live sources, None without any."""
        return min(self._watermarks.values(), default=None)

    @property
    def watermarks(self) -> dict[str, int]:
        """The last watermark by live source, ms."""
        return dict(self._watermarks)

    def restore(self, watermarks: Mapping[str, int]) -> None:
        """Take these in place of all that is known."""
        self._watermarks = dict(watermarks)

    def __len__(self) -> int:
        return len(self._watermarks)
