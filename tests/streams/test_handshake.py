"""What is said of a broker that hangs up."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from streams.errors import BrokerUnavailable
from streams.handshake import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDSHAKE_FAILURE = bytes([21, 3, 3, 0, 2, 2, 40])
"""A TLS alert: fatal, handshake failure."""


@contextmanager
def listener(*, tls: bool) -> Iterator[str]:
    """Listen, and hang up on everybody, after an alert where the greeting is one of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if tls and connection.recv(1) == b"\x16":
                        connection.sendall(HANDSHAKE_FAILURE)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_network_that_is_cut_is_not_taken_for_a_broker_that_wants_tls() -> None:
    with listener(tls=False) as address, pytest.raises(BrokerUnavailable, match="the network may be cut") as caught:
        ask([address], None, 100)
    assert "wants TLS" not in str(caught.value)


def test_a_broker_that_hangs_up_on_plain_bytes_and_answers_tls_wants_tls() -> None:
    with listener(tls=True) as address, pytest.raises(BrokerUnavailable, match="it wants TLS"):
        ask([address], None, 100)
