"""The local Kafka itself: what it carries, what it survives, who gets in, and how it fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.kafka import broker as command
from deploy.kafka import jars, machine
from deploy.kafka.broker import KafkaBroker
from deploy.kafka.errors import FetchFailed, StartFailed, ToolMissing
from streams import clients
from streams.errors import BrokerUnavailable
from tests.conftest import lacking
from tests.kafka_broker import running_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import MakeTopics

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
USER, PASSWORD = "watcher", "right-one"


class Secured(NamedTuple):
    broker: KafkaBroker
    address: str
    ca_path: Path


def test_a_record_of_eight_mebibytes_passes(kafka: str, kafka_topics: MakeTopics) -> None:
    value = os.urandom(8 * MIB)
    names = kafka_topics(1)

    async def pass_through() -> bytes:
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=9 * MIB) as producer,
            AIOKafkaConsumer(names.actions, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer,
        ):
            await producer.send_and_wait(names.actions, value)
            received: bytes = (await consumer.getone()).value
            return received

    assert asyncio.run(pass_through()) == value


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a key store for 127.0.0.1 and its certificate in PEM, with what comes with Java."""
    try:
        keytool = Path(machine.java()).resolve().with_name("keytool")
    except ToolMissing as error:
        lacking(f"no real Kafka here: {error}")
    store, certificate = folder / "store.p12", folder / "certificate.pem"
    same = ["-keystore", str(store), "-storepass", PASSWORD, "-alias", "broker"]
    names = ["-dname", "CN=local", "-ext", "SAN=IP:127.0.0.1", "-ext", "BC:critical=ca:true", "-validity", "2"]
    subprocess.run([keytool, "-genkeypair", "-keyalg", "EC", *same, *names], check=True, capture_output=True)
    subprocess.run([keytool, "-exportcert", "-rfc", *same, "-file", certificate], check=True, capture_output=True)
    return store, certificate


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Give a broker of this module's own with a second, SASL_SSL address."""
    folder = tmp_path_factory.mktemp("secured")
    store, certificate = make_certificate(folder)
    port = machine.free_port()
    own = "127.0.0.1:${port}"
    settings = {
        "listeners": f"PLAINTEXT://{own},CONTROLLER://127.0.0.1:${{controller_port}},SASL_SSL://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://{own},SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": PASSWORD,
    }
    with running_broker(folder / "data", settings) as broker:
        yield Secured(broker, f"127.0.0.1:{port}", certificate)


def login(secured: Secured, password: str = PASSWORD) -> dict[str, object]:
    return clients.security_options(
        protocol="SASL_SSL", sasl_mechanism="PLAIN", username=USER, password=password, ca_path=secured.ca_path
    )


def test_every_client_logs_in_over_tls_with_the_same_options(secured: Secured) -> None:
    options = login(secured)

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=secured.address, **options) as producer:
            await producer.send_and_wait("safe", b"from aiokafka")

    with clients.admin(secured.address, options) as admin:
        admin.create_topics({"safe": {"num_partitions": 1}}, wait_for_metadata=True)
    asyncio.run(send())
    producer = clients.producer(secured.address, options)
    producer.send("safe", b"from kafka-python").get(10)
    producer.close()
    consumer = clients.consumer(secured.address, "safe", options=options)
    assert [next(consumer).value, next(consumer).value] == [b"from aiokafka", b"from kafka-python"]
    consumer.close()


def test_a_refused_login_is_told_as_such(secured: Secured) -> None:
    with (
        pytest.raises(BrokerUnavailable, match=r"refused the log-in .*correct sasl_mechanism, sasl_username"),
        clients.admin(secured.address, login(secured, "wrong"), timeout_ms=1_500),
    ):
        pass


def test_an_untrusted_certificate_is_told_as_such(secured: Secured) -> None:
    options = clients.security_options(protocol="SSL")
    with pytest.raises(BrokerUnavailable, match="its certificate is not trusted: self-signed certificate"):
        clients.require_broker(secured.address, options, timeout_ms=300)


def test_tls_where_none_is_and_none_where_it_is_are_told_as_such(secured: Secured) -> None:
    with pytest.raises(BrokerUnavailable, match=r"hung up|does not speak TLS|no answer"):
        clients.require_broker(secured.broker.bootstrap, login(secured), timeout_ms=300)
    with pytest.raises(BrokerUnavailable, match="wants TLS"):
        clients.require_broker(secured.address, timeout_ms=300)


