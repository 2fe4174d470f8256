"""The typed parse: any records to columns, with what each one breaks. The judge of all that the scanner declines.

One typed parse a record, then a list per field and one pass of hashing. Records that fail are only counted out
here; `schemas.explain` looks at each of them a second time to say why. What stands inside an unknown field is
skipped, not decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.columns import ABSENT, ABSENT_MS, POSITION_MAX, Events, Surface, Topic, Verb
from schemas.events import (
    AHEAD_MS_MAX,
    BEHIND_MS_MAX,
    ID_BYTES_MAX,
    RECORD_BYTES_MAX,
    Event,
    Follow,
    Like,
    Search,
)
from schemas.explain import explain
from schemas.hashing import hash_ids, hash_optional
from schemas.refusals import Refusal
from schemas.text import normalise_query
from schemas.texts import Texts

_PARSE = {
    Topic.LIKES: msgspec.json.Decoder(Like).decode,
    Topic.FOLLOWS: msgspec.json.Decoder(Follow).decode,
    Topic.SEARCHES: msgspec.json.Decoder(Search).decode,
}
# Plain integers: NumPy takes an enumeration's members at twice the cost.
_VERB = {verb.name.lower(): int(verb) for verb in Verb}
_SURFACE = {None if surface is Surface.ABSENT else surface.name.lower(): int(surface) for surface in Surface}


class _Lists(NamedTuple):
    """The fields of n parsed events, a list each; what a topic does not have is None."""

    event_ids: list[str]
    ts: list[int]
    actor_ids: list[str]
    created_at: list[int | None]
    devices: list[str | None]
    ip_prefixes: list[str | None]
    surfaces: list[str | None]
    subject_ids: list[str]
    actions: list[str] | None = None
    owner_ids: list[str | None] | None = None
    item_ids: list[str | None] | None = None
    positions: list[int | None] | None = None

    def kept(self, keep: list[bool]) -> _Lists:
        return _Lists(*(None if field is None else list(compress(field, keep)) for field in self))  # type: ignore[arg-type]


def decode_typed(
    topic: Topic, values: Sequence[bytes | None], arrival: NDArray[np.int64] | None
) -> tuple[Events, list[Refusal]]:
    """Decode as `schemas.decode.decode_batch` does, with the same result."""
    structs, failed = _parse(topic, values)
    rows = np.arange(len(values), dtype=np.int32)
    if failed:
        rows = np.delete(rows, failed)
    lists = _lists(topic, structs)
    ts = np.array(lists.ts, np.int64)
    arrived = ts.copy() if arrival is None else arrival[rows]
    breach = _breaches(topic, lists, ts, arrived)
    if breach is not None:
        failed = sorted([*failed, *rows[breach].tolist()])
        keep = ~breach
        lists = lists.kept(keep.tolist())
        rows, ts, arrived = rows[keep], ts[keep], arrived[keep]
    refusals = [
        Refusal(row, *explain(topic, values[row], None if arrival is None else int(arrival[row]))) for row in failed
    ]
    return _columns(topic, rows, ts, arrived, lists), refusals


def _parse(topic: Topic, values: Sequence[bytes | None]) -> tuple[list[Event], list[int]]:
    """Return the structs of the records that parse, and the rows of those that do not."""
    try:
        fits = max(map(len, values), default=0) <= RECORD_BYTES_MAX  # type: ignore[arg-type]
    except TypeError:  # a record without a value
        fits = False
    if not fits:  # b"" stands for what must not be parsed: it fails
        values = [value if value is not None and len(value) <= RECORD_BYTES_MAX else b"" for value in values]
    structs: list[Event] = []
    failed: list[int] = []
    parsed: Iterator[Any] = map(_PARSE[topic], values)  # type: ignore[arg-type]
    while True:
        try:
            # An iterator that raised goes on at the next record, and what was appended before it stays.
            structs.extend(parsed)
        except Exception:  # noqa: BLE001  # MsgspecError, UnicodeDecodeError, RecursionError: all are refusals
            failed.append(len(structs) + len(failed))
        else:
            return structs, failed


def _lists(topic: Topic, structs: list[Any]) -> _Lists:
    common = (
        [event.event_id for event in structs],
        [event.ts for event in structs],
        [event.actor_id for event in structs],
        [event.actor_created_at for event in structs],
        [event.device_id for event in structs],
        [event.ip_prefix for event in structs],
        [event.surface for event in structs],
    )
    if topic is Topic.LIKES:
        return _Lists(
            *common,
            subject_ids=[event.note_id for event in structs],
            actions=[event.action for event in structs],
            owner_ids=[event.author_id for event in structs],
        )
    if topic is Topic.FOLLOWS:
        return _Lists(
            *common,
            subject_ids=[event.target_id for event in structs],
            actions=[event.action for event in structs],
        )
    return _Lists(
        *common,
        subject_ids=[normalise_query(event.query) for event in structs],
        owner_ids=[event.clicked_author_id for event in structs],
        item_ids=[event.clicked_note_id for event in structs],
        positions=[event.position for event in structs],
    )


def _breaches(
    topic: Topic, lists: _Lists, ts: NDArray[np.int64], arrival: NDArray[np.int64]
) -> NDArray[np.bool_] | None:
    """Return which of n events break what the structs cannot state, shape (n,), or None where none does."""
    lead_ms = ts - arrival
    breach = (lead_ms > AHEAD_MS_MAX) | (lead_ms < -BEHIND_MS_MAX)
    ids: list[Sequence[str | None]] = [lists.event_ids, lists.actor_ids, lists.devices, lists.ip_prefixes]
    if topic is not Topic.SEARCHES:
        ids.append(lists.subject_ids)
    if lists.owner_ids is not None:
        ids.append(lists.owner_ids)
    if lists.item_ids is not None:
        ids.append(lists.item_ids)
    for column in ids:
        if not _ascii(column):  # an ASCII id has as many bytes as characters, which the struct bounds
            breach |= np.array([text is not None and len(text.encode()) > ID_BYTES_MAX for text in column], np.bool_)
    if topic is Topic.SEARCHES and lists.owner_ids is not None and lists.item_ids is not None:
        clicks = zip(lists.owner_ids, lists.item_ids, lists.positions or (), strict=True)
        breach |= np.array([0 < click.count(None) < len(click) for click in clicks], np.bool_)
        if "" in lists.subject_ids:
            breach |= np.array([not keyword for keyword in lists.subject_ids], np.bool_)
    return breach if breach.any() else None


def _ascii(texts: Sequence[str | None]) -> bool:
    absent = texts.count(None)
    if absent == len(texts):
        return True
    return "".join(filter(None, texts) if absent else texts).isascii()  # type: ignore[arg-type]


def _columns(
    topic: Topic, rows: NDArray[np.int32], ts: NDArray[np.int64], arrival: NDArray[np.int64], lists: _Lists
) -> Events:
    n = len(ts)
    nothing = np.full(n, ABSENT, np.uint64)
    nobody: list[str | None] = [None] * n
    if lists.actions is None:
        verb = np.full(n, Verb.SEARCH, np.uint8)
    else:
        verb = np.fromiter(map(_VERB.__getitem__, lists.actions), np.uint8, n)
    return Events(
        topic=topic,
        row=rows,
        ts=ts,
        arrival=arrival,
        verb=verb,
        event=hash_ids(lists.event_ids),
        actor=hash_ids(lists.actor_ids),
        subject=hash_ids(lists.subject_ids),
        owner=nothing if lists.owner_ids is None else hash_optional(lists.owner_ids),
        item=nothing if lists.item_ids is None else hash_optional(lists.item_ids),
        position=_positions(lists.positions, n),
        created_at=_or_default(lists.created_at, ABSENT_MS),
        device=hash_optional(lists.devices),
        ip_prefix=hash_optional(lists.ip_prefixes),
        surface=np.fromiter(map(_SURFACE.__getitem__, lists.surfaces), np.uint8, n),
        actor_ids=Texts.of(lists.actor_ids),
        subject_ids=Texts.of(lists.subject_ids),
        owner_ids=Texts.of(nobody if lists.owner_ids is None else lists.owner_ids),
        item_ids=Texts.of(nobody if lists.item_ids is None else lists.item_ids),
    )


def _positions(positions: list[int | None] | None, n: int) -> NDArray[np.uint16]:
    if positions is None or positions.count(None) == n:
        return np.full(n, ABSENT, np.uint16)
    return np.array([ABSENT if rank is None else min(rank, POSITION_MAX) for rank in positions], np.uint16)


def _or_default(times: list[int | None], default: int) -> NDArray[np.int64]:
    if times.count(None) == len(times):
        return np.full(len(times), default, np.int64)
    return np.array([default if time is None else time for time in times], np.int64)
