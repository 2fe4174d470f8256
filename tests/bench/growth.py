"""What an event costs as everything grows: accounts, partitions, one hot account, keywords without end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench import growth_traffic, paper, runs, traffic
from tests.bench.growth_traffic import Growth
from tests.bench.processes import BenchWorker
from tests.bench.report import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.bench.brokers import Broker

SETTLED = 0.1
"""Part of the drawn events that is not timed: partitions are not read evenly, so some are still being filled."""

ROOM = 2
"""How many times what is expected in a partition has room there: keys are not spread evenly."""

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """One run: what is sent, to how many partitions, with which settings of the worker besides."""

    name: str
    growth: Growth
    partitions: int = 4
    settings: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grown:
    """What came of it. `bytes_resident` is the worker's whole memory at the end."""

    case: Case
    run: runs.Run
    bytes_resident: int
    tracked: dict[str, int]
    pieces_an_event: float

    @property
    def cpu_us(self) -> float:
        """Processor time of the worker for an event, in millionths of a second."""
        return self.run.cpu_seconds / self.run.events * 1e6


def accounts_cases(full: bool) -> list[Case]:  # noqa: FBT001 - the command's own switch
    """Return runs that differ in the number of accounts alone.

    The two of which memory is compared have as many events, since the ids of those are remembered for a while too.
    """
    sizes, events = ((10_000, 1_000_000, 10_000_000), 2_000_000) if full else ((10_000, 1_000_000), 400_000)
    total = events + sizes[1]
    return [
        Case(
            f"{size:,} accounts",
            Growth(size, max(events, total - size), likes_every=0),
            settings={"actors_max": _room(size), "subjects_max": _room(size)},
        )
        for size in sizes
    ]


def other_cases(full: bool) -> list[Case]:  # noqa: FBT001 - the command's own switch
    """Return runs that differ from one another in something else."""
    base = Growth(*((200_000, 2_000_000) if full else (20_000, 300_000)))
    keywords, bound = (10_000_000, 250_000) if full else (200_000, 10_000)
    return [
        *(
            Case(partitions_name(partitions), base, partitions)
            for partitions in ((4, 16, 64, 256) if full else (4, 16, 64))
        ),
        Case("30% to one account", Growth(base.accounts, base.events, hot_share=0.3)),
        Case(
            f"{keywords:,} keywords",
            Growth(base.accounts, base.events // 10, keywords=keywords),
            settings={"subjects_max": bound},
        ),
    ]


def measure(cases: Sequence[Case], broker: Broker, scratch: Path, console: Console) -> Iterator[Grown]:
    """Run one after another. Raises RunFailed."""
    for number, case in enumerate(cases):
        console.print(f"  {case.name}: {case.growth.total:,} events ...")
        yield _measure(case, broker, scratch / f"growth-{number}.log", console)


def _measure(case: Case, broker: Broker, log: Path, console: Console) -> Grown:
    variables = traffic.environment(broker.bootstrap, case.partitions, **case.settings)
    traffic.create(variables)
    growth = case.growth
    growth_traffic.load(growth, variables, console)
    with BenchWorker(variables, log) as worker:
        looks = runs.watch([worker], growth.total, broker)
        resident, tracked, pieces = worker.resident_bytes(), worker.tracked(), worker.pieces()
    traffic.delete(variables)
    after = growth.accounts + int(SETTLED * (growth.total - growth.accounts))
    return Grown(case, runs.between(case.name, looks, after=after), resident, tracked, pieces / growth.total)


def seen(grown: Sequence[Grown]) -> list[paper.Seen]:
    """Return what the model of many workers is made from: runs that differ in the number of partitions alone."""
    return [
        paper.Seen(one.case.partitions, one.pieces_an_event, one.cpu_us)
        for one in grown
        if one.case.name == partitions_name(one.case.partitions)
    ]


def partitions_name(partitions: int) -> str:
    """Return what a run with so many partitions is called."""
    return f"{partitions} partitions"


def rows(grown: Sequence[Grown]) -> list[dict[str, Any]]:
    """Return the figures by name, each beside the first run's cost."""
    return [
        {
            "what": one.case.name,
            "events_per_s": round(one.run.events_per_s),
            "cpu_us_an_event": round(one.cpu_us, 2),
            "times_the_first": round(one.cpu_us / grown[0].cpu_us, 2),
            "resident_MiB": round(one.bytes_resident / MIB),
            "tracked": ", ".join(f"{count:,} {what}" for what, count in one.tracked.items() if count),
        }
        for one in grown
    ]


def bytes_per_account(grown: Sequence[Grown]) -> float:
    """Return resident bytes per tracked account: how memory differs between the runs with the fewest and the next more.

    All else is the same in both, and every account is tracked as who acts and as who is followed: two rows.
    """
    small, large = grown[0], grown[1]
    return (large.bytes_resident - small.bytes_resident) / (large.case.growth.accounts - small.case.growth.accounts)


def asked(accounts: Sequence[Grown]) -> list[Wanted]:
    """Return what was asked for of growth."""
    least, most = accounts[0], accounts[-1]
    return [
        Wanted(
            f"cost of an event at {most.case.name} to that at {least.case.name}",
            round(most.cpu_us / least.cpu_us, 2),
            1.5,
            at_least=False,
        ),
        Wanted(
            f"resident bytes per tracked account at {accounts[1].case.name}",
            round(bytes_per_account(accounts)),
            700,
            at_least=False,
        ),
    ]


def _room(accounts: int, partitions: int = 4) -> int:
    return max(250_000, ROOM * accounts // partitions)
