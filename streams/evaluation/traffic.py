"""The traffic that was replayed, kept as columns: when the bought actions came, and what came to each subject.

About 40 bytes an event are held, which is why this is not part of a replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from schemas.columns import Topic, Verb
from schemas.flags import Kind
from schemas.hashing import hash_id, hash_ids
from streams.comparison import Attack
from streams.recorded import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from schemas.columns import Events

DAY_MS = 86_400_000

KINDS_OF_SUBJECTS: dict[Kind, tuple[Topic, Verb]] = {
    Kind.FOLLOWER_SPIKE: (Topic.FOLLOWS, Verb.FOLLOW),
    Kind.LIKE_BOOST: (Topic.LIKES, Verb.LIKE),
    Kind.KEYWORD_RANKING: (Topic.SEARCHES, Verb.SEARCH),
    Kind.KEYWORD_TREND: (Topic.SEARCHES, Verb.SEARCH),
}
"""What is counted for each kind that is about a subject."""


class Purchase(Attack, frozen=True):
    """One line of `attacks.jsonl` with the names of its events. Sold as `bought_share` of a rise, where it is mixed."""

    event_ids: tuple[str, ...] = ()
    bought_share: float = 1.0

    @property
    def label(self) -> str:
        """The shape, and what share of the rise was bought where that is part of it."""
        return f"{self.shape} {self.bought_share:.0%}" if self.shape == "mixed" else self.shape


@dataclass(frozen=True, slots=True)
class Traffic:
    """Every accepted event once, in event time: columns of length n."""

    ts: NDArray[np.int64]
    topic: NDArray[np.uint8]
    verb: NDArray[np.uint8]
    event: NDArray[np.uint64]
    actor: NDArray[np.uint64]
    subject: NDArray[np.uint64]
    item: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def days(self) -> float:
        """Event time from the first to the last event."""
        return float(self.ts[-1] - self.ts[0]) / DAY_MS if len(self) else 0.0

    @property
    def accounts(self) -> int:
        """Distinct accounts that acted at least once."""
        return len(np.unique(self.actor))

    def subjects_of(self, kind: Kind) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Return the rows that count for a kind and the key of the subject of each.

        A pushed result is a pair of a keyword and a note; its key is made of both.
        """
        topic, verb = KINDS_OF_SUBJECTS[kind]
        chosen = (self.topic == topic) & (self.verb == verb)
        if kind is Kind.KEYWORD_RANKING:
            chosen &= self.item != 0
            rows = np.flatnonzero(chosen)
            return rows, pair_key(self.subject[rows], self.item[rows])
        rows = np.flatnonzero(chosen)
        return rows, self.subject[rows]

    def with_times(self, attacks: list[Purchase]) -> list[Purchase]:
        """Return the attacks with the times at which their deliveries came: removals are none."""
        wanted = hash_ids([name for attack in attacks for name in attack.event_ids])
        attack_of = np.repeat(np.arange(len(attacks)), [len(attack.event_ids) for attack in attacks])
        order = np.argsort(self.event, kind="stable")
        place = np.searchsorted(self.event, wanted, sorter=order)
        row = order[np.minimum(place, max(len(self) - 1, 0))] if len(self) else np.zeros(0, np.intp)
        known = self.event[row] == wanted if len(self) else np.zeros(0, np.bool_)
        known &= ~np.isin(self.verb[row], (Verb.UNLIKE, Verb.UNFOLLOW)) if len(self) else False
        found: list[Purchase] = []
        for number, attack in enumerate(attacks):
            mine = row[known & (attack_of == number)] if len(self) else row
            times = tuple(np.sort(self.ts[mine]).tolist())
            found.append(msgspec.structs.replace(attack, times=times or attack.times))
        return found


class WatchedRecording(Recording):
    """A recording that remembers what was read from it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._parts: list[Traffic] = []

    def timed(self, topic: Topic) -> Iterator[Events]:
        """Yield what the recording yields of a file, and remember it."""
        for events in super().timed(topic):
            self._parts.append(
                Traffic(
                    events.ts.copy(),
                    np.full(len(events), int(events.topic), np.uint8),
                    events.verb.copy(),
                    events.event.copy(),
                    events.actor.copy(),
                    events.subject.copy(),
                    events.item.copy(),
                )
            )
            yield events

    def traffic(self) -> Traffic:
        """Return everything that was read, repeats left out, in event time."""
        names = tuple(Traffic.__slots__)
        parts = {name: [getattr(part, name) for part in self._parts] for name in names}
        empty = Traffic(*(np.zeros(0, kind) for kind in ("i8", "u1", "u1", "u8", "u8", "u8", "u8")))
        columns = {name: np.concatenate(parts[name]) if self._parts else getattr(empty, name) for name in names}
        _, first = np.unique(columns["event"], return_index=True)
        first = first[np.argsort(columns["ts"][first], kind="stable")]
        return Traffic(**{name: column[first] for name, column in columns.items()})


def key_of(kind: Kind, subject_id: str, note_id: str | None) -> int:
    """Return the key that `Traffic.subjects_of` gives what an attack or a flag is about."""
    if kind is Kind.KEYWORD_RANKING:
        pair = pair_key(np.array([hash_id(subject_id)], np.uint64), np.array([hash_id(note_id or "")], np.uint64))
        return int(pair[0])
    return hash_id(subject_id)


def pair_key(subject: NDArray[np.uint64], item: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one key for each pair: a multiplicative hash, never 0."""
    mixed = (subject * np.uint64(0x9E3779B97F4A7C15)) ^ (item + np.uint64(0x7F4A7C159E3779B9))
    return np.maximum(mixed, np.uint64(1))
