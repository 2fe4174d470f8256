# ruff: noqa: SLF001 -- private names of aiokafka are what this is made of; the contract test pins them
"""Two fetch requests to a broker at a time: one that collects the inputs, and one for what must not wait with them.

Inputs are collected for a while, since a batch costs about the same whatever is in it. aiokafka asks a broker for
everything at once, so what this system sends to itself would wait for the same while once more, although it has been
put together already. It gets a request, and a connection, of its own: a broker answers those of one connection one
after the other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.consumer import consumer
from aiokafka.consumer.fetcher import Fetcher

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

PROMPT_WAIT_MS = 500
"""A request for what comes promptly is answered after this at the latest: twice a second while nothing comes."""

PROMPT_GAP_S = 0.02
"""Between an answer and the next such request: what many workers send within this time is fetched together."""

_CONNECTIONS = "prompt"
"""The name of the connections for these requests, beside aiokafka's groups of connections."""


class Prompt(NamedTuple):
    """A broker, as the one to ask for what comes promptly."""

    node_id: int


class LanedFetcher(Fetcher):
    """aiokafka's fetcher, with requests of their own for `prompt_topics`."""

    prompt_topics: AbstractSet[str] = frozenset()
    prompt_arrived = False
    """Whether something of them has come since it was last taken. To be read by any thread."""

    def __init__(self, client: Any, *arguments: Any, **named: Any) -> None:
        self._prompt_from_s: dict[Prompt, float] = {}
        super().__init__(_Connections(client), *arguments, **named)

    def _select_read_replica(self, tp: Any) -> Any:
        node_id = super()._select_read_replica(tp)
        if tp.topic not in self.prompt_topics or node_id is None or node_id == -1:
            return node_id
        # Where a position must be asked for first, the answer is awaited before anything else of the broker is fetched.
        state = self._subscriptions.subscription.assignment.state_value(tp)
        return Prompt(node_id) if state.has_valid_position else node_id

    def _get_actions_per_node(self, assignment: Any) -> Any:
        requests, resets, timeout_s, *others = super()._get_actions_per_node(assignment)
        now_s = time.monotonic()
        due = []
        for node_id, request in requests:
            if isinstance(node_id, Prompt):
                early_s = self._prompt_from_s.get(node_id, now_s) - now_s
                if early_s > 0:
                    timeout_s = min(timeout_s, early_s)
                    continue
                request._max_wait_ms, request._min_bytes = PROMPT_WAIT_MS, 1
            due.append((node_id, request))
        return due, resets, timeout_s, *others

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> Any:
        arrived = await super()._proc_fetch_request(assignment, node_id, request)
        if isinstance(node_id, Prompt):
            self._prompt_from_s[node_id] = time.monotonic() + PROMPT_GAP_S
            self.prompt_arrived |= arrived
        return arrived


class _Connections:
    """aiokafka's client, which sends what is for `Prompt` on a connection of its own."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: Any, request: Any) -> Any:
        if isinstance(node_id, Prompt):
            return await self._client.send(node_id.node_id, request, group=_CONNECTIONS)
        return await self._client.send(node_id, request)


def fetch_in_lanes() -> None:
    """Let aiokafka's consumers fetch with `LanedFetcher`, in this process. Without prompt topics it is as before."""
    consumer.Fetcher = LanedFetcher
