"""kafka-python clients, made in one place: security, presence of the broker, defaults that lose nothing.

Every factory takes `options` as kafka-python names them (security_protocol, sasl_mechanism, ...) and first asks the
broker for a sign of life, so that one that is not there is one line within seconds (BrokerUnavailable).
"""

from __future__ import annotations

import logging
import ssl
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from streams import handshake
from streams.errors import BrokerError, BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# A broker on the same continent answers in well under a second; one that is being started with us, in a few.
PRESENCE_TIMEOUT_MS = 5_000
# kafka-python 3.0.12 forgets that it was to ask about a consumer's topics where the answer to its first question, about
# none, comes in between (kafka/cluster.py, `update_metadata`). It asks again once what it knows is so old: after five
# minutes, if nobody says less.
METADATA_MAX_AGE_MS = 5_000
# The first broker whose own handshake is of version 3 is Kafka 2.4. kafka-python speaks to older ones once told so,
# and can't read how the embedded broker refuses a newer handshake.
_HANDSHAKE_OF_2_4 = 3
_BEFORE_2_4 = (2, 3)
_REFUSED = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
_LOST = (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError)


def security_options(
    *,
    protocol: str = "PLAINTEXT",
    sasl_mechanism: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca_path: Path | None = None,
    cert_path: Path | None = None,
    key_path: Path | None = None,
    key_password: str | None = None,
) -> dict[str, object]:
    """Return the client options for a Kafka security protocol; kafka-python and aiokafka both take them.

    `protocol` is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; paths are PEM files. Without `ca_path` the system's
    authorities are trusted. Raises OSError (ssl.SSLError among them) when a file can't be read or does not fit.
    """
    options: dict[str, object] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(ca_path) if ca_path else None)
        if cert_path:
            context.load_cert_chain(str(cert_path), str(key_path) if key_path else None, key_password)
        options["ssl_context"] = context
    if protocol.startswith("SASL"):
        options |= {"sasl_mechanism": sasl_mechanism, "sasl_plain_username": username, "sasl_plain_password": password}
    return options


def require_broker(
    bootstrap: str, options: Mapping[str, object] | None = None, timeout_ms: int = PRESENCE_TIMEOUT_MS
) -> dict[str, object]:
    """Return `options` completed for the broker at `bootstrap` (`host:port`, or several with commas).

    Raises BrokerUnavailable when none answers within `timeout_ms`. Log-in is not tried: the clients do that.
    """
    addresses = [address.strip() for address in bootstrap.split(",")]
    completed = {"bootstrap_servers": addresses, **(options or {})}
    context = completed.get("ssl_context")
    tls = context if isinstance(context, ssl.SSLContext) else None
    secured_otherwise = tls is None and str(completed.get("security_protocol", "")).endswith("SSL")
    if secured_otherwise or completed.get("proxy_url"):
        return completed  # only the client itself can get there
    known = handshake.ask(addresses, tls, timeout_ms)
    if known.get(handshake.API_VERSIONS, 0) < _HANDSHAKE_OF_2_4:
        completed.setdefault("api_version", _BEFORE_2_4)
    return completed


@contextmanager
def admin(
    bootstrap: str, options: Mapping[str, object] | None = None, timeout_ms: int = PRESENCE_TIMEOUT_MS
) -> Iterator[Any]:
    """Give a KafkaAdminClient and close it in the end.

    Raises BrokerUnavailable when the broker is not there, refuses the log-in, or is lost in between, and BrokerError
    when it forbids what was asked.
    """
    completed = require_broker(bootstrap, options, timeout_ms)
    with _connecting(bootstrap, completed):
        client = KafkaAdminClient(bootstrap_timeout_ms=timeout_ms, **completed)
    with closing(client), _told_plainly(bootstrap):
        yield client


def producer(bootstrap: str, options: Mapping[str, object] | None = None, **more: object) -> Any:
    """Return a KafkaProducer that waits for all replicas; its errors live only in the futures that `send` returns.

    `more` are further kafka-python settings. Raises BrokerUnavailable.
    """
    completed = require_broker(bootstrap, options)
    with _connecting(bootstrap, completed):
        return KafkaProducer(**{"bootstrap_timeout_ms": PRESENCE_TIMEOUT_MS, "acks": "all", **completed, **more})


def consumer(bootstrap: str, *topics: str, options: Mapping[str, object] | None = None, **more: object) -> Any:
    """Return a KafkaConsumer that begins at the earliest record and commits nothing by itself.

    `more` are further kafka-python settings. Raises BrokerUnavailable.
    """
    defaults = {
        "bootstrap_timeout_ms": PRESENCE_TIMEOUT_MS,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    completed = require_broker(bootstrap, options)
    with _connecting(bootstrap, completed):
        return KafkaConsumer(*topics, **{**defaults, **completed, **more})


@contextmanager
def _connecting(bootstrap: str, options: Mapping[str, object]) -> Iterator[None]:
    """Tell a failure of kafka-python's first connection by its cause, which it only logs, once for each attempt.

    Over TLS it may miss a refusal that is followed by the end of the connection. But the broker answered just before,
    so where there is a log-in, that is what failed.
    """
    heard = _Heard()
    network = logging.getLogger("kafka.net")
    propagate, network.propagate = network.propagate, False
    network.addHandler(heard)
    try:
        with _told_plainly(bootstrap):
            try:
                yield
            except KafkaTimeoutError as error:
                logs_in = options.get("sasl_mechanism") is not None
                raise (heard.refusal or SaslAuthenticationFailedError("it hung up") if logs_in else error) from None
    finally:
        network.removeHandler(heard)
        network.propagate = propagate


class _Heard(logging.Handler):
    """Keeps why a log-in was refused, from what is logged meanwhile, and lets the rest go."""

    refusal: KafkaError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, _REFUSED):
                self.refusal = argument


@contextmanager
def _told_plainly(bootstrap: str) -> Iterator[None]:
    """Turn kafka-python's errors into ours, which say what to do."""
    try:
        yield
    except _REFUSED as error:
        raise BrokerUnavailable(
            f"the Kafka broker at {bootstrap} refused the log-in ({', '.join(map(str, error.args))}):"
            " correct sasl_mechanism, sasl_username and sasl_password"
        ) from error
    except AuthorizationError as error:
        raise BrokerError(f"the Kafka broker at {bootstrap} forbids it ({error}): grant this user the right") from error
    except _LOST as error:
        raise BrokerUnavailable(
            f"the Kafka broker at {bootstrap} answers, but then is lost ({error}): check that the addresses it"
            " advertises (advertised.listeners) can be reached from here"
        ) from error
    except KafkaError as error:
        raise BrokerError(f"the Kafka broker at {bootstrap} can't do it ({error}): look at its log") from error
