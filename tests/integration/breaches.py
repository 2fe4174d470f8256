"""Records that break the contract, each in one way, with the reason that they must be refused for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from schemas.refusals import Reason
from tests.integration.traffic import follow, like, search

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE_MS, DAY_MS = 60_000, 86_400_000

Breach = tuple[Reason, bytes | None]


def _without(event: dict[str, object], name: str) -> dict[str, object]:
    return {field: value for field, value in event.items() if field != name}


def _common(event: dict[str, object], now: int) -> Iterator[tuple[Reason, object]]:
    for name in ("event_id", "ts", "actor_id"):
        yield Reason.MISSING_FIELD, _without(event, name)
    yield Reason.WRONG_TYPE, event | {"ts": "yesterday"}
    yield Reason.WRONG_TYPE, event | {"actor_id": 7}
    yield Reason.WRONG_TYPE, event | {"device_id": 7}
    yield Reason.ID_TOO_LONG, event | {"actor_id": "ü" * 65}
    yield Reason.ID_EMPTY, event | {"event_id": ""}
    yield Reason.UNKNOWN_SURFACE, event | {"surface": "moon"}
    yield Reason.TS_IN_FUTURE, event | {"ts": now + 6 * MINUTE_MS}
    yield Reason.TS_TOO_OLD, event | {"ts": now - 7 * DAY_MS - MINUTE_MS}


def _raw(event: dict[str, object]) -> Iterator[Breach]:
    yield Reason.NULL_VALUE, None
    yield Reason.NOT_JSON, b""
    yield Reason.NOT_JSON, b"{"
    yield Reason.NOT_JSON, json.dumps(event).encode()[:-3]
    yield Reason.NOT_UTF8, json.dumps(event).encode().replace(b'"u', b'"\xff', 1)
    yield Reason.NOT_OBJECT, b"[1, 2]"


def breaches(topic: str, now: int) -> list[Breach]:
    """Return breaches for one of "likes", "follows", "searches"."""
    event = {"likes": like, "follows": follow, "searches": search}[topic](1_000_000, now)
    some = list(_common(event, now))
    if topic == "searches":
        some += [
            (Reason.QUERY_LENGTH, event | {"query": "x" * 257}),
            (Reason.QUERY_LENGTH, event | {"query": ""}),
            (Reason.INCOMPLETE_CLICK, event | {"clicked_note_id": "n1"}),
            (Reason.INCOMPLETE_CLICK, event | {"position": 1}),
        ]
    else:
        some += [(Reason.UNKNOWN_ACTION, event | {"action": "poke"}), (Reason.MISSING_FIELD, _without(event, "action"))]
    return [*_raw(event), *((reason, json.dumps(value).encode()) for reason, value in some)]
