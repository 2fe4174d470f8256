"""Traffic for growth: as many accounts, keywords or hot accounts as asked for, made as fast as it can be sent.

The simulator's people are made one by one, which ten million of them would take too long for. Here accounts are
numbers, and what they do is drawn by the same law whatever their number: half of all actions come from, and go to, a
few hundred accounts, the other half from anybody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.traffic import QUEUE_MAX, producer, settings_of, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

CHUNK = 50_000
BUSY_ACCOUNTS = 500
BUSY_SHARE = 0.5
HOT = 999_999_999
"""The number of the hot account."""

Sent = tuple[int, bytes, bytes]
"""Topic's number (likes, follows, searches), key, value."""

Drawn = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Growth:
    """What to make: every account acts and is followed once, then `events` are drawn.

    `hot_share` of those go to one account; `keywords` searches are made after them, each for another keyword.
    """

    accounts: int
    events: int
    likes_every: int = 4
    """One in so many of the drawn events is a like, which brings a note of its own; 0 for none."""
    hot_share: float = 0.0
    keywords: int = 0
    seed: int = 1
    seconds: float = 3_600.0
    """Event time from the first to the last."""

    @property
    def total(self) -> int:
        """Records in all."""
        return self.accounts + self.events + self.keywords

    def records(self, end_ms: int) -> Iterator[Sent]:
        """Yield everything, the last of it at `end_ms`."""
        rng = np.random.default_rng(self.seed)
        begin_ms, step_ms = end_ms - self.seconds * 1000, self.seconds * 1000 / self.total
        for start in range(0, self.total, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, self.total))
            ts = (begin_ms + step_ms * numbers).astype(np.int64)
            filling = numbers < self.accounts
            # Twice as many numbers apart, everybody is followed by somebody who acts elsewhere in the stream.
            actors = np.where(filling, numbers, self._draw(rng, len(numbers)))
            targets = np.where(filling, (numbers * 7 + 3) % self.accounts, self._draw(rng, len(numbers)))
            if self.hot_share:
                targets = np.where(~filling & (rng.random(len(numbers)) < self.hot_share), HOT, targets)
            for number, at_ms, actor, target in zip(
                numbers.tolist(), ts.tolist(), actors.tolist(), targets.tolist(), strict=True
            ):
                yield self._record(number, at_ms, actor, target)

    def _draw(self, rng: np.random.Generator, count: int) -> Drawn:
        anybody = rng.integers(0, self.accounts, count)
        busy = rng.integers(0, min(BUSY_ACCOUNTS, self.accounts), count)
        return np.where(rng.random(count) < BUSY_SHARE, busy, anybody)

    def _record(self, number: int, ts_ms: int, actor: int, target: int) -> Sent:
        head = b'{"event_id":"g%d","ts":%d,"actor_id":"u%d",' % (number, ts_ms, actor)
        key = b"u%d" % actor
        if number >= self.accounts + self.events:
            return 2, key, head + b'"query":"never asked before %d"}' % number
        if number < self.accounts or not self.likes_every or number % self.likes_every:
            return 1, key, head + b'"action":"follow","target_id":"u%d"}' % target
        return 0, key, head + b'"action":"like","note_id":"n%d","author_id":"u%d"}' % (target, target)


def load(growth: Growth, variables: Mapping[str, str], console: Console) -> None:
    """Send everything to the topics that these variables name."""
    settings = settings_of(variables)
    names = list(settings.input_topics.values())
    sender = producer(settings.bootstrap)
    for number, (topic, key, value) in enumerate(growth.records(time.time_ns() // 1_000_000), 1):
        sender.produce(names[topic], value=value, key=key)
        if number % 10_000 == 0:
            settle(sender, QUEUE_MAX)
        if number % 200_000 == 0:
            console.print(f"  loading: {number:,} of {growth.total:,}", end="\r")
    settle(sender)
