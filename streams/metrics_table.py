"""The table of every metric, in Markdown, from the registry itself: `python -m streams.metrics_table`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = Path(__file__).resolve().parent.parent / "deploy" / "metrics.md"

LABELS = {
    "topic": "the configured topics that are read",
    "outcome": "`accepted`, `duplicate`, `late`, `dead_letter`",
    "kind": "the six kinds of flag",
    "status": "`opened`, `updated`, `closed`, `retracted`",
    "mode": "`live`, `shadow`",
    "severity": "`low`, `medium`, `high`, `critical`",
    "reason": "the reasons in `schemas.refusals` and `streams.dead_letters`",
    "stage": "`actors`, `subjects`, `groups`; of batches `blocks` too",
    "verdict": "`confirmed`, `dismissed`",
    "what": "`actors`, `accounts`, `notes`, `keywords`, `groups`",
    "version": "one, of what runs",
    "python": "one, of what runs",
}
"""What each label may say. A label that is not here fails a test: none carries an id, a query or a partition."""

INTRO = """\
# Metrics

Written from the code by `make metrics-doc`; a test holds that it is current. Everything below is at `/metrics` of each
worker, beside Python's own `process_*` and `python_*`. Names and units follow Prometheus's conventions: seconds,
bytes, `_total` on what only grows. No label ever carries an id or a query, so the number of series does not depend
on the traffic: it is bounded by the table at the end.

What they mean for whoever is on call is in [`runbooks/alerts.md`](runbooks/alerts.md).
"""


def described() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Give name, type, label names and meaning of each of our metrics, by name."""
    made: list[Any] = [value for value in vars(Metrics(["likes"])).values() if hasattr(value, "_documentation")]
    for metric in sorted(made, key=lambda one: str(one._name)):  # noqa: SLF001 -- the library tells them nowhere else
        ending = "_total" if metric._type == "counter" else ""  # noqa: SLF001
        yield f"{metric._name}{ending}", metric._type, metric._labelnames, metric._documentation  # noqa: SLF001


def render() -> str:
    """Return the document."""
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {told} |"
        for name, kind, labels, told in described()
    ]
    used = {label for _, _, labels, _ in described() for label in labels}
    bounds = [f"| `{label}` | {LABELS[label]} |" for label in sorted(used)]
    head = [INTRO, "| metric | type | labels | what it says |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", "| label | values |", "|---|---|", *bounds, ""])


def main() -> int:
    """Write the document."""
    PUBLISHED.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
