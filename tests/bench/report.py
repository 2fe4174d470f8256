"""The benchmark's figures as tables for people and as JSON for machines, and what of them was asked for."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.bench.contestants import BARE_JOB, FAUST_TABLE, OURS, OWN_TRANSPORT, PEERS, QUIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from tests.bench.runs import Run

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One figure that was asked for: `value` is to be at least, or at most, the mark."""

    what: str
    value: float
    mark: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return self.value >= self.mark if self.at_least else self.value <= self.mark


def summary(runs: Mapping[str, Sequence[Run]]) -> Figures:
    """Summarise repeated runs by name: the median rate, its spread, CPU per million events, boostwatch's ratio to it.

    A run that found something wrong makes its contestant's speed count for nothing: it has no ratio.
    """
    figures: Figures = {}
    for name, repeats in runs.items():
        rates = sorted(run.events_per_s for run in repeats)
        figures[name] = {
            "events_per_s": round(median(rates)),
            "events_per_s_min": round(rates[0]),
            "events_per_s_max": round(rates[-1]),
            "cpu_s_per_million": round(median(run.cpu_seconds / run.events * 1e6 for run in repeats), 2),
            "broker_cpu_s_per_million": round(median(run.broker_cpu_seconds / run.events * 1e6 for run in repeats), 2),
            "events": repeats[0].events,
            "repeats": len(repeats),
            "wrong": next((run.wrong for run in repeats if run.wrong), ""),
            "notes": repeats[0].notes,
        }
    ours = figures.get(OURS)
    for name, row in figures.items():
        if ours is not None and name != OURS and not row["wrong"]:
            row["boostwatch_ratio"] = round(ours["events_per_s"] / row["events_per_s"], 3)
    return figures


def asked_of_throughput(figures: Figures) -> list[Wanted]:
    """Return what was asked for of the rates, as far as it was measured."""
    rate = {name: row["events_per_s"] for name, row in figures.items() if not row["wrong"]}
    asked: list[Wanted] = []
    if OURS in rate:
        asked.append(Wanted("events/s, everything on", rate[OURS], 150_000))
        ahead = [(name, 1.0) for name in PEERS] + [(FAUST_TABLE, 40.0), (QUIX, 3.0), (BARE_JOB, 0.4)]
        asked += [
            Wanted(f"times {name}", round(rate[OURS] / rate[name], 2), mark) for name, mark in ahead if name in rate
        ]
    if OWN_TRANSPORT in rate and BARE_JOB in rate:
        asked.append(Wanted(f"{OWN_TRANSPORT}, of the {BARE_JOB}", round(rate[OWN_TRANSPORT] / rate[BARE_JOB], 2), 0.8))
    return asked


def machine() -> dict[str, Any]:
    """Say what it was measured on."""
    return {"machine": platform.machine(), "system": platform.system(), "processors": os.cpu_count()}


def print_throughput(figures: Figures, console: Console) -> None:
    """Print one row per contestant, fastest last, with boostwatch's ratio to it."""
    table = _table(
        f"the small job, or what is said; one process each beside one broker on {os.cpu_count()} processors",
        ("what", "events/s", "spread", "CPU us\nan event", "broker's", "boostwatch\nis", " "),
    )
    for name, row in sorted(figures.items(), key=lambda item: float(item[1]["events_per_s"])):
        ratio = row.get("boostwatch_ratio")
        spread = (row["events_per_s_max"] - row["events_per_s_min"]) / row["events_per_s"]
        table.add_row(
            f"[bold]{name}[/bold]" if name == OURS else name,
            f"{row['events_per_s']:,}",
            f"{spread:.0%}" if row["repeats"] > 1 else "",
            f"{row['cpu_s_per_million']:.2f}",
            f"{row['broker_cpu_s_per_million']:.2f}" if row["broker_cpu_s_per_million"] else "",
            f"{ratio:.2f} x" if ratio is not None else "",
            f"[red]does not count: {row['wrong']}[/red]" if row["wrong"] else row["notes"],
        )
    console.print(table)


def print_rows(title: str, rows: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print figures that have the same names in each row."""
    rows = list(rows)
    if not rows:
        return
    table = _table(title, tuple(name.replace("_", "\n") for name in rows[0]))
    for row in rows:
        table.add_row(*(_told(value) for value in row.values()))
    console.print(table)


def print_asked(asked: Sequence[Wanted], console: Console) -> None:
    """Print what was asked for, what was measured, and whether it is met."""
    table = _table("what was asked for", ("what", "measured", "wanted", ""))
    for one in asked:
        mark = f"{'at least' if one.at_least else 'at most'} {_told(one.mark)}"
        table.add_row(one.what, _told(one.value), mark, "[green]met[/green]" if one.met else "[red]missed[/red]")
    console.print(table)


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        if number and heading.strip():
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold")
    return table


def _told(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or value >= 1_000 else f"{value:,.2f}".rstrip("0").rstrip(".")
