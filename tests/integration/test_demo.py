from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.errors import ConfigurationError, DemoFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
START_S = 240
"""A machine that never ran it compiles its loops first."""


class Running:
    """A demo in a process of its own, with what it has said so far."""

    def __init__(self, out: Path, *arguments: str, **environment: str) -> None:
        self._out = out
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "demo", *arguments],
                cwd=ROOT,
                env={**os.environ, "BOOSTWATCH_HTTP_PORT": "0", **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._out.read_text(encoding="utf-8")

    def until(self, text: str) -> None:
        end = time.monotonic() + START_S
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.1)

    def children(self) -> dict[str, int]:
        """Return the pids of the processes that it started, by command."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in listed}
        return {words[3].decode(): int(pid) for pid, words in commands.items() if len(words) > 3}

    def page_answers(self) -> bool:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.said)
        assert found is not None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(found[1]))) == 0


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for running in started:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
            running.process.wait(120)


def test_a_short_demo_reads_all_that_was_sent_and_tells_what_it_flagged(demo: list[Running], tmp_path: Path) -> None:
    demo.append(Running(tmp_path / "out", "--seconds", "25", "--seed", "3"))
    assert demo[0].process.wait(START_S + 240) == 0, demo[0].said
    said = demo[0].said
    counts = re.search(r"([\d,]+) events read of ([\d,]+) sent", said)
    assert counts is not None
    assert counts[1] == counts[2]
    assert int(counts[1].replace(",", "")) > 50_000
    for kind in ("follower_spike", "like_boost", "keyword_ranking", "keyword_trend", "viral", "celebrity"):
        assert re.search(rf"^  {kind} ", said, re.MULTILINE)
    assert re.search(r"^\d of 4 attacks flagged; \d of 4 benign episodes flagged; \d+ other flags$", said, re.MULTILINE)
    assert not demo[0].page_answers()


def test_ctrl_c_ends_everything_that_was_started(demo: list[Running], tmp_path: Path) -> None:
    demo.append(Running(tmp_path / "out", "--seconds", "3600"))
    demo[0].until("the worker is ready")
    children = demo[0].children()
    assert set(children) == {"worker", "simulate"}
    assert demo[0].page_answers()
    demo[0].process.send_signal(signal.SIGINT)
    assert demo[0].process.wait(90) == 0
    assert "attacks flagged" in demo[0].said
    assert not demo[0].page_answers()
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]


def test_a_worker_that_dies_fails_the_demo_by_name(demo: list[Running], tmp_path: Path) -> None:
    demo.append(Running(tmp_path / "out", "--seconds", "3600"))
    demo[0].until("the page")
    os.kill(demo[0].children()["worker"], signal.SIGKILL)
    assert demo[0].process.wait(90) == DemoFailed.exit_code
    assert "boostwatch: the worker process ended with exit code -9" in demo[0].said


def test_an_address_that_is_not_here_is_refused_before_anything_starts(demo: list[Running], tmp_path: Path) -> None:
    demo.append(Running(tmp_path / "out", BOOSTWATCH_HTTP_HOST="192.0.2.1"))
    assert demo[0].process.wait(60) == ConfigurationError.exit_code
    assert demo[0].said.count("\n") == 1
