"""Ask whether a Kafka broker is there and what it speaks, before any client library waits for it in vain.

One ApiVersions request, over TLS where the options say so. Brokers answer it before log-in, so what a failure
says (refused, unknown name, untrusted certificate, not Kafka) is the plain reason and not a client's time-out.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

from streams.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Kafka protocol, ApiVersions (key 18) version 0: understood by every broker since 0.10, with a fixed layout.
API_VERSIONS = 18
_VERSION = 0
_CORRELATION_ID = 1
_CLIENT_ID = b"boostwatch"
# 6 bytes for each of some hundred requests; more is not a broker's answer.
_ANSWER_BYTES_MAX = 65_536
# How a TLS record begins that says "this is not TLS": its type (21) and the version's first byte (3).
_TLS_ALERT = 0x1503
_RETRY_PAUSE_S = 0.2
# One address of several may swallow packets; the others are asked meanwhile.
_ATTEMPT_TIMEOUT_S = 2.0
_REASONS: Mapping[type[OSError], str] = {
    ConnectionRefusedError: "connection refused",
    socket.gaierror: "no such host",
    TimeoutError: "no answer",
    ssl.SSLError: "it does not speak TLS",
    ConnectionError: "it hung up: the network may be cut, or the broker wants another certificate or is just starting",
}


def ask(addresses: Sequence[str], tls: ssl.SSLContext | None, timeout_ms: int) -> Mapping[int, int]:
    """Return the highest version of every request that the first broker to answer knows, by request key.

    `addresses` are `host:port` and are asked in turn until one answers or `timeout_ms` is over, so a broker that
    is just starting is waited for. Raises BrokerUnavailable with each address's own reason.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        reasons = []
        for address in addresses:
            attempt_s = max(0.1, min(_ATTEMPT_TIMEOUT_S, deadline - time.monotonic()))
            try:
                return _ask_one(address, tls, attempt_s)
            except (OSError, ValueError) as error:
                reasons.append(f"{address} ({_reason(error)})")
        if time.monotonic() + _RETRY_PAUSE_S >= deadline:
            raise BrokerUnavailable(
                f"no Kafka broker answers at {' or '.join(reasons)}:"
                " start it, or correct the settings bootstrap and security_protocol"
            )
        time.sleep(_RETRY_PAUSE_S)


def _ask_one(address: str, tls: ssl.SSLContext | None, timeout_s: float) -> Mapping[int, int]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as plain:
        if tls is None:
            try:
                return _api_versions(plain)
            except ConnectionError:
                if _speaks_tls(host, int(port), timeout_s):
                    raise ValueError("it wants TLS") from None
                raise
        with tls.wrap_socket(plain, server_hostname=host) as secured:
            return _api_versions(secured)


def _speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Say whether what hangs up on plain bytes answers those of TLS. Nothing is sent to it, so nobody is trusted."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as plain:
            try:
                context.wrap_socket(plain, server_hostname=host).close()
            except ssl.SSLError as error:
                # An alert is an answer: it wants a certificate of ours, or other ciphers.
                return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True


def _api_versions(connection: socket.socket) -> Mapping[int, int]:
    request = struct.pack(">hhih", API_VERSIONS, _VERSION, _CORRELATION_ID, len(_CLIENT_ID)) + _CLIENT_ID
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if size >> 16 == _TLS_ALERT:
        raise ValueError("it wants TLS")
    if not 10 <= size <= _ANSWER_BYTES_MAX:
        raise ValueError("what answers is not Kafka")
    answer = _read(connection, size)
    correlation_id, error, count = struct.unpack_from(">ihi", answer)
    if correlation_id != _CORRELATION_ID or error or size < 10 + 6 * count:
        raise ValueError("what answers is not Kafka")
    known = struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])
    return {key: highest for key, _lowest, highest in known}


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return next((words for kind, words in _REASONS.items() if isinstance(error, kind)), str(error))
