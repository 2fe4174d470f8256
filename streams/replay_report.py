"""What a replay tells: how far it is while it runs, and what it did when it is done."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from detectors.actors import Outcome
from streams.flag_text import duration_text
from streams.logs import printable
from streams.recorded import STEMS, ReadingReport, Recording

if TYPE_CHECKING:
    from pathlib import Path

    from streams.replay import Totals

LOOK_S = 0.25
"""How often the bar is redrawn."""

LINE_S = 10.0
"""How often a line is written where there is no terminal."""


class Progress:
    """A bar on a terminal, a line now and then elsewhere; always on stderr."""

    def __init__(self, recording: Recording, totals: Totals) -> None:
        self._recording, self._totals = recording, totals
        self._started = self._looked = time.monotonic()
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("replay"), BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.fields[told]}"),
                TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("replay", total=recording.bytes_total, told="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def update(self) -> None:
        """Show how far it is, if that is due."""
        now = time.monotonic()
        if now - self._looked < (LOOK_S if self._bar else LINE_S):
            return
        self._looked = now
        told = self._told(now - self._started)
        done = sum(self._recording.report.position.values())
        if self._bar:
            self._bar.update(self._task, completed=done, told=told, refresh=True)
        else:
            sys.stderr.write(f"replay: {done / max(self._recording.bytes_total, 1):.0%}, {told}\n")
            sys.stderr.flush()

    def _told(self, elapsed_s: float) -> str:
        totals = self._totals
        rate = totals.events / max(elapsed_s, 1e-9)
        flags = sum(totals.flags.values())
        return f"{totals.events:,} events, {rate:,.0f}/s, event time {moment_text(totals.event_time_ms)}, {flags} flags"


def moment_text(time_ms: int) -> str:
    """Tell an instant in UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def print_summary(out: TextIO, recording: Recording, totals: Totals, elapsed_s: float, flags_path: Path) -> None:
    """Tell what was read, what was refused and what was flagged."""
    report = recording.report
    rate = totals.events / max(elapsed_s, 1e-9)
    span = duration_text(totals.event_time_ms - totals.first_ms) if totals.first_ms is not None else "no time"
    print(f"{totals.events:,} events over {span} in {elapsed_s:.1f} s, {rate:,.0f} events/s", file=out)
    names = [outcome.name.lower() for outcome in Outcome]
    print(f"\n{'topic':10}" + "".join(f"{name:>13}" for name in ["read", *names, "dead_letter"]), file=out)
    for topic in recording.files:
        refused = sum(count for (of, _), count in report.refused.items() if of is topic)
        counts = [report.read[topic], *(totals.outcomes[topic, outcome] for outcome in Outcome), refused]
        print(f"{STEMS[topic]:10}" + "".join(f"{count:>13,}" for count in counts), file=out)
    _print_refusals(out, report)
    print(f"\n{sum(totals.flags.values())} flags in {flags_path}", file=out)
    for (kind, status), count in sorted(totals.flags.items()):
        print(f"  {kind:16} {status:10} {count:>6,}", file=out)


def _print_refusals(out: TextIO, report: ReadingReport) -> None:
    for told in report.damaged:
        print(f"\nended early: {told}", file=out)
    if report.empty:
        print(f"\n{report.empty:,} empty lines", file=out)
    if not report.refused:
        return
    total = sum(report.refused.values())
    print(f"\n{total:,} bad lines", file=out)
    for (topic, reason), count in sorted(report.refused.items()):
        print(f"  {STEMS[topic]} {reason}: {count:,}", file=out)
        shown = [bad for bad in report.examples if bad.reason == reason and bad.file.startswith(f"{STEMS[topic]}.")]
        for bad in shown:
            print(f"    {bad.file}:{bad.line}: {printable(bad.detail)}", file=out)
        if count > len(shown):
            print(f"    … and {count - len(shown):,} more", file=out)
