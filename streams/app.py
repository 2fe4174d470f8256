"""The Faust app: three agents on five topics, over the batch transport, and nothing else of Faust switched on.

No tables, no leader, no web, no acks of Faust's own (`acks=False`: the ledger decides what is committed), no
topics created. Faust gives the agents, their streams and life cycle, flow control, and the group membership.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import faust
from faust.serializers.schemas import Schema
from mode.supervisors import CrashingSupervisor
from yarl import URL

from schemas.columns import Topic
from streams.agents import guarded
from streams.alignment import Aligner
from streams.connections import security_of
from streams.transport import SCHEME, Transport, TransportOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streams.agents import ActorsAgent, SubjectsAgent
    from streams.commits import Ledger, Partition
    from streams.groups_agent import GroupsAgent
    from streams.lifecycle import Lifecycle
    from streams.settings import Settings

STREAM_BUFFER_BATCHES = 65_536
"""No bound: the ledger bounds what is in flight, and Faust's own bound would only pause partitions for good."""


HEARD_MS = 1_000
"""How much later than `fetch_wait_ms` the next news of a partition's end may come."""

RESTORE_S_MAX = 3_600.0
"""How long the restore of an assignment may take. It says itself when the broker does not go on."""


class Observer(Protocol):
    """Who is told what the consumer does."""

    async def leave(self) -> None:
        """Make durable what was worked on, all of which is acknowledged: partitions may go elsewhere."""

    async def resume(self, offsets: Mapping[Partition, int | None], generation: int) -> dict[Partition, int | None]:
        """Prepare the state of an assignment with these committed offsets, and say from where to read."""

    def on_assigned(self, offsets: Mapping[Partition, int | None], strangers: set[Partition]) -> None:
        """Take note of an assignment that is read from these offsets; no state kept for `strangers` fits."""

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Take note that the broker has accepted these offsets."""


class BatchSchema(Schema):
    """Hands a fetched batch to the stream as it is: the stages decode it, in one pass."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Return what makes an event of a message."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return create_event(None, message.value, {}, message)

        return decode


class BatchApp(faust.App):
    """A Faust app with what the batch transport needs to find on it."""

    mundane_level = "debug"

    options: TransportOptions
    ledger: Ledger
    aligner: Aligner
    lifecycle: Lifecycle
    observer: Observer
    actors: ActorsAgent | None = None

    async def end_round(self) -> None:
        """Let go on what came of the inputs: all that was fetched of them together is worked on."""
        if self.actors is not None:
            await guarded(self.actors.end_round(), self.lifecycle)

    def _create_directories(self) -> None:
        """Make none: there are no tables, and an image's root is read-only."""


def transport_options(settings: Settings) -> TransportOptions:
    """Return how to connect, fetch and send by these settings."""
    return TransportOptions(
        bootstrap_servers=settings.bootstrap_servers,
        group_instance_id=settings.group_instance_id,
        security=security_of(settings),
        fetch_wait_ms=settings.fetch_wait_ms,
        partition_fetch_bytes_max=settings.fetch_bytes_max,
        fetch_bytes_max=max(settings.fetch_bytes_max, settings.in_flight_bytes_max // 4),
        records_max=settings.batch_records_max,
        session_timeout_ms=settings.session_timeout_ms,
        rebalance_timeout_ms=max(60_000, settings.session_timeout_ms),
        prompt_topics=frozenset({settings.topic_actions}),
        packed_topics=frozenset({settings.topic_actions, settings.topic_surges}),
    )


def build_app(settings: Settings, ledger: Ledger, lifecycle: Lifecycle, observer: Observer) -> BatchApp:
    """Build the app, without its agents. It must be called where the loop runs that will run it."""
    url = URL(f"{SCHEME}://{settings.bootstrap_servers[0]}")
    options = transport_options(settings)
    app = BatchApp(
        settings.group_id,
        broker=str(url),
        store="memory://",
        cache="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        agent_supervisor=CrashingSupervisor,
        stream_wait_empty=True,
        stream_buffer_maxsize=STREAM_BUFFER_BATCHES,
        stream_recovery_delay=0.0,
        broker_commit_interval=settings.commit_interval_ms / 1000,
        broker_session_timeout=options.session_timeout_ms / 1000,
        # Faust goes by it where it waits for our seek, which restores the state before.
        broker_request_timeout=RESTORE_S_MAX,
        broker_rebalance_timeout=options.rebalance_timeout_ms / 1000,
    )
    precedence = [settings.input_topics[topic] for topic in (Topic.SEARCHES, Topic.LIKES, Topic.FOLLOWS)]
    app.aligner = Aligner(precedence, options.records_max, options.fetch_wait_ms + HEARD_MS)
    app.options, app.ledger, app.lifecycle, app.observer = options, ledger, lifecycle, observer
    app.transport = Transport([url], app)
    return app


def add_agents(
    app: BatchApp, settings: Settings, actors: ActorsAgent, subjects: SubjectsAgent, groups: GroupsAgent
) -> None:
    """Declare the agents: `actors` over the three input topics, `subjects` over the actions, `groups` over visits."""

    async def actors_agent(stream: Any) -> None:
        async for batch in stream:
            await _begin(app, batch, actors)

    async def subjects_agent(stream: Any) -> None:
        async for batch in stream:
            await _begin(app, batch, subjects)

    async def groups_agent(stream: Any) -> None:
        async for batch in stream:
            await _begin(app, batch, groups)

    inputs = app.topic(*settings.input_topics.values(), schema=BatchSchema(), acks=False, internal=False)
    actions = app.topic(settings.topic_actions, schema=BatchSchema(), acks=False, internal=False)
    surges = app.topic(settings.topic_surges, schema=BatchSchema(), acks=False, internal=False)
    app.actors = actors
    app.agent(inputs, name="actors")(actors_agent)
    app.agent(actions, name="subjects")(subjects_agent)
    app.agent(surges, name="groups")(groups_agent)


async def _begin(app: BatchApp, batch: Any, agent: ActorsAgent | SubjectsAgent | GroupsAgent) -> None:
    # From the start of a ticket to the work on it nothing may wait: a checkpoint takes what is started for seen.
    async with agent.turn:
        # After a failure nothing more is begun: what follows would stand on work that is not done. What goes together
        # is dropped together.
        if app.lifecycle.failure is None and batch.tickets and all(map(app.ledger.start, batch.tickets)):
            await guarded(agent.process(batch), app.lifecycle)
