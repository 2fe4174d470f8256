"""Processes of our own that the demo starts, watches and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from streams.settings_sources import PREFIX, RESERVED

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

TAIL_BYTES = 4_096
"""Of its log: enough for the failure and what led to it."""


class Child:
    """One `boostwatch` command as a process of its own, with its output in files and settings of its own.

    It has a session of its own, so that Ctrl-C reaches it only through whoever started it.
    """

    def __init__(self, name: str, arguments: list[str], settings: Settings, directory: Path) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        self._said = directory / f"{name}.out"
        environment = {key: value for key, value in os.environ.items() if not _is_setting(key)}
        with self._log.open("wb") as log, self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *arguments],
                env={**environment, "PYTHONUNBUFFERED": "1", **settings.as_environment()},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def end(self, within_s: float) -> int:
        """Ask it to end and wait; after `within_s` make it. Return the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def lines(self) -> list[str]:
        """Return the whole lines that it has written to its standard output."""
        return self._said.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]

    def tail(self) -> str:
        """Return the end of its log."""
        return self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()


def _is_setting(variable: str) -> bool:
    return variable.startswith(PREFIX) and (
        variable == PREFIX + "CONFIG" or variable.removeprefix(PREFIX) not in RESERVED
    )
