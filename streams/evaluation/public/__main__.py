"""`make public-eval`: our figures on public data beside the published ones; a set that is not there is passed over."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from streams.errors import BoostwatchError
from streams.evaluation.public import cascades, darpa, level, nab, wikipedia
from streams.evaluation.tables import share_text
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VARIABLE = "BOOSTWATCH_PUBLIC_DATA"
DEFAULT = Path(__file__).resolve().parents[3].parent / "shared" / "data"
"""Beside the project; the data is not part of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate on every set that is there, or on those named."""
    parser = argparse.ArgumentParser(prog="python -m streams.evaluation.public", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)}; all without any")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.sets) - set(SETS)):
        parser.error(f"no such set: {', '.join(unknown)}; there are {', '.join(SETS)}")
    root = Path(os.environ.get(VARIABLE) or DEFAULT)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)
    for name in given.sets or SETS:
        run, file = SETS[name]
        if not (root / file).exists():
            console.print(f"{name}: skipped, {root / file} is not there (set {VARIABLE} to where the data is)")
            continue
        try:
            run(console, root / file)
        except BoostwatchError as error:
            sys.stderr.write(f"{name}: {error}\n")
            return error.exit_code
    return 0


def run_nab(console: Console, path: Path) -> None:
    """Score the volume baseline by NAB's rules."""
    series = nab.read_series(path.parent)
    tweets = [one for one in series if one.name.startswith(nab.TWEETS)]
    table = _table(
        "Numenta Anomaly Benchmark: standard / low FP / low FN", "detector", "all 58", "realTweets", "own threshold"
    )
    for name, detector in level.DETECTORS.items():
        scores = {one.name: detector(one) for one in series}
        found = [nab.score(series, scores, profile) for profile in nab.PROFILES]
        of_tweets = [
            nab.score_at(tweets, scores, profile, threshold)
            for profile, (threshold, _) in zip(nab.PROFILES, found, strict=True)
        ]
        own = [nab.score(tweets, scores, profile)[1] for profile in nab.PROFILES]
        everything = [value for _, value in found]
        table.add_row(f"boostwatch: {name}", _three(everything), _three(of_tweets), _three(own), style="bold")
    for name, published in nab.PUBLISHED.items():
        table.add_row(name, *published)
    console.print(table)
    console.print(level.TUNED)


def run_darpa(console: Console, path: Path) -> None:
    """Score edges by surges."""
    edges = darpa.read_edges(path)
    table = _table("DARPA 1998 edges: AUC", "method", "all edges", "without floods", "edges/s")
    found = darpa.evaluate_edges(edges)
    for figures in found:
        table.add_row(
            figures.name, f"{figures.auc_all:.4f}", f"{figures.auc_without_floods:.4f}", f"{figures.edges_per_s:,.0f}"
        )
    for name, published in darpa.PUBLISHED.items():
        table.add_row(f"{name}, published", published, "", "")
    console.print(table)
    console.print("Memories of the surge score were chosen on these edges; MIDAS-F has the paper's own numbers.")
    names = sorted(found[0].recall, key=lambda name: -found[0].recall[name])
    told = ", ".join(f"{name} {share_text(found[0].recall[name])}" for name in names)
    console.print(f"Recall by attack with {darpa.FALSE_SHARE:.0%} of the normal edges flagged: {told}")


def run_cascades(console: Console, path: Path) -> None:
    """Count false flags on organic cascades."""
    table = _table(
        "Organic cascades: posts flagged by the whole pipeline", "posts", "flagged", "share", "at most", "as"
    )
    for figures in cascades.evaluate_cascades(Settings(), cascades.read_rows(path)):
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.kinds.items())) or "-"
        share = share_text(figures.flagged / figures.posts) if figures.posts else "-"
        table.add_row(
            f"{figures.posts:,} {figures.name}", f"{figures.flagged:,}", share,
            share_text(figures.high), kinds, f"{figures.found} of {figures.planted}" if figures.planted else "",
        )  # fmt: skip
    console.print(table)
    console.print(f"Beside it: {cascades.FLOOR}. {cascades.CAVEAT}")


def run_wikipedia(console: Console, path: Path) -> None:
    """Judge users by their timing."""
    figures = wikipedia.evaluate_timing(Settings(), wikipedia.read_users(path))
    table = _table(
        f"Wikipedia edits: {figures.robots} robots of {figures.users} users", "score", "AUC", "measured floor"
    )
    for name, value in figures.auc.items():
        floor = wikipedia.FLOOR.get(name)
        table.add_row(name, f"{value:.3f}", "" if floor is None else f"{floor:.3f}")
    console.print(table)
    console.print(
        f"Flagged as automation: {figures.flagged_robots} robots, {figures.flagged_others} others. "
        f"Flags of other kinds, all false: {figures.other_flags}."
    )


SETS: dict[str, tuple[Callable[[Console, Path], None], str]] = {
    "nab": (run_nab, "nab/nab.csv.gz"),
    "darpa": (run_darpa, "darpa/darpa.csv.gz"),
    "cascades": (run_cascades, "cascades/cascades.csv.gz"),
    "wikipedia": (run_wikipedia, "wikipedia/edits.csv.gz"),
}
"""What is run for each set, and the file that it needs."""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    return table


def _three(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
