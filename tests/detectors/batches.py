"""Batches of events made by hand, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.columns import ABSENT_MS, Events, Topic, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

START_MS = 1_764_000_000_000
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000

_VERB = {Topic.LIKES: Verb.LIKE, Topic.FOLLOWS: Verb.FOLLOW, Topic.SEARCHES: Verb.SEARCH}
_OPTIONAL = {"position": 0, "created_at": ABSENT_MS, "device": 0, "ip_prefix": 0, "surface": 0}
_COLUMNS = tuple(column.name for column in fields(Events) if column.name != "topic")


def spread(numbers: ArrayLike, salt: int = 0) -> NDArray[np.uint64]:
    """Turn small numbers into what hashes look like: never 0, distinct, spread over 64 bits."""
    odd = (np.asarray(numbers).astype(np.uint64) << np.uint64(1)) | np.uint64(1)
    spread_out: NDArray[np.uint64] = odd * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(salt << 40)
    return spread_out


def batch(topic: Topic, ts: ArrayLike, **columns: ArrayLike) -> Events:
    """Make events of one topic; every column that is not given is that of an event with nothing optional.

    Without `event`, each event has an id of its own in this batch; without `arrival`, it arrives as it happens.
    """
    times = np.asarray(ts, np.int64)
    n = len(times)
    given: dict[str, Any] = {"arrival": times, "verb": _VERB[topic], "event": spread(np.arange(n), 1)}
    given |= {"actor": 1, "subject": 2, "owner": 3 if topic is Topic.LIKES else 0, "item": 0, **_OPTIONAL, **columns}
    types = {
        "arrival": np.int64, "verb": np.uint8, "event": np.uint64, "actor": np.uint64, "subject": np.uint64,
        "owner": np.uint64, "item": np.uint64, "position": np.uint16, "created_at": np.int64, "device": np.uint64,
        "ip_prefix": np.uint64, "surface": np.uint8,
    }  # fmt: skip
    made: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(given[name], kind), n).copy() for name, kind in types.items()
    }
    return Events(topic, np.arange(n, dtype=np.int32), times, **made, **_names(made))


class _Told(Sequence[Any]):
    """Names of hashes, made up when somebody asks: most are never asked for."""

    def __init__(self, letter: str, keys: NDArray[np.uint64]) -> None:
        self._letter, self._keys = letter, keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Told(self._letter, self._keys[index])
        return f"{self._letter}{self._keys[index]}" if self._keys[index] else None


def _names(made: dict[str, NDArray[Any]]) -> dict[str, Any]:
    columns = {"actor": "a", "subject": "s", "owner": "o", "item": "i"}
    return {f"{column}_ids": _Told(letter, made[column]) for column, letter in columns.items()}


def part(events: Events, start: int, end: int) -> Events:
    """Return events[start:end]."""
    return replace(events, **{name: getattr(events, name)[start:end] for name in _COLUMNS})


def without_optional(events: Events) -> Events:
    """Return the events as a producer that sends no optional field would have sent them."""
    return replace(events, **{name: np.full_like(getattr(events, name), gone) for name, gone in _OPTIONAL.items()})


def alone(events: Events) -> tuple[list[Events], NDArray[np.int64]]:
    """Return a batch as several in turns, of which it is the only one."""
    return [events], np.array([[0, len(events)]], np.int64)


Stream = list[Events]
"""Batches of one event each or more, of any topic, in the order in which they are taken."""


def recut(stream: Stream, cuts: Iterable[int]) -> Iterator[Events]:
    """Yield the same events in the same order, each batch cut further at the given places of the stream."""
    places, before = sorted(cuts), 0
    for events in stream:
        inside = [place - before for place in places if before < place < before + len(events)]
        edges = [0, *inside, len(events)]
        for start, end in pairwise(edges):
            if start < end:
                yield part(events, start, end)
        before += len(events)


def browsing(seed: int, n: int, *, actors: int = 60, start_ms: int = START_MS, span_ms: int = 2 * DAY_MS) -> Stream:
    """Make `n` events of people who search, click, like and at times follow, out of order and with repeats.

    Runs of one topic follow each other as fetches do. A few events are late by hours or days.
    """
    rng = np.random.default_rng(seed)
    ts = start_ms + np.sort(rng.integers(0, span_ms, n))
    arrival = ts.copy()
    ts = ts - rng.integers(0, 90 * SECOND_MS, n) - (rng.random(n) < 0.02) * rng.integers(0, 2 * DAY_MS, n)
    actor = spread((actors * rng.random(n) ** 2).astype(np.int64), 2)
    event = spread(np.arange(n) + n * seed, 3)
    again = np.flatnonzero(rng.random(n) < 0.03)
    event[again] = event[np.maximum(again - rng.integers(1, 40, len(again)), 0)]
    owner, note = spread(rng.integers(0, 40, n), 4), spread(rng.integers(0, 200, n), 5)
    seldom, clicked = rng.random(n) < 0.1, rng.random(n) < 0.6
    surface, device = rng.integers(0, 6, n), np.where(rng.random(n) < 0.8, spread(actor % np.uint64(97), 6), 0)
    created = np.where(rng.random(n) < 0.5, start_ms - (actor % np.uint64(2000)).astype(np.int64) * DAY_MS, ABSENT_MS)
    stream: Stream = []
    at = 0
    while at < n:
        topic = Topic(int(rng.choice(3, p=[0.45, 0.15, 0.4])))
        here = slice(at, min(at + int(rng.integers(1, 60)), n))
        columns: dict[str, Any] = {"arrival": arrival, "event": event, "actor": actor, "surface": surface}
        columns |= {"device": device, "created_at": created}
        if topic is Topic.LIKES:
            columns |= {"subject": note, "owner": owner, "verb": np.where(seldom, Verb.UNLIKE, Verb.LIKE)}
        elif topic is Topic.FOLLOWS:
            columns |= {"subject": owner, "verb": np.where(seldom, Verb.UNFOLLOW, Verb.FOLLOW)}
        else:
            columns |= {"subject": spread(note % np.uint64(31), 7), "owner": np.where(clicked, owner, 0)}
            columns |= {"item": np.where(clicked, note, 0), "position": np.where(clicked, 1 + note % np.uint64(20), 0)}
        stream.append(batch(topic, ts[here], **{name: values[here] for name, values in columns.items()}))
        at = here.stop
    return stream
