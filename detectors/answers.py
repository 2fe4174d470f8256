"""What people answer to a stage's flags: which flags can still be answered, and what was answered to which.

A stage meets an answer by the flag's id, among its open episodes and the last ones that are over. The same answer
again changes nothing, so whoever hands answers on may hand on all there are, as often as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from detectors.settings import DAY_MS
from schemas.flags import Flag, Kind, Status
from schemas.verdicts import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable

PAST_MAX: Final = 256
"""Flags remembered after their episode is over, in each stage: some hundred kilobytes. The oldest makes way."""

GIVEN_MAX: Final = 4_096
"""Answers remembered in each stage, so that none counts twice. The oldest makes way."""

DISMISSED_MS: Final = DAY_MS
"""How long a subject is left alone after a dismissal: the rise that was judged may well go on, and a night passes."""

DISMISSED_REASON: Final = "somebody looked at it and says that this was no fraud"

Hash = Annotated[int, Meta(ge=0)]


class Past(msgspec.Struct):
    """A flag whose episode is over: the last that was published, and the keys of the rows that it was about."""

    flag: Flag
    lane: int
    subject: Hash
    rows: list[Hash]


class AnswersKept(msgspec.Struct):
    """What is kept, the oldest first."""

    past: list[Past]
    given: list[tuple[str, Judgement]]


class Answered(NamedTuple):
    """An answer that a stage did not have yet: what its flag was about, and the flags that it brings."""

    kind: Kind
    judgement: Judgement
    flags: list[Flag]


class Answers:
    """The flags of one stage that are over and can still be answered, and the answers so far."""

    def __init__(self) -> None:
        self._past: dict[str, Past] = {}
        self._given: dict[str, Judgement] = {}

    def remember(self, past: Past) -> None:
        """Take in a flag whose episode is over."""
        self._past.pop(past.flag.flag_id, None)
        self._past[past.flag.flag_id] = past
        if len(self._past) > PAST_MAX:
            del self._past[next(iter(self._past))]

    def find(self, flag_id: str) -> Past | None:
        """Return a flag whose episode is over, None where it is not remembered."""
        return self._past.get(flag_id)

    def ids(self) -> Iterable[str]:
        """Return the ids of the flags that are over."""
        return self._past.keys()

    def give(self, flag_id: str, judgement: Judgement) -> bool:
        """Take an answer down. Return whether it is another one than before."""
        if self._given.get(flag_id) is judgement:
            return False
        self._given.pop(flag_id, None)
        self._given[flag_id] = judgement
        if len(self._given) > GIVEN_MAX:
            del self._given[next(iter(self._given))]
        return True

    def kept(self) -> AnswersKept:
        """Return everything."""
        return AnswersKept(list(self._past.values()), list(self._given.items()))

    def restore(self, kept: AnswersKept) -> None:
        """Take this in place of everything."""
        self._past = {past.flag.flag_id: past for past in kept.past}
        self._given = dict(kept.given)


def retraction(flag: Flag, now_ms: int) -> Flag:
    """Return what overturns a flag: the same, with why. `now_ms` is the event time that the stage has reached."""
    reasons = [DISMISSED_REASON, *flag.evidence.reasons]
    evidence = msgspec.structs.replace(flag.evidence, reasons=reasons)
    at_ms = max(now_ms, flag.detected_at)
    return msgspec.structs.replace(flag, status=Status.RETRACTED, detected_at=at_ms, evidence=evidence)
