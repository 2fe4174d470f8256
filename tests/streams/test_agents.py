"""The parts of the agents that need no broker; the rest is in tests/integration/test_worker.py."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from schemas.columns import Topic
from schemas.decode import decode_batch
from streams.agents import ActorsAgent, misrouted_keys
from streams.commits import Ledger, Partition
from streams.completion import Completion
from streams.errors import ProduceFailed
from streams.fetched import FetchedBatch
from streams.lifecycle import Lifecycle

FOLLOWS = Partition("follows", 0)


def fetched(values: list[bytes | None], keys: list[bytes | None]) -> FetchedBatch:
    n = len(values)
    return FetchedBatch(FOLLOWS, values, keys, np.arange(n), np.full(n, 1_000_000), {}, n)


def follow(actor: str) -> bytes:
    event = {"event_id": actor, "ts": 1_000_000, "actor_id": actor, "action": "follow", "target_id": "t"}
    return json.dumps(event).encode()


def misrouted(actors: list[str], keys: list[bytes | None], garbage_at: int | None = None) -> int:
    values: list[bytes | None] = [follow(actor) for actor in actors]
    if garbage_at is not None:
        values.insert(garbage_at, b"{")
        keys.insert(garbage_at, b"whatever")
    batch = fetched(values, keys)
    return misrouted_keys(batch, decode_batch(Topic.FOLLOWS, values, batch.timestamps)[0])


def test_a_key_that_is_not_the_actor_is_counted() -> None:
    assert misrouted(["a", "ü", "c"], [b"a", "ü".encode(), b"c"]) == 0
    assert misrouted(["a", "b", "c"], [b"a", None, b"b"]) == 2


def test_refused_records_do_not_shift_the_keys() -> None:
    assert misrouted(["a", "b"], [b"a", b"b"], garbage_at=1) == 0
    assert misrouted(["a", "b"], [b"b", b"b"], garbage_at=0) == 1


def finished_after(*sent: Any) -> tuple[dict[Partition, int], BaseException | None]:
    async def finish() -> tuple[dict[Partition, int], BaseException | None]:
        ledger, lifecycle = Ledger(10, 10), Lifecycle()
        batch = fetched([b""], [None])
        batch.ticket = ledger.open(FOLLOWS, 0, 1, 1)
        assert ledger.start(batch.ticket)
        Completion(ledger, lifecycle).finish_after([batch], [one() for one in sent])
        for _ in range(10):
            await asyncio.sleep(0)
        return ledger.committable(), lifecycle.failure

    return asyncio.run(finish())


async def acknowledged() -> None:
    await asyncio.sleep(0)


async def refused() -> None:
    raise ProduceFailed("refused")


async def pending() -> None:
    await asyncio.Event().wait()


def test_a_batch_is_done_when_all_that_came_of_it_is_acknowledged() -> None:
    assert finished_after() == ({FOLLOWS: 1}, None)
    assert finished_after(acknowledged, acknowledged) == ({FOLLOWS: 1}, None)
    assert finished_after(acknowledged, pending) == ({}, None)


def test_a_batch_whose_record_was_refused_is_never_done_and_stops_the_worker() -> None:
    committable, failure = finished_after(acknowledged, refused)
    assert committable == {}
    assert isinstance(failure, ProduceFailed)


def test_what_a_round_brought_goes_on_when_the_last_of_it_is_worked_on() -> None:
    sent: list[str] = []

    async def send() -> None:
        sent.append("all")

    async def run() -> None:
        nothing = cast("Any", None)
        gatherer = cast("Any", SimpleNamespace(end_round=send))
        agent = ActorsAgent({}, nothing, nothing, nothing, nothing, nothing, nothing, gatherer)
        async with agent.turn:
            ending = asyncio.ensure_future(agent.end_round())
            await asyncio.sleep(0.01)
            assert not sent
        await asyncio.wait_for(ending, 10)

    asyncio.run(run())
    assert sent == ["all"]
