"""What a run has shown: the figures, whether all is as it must be, and both as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tests.chaos.exact import differences
from tests.chaos.flags import told
from tests.chaos.supervisor import Ends

if TYPE_CHECKING:
    from rich.console import Console

    from tests.chaos.accounts import Account, Applied
    from tests.chaos.exact import Exactly
    from tests.chaos.flags import FlagsCompared, Published
    from tests.chaos.schedule import Fault
    from tests.chaos.watcher import Recovery

SHOWN = 5


@dataclass(slots=True)
class Verdict:
    """The figures of a run; `counted` are the uninterrupted worker's own counters by topic and outcome."""

    seconds: float
    seed: int
    faults: Counter[Fault] = field(default_factory=Counter)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    acknowledged: int = 0
    ends: Ends = field(default_factory=Ends)
    starts: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    flags: FlagsCompared | None = None
    ours: Published | None = None
    theirs: Published | None = None
    accounts: list[Account] = field(default_factory=list)
    applied: Applied | None = None
    exactly: Exactly | None = None
    seconds_in_all: float = 0.0

    @property
    def wrongs(self) -> list[str]:
        """What is not as it must be, in words; nothing where all is."""
        flags, ours, applied, exactly = self.flags, self.ours, self.applied, self.exactly
        if flags is None or ours is None or applied is None or self.theirs is None or exactly is None:
            return ["the run was not finished"]
        found = [f"{account.topic}: {_account_told(account)}" for account in self.accounts if not account.right]
        records = sum(account.records for account in self.accounts)
        facts = {
            f"{self.sent.total()} records were sent, {self.acknowledged} acknowledged, {records} are in the log": not (
                self.sent.total() == self.acknowledged == records
            ),
            f"{applied.twice} rows were applied twice": applied.twice > 0,
            f"{applied.refused} records of the actions are no blocks": applied.refused > 0,
            f"{len(flags.missing)} flags are missing": bool(flags.missing),
            f"{len(flags.extra)} flags are extra": bool(flags.extra),
            f"{len(flags.status)} flags end otherwise": bool(flags.status),
            f"not the flags that the log of the actions stands for: {dict(differences(exactly))}": bool(
                differences(exactly)
            ),
            "there are no flags to compare": flags.equal == 0,
            f"{len(ours.contradictions)} flags contradict others": bool(ours.contradictions),
            f"{len(self.theirs.contradictions)} flags of the reference contradict": bool(self.theirs.contradictions),
            f"a worker that was asked to end ended with {dict(self.ends.asked)}": bool(set(self.ends.asked) - {0}),
        }
        found += [fact for fact, wrong in facts.items() if wrong]
        found += [f"{a.topic}: the uninterrupted worker counted {self._outcomes(a.topic)}, expected {dict(a.expected)}"
                  for a in self.accounts if self._outcomes(a.topic) != dict(a.expected)]  # fmt: skip
        return found

    def _outcomes(self, topic: str) -> dict[str, int]:
        return {outcome: n for (of, outcome), n in self.counted.items() if of == topic and n}

    @property
    def worst_recovery(self) -> tuple[str, float]:
        """The fault after which it took longest to be where the log was then, and how many seconds."""
        times = [(one.what, one.seconds) for one in self.recoveries if one.seconds is not None]
        return max(times, key=lambda one: one[1], default=("none", 0.0))

    def figures(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        flags, ours, applied = self.flags, self.ours, self.applied
        sent: Counter[str] = Counter()
        for (_, what), count in self.sent.items():
            sent[what] += count
        what, seconds = self.worst_recovery
        return {
            "seed": self.seed,
            "live_seconds": self.seconds,
            "seconds_in_all": round(self.seconds_in_all, 1),
            "faults": {fault.value: count for fault, count in self.faults.items()},
            "worker_starts": self.starts,
            "unasked_ends": dict(self.ends.unasked),
            "sent": dict(sent),
            "applied": sum(account.applied for account in self.accounts),
            "lost": sum(account.lost for account in self.accounts),
            "twice": (applied.twice if applied else 0) + sum(account.unexpected for account in self.accounts),
            "resent_and_dropped": applied.resent if applied else 0,
            "dead_letters": sum(account.letters for account in self.accounts),
            "dead_letters_lost": sum(account.letters_lost for account in self.accounts),
            "flags_equal": flags.equal if flags else 0,
            "flags_missing": len(flags.missing) if flags else 0,
            "flags_extra": len(flags.extra) if flags else 0,
            "flags_other_status": len(flags.status) if flags else 0,
            "flags_by_kind": dict(ours.kinds) if ours else {},
            "flag_records": ours.records if ours else 0,
            "contradictions": len(ours.contradictions) if ours else 0,
            "flags_exactly_as_the_log_says": self.exactly.same if self.exactly else 0,
            "flags_not_so": dict(differences(self.exactly)) if self.exactly else {},
            "worst_recovery_s": round(seconds, 1),
            "worst_recovery_after": what,
            "wrong": self.wrongs,
        }

    def show(self, console: Console) -> None:
        """Print the table, and below it what is wrong."""
        table = Table(title=f"{self.seconds:.0f} s under fire, seed {self.seed}", show_header=False)
        for name, value in self.figures().items():
            if name != "wrong":
                text = ", ".join(f"{key} {n}" for key, n in value.items()) if isinstance(value, dict) else str(value)
                table.add_row(name.replace("_", " "), text or "none")
        console.print(table)
        for wrong in self.wrongs:
            console.print(f"WRONG: {wrong}", markup=False)
        for example in self.examples:
            console.print(f"   {example}", markup=False)
        console.print("all is as if nothing had been" if not self.wrongs else "not as if nothing had been")

    @property
    def examples(self) -> list[str]:
        """Some of what differs, in words."""
        found: list[str] = []
        if self.flags is not None:
            for name, flags in (("missing", self.flags.missing), ("extra", self.flags.extra)):
                found += [f"{name}: {told(flag)}" for flag in flags[:SHOWN]]
            found += [f"{told(a)}; uninterrupted {b.status}" for a, b in self.flags.status[:SHOWN]]
        for published in (self.ours, self.theirs):
            found += published.contradictions[:SHOWN] if published else []
        found += [f"record {place}" for account in self.accounts for place in account.examples[:SHOWN]]
        return found


def _account_told(account: Account) -> str:
    return (
        f"of {account.records} records {dict(account.expected)} were expected: {account.lost} lost,"
        f" {account.unexpected} applied that must not be, {account.letters_lost} dead letters lost,"
        f" {account.letters_wrong} wrong"
    )
