"""Write the rules that Prometheus loads from their templates and `thresholds.toml`.

    python deploy/prometheus/render.py                                  # as committed: recording.yaml, alerts.yaml
    python deploy/prometheus/render.py --out DIR --set watermark_lag_s=600
    python deploy/prometheus/render.py --out DIR --faster 60            # for a drill: an hour's window is a minute

Nothing but Python is needed. A placeholder `<<name>>` stands for a threshold.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
FILES = ("recording", "alerts")

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
WINDOW_LEAST_S = 5
"""A rate needs two scrapes; a drill scrapes once a second."""

_PLACE = re.compile(r"<<(\w+)>>")
_TIMES = re.compile(r"(?P<before>\[|offset |for: )(?P<count>\d+)(?P<unit>[smhd])\b")
_HEAD = "# Written by render.py from {name}.template.yaml and thresholds.toml: change those.\n"


class UnknownThresholdError(ValueError):
    """A name is in a template or on the command line and not in thresholds.toml, or the other way round."""


def thresholds(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return every threshold as text, with changes. Raises UnknownThresholdError for a change of what is not there."""
    found = {name: str(value) for name, value in tomllib.loads((HERE / "thresholds.toml").read_text()).items()}
    unknown = sorted(set(changes or {}) - set(found))
    if unknown:
        raise UnknownThresholdError(f"{', '.join(unknown)}: not in thresholds.toml, which has {', '.join(found)}")
    return found | dict(changes or {})


def render(values: Mapping[str, str], faster: float = 1) -> dict[str, str]:
    """Return the files by name. `faster` divides every window and waiting time, not the thresholds.

    Raises UnknownThresholdError where templates and thresholds do not name the same.
    """
    templates = {name: (HERE / f"{name}.template.yaml").read_text(encoding="utf-8") for name in FILES}
    used = {place for text in templates.values() for place in _PLACE.findall(text)}
    if used != set(values):
        raise UnknownThresholdError(
            f"in templates or in thresholds.toml, but not in both: {sorted(used ^ set(values))}"
        )
    return {
        f"{name}.yaml": _HEAD.format(name=name) + _hurried(_PLACE.sub(lambda m: values[m[1]], text), faster)
        for name, text in templates.items()
    }


def _hurried(text: str, faster: float) -> str:
    def shorter(match: re.Match[str]) -> str:
        seconds = int(match["count"]) * SECONDS[match["unit"]] / faster
        least = WINDOW_LEAST_S if match["before"] == "[" else 1
        return f"{match['before']}{max(least, round(seconds))}s"

    return text if faster == 1 else _TIMES.sub(shorter, text)


def main() -> int:
    """Write the files; return the exit code."""
    parser = argparse.ArgumentParser(description="Write Prometheus rules from templates and thresholds.toml.")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to (default: this one)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another threshold")
    parser.add_argument("--faster", type=float, default=1, metavar="N", help="divide every window and wait by N")
    given = parser.parse_args()
    try:
        changes = dict(change.split("=", 1) for change in given.set)
        written = render(thresholds(changes), given.faster)
    except ValueError as error:
        sys.stderr.write(f"render.py: {error}\n")
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (given.out / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
