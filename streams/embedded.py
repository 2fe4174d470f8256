"""A Kafka broker inside this process, for the demo and for quick tests: librdkafka's mock cluster.

It comes with the confluent-kafka wheel, starts in milliseconds and speaks enough of Kafka for producing, fetching
and consumer groups with committed offsets. It is no Kafka, and what differs matters:

- There is no disk. Everything is gone with the process.
- Each partition keeps its newest 5 MiB of batches as they were sent. Older ones are dropped in silence as new ones
  come, read or not, whatever a consumer has committed; one that lags so far continues with what is left and sees a
  gap in the offsets. A batch of more than 5 MiB is acknowledged and lost at once, and the next batch with it.
  librdkafka has no setting for this: keep batches small, spread load over partitions, and keep up.
- A fetch returns one batch of a partition and finds it by walking from the oldest, so reading is fast in batches of
  hundreds of records and slow where each record was sent alone.
- Nothing is compacted, expires, or is checked by the broker; timestamps are the producer's (CreateTime), though the
  answer to a send says that the broker set 1234.
- A topic that is not there appears when a client asks for it, with 4 partitions. Over the wire topics can't be
  created, nor their settings read or altered; `create_topic` here creates them.
- A static group member that comes back waits until the session of its former self is over (19 s were seen).
- It refuses newer handshakes in a way that kafka-python can't read: `client_options` holds what that needs
  (`streams.clients` finds it out by itself). aiokafka and confluent-kafka need nothing.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Self

from confluent_kafka import cimpl

from streams.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

# What librdkafka gives to a topic that nobody created (rdkafka_mock.c).
DEFAULT_PARTITIONS = 4
# rdkafka.h: the type of a producer handle, and what is returned where nothing is wrong.
_PRODUCER = 0
_NO_ERROR = 0
_TOPIC_ALREADY_EXISTS = 36
# Syslog's: only what makes the library unusable. The mock logs each request that it does not know to standard error.
_LOG_LEVEL = b"0"
_REASON_BYTES = 512
# A command that follows on the heels of another is overlooked by the mock's thread for a second; after this, seldom.
_SETTLE_S = 0.002


class EmbeddedBroker:
    """One broker of the mock cluster, at `bootstrap` from `start` to `close`; a context manager does both."""

    client_options: Mapping[str, object] = {"api_version": (2, 3)}

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        """Take the topics to create at start, with their numbers of partitions."""
        self._topics = dict(topics or {})
        self._library = _library()
        self._handle: int | None = None
        self._cluster: int | None = None
        self.bootstrap = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start listening on a free port of 127.0.0.1 and create the topics. Raises BrokerUnavailable."""
        library = self._library
        reason = ctypes.create_string_buffer(_REASON_BYTES)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"log_level", _LOG_LEVEL, reason, _REASON_BYTES)
        self._handle = library.rd_kafka_new(_PRODUCER, configuration, reason, _REASON_BYTES)
        if not self._handle:
            raise BrokerUnavailable(f"the embedded broker can't be made: {reason.value.decode()}; use a real one")
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            self.close()
            raise BrokerUnavailable("the embedded broker can't listen on 127.0.0.1: free a port, or use a real one")
        # Group members would otherwise be let in only after 3 s.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for name, partitions in self._topics.items():
            self.create_topic(name, partitions)

    def create_topic(self, name: str, partitions: int = DEFAULT_PARTITIONS) -> None:
        """Create a topic; raises ValueError when it exists, for its partitions can't be changed."""
        if self._cluster is None:
            raise BrokerUnavailable(f"the embedded broker does not run: start it before topic {name} is created")
        time.sleep(_SETTLE_S)
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code == _TOPIC_ALREADY_EXISTS:
            raise ValueError(f"the embedded broker has a topic {name} already: create topics before any client asks")
        if code != _NO_ERROR:
            raise ValueError(f"the embedded broker refuses topic {name} with {partitions} partitions (error {code})")

    def close(self) -> None:
        """End the broker and drop all that it holds; closing twice does nothing."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._handle:
            self._library.rd_kafka_destroy(self._handle)
        self._cluster = self._handle = None


def _library() -> ctypes.CDLL:
    """Return librdkafka as confluent-kafka's own extension has loaded it, with the types of what is called here."""
    library = ctypes.CDLL(cimpl.__file__)
    handle, number, text, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
    signatures = {
        "rd_kafka_conf_new": (handle, []),
        "rd_kafka_conf_set": (number, [handle, text, text, text, size]),
        "rd_kafka_new": (handle, [number, handle, text, size]),
        "rd_kafka_destroy": (None, [handle]),
        "rd_kafka_mock_cluster_new": (handle, [handle, number]),
        "rd_kafka_mock_cluster_destroy": (None, [handle]),
        "rd_kafka_mock_cluster_bootstraps": (text, [handle]),
        "rd_kafka_mock_topic_create": (number, [handle, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [handle, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise BrokerUnavailable(
                f"this confluent-kafka has no embedded broker (no {name}): install its wheel, or use a real broker"
            ) from None
        function.restype = result
        function.argtypes = arguments
    return library
