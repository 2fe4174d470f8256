"""What the batch transport relies on in Faust, mode and aiokafka beyond what they promise.

Another version may keep all of it and still mean something else by it: when the pins fail, read the code that is
named here in the new version, then the streams modules that use it, then run the integration tests.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import consumer as kafka_consumer
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.producer.sender import Sender as ProducerSender
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from faust.serializers.schemas import Schema
from faust.tables.recovery import Recovery as RecoveryService
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from mode import Service
from mode.threads import QueueServiceThread

from streams.consumer import BatchConsumer
from streams.consumer_thread import BatchConsumerThread
from streams.lanes import LanedFetcher
from streams.transport import SCHEME, BatchProducer, Transport

PINS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

RELIED_ON: dict[Any, tuple[str, ...]] = {
    # Overridden: each must still be called by what stands above it.
    driver.AIOKafkaConsumerThread: ("_create_consumer", "_fetch_records", "close", "getmany", "_ensure_consumer"),
    driver.Consumer: ("_new_consumer_thread", "_to_message"),
    faust_consumer.ThreadDelegateConsumer: ("_getmany", "_commit"),
    faust_consumer.Consumer: (
        "_drain_messages", "_wait_next_records", "force_commit", "commit", "wait_empty", "perform_seek",
        "_commit_handler", "on_stop", "verify_all_partitions_active", "on_partitions_assigned", "stop_flow",
        "resume_flow",
    ),
    driver.Producer: ("_new_producer", "_ensure_producer"),
    faust.App: ("_create_directories", "_stop_consumer", "_consumer_wait_empty", "_on_partitions_revoked"),
    Schema: ("compile",),
    QueueServiceThread: ("call_thread",),
    Service: ("should_stop", "started", "crash_reason", "wait_until_stopped"),
    # Called or read.
    aiokafka.AIOKafkaConsumer: ("seek_to_committed", "commit"),
    Fetcher: (
        "_notify", "_create_fetch_waiter", "fetched_records", "_proc_fetch_request", "_select_read_replica",
        "_get_actions_per_node",
    ),
    kafka_consumer: ("Fetcher",),
    FetchResult: ("check_assignment", "has_more", "_update_position"),
    FetchError: ("check_raise",),
    GroupCoordinator: ("check_errors",),
    SubscriptionState: ("fetch_context", "wait_for_assignment", "reassignment_in_progress", "is_assigned"),
    Assignment: ("active", "tps", "state_value"),
    TopicPartitionState: ("position", "has_valid_position"),
    MemoryRecords: ("has_next", "next_batch"),
    DefaultRecordBatch: (
        "validate_crc", "is_control_batch", "next_offset", "base_offset", "timestamp_type", "max_timestamp",
        "first_timestamp", "compression_type",
    ),
    BatchBuilder: ("append", "close"),
    aiokafka.AIOKafkaProducer: ("create_batch", "send_batch", "partitions_for"),
    MessageAccumulator: ("fail_all",),
    ProducerSender: ("sender_task",),
    RecoveryService: ("_resume_streams",),
}  # fmt: skip

SET_IN_INIT: dict[Any, tuple[str, ...]] = {
    Fetcher: ("_records", "_subscriptions", "_wait_consume_future", "_closed"),
    FetchResult: ("_partition_records",),
    PartitionRecords: ("_records", "next_fetch_offset"),
    TopicPartitionState: ("highwater",),
    FetchRequest: ("_max_wait_ms", "_min_bytes"),
    aiokafka.AIOKafkaConsumer: ("_subscription", "_coordinator", "_fetcher", "_closed", "_max_poll_records"),
    faust_consumer.Consumer: ("flow_active", "_active_partitions", "callback"),
    GroupCoordinator: ("generation",),
    aiokafka.AIOKafkaProducer: ("_message_accumulator", "_sender"),
    MessageAccumulator: ("_batch_ttl",),
}


@pytest.mark.parametrize(("package", "pinned"), PINS.items())
def test_the_versions_are_those_that_were_read(package: str, pinned: str) -> None:
    assert version(package) == pinned, (
        f"{package} {version(package)} is installed and the batch transport was written against {pinned}: read what "
        "this test names in the new version before moving the pin"
    )


@pytest.mark.parametrize("owner", RELIED_ON, ids=lambda owner: owner.__name__)
def test_every_name_that_is_overridden_or_called_is_there(owner: Any) -> None:
    missing = [name for name in RELIED_ON[owner] if not hasattr(owner, name)]
    assert not missing, f"{owner.__module__}.{owner.__qualname__} has no {', '.join(missing)} any more"


@pytest.mark.parametrize("owner", SET_IN_INIT, ids=lambda owner: owner.__name__)
def test_every_attribute_that_is_read_is_still_set(owner: Any) -> None:
    source = inspect.getsource(owner)
    missing = [name for name in SET_IN_INIT[owner] if f"self.{name}" not in source and f"{name}:" not in source]
    assert not missing, f"{owner.__module__}.{owner.__qualname__} sets no {', '.join(missing)} any more"


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (faust_consumer.Fetcher._fetcher.fun, "consumer._drain_messages(self)"),
        (faust_consumer.Consumer._wait_next_records, "self._getmany("),
        (faust_consumer.Consumer._commit_handler.fun, "self.commit()"),
        (faust_consumer.Consumer._commit_livelock_detector.fun, "self.verify_all_partitions_active()"),
        (faust_consumer.Consumer.commit, "self.force_commit("),
        (faust_consumer.Consumer.on_stop, "self.wait_empty()"),
        (driver.AIOKafkaConsumerThread.on_start, "self._create_consumer("),
        (driver.AIOKafkaConsumerThread.getmany, "self._fetch_records"),
        (driver.Producer.on_start, "self._new_producer()"),
        (faust.App._on_partitions_revoked, "self._consumer_wait_empty"),
        (faust.App._stop_consumer, "self._consumer_wait_empty("),
        (faust.App._consumer_wait_empty, "consumer.wait_empty()"),
        # Restoring lies in the seek: it comes before flow begins, and a new assignment cancels it.
        (RecoveryService._resume_streams, "consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout"),
        (MessageAccumulator, "MessageBatch(tp, builder, self._batch_ttl"),
        (ProducerSender._fail_all, "task.cancelled()"),
        (Fetcher._proc_fetch_request, "MemoryRecords(part_data[-1])"),
        # A broker is told apart by what `_select_read_replica` returns, in all of it.
        (Fetcher._get_actions_per_node, "node_id = self._select_read_replica(tp)"),
        (Fetcher._get_actions_per_node, "node_id in self._in_flight"),
        (Fetcher._get_actions_per_node, "fetch_requests.append((node_id, req))"),
        (Fetcher._fetch_requests_routine, "self._proc_fetch_request(assignment, node_id, request)"),
        (Fetcher._proc_fetch_request, "self._client.send(node_id, request)"),
        (aiokafka.AIOKafkaConsumer.start, "self._fetcher = Fetcher("),
        (AIOKafkaClient._get_conn, "conn_id = (node_id, group)"),
    ],
)
def test_what_is_overridden_is_still_called_where_it_was(caller: Any, called: str) -> None:
    assert called in inspect.getsource(caller), f"{caller.__qualname__} does not call {called} any more"


def test_overrides_take_what_they_are_given() -> None:
    for ours, theirs in (
        (BatchConsumer, driver.Consumer),
        (BatchConsumerThread, driver.AIOKafkaConsumerThread),
        (BatchProducer, driver.Producer),
        (LanedFetcher, Fetcher),
    ):
        for name, function in vars(ours).items():
            above = getattr(theirs, name, None)
            if inspect.isfunction(function) and inspect.isfunction(above) and not name.startswith("__"):
                assert list(inspect.signature(function).parameters) == list(inspect.signature(above).parameters), name


def test_the_transport_is_found_by_its_scheme_where_the_project_is_installed() -> None:
    found = entry_points(group="faust.transports", name=SCHEME)
    if not found:
        pytest.skip("the project is not installed here, only on the path")
    assert next(iter(found)).load() is Transport


def test_the_transport_works_from_a_source_tree_that_nobody_installed() -> None:
    code = (
        "import asyncio\n"
        "from streams.app import build_app\n"
        "from streams.settings import Settings\n"
        "async def made():\n"
        "    app = build_app(Settings(), None, None, None)\n"
        "    return type(app.transport).__name__, type(app.consumer).__name__, type(app.producer).__name__\n"
        "print(*asyncio.run(made()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["Transport", "BatchConsumer", "BatchProducer"], done.stderr
