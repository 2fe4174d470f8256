"""What is bought during a run: waves of purchases of four kinds, accounts that act by a timer, and groups in lockstep.

Each purchase lies within one slot of event time. Its accounts have each acted once before, on something that nobody
else touches: an account that was never seen is held against the newcomers of the moment, who in so small a world are
these very ones; one that was seen is not. Timers and groups begin before the live part, so that
what tips them hangs on what was kept from before.
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

TICK_MS, TICKS_BEFORE = 2_000, 38
"""Of a timer, and how many times it acts before its wave begins: it is judged from its forty-first action on."""

MEMBERS = 4
"""Of a group: no fewer are one, so it is founded by all of them whichever of their meetings comes first."""

MEET_MS, MEETINGS_BEFORE, GROUP_MS, GROUP_MS_MIN = 90_000, 4, 240_000, 600_000
"""Between two meetings of a group (closer ones count as one), how many come before it is under fire, after how long the
next group begins, and how long it must have: what is told last of a group must not hang on a meeting more or less."""

ACTORS = 60
"""Several times what any kind needs to be flagged."""

EACH = 2
"""Purchases of each kind in a wave."""

BEFORE_MS = 30_000
"""From an account's first action to the one that was bought."""

RACK = "rack"
"""The one device of all bought accounts: without it they would show too little to be far beyond what is asked for."""

LENGTH_MS = (20_000, 100_000)
"""Some are over soon, so that a state that is lost then cannot be had again from what is still to come."""

HOUR_MS = 3_600_000


class Action(NamedTuple):
    """One bought action, as it is sent."""

    ts_ms: int
    topic: str
    key: bytes
    value: bytes


BESIDE_MS = 8_000
"""Between two members at one meeting: longer than the partitions of a backlog may be apart (`streams.alignment`), since
only who comes third or later is said to have met the others."""


def purchases(seed: int, live_from_ms: int, seconds: float) -> Iterator[Action]:
    """Yield the bought actions of a run in the order of their times."""
    rng = Random(seed + 7)
    actions: list[Action] = []
    for wave, (begin_ms, end_ms) in enumerate(waves(live_from_ms, seconds)):
        for kind, make in enumerate(MAKERS):
            for number in range(EACH):
                actions += _purchase(rng, f"{seed}-{wave}-{kind}-{number}", make, begin_ms, end_ms)
        actions += _timer(f"{seed}-{wave}", begin_ms, end_ms)
    length_ms = int(seconds * 1_000)
    for number in range(1 + max(0, length_ms - GROUP_MS_MIN) // GROUP_MS):
        begin_ms = live_from_ms + number * GROUP_MS - MEETINGS_BEFORE * MEET_MS
        actions += _group(rng, f"{seed}-{number}", begin_ms, live_from_ms + length_ms)
    yield from sorted(actions)


def _timer(name: str, begin_ms: int, end_ms: int) -> Iterator[Action]:
    """Yield an account that likes somebody new at every tick, from before its wave on."""
    actor = f"timer-{name}"
    for number, ts_ms in enumerate(range(begin_ms - TICKS_BEFORE * TICK_MS, end_ms, TICK_MS)):
        event = {
            "event_id": f"ti-{name}-{number}", "ts": ts_ms, "actor_id": actor, "action": "like",
            "note_id": f"seen-{name}-{number}", "author_id": f"writer-{name}-{number}", "surface": "feed",
        }  # fmt: skip
        yield _action(ts_ms, "likes", actor, event)


def _group(rng: Random, name: str, begin_ms: int, until_ms: int) -> Iterator[Action]:
    """Yield accounts that like one note after another within seconds, each of another author, in changing order."""
    members = [f"member-{name}-{number}" for number in range(MEMBERS)]
    for target, at_ms in enumerate(range(begin_ms, until_ms - MEMBERS * BESIDE_MS, MEET_MS)):
        rng.shuffle(members)
        for place, actor in enumerate(members):
            ts_ms = at_ms + BESIDE_MS * place
            event = {
                "event_id": f"gr-{actor}-{target}", "ts": ts_ms, "actor_id": actor, "action": "like",
                "note_id": f"met-{name}-{target}", "author_id": f"host-{name}-{target}", "surface": "feed",
            }  # fmt: skip
            yield _action(ts_ms, "likes", actor, event)


def _action(ts_ms: int, topic: str, actor: str, event: dict[str, object]) -> Action:
    return Action(ts_ms, topic, actor.encode(), json.dumps(event, separators=(",", ":")).encode())


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


def _purchase(rng: Random, name: str, make: Make, begin_ms: int, end_ms: int) -> Iterator[Action]:
    length_ms = min(rng.randrange(*LENGTH_MS), int(0.8 * (end_ms - begin_ms)))
    start_ms = rng.randrange(begin_ms, end_ms - length_ms + 1)
    made = {"actor_created_at": start_ms - HOUR_MS, "device_id": RACK, "ip_prefix": f"net-{RACK}"}
    for number in range(ACTORS):
        actor = f"bot-{name}-{number}"
        ts_ms = start_ms + number * length_ms // ACTORS
        for subject, at_ms in ((f"own-{name}-{number}", ts_ms - BEFORE_MS), (name, ts_ms)):
            topic, event = make(subject, actor, at_ms, number)
            yield _action(at_ms, topic, actor, event | made)


def _like(name: str, actor: str, ts_ms: int, number: int) -> tuple[str, dict[str, object]]:
    return "likes", {
        "event_id": f"bl-{name}-{number}", "ts": ts_ms, "actor_id": actor, "action": "like",
        "note_id": f"note-{name}", "author_id": f"author-{name}", "surface": "external",
    }  # fmt: skip


def _follow(name: str, actor: str, ts_ms: int, number: int) -> tuple[str, dict[str, object]]:
    return "follows", {
        "event_id": f"bf-{name}-{number}", "ts": ts_ms, "actor_id": actor, "action": "follow",
        "target_id": f"star-{name}", "surface": "external",
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


MAKERS: tuple[Make, ...] = (_like, _follow, _rank, _trend)
BOUGHT = ("like_boost", "follower_spike", "keyword_ranking", "keyword_trend")
"""What the purchases of each maker are to be found as."""
