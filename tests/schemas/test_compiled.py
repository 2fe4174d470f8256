"""Compiled loops are cached, and an old one never runs where something that it took in has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CALLER_FIRST = """
from schemas.compiled import compiled
from {limits} import LIMIT

@compiled
def outer(value):
    return inner(value)

@compiled
def inner(value):
    return min(value, LIMIT)

print(outer(1_000))
"""


@pytest.mark.parametrize("changed", [3, 1_000_000])
def test_a_constant_of_another_file_reaches_a_loop_that_calls_what_stands_below_it(
    tmp_path: Path, changed: int
) -> None:
    def run(limit: int) -> int:
        (tmp_path / "limits.py").write_text(f"LIMIT = {limit}\n")
        (tmp_path / "loops.py").write_text(CALLER_FIRST.format(limits="limits"))
        # Run as an imported file, since what is given on the command line is not cached.
        done = subprocess.run(
            [sys.executable, "-c", "import loops"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    assert run(7) == 7
    assert (tmp_path / "__pycache__").exists()
    assert run(7) == 7
    assert run(changed) == min(changed, 1_000)


def test_whether_a_loop_is_still_the_same_does_not_change_from_run_to_run() -> None:
    """A cache that never fits would compile for a minute at every start, and nobody would be told."""
    told = {
        subprocess.run(
            [sys.executable, "-c", VERSIONS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert "detectors.subject_kernel walk " in told.pop()


VERSIONS = """
import importlib, pkgutil, detectors, schemas, streams
for package in (detectors, schemas, streams):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        for name, value in sorted(vars(module).items()):
            cached = getattr(getattr(value, "_cache", None), "_cache_file", None)
            if cached is not None:
                print(module.__name__, name, cached._version)
"""
