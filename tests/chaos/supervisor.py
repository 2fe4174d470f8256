"""Workers as a supervisor runs them: what ends by itself is started again and counted with its reason."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.integration.worker_process import WorkerProcess, one_line

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streams.topic_plan import TopicNames

LOOK_S = 0.2
PAUSE_S = 0.5
"""Between an end and the next start, as service managers pause: a worker that cannot start must not spin."""

STOP_S = 60.0

REASON_CHARACTERS = 100
"""Of a reason, so that like ones are counted together."""

SERVING = "serving"
"""What a worker logs once its signal handlers are there."""


@dataclass(slots=True)
class Life:
    """One process in one worker's place."""

    place: int
    process: WorkerProcess
    log: Path
    expected: bool = False  # whether its end was brought about from here
    frozen: bool = False


@dataclass(slots=True)
class Ends:
    """How lives ended that nobody here ended, by exit code and last line, and those that were asked to and how."""

    unasked: Counter[str] = field(default_factory=Counter)
    asked: Counter[int] = field(default_factory=Counter)


class Supervisor:
    """Keeps a worker running in each place that is wanted. A context manager: in the end none is left."""

    def __init__(self, bootstrap: str, names: TopicNames, directory: Path, settings: dict[str, object]) -> None:
        self._bootstrap, self._names, self._directory, self._settings = bootstrap, names, directory, settings
        self._lock = threading.RLock()
        self._lives: dict[int, Life] = {}
        self._wanted: dict[int, float] = {}  # place: not to be started before this (monotonic, s)
        self._started = 0
        self.ends = Ends()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Reads until our end of the pipe closes, which the system sees to however we end; its last line says whom.
        script = 'p=; while read -r line; do p=$line; done; [ -z "$p" ] || kill -9 $p 2>/dev/null'
        self._guard = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._halt.set()
        self._thread.join(STOP_S)
        with self._lock:
            self._wanted.clear()
            for life in self._lives.values():
                life.process.kill()
            self._lives.clear()
            self._tell_guard()
        if self._guard is not None:
            self._guard.communicate()

    @property
    def places(self) -> list[int]:
        """The places where a worker is wanted."""
        with self._lock:
            return sorted(self._wanted)

    @property
    def running(self) -> list[int]:
        """The places in which one runs now, frozen ones left out."""
        with self._lock:
            return sorted(place for place, life in self._lives.items() if self._alive(life) and not life.frozen)

    def want(self, place: int) -> None:
        """Start a worker in a place and keep it running."""
        with self._lock:
            self._wanted.setdefault(place, 0.0)
            self._look_after(place)

    def kill(self, place: int, pause_s: float) -> bool:
        """Kill (-9) the worker of a place; another starts there after `pause_s`. Return whether one ran."""
        with self._lock:
            life = self._lives.get(place)
            if life is None or not self._alive(life):
                return False
            life.expected = True
            self._wanted[place] = time.monotonic() + pause_s
            life.process.kill()
            return True

    def release(self, place: int) -> int:
        """Ask the worker of a place to end, and start none there again. Return its exit code."""
        with self._lock:
            self._wanted.pop(place, None)
            life = self._lives.pop(place, None)
            if life is None or not self._alive(life):
                return 0
            life.expected = True
            life.process.process.send_signal(signal.SIGTERM)
            life.process.process.send_signal(signal.SIGCONT)  # a frozen one hears nothing
        code = self._ended(life)
        # Before it serves it has begun nothing, and SIGTERM ends it as it ends any program.
        unbegun = code == -signal.SIGTERM and SERVING not in life.process.log
        with self._lock:
            self.ends.asked[0 if unbegun else code] += 1
        return code

    def freeze(self, place: int) -> bool:
        """Stop the worker of a place in its tracks (SIGSTOP)."""
        return self._signal(place, signal.SIGSTOP, frozen=True)

    def thaw(self, place: int) -> bool:
        """Let it go on (SIGCONT), as if nothing had been."""
        return self._signal(place, signal.SIGCONT, frozen=False)

    def restarts(self) -> int:
        """How many processes were started in all."""
        return self._started

    def process(self, place: int) -> WorkerProcess | None:
        """Return the process in a place."""
        with self._lock:
            life = self._lives.get(place)
            return None if life is None else life.process

    def _signal(self, place: int, number: signal.Signals, *, frozen: bool) -> bool:
        with self._lock:
            life = self._lives.get(place)
            if life is None or not self._alive(life):
                return False
            life.frozen = frozen
            os.kill(life.process.process.pid, number)
            return True

    def _ended(self, life: Life) -> int:
        try:
            return life.process.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            life.process.kill()
            return -signal.SIGKILL

    def _keep(self) -> None:
        while not self._halt.wait(LOOK_S):
            with self._lock:
                for place in list(self._wanted):
                    self._look_after(place)

    def _look_after(self, place: int) -> None:
        life = self._lives.get(place)
        if life is not None:
            code = life.process.process.poll()
            if code is None:
                return
            if not life.expected:
                self.ends.unasked[f"{code}: {_reason(life.process.log)}"] += 1
                self._wanted[place] = time.monotonic() + PAUSE_S
            del self._lives[place]
        if time.monotonic() >= self._wanted[place]:
            self._start(place)

    def _start(self, place: int) -> None:
        self._started += 1
        log = self._directory / f"worker-{place}-{self._started:03}.log"
        self._lives[place] = Life(place, WorkerProcess(self._bootstrap, self._names, log, **self._settings), log)
        self._tell_guard()

    def _tell_guard(self) -> None:
        pids = " ".join(str(life.process.process.pid) for life in self._lives.values())
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.write(f"{pids}\n".encode())
                self._guard.stdin.flush()

    @staticmethod
    def _alive(life: Life) -> bool:
        return life.process.process.poll() is None


def _reason(log: str) -> str:
    """Return in some words why a worker says that it ended: at its start in its last line, else in its log."""
    told = re.findall(r"the worker stops: (.*)$", log, re.MULTILINE)
    return (one_line(log) or (told[-1] if told else "no reason given"))[:REASON_CHARACTERS]