def test_a_killed_broker_comes_back_at_its_address_with_what_it_had_acknowledged(secured: Secured) -> None:
    broker = secured.broker
    address = broker.bootstrap
    with clients.admin(address) as admin:
        admin.create_topics({"durable": {"num_partitions": 1}}, wait_for_metadata=True)
    producer = clients.producer(address)
    for row in range(100):
        producer.send("durable", b"%d" % row)
    producer.flush()
    producer.close()

    broker.kill()
    assert broker.pid is None
    with pytest.raises(BrokerUnavailable, match="connection refused"):
        clients.require_broker(address, timeout_ms=100)

    broker.start()
    assert broker.bootstrap == address
    consumer = clients.consumer(address, "durable")
    assert [next(consumer).value for _ in range(100)] == [b"%d" % row for row in range(100)]
    consumer.close()


def test_a_frozen_broker_is_not_healthy_and_goes_on_where_it_was(secured: Secured) -> None:
    secured.broker.pause()
    assert not secured.broker.healthy()
    with pytest.raises(BrokerUnavailable, match="no answer"):
        clients.require_broker(secured.broker.bootstrap, timeout_ms=300)
    secured.broker.resume()
    assert secured.broker.healthy()


def test_a_second_broker_on_the_same_data_is_refused(secured: Secured) -> None:
    with pytest.raises(StartFailed, match=r"runs on .* already"):
        KafkaBroker(secured.broker.data_dir).start()
    assert KafkaBroker(secured.broker.data_dir).pid == secured.broker.pid


def test_a_taken_port_is_told_with_the_way_out(secured: Secured, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=rf"port {secured.broker.port} is taken: .*--port 0 for a free one"):
        KafkaBroker(tmp_path / "data", port=secured.broker.port).start()


def test_the_command_tells_of_a_broker_that_runs_and_of_one_that_does_not(
    secured: Secured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["status", "--data", str(secured.broker.data_dir)]) == 0
    assert f"ready at {secured.broker.bootstrap}; pid {secured.broker.pid}" in capsys.readouterr().out
    assert command.main(["status", "--data", str(tmp_path / "none")]) == command.EXIT_NOT_RUNNING
    assert command.main(["stop", "--data", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.count("not running") == 2


def test_without_java_or_maven_the_command_is_one_line_and_no_trace(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "BOOSTWATCH_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "deploy/kafka/broker.py", "start", "--data", str(tmp_path / "data")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr == "kafka: Java (java) is not on PATH: install a Java 17 runtime or newer\n"
    fetch = subprocess.run(
        [sys.executable, "deploy/kafka/broker.py", "fetch"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert fetch.stderr.startswith("kafka: Maven (mvn) is not on PATH and the Kafka jars are not in")
    assert fetch.stderr.count("\n") == 1


@pytest.fixture
def fake_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of one's own, and a Maven that copies what is in a folder, slowly, and writes down each time."""
    tools, shelf = tmp_path / "bin", tmp_path / "shelf"
    tools.mkdir()
    shelf.mkdir()
    (tools / "mvn").write_text(
        f"""#!/bin/sh
        echo run >> {tmp_path}/runs
        sleep 0.2
        for argument; do case $argument in -DoutputDirectory=*) cp -r {shelf} "${{argument#*=}}" ;; esac; done
        """
    )
    (tools / "mvn").chmod(0o755)
    (shelf / "a.jar").write_bytes(b"a")
    (tmp_path / "jars.sha256").write_text(
        f"{'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'}  a.jar\n"
    )
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(jars, "LOCK", tmp_path / "jars.sha256")
    return tmp_path


def test_two_that_fetch_at_once_fetch_once(fake_maven: Path) -> None:
    cache = fake_maven / "cache"
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(jars.fetch, [cache] * 4))
    assert folders == {cache / f"kafka-{jars.kafka_version()}"}
    assert [path.name for path in folders.pop().iterdir()] == ["a.jar"]
    assert (fake_maven / "runs").read_text().splitlines() == ["run"]


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_nothing_is_kept(fake_maven: Path) -> None:
    (fake_maven / "shelf" / "a.jar").write_bytes(b"b")
    with pytest.raises(FetchFailed, match=r"a\.jar has sha256 3e23e8.* where jars\.sha256 says ca9781"):
        jars.fetch(fake_maven / "cache")
    assert not [path for path in (fake_maven / "cache").iterdir() if path.is_dir()]


def test_what_a_killed_fetch_left_behind_is_swept_and_fetched_anew(fake_maven: Path) -> None:
    cache = fake_maven / "cache"
    left = cache / f"kafka-{jars.kafka_version()}.partial-x"
    left.mkdir(parents=True)
    (cache / f"kafka-{jars.kafka_version()}").mkdir()
    assert (jars.fetch(cache) / "a.jar").read_bytes() == b"a"
    assert not left.exists()


def test_an_old_java_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("""#!/bin/sh\necho 'openjdk version "1.8.0_412"' >&2\n""")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ToolMissing, match="is Java 8, and Kafka needs 17"):
        machine.java()
