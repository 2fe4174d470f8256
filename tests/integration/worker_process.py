"""A worker as a process: started with settings of its own, asked over HTTP, stopped or killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from streams.topic_plan import TopicNames

ROOT = Path(__file__).resolve().parents[2]

Metrics = dict[str, dict[tuple[str, ...], float]]
"""By name, then by label values in the order of the label names."""


class WorkerProcess:
    """One worker on the topics of a test: the command itself, or with `arguments` a changed one."""

    def __init__(self, bootstrap: str, names: TopicNames, log: Path, /, *arguments: str, **settings: object) -> None:
        chosen = {
            "bootstrap": bootstrap,
            "group_id": names.likes,
            "http_port": free_port(),
            "partitions": 4,
            "commit_interval_ms": 500,
            "checkpoint_ms": 500,
            "session_timeout_ms": 6_000,
            **{f"topic_{field}": getattr(names, field) for field in names.__dataclass_fields__},
            **settings,
        }
        self._port = chosen["http_port"]
        self._log = log
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BOOSTWATCH_")}
        command = ["tests.integration.changed_worker", *arguments] if arguments else ["streams.cli", "worker"]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=environment | {f"BOOSTWATCH_{name.upper()}": str(value) for name, value in chosen.items()},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    @property
    def port(self) -> int:
        """Where it serves."""
        return int(str(self._port))

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self, within_s: float = 40) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def ended(self, within_s: float = 60) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker goes on:\n{self.log}") from None

    def get(self, path: str, *, refused: bool = False) -> str | None:
        """Return what it answers, None where it does not or, unless `refused`, answers that it cannot."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode() if refused else None
        except OSError:
            return None

    def metrics(self) -> Metrics:
        found: Metrics = defaultdict(dict)
        for family in text_string_to_metric_families(self.get("/metrics") or ""):
            for sample in family.samples:
                found[sample.name][tuple(sample.labels[name] for name in sorted(sample.labels))] = sample.value
        return found

    def read(self, topic: str) -> dict[str, int]:
        """Return the outcomes of one input topic."""
        events = self.metrics()["boostwatch_events_total"]
        return {outcome: int(value) for (outcome, of_topic), value in events.items() if of_topic == topic}

    def lag(self) -> float:
        return sum(self.metrics()["boostwatch_consumer_lag_records"].values())

    def wait_for(self, what: Callable[[], bool], told: str, within_s: float = 60) -> None:
        end = time.monotonic() + within_s
        while not what():
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended ({self.process.returncode}), waiting for {told}:\n{self.log}")
            if time.monotonic() > end:
                raise AssertionError(f"no {told} within {within_s} s:\n{self.log[-4000:]}\n{self.metrics()}")
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        """Wait until partitions are assigned. Where no loop was compiled yet that comes first, and takes minutes."""
        self.wait_for(lambda: self.get("/ready") is not None, "readiness", within_s=240)

    def wait_until_read(self, counts: dict[str, int]) -> None:
        self.wait_until_ready()
        self.wait_for(lambda: all(sum(self.read(t).values()) >= n for t, n in counts.items()), f"events {counts}")

    def wait_until_idle(self) -> None:
        """Wait until nothing is left to do in any topic, internal ones included, for some looks in a row."""
        self.wait_until_ready()
        quiet = 0

        def nothing_left() -> bool:
            nonlocal quiet
            metrics = self.metrics()
            at_rest = bool(metrics) and self.lag() == 0 and metrics["boostwatch_in_flight_batches"][()] == 0
            quiet = quiet + 1 if at_rest else 0
            return quiet >= 25

        self.wait_for(nothing_left, "rest")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_line(log: str) -> str:
    """Return the line with which the command ends."""
    lines = re.findall(r"^boostwatch: .*$", log, re.MULTILINE)
    return str(lines[-1]) if lines else ""
