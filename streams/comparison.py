"""Flags against the truth: which attacks were flagged, how soon, and what was flagged that was none.

The truth is `attacks.jsonl` (contract.md), and beside it `benign.jsonl`, the simulator's list of episodes that
look like attacks. A flag is right about an attack when it is of its kind, on its subject (for a pushed search
result, its note too), and their times meet. What an attack hits beside its subject (`also`) is right as well.

A group has no id that the truth could name, so a `lockstep` flag is right when at least half of the members that
it names took part. Bought accounts also act like programs and in lockstep while they serve an attack of another
kind: such a flag on an attack's own actors is right too, though about nobody's line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from schemas.flags import Flag, Kind, Status, Subject
from streams.errors import RecordedTrafficError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Line = TypeVar("Line", bound=msgspec.Struct)


class Also(msgspec.Struct, frozen=True):
    """Something else that an attack hits."""

    kind: Kind
    subject: Subject


class Attack(msgspec.Struct, frozen=True):
    """One line of `attacks.jsonl`, as far as it is needed. `times` are those of the deliveries, where known."""

    attack_id: str
    kind: Kind
    subject: Subject
    start: int
    end: int
    shape: str
    note_id: str | None = None
    author_id: str | None = None
    also: tuple[Also, ...] = ()
    times: tuple[int, ...] = ()
    actors: tuple[str, ...] = ()


class Benign(msgspec.Struct, frozen=True):
    """One line of `benign.jsonl`: an episode that must not be flagged, and every id that it concerns."""

    benign_id: str
    family: str
    subject: Subject
    start: int
    end: int
    note_id: str | None = None
    author_id: str | None = None

    @property
    def ids(self) -> set[tuple[str, str]]:
        """The type and id of everything in it."""
        found = {(str(self.subject.type), self.subject.id)}
        if self.note_id:
            found.add(("note", self.note_id))
        if self.author_id:
            found.add(("account", self.author_id))
        return found


@dataclass(slots=True)
class Episode:
    """The flags with one `flag_id`: the first and the last."""

    first: Flag
    last: Flag

    def meets(self, start_ms: int, end_ms: int) -> bool:
        """Say whether the two times have an instant in common."""
        return self.first.window.start <= end_ms and self.last.window.end >= start_ms


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one attack: its episodes, the earliest first, and the share of it that came before."""

    attack: Attack
    episodes: list[Episode]

    @property
    def flag(self) -> Flag | None:
        """The flag that was first."""
        return self.episodes[0].first if self.episodes else None

    @property
    def delay_ms(self) -> int | None:
        """Event time from the start of the attack to the first flag."""
        return None if self.flag is None else self.flag.detected_at - self.attack.start

    @property
    def delivered(self) -> float | None:
        """The share of the bought actions that had come when the first flag was decided; None where not known."""
        if self.flag is None or not self.attack.times:
            return None
        return bisect_right(self.attack.times, self.flag.detected_at) / len(self.attack.times)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. `others` are flagged episodes that are neither right nor about a benign episode."""

    attacks: list[Found]
    benign: list[tuple[Benign, list[Episode]]]
    others: list[Episode] = field(default_factory=list)
    right: list[Episode] = field(default_factory=list)

    @property
    def flagged(self) -> int:
        """How many attacks were flagged."""
        return sum(1 for found in self.attacks if found.episodes)

    @property
    def wronged(self) -> int:
        """How many benign episodes were flagged."""
        return sum(1 for _, episodes in self.benign if episodes)


def read_attacks(path: Path) -> list[Attack]:
    """Read `attacks.jsonl`. Raises RecordedTrafficError where it is missing or a line is none."""
    return read_truth(path, Attack)


def read_benign(path: Path) -> list[Benign]:
    """Read `benign.jsonl`; none where there is no such file. Raises RecordedTrafficError where a line is none."""
    return read_truth(path, Benign) if path.exists() else []


def compare(flags: Iterable[Flag], attacks: Sequence[Attack], benign: Sequence[Benign]) -> Comparison:
    """Compare the flags, in the order in which they were decided, with the truth.

    An episode that was retracted is not counted as flagged.
    """
    episodes = [episode for episode in _episodes(flags) if episode.last.status is not Status.RETRACTED]
    by_subject = _by_subject(episodes)
    groups = [episode for episode in episodes if episode.first.kind is Kind.LOCKSTEP]
    right: set[str] = set()
    found: list[Found] = []
    for attack in attacks:
        known = by_subject[str(attack.subject.type), attack.subject.id]
        hits = [hit for hit in (groups if attack.kind is Kind.LOCKSTEP else known) if _right(hit, attack)]
        found.append(Found(attack, sorted(hits, key=lambda hit: hit.first.detected_at)))
        right.update(hit.first.flag_id for hit in hits)
        for also in attack.also:
            for hit in by_subject[str(also.subject.type), also.subject.id]:
                if hit.first.kind is also.kind and hit.meets(attack.start, attack.end):
                    right.add(hit.first.flag_id)
    bought = {actor for attack in attacks for actor in attack.actors}
    right.update(episode.first.flag_id for episode in episodes if _about(episode.first, bought))
    wrong = [episode for episode in episodes if episode.first.flag_id not in right]
    wronged = _by_subject(wrong)
    seen: set[str] = set()
    accused: list[tuple[Benign, list[Episode]]] = []
    for quiet in benign:
        hits = [hit for key in sorted(quiet.ids) for hit in wronged[key] if hit.meets(quiet.start, quiet.end)]
        accused.append((quiet, hits))
        seen.update(hit.first.flag_id for hit in hits)
    others = [episode for episode in wrong if episode.first.flag_id not in seen]
    return Comparison(found, accused, others, [episode for episode in episodes if episode.first.flag_id in right])


def read_truth(path: Path, kind: type[Line]) -> list[Line]:
    """Read a file of one JSON object a line. Raises RecordedTrafficError where it is missing or a line is none."""
    decoder = msgspec.json.Decoder(kind)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordedTrafficError(f"cannot read {path}: {error.strerror}") from None
    found: list[Line] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RecordedTrafficError(f"{path}:{number} is no {kind.__name__.lower()}: {error}") from None
    return found


def _by_subject(episodes: Iterable[Episode]) -> defaultdict[tuple[str, str], list[Episode]]:
    found: defaultdict[tuple[str, str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        found[str(episode.first.subject.type), episode.first.subject.id].append(episode)
    return found


def _right(episode: Episode, attack: Attack) -> bool:
    flag = episode.first
    if flag.kind is not attack.kind or not episode.meets(attack.start, attack.end):
        return False
    if attack.kind is Kind.LOCKSTEP:
        return _about(flag, set(attack.actors))
    return attack.kind is not Kind.KEYWORD_RANKING or flag.evidence.note_id == attack.note_id


def _about(flag: Flag, actors: set[str]) -> bool:
    """Say whether a flag about accounts that act is about these."""
    if flag.kind is Kind.AUTOMATION:
        return flag.subject.id in actors
    members = flag.evidence.members or ()
    return flag.kind is Kind.LOCKSTEP and 2 * sum(member in actors for member in members) >= max(len(members), 1)


def _episodes(flags: Iterable[Flag]) -> list[Episode]:
    found: dict[str, Episode] = {}
    for flag in flags:
        if flag.flag_id in found:
            found[flag.flag_id].last = flag
        else:
            found[flag.flag_id] = Episode(flag, flag)
    return list(found.values())
