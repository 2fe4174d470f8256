"""`boostwatch demo`: the whole system on this machine, for as long as somebody wants to watch.

The broker is embedded here, the worker and the simulated traffic are the commands `worker` and `simulate` as
processes of their own, and the flags are read back from their topic as anybody would: nothing in it is only for
show. In the end the flags are compared with the attacks that were in the traffic.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from schemas.flags import Flag, decode_flag
from streams import clients
from streams.children import Child
from streams.comparison import compare, read_attacks, read_benign
from streams.connections import planned_topics
from streams.demo_summary import print_comparison
from streams.embedded import EmbeddedBroker
from streams.errors import ConfigurationError, DemoFailed
from streams.flags_view import assign, show

if TYPE_CHECKING:
    from streams.settings import Settings

HISTORY_EVENTS = 100_000
"""Sent before the live part, so that there is something usual to differ from: some seconds of work each for the
simulator and the worker."""

READY_S = 240.0
"""For the worker to start. On a machine that never ran it, a minute of that goes into compiling its loops."""

DRAIN_S = 60.0
"""For the worker to work off what was sent, once no more comes."""

END_S = 45.0
"""For a process to end in order."""

LOOK_S = 1.0
"""Between two looks at the worker's state."""

POLL_MS = 100


def run(settings: Settings, seconds: int, seed: int) -> int:
    """Run the demo and return 0. Raises DemoFailed where a part of it did not do its work."""
    for name in (signal.SIGTERM, signal.SIGHUP):  # so that nothing that was started stays behind
        signal.signal(name, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boostwatch-demo-")))
        topics = {topic.name: topic.partitions for topic in planned_topics(settings)}
        broker = stack.enter_context(EmbeddedBroker(topics))
        demo = Demo(_own(settings, broker.bootstrap), directory, stack)
        demo.start(seconds, seed)
        with contextlib.suppress(KeyboardInterrupt):
            demo.follow(seconds)
        # A second Ctrl-C ends it without a summary.
        demo.finish()
        demo.summary()
    return 0


class Demo:
    """The parts of a running demo. What is started is ended by `stack`, whatever happens."""

    def __init__(self, settings: Settings, directory: Path, stack: contextlib.ExitStack) -> None:
        self._settings, self._directory, self._stack = settings, directory, stack
        self._url = f"http://{settings.http_host}:{settings.http_port}"
        self._console = Console(highlight=False, soft_wrap=True)
        self._consumer = clients.consumer(settings.bootstrap)
        stack.callback(self._consumer.close)
        assign(self._consumer, settings.topic_flags, "beginning", settings.bootstrap)
        self._flags: list[Flag] = []
        self._started = time.monotonic()
        self._read = 0

    def start(self, seconds: int, seed: int) -> None:
        """Start the worker and the traffic."""
        self._tell(f"boostwatch demo: an embedded broker, one worker, simulated traffic with attacks (seed {seed})")
        self._worker = self._child("worker", "worker")
        traffic = ["simulate", "--bootstrap", self._settings.bootstrap, "--seconds", str(seconds), "--seed", str(seed)]
        traffic += ["--history", str(HISTORY_EVENTS), "--truth", str(self._directory)]
        self._traffic = self._child("simulate", *traffic)
        self._tell(f"  the page: {self._url}/  (Ctrl-C ends the demo)")

    def follow(self, seconds: int) -> None:
        """Show flags until the traffic ends by itself."""
        ready = False
        said = 0
        due = 0.0
        while self._traffic.code is None:
            self._look()
            self._check(self._worker)
            lines = self._traffic.lines()
            for line in lines[said:]:
                self._tell(f"  {self._age()}: {line}")
            said = len(lines)
            if not ready and time.monotonic() >= due:
                due = time.monotonic() + LOOK_S
                ready = self._ready()
                if ready:
                    self._tell(f"  {self._age()}: the worker is ready")
                elif time.monotonic() - self._started > READY_S + seconds:
                    raise DemoFailed(f"the worker was not ready within {READY_S:.0f} s:\n{self._worker.tail()}")
        self._check(self._traffic, over=True)

    def finish(self) -> None:
        """Let the worker work off what was sent, then end it in order. Raises DemoFailed where it cannot."""
        interrupted = self._traffic.code is None
        self._traffic.end(END_S)
        sent = self._sent()
        end = time.monotonic() + (0.0 if interrupted else DRAIN_S)
        while self._events_read() < sent and time.monotonic() < end:
            self._look()
            self._check(self._worker)
        code = self._worker.end(END_S)
        for _ in range(5):
            self._look()
        if interrupted:
            return
        if code != 0:
            raise DemoFailed(f"the worker ended with exit code {code}:\n{self._worker.tail()}")
        if self._read < sent:
            raise DemoFailed(f"{sent:,} events were sent and the worker read only {self._read:,} of them")

    def summary(self) -> None:
        """Compare what was flagged with what was done."""
        if not (self._directory / "attacks.jsonl").exists():
            return
        attacks, benign = read_attacks(self._directory / "attacks.jsonl"), read_benign(self._directory / "benign.jsonl")
        self._tell(f"\n{self._read:,} events read of {self._sent():,} sent, {len(self._flags)} flag records")
        print_comparison(self._console, compare(self._flags, attacks, benign))

    def _child(self, name: str, *arguments: str) -> Child:
        child = Child(name, list(arguments), self._settings, self._directory)
        self._stack.callback(child.end, END_S)
        return child

    def _look(self) -> None:
        for records in self._consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                flag = decode_flag(record.value)
                self._flags.append(flag)
                show(self._console, flag)

    def _check(self, child: Child, *, over: bool = False) -> None:
        """Raise DemoFailed where a process has ended that must not have, or not so."""
        if child.code is not None and not (over and child.code == 0):
            raise DemoFailed(f"the {child.name} process ended with exit code {child.code}:\n{child.tail()}")

    def _ready(self) -> bool:
        return self._get("/ready") is not None

    def _events_read(self) -> int:
        metrics = self._get("/metrics")
        if metrics is not None:
            self._read = sum(
                int(sample.value)
                for family in text_string_to_metric_families(metrics)
                for sample in family.samples
                if sample.name == "boostwatch_events_total"
            )
        return self._read

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as response:  # noqa: S310 -- our own worker
                return str(response.read().decode())
        except (OSError, urllib.error.HTTPError):
            return None

    def _sent(self) -> int:
        """How many events the simulator says it has sent, in its last line."""
        lines = self._traffic.lines()
        return int(lines[-1].split()[0].replace(",", "")) if lines and "events sent" in lines[-1] else 0

    def _age(self) -> str:
        return f"{time.monotonic() - self._started:3.0f} s"

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False)


def _own(settings: Settings, bootstrap: str) -> Settings:
    """Return the settings of the demo's own processes: those given, at the embedded broker, on a port that is free."""
    changes = {
        "bootstrap": bootstrap,
        "security_protocol": "PLAINTEXT",
        "group_instance_id": None,
        "http_port": _free_port(settings.http_host, settings.http_port),
        "log_level": "warning",
    }
    return settings.model_copy(update=changes)


def _free_port(host: str, wanted: int) -> int:
    """Return the port that is wanted, or any other where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"http_host = {host!r} is no address of this machine")
