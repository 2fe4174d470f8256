"""Whether each event took effect exactly once, proven from what the topics hold.

Counters are per life of a process and count again what is read again, so they prove nothing after a kill. But the
blocks between the stages say from which record each row comes, and the subject stage applies a row only where it is
beyond what it has seen of that source. So the log of the actions says what was applied, and what never was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.onward import ONWARD
from schemas.columns import Topic
from schemas.dead_letters import read_headers
from schemas.decode import decode_batch
from streams.blocks import BlockRefused, unpack
from tests.chaos.cluster import INPUTS
from tests.integration.traffic import drain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.topic_plan import TopicNames

DEDUP_MS = 10 * 60_000
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class Applied(NamedTuple):
    """What the subject stages made of the log of the actions."""

    once: set[Place]
    twice: int
    skipped: set[Place]  # dropped as seen, and never applied: lost
    resent: int
    refused: int


@dataclass(slots=True)
class Account:
    """One input topic: what is in its log, and what came of it."""

    topic: str
    records: int
    expected: Counter[str]
    applied: int = 0
    lost: int = 0
    unexpected: int = 0
    letters: int = 0
    letters_lost: int = 0
    letters_wrong: int = 0
    examples: list[Place] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether every record had the one effect that it must have."""
        wrong = self.lost + self.unexpected + self.letters_lost + self.letters_wrong
        return wrong == 0 and self.records == self.expected.total()


def keep_accounts(bootstrap: str, names: TopicNames) -> tuple[list[Account], Applied]:
    """Read every topic of a run and add up. What is expected of a record is worked out from the input log alone."""
    applied = apply_log(drain(bootstrap, names.actions))
    letters = _letters(drain(bootstrap, names.dead_letters))
    accounts = []
    for field_name in INPUTS:
        kafka_topic = getattr(names, field_name)
        records = drain(bootstrap, kafka_topic)
        accounts.append(_account(kafka_topic, Topic[field_name.upper()], records, applied, letters))
    return accounts, applied


def apply_log(records: list[Any]) -> Applied:
    """Walk the actions as the subject stages do: a row is applied where it is beyond what was seen of its source.

    Of an event there may be two rows, its action and before it one that says from what its actor goes on.
    """
    seen: dict[tuple[int, str, int], int] = {}
    once: set[Place] = set()
    dropped: set[Place] = set()
    told_once: set[Place] = set()
    told_dropped: set[Place] = set()
    twice = resent = refused = 0
    for record in records:
        try:
            block = unpack(record.value)
        except BlockRefused:
            refused += 1
            continue
        for header, start, end in block.parts:
            source = header.topic, header.partition
            reached = seen.get((record.partition, *source), -1)
            told = (block.actions.verb[start:end] >= ONWARD).tolist()
            for offset, goes_on in zip(block.offsets[start:end].tolist(), told, strict=True):
                place = (*source, offset)
                applied, left = (told_once, told_dropped) if goes_on else (once, dropped)
                if offset <= reached:
                    resent += 1
                    left.add(place)
                else:
                    twice += place in applied
                    applied.add(place)
                seen[record.partition, *source] = max(seen.get((record.partition, *source), -1), offset)
    return Applied(once, twice, (dropped - once) | (told_dropped - told_once), resent, refused)


def _account(kafka_topic: str, topic: Topic, records: list[Any], applied: Applied, letters: set[Place]) -> Account:
    expected = _expected(kafka_topic, topic, records)
    account = Account(kafka_topic, len(records), Counter(expected.values()))
    mine = {place for place in applied.once if place[0] == kafka_topic}
    good = {place for place, what in expected.items() if what == "accepted"}
    bad = {place for place, what in expected.items() if what == "dead_letter"}
    refused = {place for place in letters if place[0] == kafka_topic}
    account.applied, account.letters = len(mine & good), len(refused & bad)
    account.lost, account.unexpected = len(good - mine), len(mine - good)
    account.letters_lost, account.letters_wrong = len(bad - refused), len(refused - bad)
    account.examples = sorted(good - mine)[:3] + sorted(mine - good)[:3] + sorted(bad ^ refused)[:3]
    return account


def _expected(kafka_topic: str, topic: Topic, records: list[Any]) -> dict[Place, str]:
    """Return what must become of each record: the first of an event id within ten minutes of arrival counts."""
    found: dict[Place, str] = {}
    by_partition: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        by_partition[record.partition].append(record)
    for partition, some in by_partition.items():
        values = [record.value for record in some]
        # Each by its own record's time, as the broker set it.
        events, refusals = decode_batch(topic, values, _times(some))
        for refusal in refusals:
            found[kafka_topic, partition, some[refusal.row].offset] = "dead_letter"
        first: dict[int, int] = {}
        for row, event in zip(events.row.tolist(), events.event.tolist(), strict=True):
            record = some[row]
            repeated = event in first and record.timestamp - first[event] <= DEDUP_MS
            if not repeated:
                first[event] = record.timestamp
            found[kafka_topic, partition, record.offset] = "duplicate" if repeated else "accepted"
    return found


def _times(records: list[Any]) -> NDArray[np.int64]:
    return np.array([record.timestamp for record in records], np.int64)


def _letters(records: list[Any]) -> set[Place]:
    found: set[Place] = set()
    for record in records:
        letter = read_headers(record.headers)
        if letter is not None and letter.last.partition is not None and letter.last.offset is not None:
            found.add((letter.last.topic, letter.last.partition, letter.last.offset))
    return found
