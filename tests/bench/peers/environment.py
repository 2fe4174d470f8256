"""Environments for peers that are no libraries of this project: one each, in the cache, from a lock file with hashes.

A lock file is renewed with `uv pip compile --universal --python-version 3.11 --generate-hashes --no-header
--no-annotate --no-emit-index-url --output-file requirements/NAME.lock requirements/NAME.in`.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.kafka.jars import cache_root

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
INSTALL_S = 1_200.0
"""How long an installation may take: Pathway brings more than a gigabyte."""


class NotInstalled(RuntimeError):  # noqa: N818 - as streams.errors names them
    """A peer can't be had here; the message says why."""


def python_of(peer: str) -> str:
    """Return the interpreter of a peer's environment, made on first use. Raises NotInstalled."""
    lock, place = _lock_and_place(peer)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        if not installed(peer):
            _install(lock, place)
    return str(place / "bin" / "python")


def installed(peer: str) -> bool:
    """Say whether a peer's environment is there and complete."""
    return (_lock_and_place(peer)[1] / "installed").exists()


def _lock_and_place(peer: str) -> tuple[Path, Path]:
    lock = REQUIREMENTS / f"{peer}.lock"
    version = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return lock, cache_root() / "bench-peers" / f"{peer}-{version}"


def _install(lock: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    _run("make an environment", [sys.executable, "-m", "venv", str(place)])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary"]
    try:
        _run("install it", [str(place / "bin" / "python"), *install, ":all:", "-r", str(lock)])
    except NotInstalled:
        shutil.rmtree(place, ignore_errors=True)
        raise
    (place / "installed").touch()


def _run(what: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"cannot {what}: not done within {INSTALL_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotInstalled(f"cannot {what}: {last}")
