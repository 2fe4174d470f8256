"""Ask a broker for its metadata, by hand, so that health means an answer and not an open port."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

# Kafka protocol, Metadata (key 3) version 1: the oldest that asks for no topics and names the brokers.
_METADATA_KEY = 3
_METADATA_VERSION = 1
_CORRELATION_ID = 1
_CLIENT_ID = b"boostwatch-health"
# An answer that names brokers only is some dozen bytes each; more is not a Kafka broker talking.
_ANSWER_BYTES_MAX = 65_536


class Node(NamedTuple):
    """A broker as the cluster advertises it."""

    node_id: int
    host: str
    port: int


def nodes(host: str, port: int, timeout_s: float) -> list[Node]:
    """Return the brokers that are registered and unfenced, by one Metadata request to ``host:port``.

    Raises ``OSError`` (which includes a time-out) when nothing there answers, ``ValueError`` when
    what answers does not speak Kafka.
    """
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(_request())
        (size,) = struct.unpack(">i", _read(connection, 4))
        if not 0 < size <= _ANSWER_BYTES_MAX:
            raise ValueError(f"{host}:{port} answered {size} bytes, which is no Kafka metadata")
        return _parse(_read(connection, size))


def _request() -> bytes:
    header = struct.pack(">hhih", _METADATA_KEY, _METADATA_VERSION, _CORRELATION_ID, len(_CLIENT_ID))
    no_topics = struct.pack(">i", 0)
    body = header + _CLIENT_ID + no_topics
    return struct.pack(">i", len(body)) + body


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError("the connection was closed before the answer was complete")
        data += chunk
    return data


def _parse(answer: bytes) -> list[Node]:
    try:
        correlation_id, count = struct.unpack_from(">ii", answer, 0)
        if correlation_id != _CORRELATION_ID:
            raise ValueError(f"the answer is to request {correlation_id}, not {_CORRELATION_ID}")
        at = 8
        found = []
        for _ in range(count):
            node_id, host_size = struct.unpack_from(">ih", answer, at)
            at += 6
            host = answer[at : at + host_size].decode()
            at += host_size
            port, rack_size = struct.unpack_from(">ih", answer, at)
            at += 6 + max(rack_size, 0)
            found.append(Node(node_id, host, port))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the metadata answer is cut short or malformed: {error}") from error
    return found
