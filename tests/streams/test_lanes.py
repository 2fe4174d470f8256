"""What is to come promptly is asked for by requests of its own, and not in a hurry."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka.protocol.fetch import FetchRequest

from streams import lanes
from streams.commits import Partition
from streams.lanes import PROMPT_WAIT_MS, LanedFetcher, Prompt

if TYPE_CHECKING:
    from collections.abc import Coroutine

INPUT, PROMPT = Partition("likes", 0), Partition("actions", 0)
BROKER = 7
COLLECT_BYTES, COLLECT_MS = 1_000, 100


class Client:
    """A client of one broker that answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, object, Any]] = []
        self.let = asyncio.Event()
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: BROKER)
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1_000

    async def send(self, node_id: int, request: object, *, group: object = "default") -> Any:
        self.sent.append((node_id, group, request))
        await self.let.wait()
        return SimpleNamespace(topics=[], API_VERSION=11)


class Assignment:
    """Two partitions, both of which were sought."""

    active = True
    tps = (INPUT, PROMPT)

    def __init__(self) -> None:
        self.states = {tp: SimpleNamespace(has_valid_position=True, paused=False, position=3) for tp in self.tps}

    def state_value(self, tp: Partition) -> Any:
        return self.states[tp]


def played(play: Any) -> Any:
    async def run() -> Any:
        client, assignment = Client(), Assignment()
        subscriptions = SimpleNamespace(
            register_fetch_waiters=lambda _: None,
            subscription=SimpleNamespace(assignment=assignment),
            wait_for_assignment=asyncio.get_running_loop().create_future,
        )
        # Nothing is asked for by itself: what would be is told by `_get_actions_per_node`.
        assignment.active = False
        fetcher: Any = LanedFetcher(client, subscriptions, fetch_min_bytes=COLLECT_BYTES, fetch_max_wait_ms=COLLECT_MS)
        fetcher._fetch_task.cancel()
        fetcher.prompt_topics = {PROMPT.topic}
        assignment.active = True
        return await cast("Coroutine[Any, Any, Any]", play(fetcher, client, assignment))

    return asyncio.run(run())


def asked(fetcher: Any, assignment: Any) -> dict[Any, FetchRequest]:
    requests, *_ = fetcher._get_actions_per_node(assignment)
    return dict(requests)


def test_what_comes_promptly_is_not_collected_with_the_inputs() -> None:
    async def play(fetcher: Any, _: Client, assignment: Assignment) -> dict[Any, FetchRequest]:
        return asked(fetcher, assignment)

    requests = played(play)
    assert {node: [topic for topic, _ in one.topics] for node, one in requests.items()} == {
        BROKER: [INPUT.topic],
        Prompt(BROKER): [PROMPT.topic],
    }
    collected, prompt = requests[BROKER], requests[Prompt(BROKER)]
    assert (collected._min_bytes, collected._max_wait_ms) == (COLLECT_BYTES, COLLECT_MS)
    assert (prompt._min_bytes, prompt._max_wait_ms) == (1, PROMPT_WAIT_MS)


def test_neither_request_waits_for_the_other() -> None:
    async def play(fetcher: Any, client: Client, assignment: Assignment) -> None:
        for node, request in asked(fetcher, assignment).items():
            asyncio.ensure_future(fetcher._proc_fetch_request(assignment, node, request))  # noqa: RUF006
        await asyncio.sleep(0)
        assert [node for node, _, _ in client.sent] == [BROKER, BROKER]
        assert len({group for _, group, _ in client.sent}) == 2  # connections: a broker answers those of one in turn
        fetcher._in_flight.add(Prompt(BROKER))
        assert set(asked(fetcher, assignment)) == {BROKER}
        fetcher._in_flight = {BROKER}
        assert set(asked(fetcher, assignment)) == {Prompt(BROKER)}
        client.let.set()

    played(play)


def test_the_next_prompt_request_leaves_others_time_to_add_to_it(monkeypatch: Any) -> None:
    async def play(fetcher: Any, client: Client, assignment: Assignment) -> None:
        client.let.set()
        request = asked(fetcher, assignment)[Prompt(BROKER)]
        await fetcher._proc_fetch_request(assignment, Prompt(BROKER), request)
        requests, _, timeout_s, *_ = fetcher._get_actions_per_node(assignment)
        assert [node for node, _ in requests] == [BROKER]
        assert 0 < timeout_s <= 60.0
        fetcher._prompt_from_s.clear()
        assert set(asked(fetcher, assignment)) == {BROKER, Prompt(BROKER)}

    monkeypatch.setattr(lanes, "PROMPT_GAP_S", 60.0)
    played(play)


def test_a_position_that_is_not_known_is_asked_for_as_ever() -> None:
    async def play(fetcher: Any, _: Client, assignment: Assignment) -> None:
        assignment.states[PROMPT].has_valid_position = False
        requests, resets, *_ = fetcher._get_actions_per_node(assignment)
        assert resets == {BROKER: [PROMPT]}
        assert requests == []  # nothing of this broker before its answer

    played(play)


def test_without_prompt_topics_all_is_asked_for_at_once() -> None:
    async def play(fetcher: Any, _: Client, assignment: Assignment) -> dict[Any, FetchRequest]:
        fetcher.prompt_topics = frozenset()
        return asked(fetcher, assignment)

    (request,) = played(play).values()
    assert {topic for topic, _ in request.topics} == {INPUT.topic, PROMPT.topic}
