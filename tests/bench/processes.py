"""Processes under measurement: what they have used, and a worker that is asked over HTTP."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]

READY_S = 300.0
"""How long a worker may take until it is ready: where nothing was compiled before, that comes first."""


class RunFailed(RuntimeError):  # noqa: N818 - as streams.errors names them
    """A process under measurement ended or stalled; the message holds the end of what it said."""


def cpu_s(pid: int) -> float:
    """User and system seconds of a live process (proc(5), fields 14 and 15); 0 where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a live process (proc(5), statm); 0 where it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Progress(NamedTuple):
    """How far a worker is: input records read (all outcomes), what its later stages have done, and what waits."""

    events: int
    later: int
    """Actions that subjects have taken in, and batches of groups."""
    waiting: int
    """Records not done yet in any topic, and batches in flight, as of the worker's last look, up to a second ago."""


class BenchWorker:
    """`boostwatch worker` with its own settings but for those of a run; ended with the context."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._port = free_port()
        self._log = log
        plain = {name: value for name, value in os.environ.items() if not name.startswith("BOOSTWATCH_")}
        server = {"BOOSTWATCH_HTTP_PORT": str(self._port), "BOOSTWATCH_HTTP_HOST": "127.0.0.1"}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker"],
                cwd=ROOT, env={**plain, **environment, **server}, stdout=out, stderr=out,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Raise RunFailed where it has ended."""
        if self.process.poll() is not None:
            raise RunFailed(f"the worker ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-800:]

    def wait_until_ready(self) -> None:
        """Wait until partitions are assigned and their state is there. Raises RunFailed."""
        end_s = time.monotonic() + READY_S
        while self._get("/ready") is None:
            self.check()
            if time.monotonic() > end_s:
                raise RunFailed(f"the worker was not ready within {READY_S:.0f} s: {self.last_words()}")
            time.sleep(0.1)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return every metric by name, its values by the values of its labels, joined; empty while none answers."""
        text = self._get("/metrics")
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                found.setdefault(sample.name, {})["/".join(sample.labels.values())] = sample.value
        return found

    def progress(self) -> Progress:
        """Return how far it is; nothing at all while it does not answer."""
        metrics = self.metrics()

        def total(name: str) -> int:
            return int(sum(metrics.get(name, {}).values()))

        waiting = total("boostwatch_consumer_lag_records") + total("boostwatch_in_flight_batches")
        # Subjects are told how far quiet sources are long after all is done, so their batches do not count.
        groups = metrics.get("boostwatch_batch_seconds_count", {}).get("groups", 0)
        return Progress(total("boostwatch_events_total"), total("boostwatch_actions_total") + int(groups), waiting)

    def pieces(self) -> int:
        """Return in how many pieces its work came: batches of all agents, and blocks of actions that it made."""
        metrics = self.metrics()
        counted = ("boostwatch_batch_seconds_count", "boostwatch_action_blocks_total")
        return int(sum(value for name in counted for value in metrics.get(name, {}).values()))

    def tracked(self) -> dict[str, int]:
        """Return the rows held, by what they are about."""
        return {what: int(value) for what, value in self.metrics().get("boostwatch_tracked", {}).items()}

    def cpu_s(self) -> float:
        """Return its processor seconds."""
        return cpu_s(self.process.pid)

    def resident_bytes(self) -> int:
        """Return its resident memory."""
        return resident_bytes(self.process.pid)

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return None
