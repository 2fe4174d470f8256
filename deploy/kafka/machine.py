"""What the local broker needs of the machine: a Java and free ports."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
from pathlib import Path

from deploy.kafka.errors import StartFailed, ToolMissing

HOST = "127.0.0.1"
# Kafka 4 needs this to run a broker.
JAVA_VERSION_MIN = 17
# Below every usual ephemeral range, so that no client's own socket takes the port of a broker that is down.
FREE_PORTS = range(20_000, 32_000)
_PORTS_TRIED = 200


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on just now."""
    for port in random.sample(FREE_PORTS, k=_PORTS_TRIED):
        if is_free(port):
            return port
    raise StartFailed(
        f"{_PORTS_TRIED} ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop} are all taken: end some listeners"
    )


def is_free(port: int) -> bool:
    """Return whether a broker could listen on this port of 127.0.0.1."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker itself does
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def java() -> str:
    """Return the path of a Java that can run the broker, from ``JAVA_HOME`` or PATH, else raise ``ToolMissing``."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")
    if found is None:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise ToolMissing(f"Java (java) is not {where}: install a Java {JAVA_VERSION_MIN} runtime or newer")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        other = version[1] if version else "of unknown version"
        raise ToolMissing(
            f"{found} is Java {other}, and Kafka needs {JAVA_VERSION_MIN} or newer: install it or set JAVA_HOME"
        )
    return found
