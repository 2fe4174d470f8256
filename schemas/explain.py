"""The second look at a record that was refused: which breach it was, told to whoever sent it.

It reads the record without a type and goes through the fields as the contract lists them, so the reason does
not hang on the wording of a parser. The first breach found decides. Slow (some 10 µs), and only for refusals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from schemas.columns import Topic
from schemas.events import (
    AHEAD_MS_MAX,
    BEHIND_MS_MAX,
    ID_BYTES_MAX,
    QUERY_CHARACTERS_MAX,
    RECORD_BYTES_MAX,
    TS_MS_MAX,
)
from schemas.refusals import Reason
from schemas.text import normalise_query

Finding = tuple[Reason, str]
"""A reason and its detail, without the row."""

DUPLICATE: Finding = (Reason.DUPLICATE_FIELD, "a field is given twice, and one of its values breaks the contract")
"""What is left when the second look finds nothing: it sees the last of two values, the typed parse each."""

_SHOWN_MAX = 60
"""Characters of a value that a detail shows: enough to find it, too few to fill a log."""

_BITS_SHOWN_MAX = 128
"""Bits of an integer that a detail still writes out."""

_RECORD = "the record"
"""Stands for a field's name where the record as a whole is shown."""

_HIDDEN = frozenset({"device_id", "ip_prefix", _RECORD})
"""What has values that are shown to nobody."""


def shown(name: str, value: object) -> str:
    """Return a value as a detail may show it: one printable line, short, and nothing of a device or address.

    >>> shown("ts", "soon")
    '"soon"'
    >>> shown("device_id", "d-1")
    'a string of 3 characters'
    """
    if isinstance(value, (list, dict)):
        return f"an {'array' if isinstance(value, list) else 'object'} of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if name in _HIDDEN else _quoted(value)
    if name in _HIDDEN:
        return "a number"
    if isinstance(value, int) and value.bit_length() > _BITS_SHOWN_MAX:
        return f"an integer of {value.bit_length()} bits"
    return str(value)


def _quoted(text: str) -> str:
    start = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_SHOWN_MAX])
    return f'"{start}"' if len(text) <= _SHOWN_MAX else f'"{start}…" ({len(text)} characters)'


# Each check gets the field's name and its value, and returns the breach or None.
Check = Callable[[str, Any], Finding | None]


def wrong_type(name: str, value: object, wanted: str) -> Finding:
    """Return the breach of a value that has another type than `wanted`, which says it in words."""
    return Reason.WRONG_TYPE, f"{name} is {shown(name, value)}; it must be {wanted}"


def check_id(name: str, value: Any) -> Finding | None:
    """Check an id: a string of 1 to 128 bytes of UTF-8."""
    if not isinstance(value, str):
        return wrong_type(name, value, "a string")
    if not value:
        return Reason.ID_EMPTY, f"{name} is empty; it must have 1 to {ID_BYTES_MAX} bytes"
    size = len(value.encode())
    if size > ID_BYTES_MAX:
        return Reason.ID_TOO_LONG, f"{name} has {size} bytes ({shown(name, value)}); {ID_BYTES_MAX} are allowed"
    return None


def check_time(name: str, value: Any) -> Finding | None:
    """Check a time: an integer of milliseconds from 0 to the end of the year 9999."""
    if isinstance(value, bool) or not isinstance(value, int):
        return wrong_type(name, value, "an integer, milliseconds since 1970 UTC")
    if not 0 <= value <= TS_MS_MAX:
        return Reason.OUT_OF_RANGE, f"{name} is {shown(name, value)}; it must be milliseconds from 0 to {TS_MS_MAX}"
    return None


