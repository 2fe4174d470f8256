"""Run a real Kafka on this machine: ``python deploy/kafka/broker.py run|start|stop|status|fetch|lock``.

Needs Java 17, Maven once, and nothing from Python but its standard library.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if __package__ in (None, ""):  # run as a script, before anything is installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.kafka import jars
from deploy.kafka.errors import LocalKafkaError
from deploy.kafka.process import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["KafkaBroker", "LocalKafkaError", "main"]

# Kafka's own, where clients look when told nothing.
DEFAULT_PORT = 9092
EXIT_FAILED = 1
# As service managers say it (LSB init scripts).
EXIT_NOT_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return the exit code; errors are one line on standard error."""
    options = _parser().parse_args(arguments)
    broker = KafkaBroker(
        options.data or jars.cache_root() / "kafka-data", port=options.port, guard=options.command == "run"
    )
    commands = {"run": _run, "start": _start, "stop": _stop, "status": _status, "fetch": _fetch, "lock": _lock}
    try:
        return commands[options.command](broker)
    except LocalKafkaError as error:
        print(f"kafka: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run a real Kafka broker on 127.0.0.1, without Docker.")
    parser.add_argument(
        "command",
        choices=["run", "start", "stop", "status", "fetch", "lock"],
        help="run: until Ctrl+C; start, stop, status: in the background; fetch: only the jars; lock: pin the jars anew",
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"port for clients, 0 for a free one (default {DEFAULT_PORT})"
    )
    parser.add_argument("--data", type=Path, help="folder for data and log (default: kafka-data in the cache)")
    return parser


def _run(broker: KafkaBroker) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print("kafka: starting", flush=True)
        broker.start()
        print(f"kafka: ready at {broker.bootstrap}; log: {broker.log_path}; Ctrl+C stops it", flush=True)
        code = broker.wait()
    except KeyboardInterrupt:
        print("kafka: stopping", flush=True)
        broker.stop()
        return 0
    print(
        f"kafka: ended by itself with exit code {code}: {broker.last_words()} (log: {broker.log_path})", file=sys.stderr
    )
    return EXIT_FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _start(broker: KafkaBroker) -> int:
    if broker.state() is None:
        broker.start()
    return _status(broker)


def _stop(broker: KafkaBroker) -> int:
    print("kafka: stopped" if broker.stop() else f"kafka: not running on {broker.data_dir}")
    return 0


def _status(broker: KafkaBroker) -> int:
    state = broker.state()
    if state is None:
        print(f"kafka: not running on {broker.data_dir}")
        return EXIT_NOT_RUNNING
    health = "ready" if broker.healthy() else "running, but does not answer"
    print(f"kafka: {health} at {broker.bootstrap}; pid {state.pid}; log: {broker.log_path}")
    return 0 if health == "ready" else EXIT_FAILED


def _fetch(_broker: KafkaBroker) -> int:
    print(f"kafka: jars in {jars.fetch()}")
    return 0


def _lock(_broker: KafkaBroker) -> int:
    print(f"kafka: {jars.write_lock()} jars pinned in {jars.LOCK}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
