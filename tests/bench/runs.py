"""One measured run each: boostwatch's worker and every peer, as processes of their own, one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.5
"""Between two looks at a worker's metrics: rendering them is work of the worker's own, so it is not asked often."""

STALL_S = 60.0
"""A run that makes no progress for this long has failed; every healthy one moves several times a second."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process did: `events` records in `seconds` of wall and `cpu_seconds` of processor time."""

    name: str
    events: int
    seconds: float
    cpu_seconds: float
    notes: str = ""

    @property
    def events_per_s(self) -> float:
        """Throughput over the measured stretch."""
        return self.events / self.seconds


class RunFailed(RuntimeError):  # noqa: N818 - as streams.errors names them
    """A process under measurement ended or stalled; the message holds the end of what it said."""


def peer(name: str, module: str, arguments: Sequence[str], *, notes: str = "", timeout_s: float = 600.0) -> Run:
    """Run a peer's module to its end and read the figures that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RunFailed(f"{name} ended with {done.returncode} and no figures: {done.stderr[-800:]}")
    figures = json.loads(lines[-1])
    return Run(name, figures["events"], figures["seconds"], figures["cpu_seconds"], notes)


def worker(name: str, environment: dict[str, str], expected: int, log: Path, *, notes: str = "") -> Run:
    """Run `boostwatch worker` until its own metrics say that `expected` records have been read.

    Timed between the first and the last look that find it at work, by the records counted in between; starting,
    compiling and joining the group are left out, as they are for the peers.
    """
    port = _free_port()
    settings = {**os.environ, **environment, "BOOSTWATCH_HTTP_PORT": str(port), "BOOSTWATCH_HTTP_HOST": "127.0.0.1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker"], cwd=ROOT, env=settings, stdout=out, stderr=out
        )
    try:
        return _watch(name, process, port, expected, log, notes)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        if process.poll() is None:
            process.kill()
            process.wait()


def _watch(name: str, process: subprocess.Popen[bytes], port: int, expected: int, log: Path, notes: str) -> Run:
    looks: list[tuple[float, float, int]] = []  # when, processor seconds, records
    seen, moved_at_s = 0, time.perf_counter()
    while True:
        if process.poll() is not None:
            raise RunFailed(f"{name} ended with {process.returncode}: {log.read_text(errors='replace')[-800:]}")
        count = events_read(port)
        now_s = time.perf_counter()
        if count > seen:
            looks.append((now_s, _cpu_s(process.pid), count))
            seen, moved_at_s = count, now_s
        if seen >= expected:
            # At the last look it may have been done for a while.
            first, last = looks[0], looks[-2] if len(looks) > 1 else looks[0]
            if last is first:
                raise RunFailed(f"{name} was done within {2 * POLL_S:.0f} s, too soon to be timed: give more --events")
            return Run(name, last[2] - first[2], last[0] - first[0], last[1] - first[1], notes)
        if now_s - moved_at_s > STALL_S:
            raise RunFailed(f"{name} stands at {seen} of {expected}: {log.read_text(errors='replace')[-800:]}")
        time.sleep(POLL_S)


def events_read(port: int) -> int:
    """Sum `boostwatch_events_total` over the input topics and all outcomes; 0 while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "boostwatch_events_total"
        )
    )


def _cpu_s(pid: int) -> float:
    """User and system seconds of a live process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
