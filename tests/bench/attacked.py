"""Purchases for the latency run: fresh subjects, bought actors in a rush, every action of the moment it is sent."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "bought-"
"""What the ids of attacked subjects have in them, and those of no others."""

ACTORS = 60
"""Actions on one subject: several times what a flag needs."""

RUSH_S = 6.0
"""How long a purchase takes."""

SHARE = 0.02
"""Of all events: bought accounts must stay few among a run's newcomers, or they are what newcomers usually are."""

HOUR_MS = 3_600_000
TS = b"\x00TS\x00"
"""Stands in a value where the time goes."""


class Bought(NamedTuple):
    """One action: when it is due (s from the start), the number of its topic (likes, follows, searches), and what."""

    due_s: float
    topic: int
    key: bytes
    before: bytes
    after: bytes


def purchases(seed: int, rate_per_s: float, seconds: float, created_ms: int) -> Iterator[Bought]:
    """Yield the actions of so many purchases that they are `SHARE` of the rate, in the order in which they are due."""
    rng = Random(seed)
    number = max(1, int(SHARE * rate_per_s * seconds / ACTORS))
    actions: list[Bought] = []
    for subject in range(number):
        begin_s = rng.uniform(0.0, max(0.1, seconds - RUSH_S))
        actions += [_action(subject, place, begin_s + RUSH_S * place / ACTORS, created_ms) for place in range(ACTORS)]
    yield from sorted(actions)


def _action(subject: int, place: int, due_s: float, created_ms: int) -> Bought:
    name, actor = f"{NAME}{subject}", f"bot-{subject}-{place}"
    event: dict[str, object] = {"event_id": f"b-{subject}-{place}", "ts": TS.decode(), "actor_id": actor}
    topic = subject % 3
    if topic == 0:
        event |= {"action": "like", "note_id": name, "author_id": f"owner-{subject}", "surface": "external"}
    elif topic == 1:
        event |= {"action": "follow", "target_id": name, "surface": "external"}
    else:
        event |= {"query": f"{NAME}{subject} now", "surface": "search"}
    created_ms -= HOUR_MS
    event |= {"actor_created_at": created_ms, "device_id": f"rack-{subject}", "ip_prefix": f"net-{subject}"}
    value = json.dumps(event, separators=(",", ":")).encode()
    before, after = value.split(json.dumps(TS.decode()).encode())
    return Bought(due_s, topic, actor.encode(), before, after)
