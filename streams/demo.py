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
from collections import defaultdict
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

PARTITIONS = 4
"""Enough to share the load out and for the embedded broker to hold all of it; each costs the one worker a little."""

READY_S = 240.0
"""For the worker to start. On a machine that never ran it, a minute of that goes into compiling its loops."""

STUCK_S = 60.0
"""Without a further event read, while there are some: then the pipeline has failed."""

END_S = 45.0
"""For a process to end in order."""

LOOK_S = 1.0
"""Between two looks at the worker's state."""

TRAFFIC_END_S = 3.0
"""The same for the traffic, which nobody waits for."""

POLL_MS = 100

SETTLED_LOOKS = 2
"""Looks in a row without records waiting before all is taken as done: the worker counts what waits once a second."""

LAST_LOOKS = 5
"""At the flags topic once the worker has ended: half a second for the last of them to come."""


def run(settings: Settings, seconds: int, seed: int) -> int:
    """Run the demo and return 0. Raises DemoFailed where a part of it did not do its work."""
    # So that nothing that was started stays behind; the first also where a shell began this in the background.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boostwatch-demo-")))
        broker = stack.enter_context(EmbeddedBroker())
        own = _own(settings, broker.bootstrap)
        for topic in planned_topics(own):
            broker.create_topic(topic.name, topic.partitions)
        demo = Demo(own, directory, stack)
        demo.start(seconds, seed)
        with contextlib.suppress(KeyboardInterrupt):
            demo.follow()
        demo.finish()  # a second Ctrl-C ends it without a summary
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
        self._look_at = 0.0
        self._patience = self._started + READY_S
        self._ready = False
        self._read = 0  # events, by the worker's own metrics
        self._waiting = 0  # records of all topics that were not worked on, by the same
        self._settled = 0  # looks in a row at which nothing waited in any topic
        self._said = 0  # lines of the traffic's output that were passed on

    def start(self, seconds: int, seed: int) -> None:
        """Start the worker and the traffic."""
        self._tell(f"boostwatch demo: an embedded broker, one worker, simulated traffic with attacks (seed {seed})")
        self._worker = self._child("worker", "worker")
        traffic = ["simulate", "--bootstrap", self._settings.bootstrap, "--seconds", str(seconds), "--seed", str(seed)]
        traffic += ["--history", str(HISTORY_EVENTS), "--truth", str(self._directory)]
        self._traffic = self._child("simulate", *traffic)
        self._tell(f"  the page: {self._url}/  (Ctrl-C ends the demo)")

    def follow(self) -> None:
        """Show flags until the traffic ends by itself and the worker has worked off what was sent.

        Raises DemoFailed where either ends otherwise, or the worker is stuck.
        """
        while self._traffic.code is None:
            self._look()
        self._check(self._traffic, over=True)
        while self._read < self._sent() or self._settled < SETTLED_LOOKS:
            self._look()
            if time.monotonic() > self._patience:
                raise DemoFailed(
                    f"{self._sent():,} events were sent, the worker read {self._read:,} of them and then did no more:\n"
                    f"{self._worker.tail()}"
                )

    def finish(self) -> None:
        """End the traffic if it still goes on, and the worker in order. Raises DemoFailed where it cannot."""
        self._traffic.end(TRAFFIC_END_S)
        code = self._worker.end(END_S)
        for _ in range(LAST_LOOKS):
            self._show_flags()
        if code != 0 and self._ready:
            raise DemoFailed(f"the worker ended with exit code {code}:\n{self._worker.tail()}")

    def summary(self) -> None:
        """Compare what was flagged with what was done."""
        if not (self._directory / "attacks.jsonl").exists():
            return
        attacks, benign = read_attacks(self._directory / "attacks.jsonl"), read_benign(self._directory / "benign.jsonl")
        of_sent = f" of {self._sent():,} sent" if self._sent() else ""
        self._tell(f"\n{self._read:,} events read{of_sent}, {len(self._flags)} flag records")
        print_comparison(self._console, compare(self._flags, attacks, benign))

    def _child(self, name: str, *arguments: str) -> Child:
        child = Child(name, list(arguments), self._settings, self._directory)
        self._stack.callback(child.end, END_S)
        return child

    def _look(self) -> None:
        """Show what has come, and now and then look how far the worker is."""
        self._show_flags()
        self._check(self._worker)
        lines = self._traffic.lines()
        for line in lines[self._said :]:
            self._tell(f"  {self._age()}: {line}")
        self._said = len(lines)
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        if not self._ready and self._get("/ready") is not None:
            self._ready = True
            self._patience = now + STUCK_S
            self._tell(f"  {self._age()}: the worker is ready")
        read, waiting = self._read, self._waiting
        self._look_at_metrics()
        if self._read > read or self._waiting < waiting:
            self._patience = now + STUCK_S

    def _show_flags(self) -> None:
        for records in self._consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                flag = decode_flag(record.value)
                self._flags.append(flag)
                show(self._console, flag)

    def _check(self, child: Child, *, over: bool = False) -> None:
        """Raise DemoFailed where a process has ended that must not have, or not so."""
        if child.code is not None and not (over and child.code == 0):
            raise DemoFailed(f"the {child.name} process ended with exit code {child.code}:\n{child.tail()}")

    def _look_at_metrics(self) -> None:
        metrics = self._get("/metrics")
        if metrics is None:
            return
        totals: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                totals[sample.name] += sample.value
        self._read = int(totals["boostwatch_events_total"])
        self._waiting = int(totals["boostwatch_consumer_lag_records"])
        self._settled = 0 if self._waiting else self._settled + 1

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
        "partitions": settings.partitions if "partitions" in settings.model_fields_set else PARTITIONS,
        "security_protocol": "PLAINTEXT",
        "group_instance_id": None,
        # The embedded broker keeps 5 MiB of a partition and drops the rest in silence: no state could be restored.
        "checkpoint_ms": 0,
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
