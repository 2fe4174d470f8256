"""Logging, configured once: lines for a terminal, or one JSON object per line for a collector.

Modules log with `logging.getLogger(__name__)` and give values as `extra={"fields": {...}}`, so that both forms
keep them apart from the sentence. Nothing about a person (an account, a query, a device, an address) is logged
at `info` or above; flags carry subjects, logs do not.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "asyncio", "numba", "confluent_kafka")
"""These log at `warning` unless the level asked for is `debug`: their `info` repeats on every rebalance."""

SELDOM_S = 30.0
"""The Kafka clients say the same of each connection and partition on every attempt, many times a second while a
broker is away. Of each of their messages one goes through in this time, and says how many did not."""

_CHATTY = ("aiokafka", "kafka", "faust", "mode")
_TEMPLATES_MAX = 1_000

_HANDLER_NAME = "boostwatch"


def configure(level: Literal["debug", "info", "warning", "error"], form: Literal["console", "json"]) -> None:
    """Send every log line of this process to stderr in one form. Calling again replaces what was configured."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if handler.get_name() == _HANDLER_NAME:
            root.removeHandler(handler)
    root.addHandler(_handler(sys.stderr, form))
    chosen = getattr(logging, level.upper())
    root.setLevel(chosen)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.setLevel(chosen if level == "debug" else max(chosen, logging.WARNING))
        library.propagate = True
    # It warns whenever the machine is busy for a tenth of a second.
    logging.getLogger("kafka.net.selector").setLevel(chosen if level == "debug" else logging.ERROR)
    logging.captureWarnings(capture=True)


def printable(text: str) -> str:
    r"""Escape what would move a terminal's cursor or forge a line: control, direction and invisible characters.

    >>> print(printable("a\x1b[2Jb\nc\u202ed é 汉"))
    a\x1b[2Jb\nc\u202ed é 汉
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _handler(stream: TextIO, form: Literal["console", "json"]) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.set_name(_HANDLER_NAME)
    handler.addFilter(Seldom())
    handler.setFormatter(_JsonLines() if form == "json" else _ConsoleLines())
    return handler


class Seldom(logging.Filter):
    """Lets one line of each message of the Kafka clients through in `SELDOM_S`; everything of others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be written, and tell in it how many like it were not."""
        if record.name.split(".", 1)[0] not in _CHATTY:
            return True
        now, key = self._clock(), (record.name, record.levelno, str(record.msg)[:200])
        said_s, left_out = self._said.get(key, (-SELDOM_S, 0))
        if now - said_s < SELDOM_S:
            self._said[key] = said_s, left_out + 1
            return False
        if len(self._said) >= _TEMPLATES_MAX:
            self._said.clear()
        self._said[key] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", None
        return True


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


class _ConsoleLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={printable(str(value))}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname.lower():7} {record.name}: {printable(record.getMessage())}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str, ensure_ascii=False)
