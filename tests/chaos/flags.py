"""Flags of two runs beside each other: the same episodes, the same ends, and no record that contradicts another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.flags import Flag, Status, decode_flag
from streams.pipeline import shipped_thresholds
from tests.integration.traffic import drain

if TYPE_CHECKING:
    from streams.topic_plan import TopicNames

SHOWN = ("mix_nats", "statistic_over_threshold", "suspicious")
"""Numbers of a flag's evidence that tell how clear the case was."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a run has published.

    Attributes:
        records: in all, repeats included.
        last: by flag id the flag that a reader is left with.
        contradictions: what two records with the same id and status say differently.

    """

    records: int
    last: dict[str, Flag]
    contradictions: list[str]

    @property
    def kinds(self) -> Counter[str]:
        """Episodes by kind."""
        return Counter(flag.kind.value for flag in self.last.values())


@dataclass(frozen=True, slots=True)
class FlagsCompared:
    """The flags of a run against those of an uninterrupted one."""

    equal: int
    missing: list[Flag]
    extra: list[Flag]
    status: list[tuple[Flag, Flag]]

    @property
    def right(self) -> bool:
        """Whether there is no difference, and something to compare."""
        return self.equal > 0 and not (self.missing or self.extra or self.status)


def published(bootstrap: str, names: TopicNames) -> Published:
    """Read the flags of a run."""
    return gather([decode_flag(record.value) for record in drain(bootstrap, names.flags)])


def gather(flags: list[Flag]) -> Published:
    """Put the flags together by id, in the order of the log."""
    last: dict[str, Flag] = {}
    said: dict[tuple[Any, ...], Flag] = {}
    contradictions: list[str] = []
    for flag in flags:
        last[flag.flag_id] = flag
        # An episode has many updates, each decided at another event; of each other status it has one.
        at = flag.detected_at if flag.status is Status.UPDATED else 0
        before = said.setdefault((flag.flag_id, flag.status, at), flag)
        difference = _difference(before, flag)
        if difference:
            contradictions.append(f"{flag.kind} {flag.subject.id} {flag.status}: {difference}")
    return Published(len(flags), last, contradictions)


def compare(ours: Published, theirs: Published) -> FlagsCompared:
    """Compare what readers of two runs are left with."""
    both = ours.last.keys() & theirs.last.keys()
    status = [(ours.last[one], theirs.last[one]) for one in both if ours.last[one].status != theirs.last[one].status]
    return FlagsCompared(
        equal=len(both) - len(status),
        missing=[theirs.last[one] for one in theirs.last.keys() - both],
        extra=[ours.last[one] for one in ours.last.keys() - both],
        status=status,
    )


def told(flag: Flag) -> str:
    """Return a flag in words, with what was asked for: the nearer it is to that, the likelier it hung on the order."""
    numbers = flag.evidence.numbers or {}
    learned = shipped_thresholds().kinds.get(flag.kind)
    needed = "" if learned is None else f", asked {learned.factor[0]:g} nats and more by size"
    nats = "".join(f", {name} {numbers[name]:g}" for name in SHOWN if name in numbers)
    return (
        f"{flag.kind} {flag.subject.id} {flag.status} from {flag.window.start}: score {flag.score:.3f},"
        f" observed {flag.evidence.observed:g}{nats}{needed}"
    )


def _difference(one: Flag, other: Flag) -> str:
    """Return which fields of two flags differ, the time of publishing aside."""
    left, right = (msgspec.to_builtins(flag) for flag in (one, other))
    return ", ".join(
        f"{name} {left.get(name)!r} / {right.get(name)!r}"
        for name in sorted(left.keys() | right.keys())
        if name != "emitted_at" and left.get(name) != right.get(name)
    )
