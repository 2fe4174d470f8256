"""Lockstep: groups of accounts that act together. What is made of links between accounts, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from detectors.answers import DISMISSED_MS, Answered, Answers, AnswersKept, Past, retraction
from detectors.group_evidence import MEMBERS_MIN, score_of, write
from detectors.groups import (
    ACTORS_MAX,
    HEARING,
    LINES_MAX,
    NEEDS_ROOM,
    PAIRS_MAX,
    Columns,
    Heard,
    make_actors,
    make_lines,
    make_pairs,
    make_way,
    pair_of,
    tables_of,
    take_meetings,
)
from detectors.kept_state import KeptState, Part, read_part, write_part
from detectors.restraint import Restraint
from detectors.settings import DAY_MS, HOUR_MS, MINUTE_MS
from detectors.state import SnapshotMismatchError
from detectors.visits import OTHERS
from schemas.flags import Detector, Flag, Kind, Mode, Severity, Status, Subject, SubjectType, Window, flag_id
from schemas.hashing import hash_id
from schemas.verdicts import Judgement

if TYPE_CHECKING:
    from detectors.meetings import Meetings

VERSION: Final = "1"
KEPT_VERSION: Final = 2
NEVER_MS: Final = 2**62

JOIN_LINKS: Final = 2
"""Links to members with which another account joins."""

NEIGHBOURS_MAX, ACCOUNTS_MAX, GROUPS_MAX, TARGETS_MAX = 64, 50_000, 1_000, 1_000
"""Links kept of an account, accounts with links, groups open at once, targets kept of a group: bounds."""

QUIET_MS: Final = DAY_MS
"""A group that has not met for so long is closed."""

GROWTH: Final = 1.5
UPDATE_GAP_MS: Final = MINUTE_MS
START_STEP_MS: Final = 5 * MINUTE_MS
SAMPLE: Final = 20

Key = Annotated[int, Meta(ge=1)]


class Group(msgspec.Struct):
    """An open group: its accounts, the targets on which at least two of them met, and how often."""

    id: str
    start_ms: int
    last_ms: int
    update_after_ms: int
    members: list[int]
    targets: dict[str, int]  # by the target's hash in hex
    acts: int = 0
    told: int = 0
    flag: Flag | None = None


class Kept(msgspec.Struct):
    """What is kept besides the tables."""

    links: list[tuple[Key, list[Key]]]
    names: list[tuple[Key, str]]
    groups: list[Group]
    answers: AnswersKept
    honest: list[tuple[Key, int]]  # accounts of dismissed groups, and until when (ms) they are in no other
    clock_ms: int


class GroupStage(KeptState):
    """Finds the groups among the meetings of all partitions. Flags do not depend on how meetings were cut.

    Args:
        mode: live or shadow.
        pairs_max: most pairs of accounts remembered that met twice.
        lines: for the first meetings of pairs, of three each, a power of two.
        actors_max: most accounts that meet remembered.

    """

    def __init__(
        self,
        mode: Mode = Mode.LIVE,
        pairs_max: int = PAIRS_MAX,
        lines: int = LINES_MAX,
        actors_max: int = ACTORS_MAX,
    ) -> None:
        self._mode = mode
        self._pairs, self._actors, self._lines = make_pairs(pairs_max), make_actors(actors_max), make_lines(lines)
        self._restraint = Restraint()
        self._links: dict[int, list[int]] = {}
        self._names: dict[int, str] = {}
        self._groups: dict[str, Group] = {}
        self._of: dict[int, Group] = {}
        self._answers = Answers()
        self._honest: dict[int, int] = {}
        self._clock_ms = 0
        self._due_ms = NEVER_MS
        self._config = f"{hash_id(f'{MEMBERS_MIN}/{JOIN_LINKS}/{QUIET_MS}'):016x}"
        self.crowded = 0
        super().__init__(
            {"pairs": self._pairs, "meeting": self._actors, "firsts": self._lines},
            {"groups": Part(self._write, self._read), "restraint": self._restraint.part()},
        )

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def bytes_resident(self) -> int:
        """Bytes of the tables."""
        return sum(table.bytes_resident for table in self.tables().values())

    def apply(self, meetings: Meetings) -> list[Flag]:
        """Take meetings in their order; return the flags that they bring."""
        return [flag for _, flag in self.decide(meetings)]

    def decide(self, meetings: Meetings) -> list[tuple[int, Flag]]:
        """Do as `apply`; return with each flag the action that tipped it (`Meetings.rows`)."""
        if not len(meetings):
            return []
        columns = Columns(*(np.ascontiguousarray(getattr(meetings, name)) for name in Columns._fields))
        heard = Heard(np.zeros(OTHERS, np.uint64), np.empty(len(meetings), np.int64), np.zeros(1, np.int64))
        flags: list[tuple[int, Flag]] = []
        at = 0
        while at < len(meetings):
            tables = tables_of(self._pairs, self._actors, self._lines, self._restraint)
            at, why = take_meetings(tables, columns, at, self._due_ms, heard)
            for place in heard.again[: heard.many[0]].tolist():
                self._take_name(int(meetings.actor[place]), meetings)
            if why == HEARING:
                told = self._hear(meetings, at - 1, heard.linked[heard.linked > 0].tolist())
                flags += [(int(meetings.rows[at - 1]), flag) for flag in told]
            elif why == NEEDS_ROOM:
                make_way(self._pairs, OTHERS)
                make_way(self._actors, 1)
        self._clock_ms = max(self._clock_ms, int(meetings.ts.max()))
        return flags

    def answerable(self) -> list[str]:
        """Return the ids of the flags that can be answered: those of open groups, and the last that are over."""
        return [one.flag.flag_id for one in self._groups.values() if one.flag is not None] + [*self._answers.ids()]

    def answer(self, flag_id: str, judgement: Judgement) -> Answered | None:
        """Take an answer to a flag; None where it cannot be answered, or was answered so before.

        A dismissed flag is retracted, its group is no more, and its accounts are in no other for a day.
        """
        group = next((one for one in self._groups.values() if one.flag and one.flag.flag_id == flag_id), None)
        past = self._answers.find(flag_id) if group is None else self._past(group)
        if past is None or not self._answers.give(flag_id, judgement):
            return None
        flags: list[Flag] = []
        if judgement is Judgement.DISMISSED and past.flag.status is not Status.RETRACTED:
            if group is not None:
                del self._groups[group.id]
                self._let_go(group)
                self._reschedule()
            past.flag = retraction(past.flag, self._clock_ms)
            self._answers.remember(past)
            self._honest = {key: until for key, until in self._honest.items() if until > self._clock_ms}
            self._honest |= dict.fromkeys(past.rows, self._clock_ms + DISMISSED_MS)
            flags.append(past.flag)
        return Answered(past.flag.kind, judgement, flags)

    def _past(self, group: Group) -> Past | None:
        return Past(group.flag, 0, 0, list(group.members)) if group.flag is not None else None

    def _hear(self, meetings: Meetings, at: int, linked: list[int]) -> list[Flag]:
        actor, now_ms = int(meetings.actor[at]), int(meetings.ts[at])
        self._take_name(actor, meetings)
        flags = self._close(now_ms)
        for other in linked:
            self._link(actor, other)
            flags += self._grow(actor, other, now_ms)
        group = self._of.get(actor)
        if group is not None and any(self._of.get(other) is group for other in meetings.others[at].tolist() if other):
            flags += self._met(group, int(meetings.target[at]), meetings, now_ms)
        return flags

    def _take_name(self, actor: int, meetings: Meetings) -> None:
        if actor not in self._names and (name := meetings.names.find(actor)) is not None:
            self._names[actor] = name
            if len(self._names) > 2 * ACCOUNTS_MAX:
                del self._names[next(iter(self._names))]

    def _name(self, account: int) -> str:
        return self._names.get(account) or f"#{account:016x}"

    def _link(self, one: int, other: int) -> None:
        for left, right in ((one, other), (other, one)):
            neighbours = self._links.setdefault(left, [])
            if right not in neighbours and len(neighbours) < NEIGHBOURS_MAX:
                neighbours.append(right)
        while len(self._links) > ACCOUNTS_MAX:
            del self._links[next(iter(self._links))]

    def _grow(self, one: int, other: int, now_ms: int) -> list[Flag]:
        """Let a linked account join the other's group, or make a group where four are all linked."""
        if self._is_honest(one, now_ms) or self._is_honest(other, now_ms):
            return []
        for newcomer, member in ((one, other), (other, one)):
            group = self._of.get(member)
            if group is not None and newcomer not in self._of:
                known = sum(1 for each in self._links.get(newcomer, ()) if self._of.get(each) is group)
                if known >= JOIN_LINKS:
                    self._admit(group, newcomer)
        if one in self._of or other in self._of:
            return []
        free = [each for each in self._links[one] if each in self._links[other] and each not in self._of]
        free = [each for each in free if not self._is_honest(each, now_ms)]
        for third in free:
            fourth = next((each for each in free if each in self._links.get(third, ())), None)
            if fourth is not None:
                return self._open(sorted((one, other, third, fourth)), now_ms)
        return []

    def _is_honest(self, account: int, now_ms: int) -> bool:
        return self._honest.get(account, 0) > now_ms

    def _admit(self, group: Group, account: int) -> None:
        group.members.append(account)
        self._of[account] = group
        row = self._actors.find(account)
        if row >= 0:
            self._actors.view().rows[row]["grouped"] = 1
            self._actors.view().dirty[row] = 1

    def _open(self, founders: list[int], now_ms: int) -> list[Flag]:
        if len(self._groups) >= GROUPS_MAX:
            self.crowded += 1
            return []
        rows = self._pairs.view().rows
        mine = [row for row in (self._pair_row(a, b) for a in founders for b in founders if a < b) if row >= 0]
        start_ms = min((int(rows[row]["first_ms"]) for row in mine), default=now_ms)
        met = max((int(rows[row]["met"]) for row in mine), default=1)
        group = Group(
            id="g" + f"{hash_id(','.join(f'{each:016x}' for each in founders)):016x}",
            start_ms=max(start_ms - start_ms % START_STEP_MS, 0),
            last_ms=now_ms,
            update_after_ms=now_ms + UPDATE_GAP_MS,
            members=[],
            targets={},
            acts=met * len(founders),
        )
        self._groups[group.id] = group
        for account in founders:
            self._admit(group, account)
        for account in dict.fromkeys(each for founder in founders for each in self._links.get(founder, ())):
            if (
                account not in self._of
                and not self._is_honest(account, now_ms)
                and sum(1 for each in self._links.get(account, ()) if self._of.get(each) is group) >= JOIN_LINKS
            ):
                self._admit(group, account)
        self._due_ms = min(self._due_ms, now_ms + QUIET_MS)
        return [self._publish(group, Status.OPENED, now_ms)]

    def _pair_row(self, one: int, other: int) -> int:
        return self._pairs.find(int(pair_of(np.uint64(one), np.uint64(other))))

    def _met(self, group: Group, target: int, meetings: Meetings, now_ms: int) -> list[Flag]:
        group.acts += 1
        group.last_ms = max(now_ms, group.last_ms)
        key = f"{target:016x}"
        if key in group.targets or len(group.targets) < TARGETS_MAX:
            group.targets[key] = group.targets.get(key, 0) + 1
        if target not in self._names and (name := meetings.names.find(target)) is not None:
            self._names[target] = name
        if group.acts < GROWTH * group.told or now_ms < group.update_after_ms:
            return []
        group.update_after_ms = now_ms + UPDATE_GAP_MS
        return [self._publish(group, Status.UPDATED, now_ms)]

    def _close(self, now_ms: int) -> list[Flag]:
        """Close the groups that have not met for long."""
        if now_ms < self._due_ms:
            return []
        flags = []
        over = sorted((one.last_ms, one.id) for one in self._groups.values() if one.last_ms + QUIET_MS <= now_ms)
        for last_ms, name in over:
            group = self._groups.pop(name)
            flags.append(self._publish(group, Status.CLOSED, last_ms + QUIET_MS))
            if (past := self._past(group)) is not None:
                self._answers.remember(past)
            self._let_go(group)
        self._reschedule()
        return flags

    def _let_go(self, group: Group) -> None:
        for account in group.members:
            del self._of[account]
            row = self._actors.find(account)
            if row >= 0:
                self._actors.view().rows[row]["grouped"] = 0
                self._actors.view().dirty[row] = 1

    def _reschedule(self) -> None:
        self._due_ms = min((one.last_ms + QUIET_MS for one in self._groups.values()), default=NEVER_MS)

    def _publish(self, group: Group, status: Status, now_ms: int) -> Flag:
        group.told = max(group.acts, 1)
        members = [self._name(each) for each in group.members]
        often = sorted(group.targets, key=lambda each: (-group.targets[each], each))
        targets = [self._name(int(each, 16)) for each in often[:SAMPLE]]
        hours = max((group.last_ms - group.start_ms) / HOUR_MS, 1 / 12)
        links = sum(1 for each in group.members for one in self._links.get(each, ()) if self._of.get(one) is group) // 2
        evidence = write(members[:SAMPLE], len(members), targets, len(group.targets), group.acts, links, hours)
        flag = Flag(
            flag_id=flag_id(Kind.LOCKSTEP, group.id, group.start_ms),
            kind=Kind.LOCKSTEP,
            status=status,
            mode=self._mode,
            subject=Subject(type=SubjectType.GROUP, id=group.id),
            window=Window(start=group.start_ms, end=max(group.last_ms, group.start_ms) + 1),
            detected_at=now_ms,
            score=score_of(len(members), (evidence.numbers or {})["linked_share"]),
            severity=Severity.HIGH if len(members) >= 20 else Severity.MEDIUM if len(members) >= 8 else Severity.LOW,
            evidence=evidence,
            detector=Detector(name=Kind.LOCKSTEP.value, version=VERSION, config=self._config),
        )
        group.flag = flag
        return flag

    def _write(self) -> bytes:
        kept = Kept(
            list(self._links.items()), list(self._names.items()), list(self._groups.values()),
            self._answers.kept(), list(self._honest.items()), self._clock_ms,
        )  # fmt: skip
        return write_part(kept, KEPT_VERSION)

    def _read(self, data: bytes) -> None:
        kept = read_part(data, Kept, KEPT_VERSION)
        keys = [key for key, others in kept.links for key in (key, *others)]
        keys += [key for group in kept.groups for key in group.members] + [key for key, _ in kept.names]
        keys += [key for key, _ in kept.honest] + [key for past in kept.answers.past for key in past.rows]
        if any(not 0 < key < 2**64 for key in keys):
            raise SnapshotMismatchError("a hash in it does not fit 64 bits: start without it")
        self._links, self._names = dict(kept.links), dict(kept.names)
        self._groups = {group.id: group for group in kept.groups}
        self._of = {key: group for group in kept.groups for key in group.members}
        self._answers.restore(kept.answers)
        self._honest, self._clock_ms = dict(kept.honest), kept.clock_ms
        self._reschedule()
