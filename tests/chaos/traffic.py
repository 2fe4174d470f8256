"""The seeded stream of a run: organic traffic with purchases of four kinds, broken records and repeats in it.

Two runs over one log read its partitions in another order: which topic of a partition comes first is up to the
fetches, and differs by minutes after a fault. So what is bought here is bought with margin, so that no decision
hangs on that order: accounts made for it an hour ago that do nothing else, all alike, many of them at once on a
subject that is new, and all within one slot of five minutes, by which an episode's start and so its id are told.
The background comes from the simulator at one even rate, without anything that is meant to look like a purchase,
and from so many accounts that none of them is as busy as a program.

Event time runs as the run does, three hours behind the clock. History goes before and a quiet evening after, both
sent at once: the first so that there is something usual, the second so that every episode is over in the end.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from streams.simulator import Scenario, World, stream
from tests.chaos.purchases import SLOT_MS, purchases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.simulator import Record

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
EVENING_MS = 3 * HOUR_MS
"""An episode is over half an hour after its last suspicious action, of which a few come late."""

LEAD_MS = 10 * MINUTE_MS
"""How far the end of the evening stays behind the clock: nothing may seem to come from the future."""

FIRST_S = 20
"""Event time of the first second within its slot of five minutes."""

HISTORY_S, HISTORY_FOLDS = 3_600.0, 12
"""It begins with next to nothing and grows to the rate of the live part, by e in each of its folds: where all begin at
once, what is usual is not known yet when a first note has many likes, and what comes of that is up to the order."""

EVENING_PER_S = 0.4
BEHIND = 1 << 32
"""What is bought comes behind the background of the same moment, the history above all."""

BROKEN = REPEATED = 0.01
REPEAT_S_MAX = 45.0
"""Well within the ten minutes for which an event id is remembered, a broker's outage included."""


class Timed(NamedTuple):
    """One record, when it is due in seconds from the start of the live part (0: at once), and what it is."""

    due_s: float
    number: int
    topic: str
    key: bytes
    value: bytes | None
    what: str  # "good", "broken" or "repeat"


@dataclass(frozen=True, slots=True)
class Stream:
    """What to send: `seconds` of live traffic with about `rate_per_s` organic events, drawn from `seed`."""

    seed: int
    seconds: float
    rate_per_s: float
    now_ms: int
    history_s: float = HISTORY_S

    @property
    def live_from_ms(self) -> int:
        """Event time at which the live part begins, `FIRST_S` into a slot."""
        latest = self.now_ms - EVENING_MS - LEAD_MS
        return latest - latest % SLOT_MS + FIRST_S * 1_000

    def records(self) -> Iterator[Timed]:
        """Yield every record in the order of sending."""
        rng = Random(self.seed)
        merged = heapq.merge(self._with_trouble(self._organic(), rng), self._with_trouble(self._bought(), rng))
        yield from merged
        evening = (Timed(self.seconds, n, r.topic, r.key, r.value, "good") for n, r in enumerate(self._evening()))
        yield from self._with_trouble(evening, rng)

    def _organic(self) -> Iterator[Timed]:
        history_ms = int(self.history_s * 1_000)
        scenario = Scenario(
            start_ms=self.live_from_ms - history_ms,
            duration_ms=history_ms + int(self.seconds * 1_000),
            accounts=20_000,
            notes=8_000,
            keywords=1_000,
            events_per_s=self.rate_per_s,
            live_from_ms=self.live_from_ms,
            warmup_e_fold_ms=history_ms // HISTORY_FOLDS,
            attacks=(),
            benign=(),
        )
        number = 0
        for batch in stream(World.build(scenario, self.seed)):
            for record in batch.records:
                due_s = max(0.0, (record.arrival_ms - self.live_from_ms) / 1_000)
                yield Timed(min(due_s, self.seconds), number, record.topic, record.key, record.value, "good")
                number += 1

    def _bought(self) -> Iterator[Timed]:
        for number, action in enumerate(purchases(self.seed, self.live_from_ms, self.seconds)):
            due_s = max(0.0, (action.ts_ms - self.live_from_ms) / 1_000)
            yield Timed(due_s, BEHIND + number, action.topic, action.key, action.value, "good")

    def _evening(self) -> Iterator[Record]:
        quiet = Scenario(
            start_ms=self.live_from_ms + int(self.seconds * 1_000),
            duration_ms=EVENING_MS,
            accounts=5_000,
            notes=2_000,
            keywords=500,
            events_per_s=EVENING_PER_S,
            attacks=(),
            benign=(),
        )
        for batch in stream(World.build(quiet, self.seed + 1), speed=0):
            yield from batch.records

    def _with_trouble(self, records: Iterator[Timed], rng: Random) -> Iterator[Timed]:
        """Put broken records and repeats among them, in the order of sending."""
        again: list[Timed] = []
        for record in records:
            while again and again[0].due_s <= record.due_s:
                yield heapq.heappop(again)
            yield record
            if rng.random() < BROKEN:
                yield record._replace(value=broken(rng, record.value or b""), what="broken")
            if rng.random() < REPEATED:
                later_s = min(record.due_s + rng.uniform(0.0, REPEAT_S_MAX), self.seconds)
                heapq.heappush(again, record._replace(due_s=later_s, what="repeat"))
        while again:
            yield heapq.heappop(again)


def broken(rng: Random, value: bytes) -> bytes | None:
    """Break a record in one of the ways in which the contract can be broken."""
    event = json.loads(value)
    ways: tuple[bytes | None, ...] = (
        None,
        b"",
        value[: rng.randrange(1, len(value))],
        rng.randbytes(40),
        json.dumps(event | {"ts": "yesterday"}).encode(),
        json.dumps(event | {"ts": event["ts"] + 24 * HOUR_MS}).encode(),
        json.dumps(event | {"ts": event["ts"] - 200 * HOUR_MS}).encode(),
        json.dumps(event | {"actor_id": "x" * 129}).encode(),
        json.dumps({name: part for name, part in event.items() if name != "event_id"}).encode(),
    )
    return rng.choice(ways)
