"""A local broker as an object: start, stop, kill, freeze, restart; one process per data folder."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import signal
import string
import subprocess
import time
import uuid
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from deploy.kafka import jars, machine, wire
from deploy.kafka.errors import LocalKafkaError, StartFailed
from deploy.kafka.machine import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

TEMPLATE = jars.HERE / "server.properties"
# 8 MiB of record, and room for the batch and record headers around it.
MESSAGE_BYTES_MAX = 8 * 1024 * 1024 + 64 * 1024
# 3 s when the machine is idle; after kill -9 the former session (3 s) must run out first.
START_TIMEOUT_S = 90.0
# A clean stop took half a second; after this the process is killed.
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_PORT_ATTEMPTS = 3


class State(NamedTuple):
    """What the data folder says of the process that owns it."""

    pid: int
    port: int


class KafkaBroker:
    """A single-node KRaft broker on 127.0.0.1 whose data, log and lock live in ``data_dir``.

    ``port=0`` takes a free port at the first start and keeps it, so ``restart`` and a start after
    ``kill`` answer at the same address. With ``guard`` the broker dies with the process that started
    it, however that ends; without, it outlives it (and ``stop`` works from another process).
    ``short_lived`` is for tests: half the CPU time to start, and less throughput.
    ``settings`` are put over those of server.properties and may use its names in braces.
    Not safe for use from several threads at a time.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        heap_mib: int = 512,
        guard: bool = True,
        short_lived: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._port = port
        self._port_is_free_to_choose = port == 0
        self._heap_mib = heap_mib
        self._guard_wanted = guard
        # The quick compiler only: starting took 4.5 s of CPU instead of 7.9.
        self._java_options = ["-XX:TieredStopAtLevel=1"] if short_lived else []
        self._settings = dict(settings or {})
        self._log_from = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """What the broker printed, over all its starts."""
        return self.data_dir / "broker.log"

    @property
    def port(self) -> int:
        """The port clients connect to; 0 before the first start where none was given."""
        return self._port

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, or None when none runs on this data folder."""
        state = self.state()
        return state.pid if state else None

    def state(self) -> State | None:
        """Return the process that runs on this data folder, whoever started it, or None."""
        if not self.data_dir.is_dir():
            return None
        lock = self._take_lock()
        if lock is not None:
            lock.close()
            return None
        try:
            state = State(**json.loads(self._state_path.read_text()))
        except (OSError, ValueError, TypeError):
            return None  # between taking the lock and writing down who has it
        self._port = state.port
        return state

    def healthy(self) -> bool:
        """Whether the broker answers a metadata request with itself in it, unfenced."""
        try:
            return any(node.port == self._port for node in wire.nodes(HOST, self._port, timeout_s=2.0))
        except (OSError, ValueError):
            return False

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the broker and return once it is healthy.

        Raises ``ToolMissing`` without Java or Maven, ``FetchFailed`` when the jars can't be had and
        ``StartFailed`` with the broker's own last word when it does not come up in ``timeout_s``.
        """
        java = machine.java()
        classpath = f"{jars.fetch()}/*"
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            try:
                self._start_once(java, classpath, timeout_s)
            except StartFailed as error:
                if not attempts_left or "Address already in use" not in str(error):
                    raise
                if self._port_is_free_to_choose:
                    self._port = 0
            else:
                self._port_is_free_to_choose = False
                return

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End the broker cleanly, or by kill after ``timeout_s``; return whether there was one to stop."""
        state = self.state()
        if state is None:
            self._forget_child()
            return False
        self._signal(state.pid, signal.SIGTERM)
        self._signal(state.pid, signal.SIGCONT)  # a frozen one hears nothing
        if not self._wait_until_gone(timeout_s):
            self.kill()
        self._forget_child()
        return True

    def kill(self) -> None:
        """End the broker as a power cut would (SIGKILL) and return once it is gone."""
        state = self.state()
        if state is not None:
            self._signal(state.pid, signal.SIGKILL)
            self._wait_until_gone(STOP_TIMEOUT_S)
        self._forget_child()

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): its connections stay open and nothing answers."""
        self._signal(self._running_pid(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on (SIGCONT)."""
        self._signal(self._running_pid(), signal.SIGCONT)

    def restart(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Stop the broker if it runs, and start it on the same data and port."""
        self.stop()
        self.start(timeout_s)

    def wait(self) -> int:
        """Wait until the broker that this object started ends by itself; return its exit code."""
        if self._child is None:
            raise LocalKafkaError(f"no broker was started on {self.data_dir} by this process")
        return self._child.wait()

    def last_words(self) -> str:
        """Return the line of the log that most likely says why the broker ended, since its last start."""
        try:
            lines = self.log_path.read_bytes()[self._log_from :].decode(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        causes = [line for line in lines if re.search(r"Exception|ERROR|FATAL|Error:", line) and "INFO" not in line]
        return (causes or lines or ["its log is empty"])[-1].strip()

    def _start_once(self, java: str, classpath: str, timeout_s: float) -> None:
        lock = self._take_lock()
        if lock is None:
            raise StartFailed(f"a broker runs on {self.data_dir} already: stop it first, or use another --data")
        with lock:
            self._state_path.unlink(missing_ok=True)  # of a process that is gone
            self._configure()
            self._format(java, classpath)
            self._spawn(java, classpath, lock)
        try:
            self._wait_until_healthy(timeout_s)
        except BaseException:
            self.kill()
            raise

    @property
    def _state_path(self) -> Path:
        return self.data_dir / "broker.json"

    def _take_lock(self) -> IO[str] | None:
        """Lock the data folder, or return None: the running broker has inherited the lock and holds it.

        The lock goes with the broker's process, so no stale pid file can lie about it.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / "broker.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def _configure(self) -> None:
        if self._port == 0:
            self._port = machine.free_port()
        elif not machine.is_free(self._port):
            raise StartFailed(
                f"port {self._port} is taken: end what listens there, or choose another (--port 0 for a free one)"
            )
        values = {
            "port": self._port,
            "controller_port": machine.free_port(),
            "log_dirs": self.data_dir / "logs",
            "message_bytes_max": MESSAGE_BYTES_MAX,
        }
        more = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        text = string.Template(f"{TEMPLATE.read_text()}\n{more}").substitute(values)
        (self.data_dir / "server.properties").write_text(text)

    def _format(self, java: str, classpath: str) -> None:
        if (self.data_dir / "logs" / "meta.properties").exists():
            return
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            java, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath,
            # One id in 64 begins with a hyphen: as a word of its own the tool takes it for another option.
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}",
            "-c", str(self.data_dir / "server.properties"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise StartFailed(
                f"the storage in {self.data_dir} can't be formatted: {(lines or ['no reason given'])[-1]}"
            )

    def _spawn(self, java: str, classpath: str, lock: IO[str]) -> None:
        command = [
            java, f"-Xmx{self._heap_mib}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", *self._java_options,
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            # 300 lines of settings at every start, which server.properties and the defaults say already
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
            "-cp", classpath, "kafka.Kafka", str(self.data_dir / "server.properties"),
        ]  # fmt: skip
        with self.log_path.open("ab") as log:
            self._log_from = log.tell()
            # A session of its own: Ctrl+C in a terminal is for whoever started us, who then stops the broker.
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.data_dir, start_new_session=True, pass_fds=(lock.fileno(),),
            )  # fmt: skip
        self._state_path.write_text(json.dumps(State(self._child.pid, self._port)._asdict()))
        if self._guard_wanted:
            # Reads until our end of the pipe closes, which the system sees to even if we are killed.
            self._guard = subprocess.Popen(
                ["sh", "-c", 'read -r _; kill -9 "$1" 2>/dev/null', "guard", str(self._child.pid)],
                stdin=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip

    def _wait_until_healthy(self, timeout_s: float) -> None:
        child = self._child
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if child is not None and child.poll() is not None:
                raise StartFailed(
                    f"the broker ended with exit code {child.returncode}: {self.last_words()} (log: {self.log_path})"
                )
            if self.healthy():
                return
            time.sleep(_POLL_S)
        raise StartFailed(
            f"the broker on {self.bootstrap} was not healthy after {timeout_s:.0f} s (log: {self.log_path})"
        )

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._child is not None:
                self._child.poll()  # reaps it
            lock = self._take_lock()
            if lock is not None:
                lock.close()
                return True
            time.sleep(_POLL_S)
        return False

    def _running_pid(self) -> int:
        pid = self.pid
        if pid is None:
            raise LocalKafkaError(f"no broker runs on {self.data_dir}: start it first")
        return pid

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself just now, as every caller then finds out
            os.kill(pid, number)

    def _forget_child(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