def check_position(name: str, value: Any) -> Finding | None:
    """Check the rank of a result: an integer from 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        return wrong_type(name, value, "an integer")
    if value < 1:
        return Reason.OUT_OF_RANGE, f"{name} is {shown(name, value)}; it must be at least 1, the top of the page"
    return None


def check_query(name: str, value: Any) -> Finding | None:
    """Check a query: 1 to 256 characters of which something is left once it is normalised."""
    if not isinstance(value, str):
        return wrong_type(name, value, "a string")
    if not 1 <= len(value) <= QUERY_CHARACTERS_MAX:
        return Reason.QUERY_LENGTH, f"{name} has {len(value)} characters; it must have 1 to {QUERY_CHARACTERS_MAX}"
    if not normalise_query(value):
        return Reason.QUERY_BLANK, f"{name} is {shown(name, value)}: nothing but white space"
    return None


def check_one_of(reason: Reason, *allowed: str) -> Check:
    """Return the check that a value is one of `allowed`, whose breach is `reason`."""
    choice = ", ".join(f'"{value}"' for value in allowed)

    def check(name: str, value: Any) -> Finding | None:
        if not isinstance(value, str):
            return wrong_type(name, value, f"one of {choice}")
        return None if value in allowed else (reason, f"{name} is {shown(name, value)}; it must be one of {choice}")

    return check


class Field(NamedTuple):
    """One field of a record and what it must hold."""

    name: str
    check: Check
    required: bool = True


_HEAD = (Field("event_id", check_id), Field("ts", check_time), Field("actor_id", check_id))
_TAIL = (
    Field("actor_created_at", check_time, required=False),
    Field("device_id", check_id, required=False),
    Field("ip_prefix", check_id, required=False),
    Field(
        "surface",
        check_one_of(Reason.UNKNOWN_SURFACE, "feed", "search", "profile", "note", "external"),
        required=False,
    ),
)
_CLICK = (
    Field("clicked_note_id", check_id, required=False),
    Field("clicked_author_id", check_id, required=False),
    Field("position", check_position, required=False),
)
_FIELDS: dict[Topic, tuple[Field, ...]] = {
    Topic.LIKES: (
        *_HEAD,
        Field("action", check_one_of(Reason.UNKNOWN_ACTION, "like", "unlike")),
        Field("note_id", check_id),
        Field("author_id", check_id),
        *_TAIL,
    ),
    Topic.FOLLOWS: (
        *_HEAD,
        Field("action", check_one_of(Reason.UNKNOWN_ACTION, "follow", "unfollow")),
        Field("target_id", check_id),
        *_TAIL,
    ),
    Topic.SEARCHES: (*_HEAD, Field("query", check_query), *_CLICK, *_TAIL),
}


def explain(topic: Topic, value: bytes | None, arrival_ms: int | None) -> Finding:
    """Say why `decode_batch` refused a record. Never raises; always finds something."""
    record = read(value)
    if isinstance(record, tuple):
        return record
    finding = _against_arrival(record.get("ts"), arrival_ms)
    for field in _FIELDS[topic]:
        breach = breach_of(record, field)
        if breach is not None:
            # A time beyond the calendar is told as what it is to the record's clock, where there is one.
            late_or_early = field.name == "ts" and breach[0] is Reason.OUT_OF_RANGE and finding is not None
            return finding if late_or_early and finding is not None else breach
    if topic is Topic.SEARCHES:
        absent = [field.name for field in _CLICK if record.get(field.name) is None]
        if 0 < len(absent) < len(_CLICK):
            return Reason.INCOMPLETE_CLICK, f"{' and '.join(absent)} missing; the fields of a click come together"
    if finding is not None:
        return finding
    return DUPLICATE


def read(value: bytes | None) -> dict[str, Any] | Finding:
    """Read a record as a JSON object, or return the breach that keeps it from being one. Never raises."""
    if value is None:
        return Reason.NULL_VALUE, "the record has no value"
    if len(value) > RECORD_BYTES_MAX:
        return Reason.TOO_LARGE, f"the record has {len(value)} bytes; {RECORD_BYTES_MAX} are allowed"
    try:
        value.decode()
        record = msgspec.json.decode(value)
    except Exception as error:  # noqa: BLE001  # this is where bad bytes end; nothing may come out of it
        return _unreadable(error, len(value))
    if not isinstance(record, dict):
        return Reason.NOT_OBJECT, f"the record is {shown(_RECORD, record)}; it must be an object"
    return record


def _unreadable(error: Exception, size: int) -> Finding:
    if isinstance(error, UnicodeDecodeError):
        return Reason.NOT_UTF8, f"byte {error.start} of {size} is not UTF-8"
    if isinstance(error, RecursionError):
        return Reason.TOO_DEEP, "the record nests too deeply"
    if isinstance(error, msgspec.ValidationError):  # JSON, but with a number that no type here holds
        return Reason.OUT_OF_RANGE, str(error)
    return Reason.NOT_JSON, f"{error} ({size} bytes)"


def breach_of(record: dict[str, Any], field: Field) -> Finding | None:
    """Return how a record breaks what one field must be, or None."""
    value = record.get(field.name)
    if value is not None:
        return field.check(field.name, value)
    if not field.required:
        return None
    if field.name in record:
        return Reason.WRONG_TYPE, f"{field.name} is null; it is required"
    return Reason.MISSING_FIELD, f"{field.name} is missing"


def _against_arrival(ts: Any, arrival_ms: int | None) -> Finding | None:
    if arrival_ms is None or isinstance(ts, bool) or not isinstance(ts, int):
        return None
    lead_ms = ts - arrival_ms
    if lead_ms > AHEAD_MS_MAX:
        gap = shown("ts", lead_ms)
        return Reason.TS_IN_FUTURE, f"ts is {gap} ms ahead of the record's timestamp; {AHEAD_MS_MAX} are allowed"
    if lead_ms < -BEHIND_MS_MAX:
        gap = shown("ts", -lead_ms)
        return Reason.TS_TOO_OLD, f"ts is {gap} ms behind the record's timestamp; {BEHIND_MS_MAX} are allowed"
    return None
