"""The broker of a run: real, with a second listener that is reached through the proxy only."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.kafka import machine
from deploy.kafka.broker import KafkaBroker
from streams import clients, topics
from streams.topic_plan import TopicNames
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

INPUTS = ("likes", "follows", "searches")


class Cluster:
    """A broker with the topics of a run.

    Attributes:
        bootstrap: for the harness itself, past the proxy.
        workers: for the workers, through the proxy where there is one.
        broker: None where it is a given one, that is not ours to kill.
        proxy: None as well there.

    """

    def __init__(self, bootstrap: str, workers: str, broker: KafkaBroker | None, proxy: Proxy | None) -> None:
        self.bootstrap = bootstrap
        self.workers = workers
        self.broker = broker
        self.proxy = proxy

    def make_topics(
        self, partitions: int, inputs: TopicNames | None = None, settings: Mapping[str, str] | None = None
    ) -> TopicNames:
        """Create a set of topics under a prefix of its own; with `inputs` those are read from there instead.

        `settings` go over those that inputs and actions have.
        """
        plain = TopicNames()
        prefix = f"c{uuid.uuid4().hex[:8]}."
        fields = {field: prefix + getattr(plain, field) for field in TopicNames.__dataclass_fields__}
        if inputs is not None:
            fields |= {field: getattr(inputs, field) for field in INPUTS}
        names = TopicNames(**fields)
        there = set() if inputs is None else {getattr(inputs, field) for field in INPUTS}
        carrying = {names.actions, *(getattr(names, field) for field in INPUTS)}
        wanted = [
            replace(planned, config={**planned.config, **(settings or {})}) if planned.name in carrying else planned
            for planned in topics.plan(names, partitions)
            if planned.name not in there
        ]
        with clients.admin(self.bootstrap) as admin:
            topics.create(admin, wanted)
        return names


@contextlib.contextmanager
def own_cluster(directory: Path) -> Iterator[Cluster]:
    """Start a broker and its proxy. Raises LocalKafkaError where that cannot be."""
    workers_port, proxy_port = machine.free_port(), machine.free_port()
    own = "127.0.0.1:${port}"
    broker = KafkaBroker(
        directory,
        short_lived=True,
        settings={
            "listeners": f"PLAINTEXT://{own},CONTROLLER://127.0.0.1:${{controller_port}},"
            f"WORKERS://127.0.0.1:{workers_port}",
            "advertised.listeners": f"PLAINTEXT://{own},WORKERS://127.0.0.1:{proxy_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,WORKERS:PLAINTEXT",
        },
    )
    with broker, Proxy(proxy_port, workers_port) as proxy:
        yield Cluster(broker.bootstrap, f"127.0.0.1:{proxy_port}", broker, proxy)


def given_cluster(bootstrap: str) -> Cluster:
    """Use a broker that is there already: it is neither restarted nor cut off."""
    return Cluster(bootstrap, bootstrap, None, None)
