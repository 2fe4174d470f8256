"""Debian's own prometheus, promtool and amtool, as the tests of `deploy/` run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import lacking

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"


def tool(*names: str) -> str:
    """Return the command that is there under one of its names, or skip."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        lacking(f"there is no {names[0]} here (Debian: prometheus, prometheus-alertmanager)")
    return found


def run(*command: str | Path, stdin: bytes | None = None) -> str:
    """Run a command that must succeed and return what it said."""
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
