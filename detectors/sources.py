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
        self._lowest: tuple[str, ...] | None = ()
        """The source that holds back most and the next one; None where that has to be looked for again."""

    def speak(self, source: str, watermark_ms: int) -> None:
        """Note that a source is live and how far it has got; a watermark never falls."""
        before = self._watermarks.get(source)
        if before is not None and watermark_ms <= before:
            return
        self._watermarks[source] = watermark_ms
        # The others are further already: of hundreds of sources hardly one that speaks is among the two.
        if before is None or (self._lowest is not None and source in self._lowest):
            self._lowest = None

    def leave(self, source: str) -> None:
        """Leave an idle source out until it speaks again."""
        if self._watermarks.pop(source, None) is not None:
            self._lowest = None

    def others(self, source: str) -> int:
        """Return the least watermark of the other live sources, LAST_MS where there is none."""
        return next((self._watermarks[name] for name in self._find_lowest() if name != source), LAST_MS)

    @property
    def least(self) -> int | None:
        """The least watermark of all live sources, None without any."""
        return next((self._watermarks[name] for name in self._find_lowest()), None)

    def _find_lowest(self) -> tuple[str, ...]:
        if self._lowest is None:
            self._lowest = tuple(sorted(self._watermarks, key=self._watermarks.__getitem__)[:2])
        return self._lowest

    @property
    def watermarks(self) -> dict[str, int]:
        """The last watermark by live source, ms."""
        return dict(self._watermarks)

    def restore(self, watermarks: Mapping[str, int]) -> None:
        """Take these in place of all that is known."""
        self._watermarks, self._lowest = dict(watermarks), None

    def __len__(self) -> int:
        return len(self._watermarks)
