"""The broker's jars: fetched once by Maven into a cache outside the repository, held to their hashes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from deploy.kafka.errors import FetchFailed, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
LOCK = HERE / "jars.sha256"
# 43 MB and their metadata took 17 s here; a slow line is given this long before it counts as stuck.
FETCH_TIMEOUT_S = 900
_POM_NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


def cache_root() -> Path:
    """Return the folder for what is fetched: ``BOOSTWATCH_CACHE``, else ``boostwatch`` in the XDG cache."""
    chosen = os.environ.get("BOOSTWATCH_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "boostwatch"


def kafka_version() -> str:
    """Return the Kafka version that pom.xml pins."""
    project = ET.parse(POM).getroot()  # noqa: S314 -- our own file
    found = project.findtext(f"{_POM_NAMESPACE}properties/{_POM_NAMESPACE}kafka.version")
    if not found:
        raise FetchFailed(f"{POM} has no property kafka.version; add it")
    return found


def fetch(cache: Path | None = None) -> Path:
    """Return the folder that holds every pinned jar, fetching them first when it doesn't exist yet.

    Processes that call this at the same time wait for one of them to fetch. The folder appears by a
    rename once every hash was checked, so a process that dies half-way leaves nothing to trip over.

    Raises ``ToolMissing`` without Maven, ``FetchFailed`` when Maven fails or a jar is not the pinned one.
    """
    root = cache or cache_root()
    folder = root / f"kafka-{kafka_version()}"
    pinned = _pinned()
    if _complete(folder, pinned):
        return folder
    maven = _maven(folder)
    with _only_one(root, folder.name):
        if _complete(folder, pinned):
            return folder
        with _copied_by_maven(maven, root, folder.name) as fresh:
            _hold_to_pins(fresh, pinned)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    return folder


def write_lock() -> int:
    """Resolve pom.xml anew, write the jars' hashes to jars.sha256 and return how many there are."""
    root = cache_root()
    with (
        _only_one(root, "lock"),
        _copied_by_maven(_maven(root), root, "lock") as fresh,
    ):
        hashes = _hashes(fresh)
    LOCK.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items())))
    return len(hashes)


def _pinned() -> dict[str, str]:
    lines = (line.split() for line in LOCK.read_text().splitlines())
    return {name: digest for digest, name in lines}


def _complete(folder: Path, pinned: dict[str, str]) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} == set(pinned)


def _maven(folder: Path) -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissing(
            f"Maven (mvn) is not on PATH and the Kafka jars are not in {folder}: install Maven 3.6.3 or newer"
        )
    return maven


@contextmanager
def _only_one(root: Path, name: str) -> Iterator[None]:
    """Hold the cache for one fetching process; the lock goes with the process, however it ends."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _copied_by_maven(maven: str, root: Path, name: str) -> Iterator[Path]:
    """Give a folder next to the final one with what pom.xml resolves to; it is removed if still there."""
    for left_by_the_dead in root.glob(f"{name}.partial-*"):  # nobody else fetches: the lock is ours
        shutil.rmtree(left_by_the_dead, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}.partial-", dir=root, ignore_cleanup_errors=True) as partial:
        fresh = Path(partial) / "jars"
        command = [
            maven, "--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never",
            "--file", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=partial, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FetchFailed(
                f"Maven did not fetch the Kafka jars within {FETCH_TIMEOUT_S} s: check the network, then try again"
            ) from error
        if done.returncode != 0 or not fresh.is_dir():
            raise FetchFailed(f"Maven could not fetch the Kafka jars: {_first_error(done.stdout + done.stderr)}")
        yield fresh


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return (errors or lines or ["it said nothing; run it by hand with deploy/kafka/pom.xml"])[0]


def _hold_to_pins(folder: Path, pinned: dict[str, str]) -> None:
    found = _hashes(folder)
    for name in sorted(found.keys() | pinned.keys()):
        if found.get(name) != pinned.get(name):
            raise FetchFailed(
                f"{name} has sha256 {found.get(name, 'none, as it was not fetched')} where {LOCK.name} says"
                f" {pinned.get(name, 'nothing')}: if pom.xml was changed, run `python deploy/kafka/broker.py lock`"
            )


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
