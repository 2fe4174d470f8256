"""What is bought during a run: waves of purchases of three kinds, each within one slot of event time.

Bought followers are left out: whether new accounts that follow look bought hangs on who else is new at that moment,
and in so small a world that hangs on which of the three topics a worker reads first after a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

SLOT_MS = 300_000
"""Event time by which the start of an episode is rounded (`detectors.subject_rows`)."""

MARGIN_MS = 35_000
"""From a slot's edges: no reordering moves an action into another slot, and no clock is wrong here."""

ACTORS = 60
"""Several times what any kind needs to be flagged."""

EACH = 2
"""Purchases of each kind in a wave: more, and bought actors would be what newcomers usually are."""

LENGTH_MS = (20_000, 100_000)
"""Some are over soon, so that a state that is lost then cannot be had again from what is still to come."""

HOUR_MS = 3_600_000


class Action(NamedTuple):
    """One bought action, as it is sent."""

    ts_ms: int
    topic: str
    key: bytes
    value: bytes


def purchases(seed: int, live_from_ms: int, seconds: float) -> Iterator[Action]:
    """Yield the bought actions of a run in the order of their times."""
    rng = Random(seed + 7)
    actions: list[Action] = []
    for wave, (begin_ms, end_ms) in enumerate(waves(live_from_ms, seconds)):
        for kind, make in enumerate(MAKERS):
            for number in range(EACH):
                actions += _purchase(rng, f"{seed}-{wave}-{kind}-{number}", make, begin_ms, end_ms)
    yield from sorted(actions)


def waves(live_from_ms: int, seconds: float) -> list[tuple[int, int]]:
    """Return begin and end (ms of event time) of every wave: one in each slot that has room for one."""
    live_until_ms = live_from_ms + int(seconds * 1_000)
    found = []
    slot_ms = live_from_ms - live_from_ms % SLOT_MS
    while slot_ms < live_until_ms:
        begin_ms = max(slot_ms + MARGIN_MS, live_from_ms + 5_000)
        end_ms = min(slot_ms + SLOT_MS - MARGIN_MS, live_until_ms - 5_000)
        if end_ms - begin_ms >= 20_000:
            found.append((begin_ms, end_ms))
        slot_ms += SLOT_MS
    return found


Make = Callable[[str, str, int, int], tuple[str, dict[str, object]]]


def _purchase(rng: Random, name: str, make: Make, begin_ms: int, end_ms: int) -> list[Action]:
    length_ms = min(rng.randrange(*LENGTH_MS), int(0.8 * (end_ms - begin_ms)))
    start_ms = rng.randrange(begin_ms, end_ms - length_ms + 1)
    made = []
    for number in range(ACTORS):
        actor = f"bot-{name}-{number}"
        ts_ms = start_ms + number * length_ms // ACTORS
        topic, event = make(name, actor, ts_ms, number)
        event |= {"actor_created_at": start_ms - HOUR_MS, "device_id": f"rack-{name}", "ip_prefix": f"net-{name}"}
        made.append(Action(ts_ms, topic, actor.encode(), json.dumps(event, separators=(",", ":")).encode()))
    return made


def _like(name: str, actor: str, ts_ms: int, number: int) -> tuple[str, dict[str, object]]:
    return "likes", {
        "event_id": f"bl-{name}-{number}", "ts": ts_ms, "actor_id": actor, "action": "like",
        "note_id": f"note-{name}", "author_id": f"author-{name}", "surface": "external",
    }  # fmt: skip


def _rank(name: str, actor: str, ts_ms: int, number: int) -> tuple[str, dict[str, object]]:
    return "searches", {
        "event_id": f"br-{name}-{number}", "ts": ts_ms, "actor_id": actor, "query": f"pushed {name}",
        "clicked_note_id": f"deep-{name}", "clicked_author_id": f"pusher-{name}", "position": 24, "surface": "search",
    }  # fmt: skip


def _trend(name: str, actor: str, ts_ms: int, number: int) -> tuple[str, dict[str, object]]:
    return "searches", {
        "event_id": f"bt-{name}-{number}", "ts": ts_ms, "actor_id": actor, "query": f"trending {name}",
        "surface": "search",
    }  # fmt: skip


MAKERS: tuple[Make, ...] = (_like, _rank, _trend)
