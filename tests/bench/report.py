"""The benchmark's figures as a table for people and as JSON for machines."""

from __future__ import annotations

import platform
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.runs import Run

OURS = "boostwatch worker, everything on"


def medians(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Any]]:
    """Summarise repeated runs by name: the median rate, its spread, and CPU per million events."""
    figures: dict[str, dict[str, Any]] = {}
    for name, repeats in runs.items():
        rates = sorted(run.events_per_s for run in repeats)
        figures[name] = {
            "events_per_s": round(median(rates)),
            "events_per_s_min": round(rates[0]),
            "events_per_s_max": round(rates[-1]),
            "cpu_s_per_million": round(median(run.cpu_seconds / run.events * 1e6 for run in repeats), 2),
            "events": repeats[0].events,
            "repeats": len(repeats),
            "notes": repeats[0].notes,
        }
    ours = figures.get(OURS)
    for name, row in figures.items():
        if ours is not None and name != OURS:
            row["boostwatch_ratio"] = round(ours["events_per_s"] / row["events_per_s"], 2)
    return figures


def print_table(figures: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print one row per contestant, fastest last, with boostwatch's ratio to it."""
    table = Table(title=f"one process each, one broker, {platform.machine()}", title_justify="left")
    for heading, justify in (("what", "left"), ("events/s", "right"), ("min - max", "right"),
                             ("CPU s per million", "right"), ("boostwatch is", "right"), ("", "left")):  # fmt: skip
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for name, row in sorted(figures.items(), key=lambda item: float(item[1]["events_per_s"])):
        ratio = row.get("boostwatch_ratio")
        table.add_row(
            f"[bold]{name}[/bold]" if name == OURS else name,
            f"{row['events_per_s']:,}",
            f"{row['events_per_s_min']:,} - {row['events_per_s_max']:,}",
            f"{row['cpu_s_per_million']:.2f}",
            f"{ratio:.2f} x" if ratio is not None else "",
            row["notes"],
        )
    console.print(table)
