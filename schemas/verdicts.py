"""Verdicts: what people and downstream systems answer to a flag. Keyed by `flag_id`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from schemas.events import ID_BYTES_MAX, RECORD_BYTES_MAX, Id, TimeMs
from schemas.explain import (
    DUPLICATE,
    Field,
    Finding,
    breach_of,
    check_id,
    check_one_of,
    check_time,
    read,
    shown,
    wrong_type,
)
from schemas.flags import FLAG_ID_CHARACTERS, FLAG_ID_PATTERN
from schemas.refusals import Reason, Refusal

NOTE_CHARACTERS_MAX: Final = 2_000
"""Characters of the free text: a paragraph for the next reviewer, not a file."""


class Judgement(StrEnum):
    """What the flag turned out to be."""

    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


class Verdict(Struct, frozen=True, omit_defaults=True):
    """Somebody looked at a flag and says whether it was right."""

    flag_id: Annotated[
        str,
        Meta(
            pattern=FLAG_ID_PATTERN,
            min_length=FLAG_ID_CHARACTERS,
            max_length=FLAG_ID_CHARACTERS,
            description="The flag that is answered. The record's key.",
        ),
    ]
    ts: Annotated[TimeMs, Meta(description="When it was answered: milliseconds since the Unix epoch, UTC.")]
    verdict: Annotated[Judgement, Meta(description="Whether the flag was right.")]
    by: Annotated[Id, Meta(description="The person or system that answers.")]
    note: Annotated[
        Annotated[str, Meta(max_length=NOTE_CHARACTERS_MAX)] | None,
        Meta(description="Why, for people; at most 2,000 characters."),
    ] = None


def _check_flag_id(name: str, value: Any) -> Finding | None:
    if not isinstance(value, str):
        return wrong_type(name, value, "a string")
    if len(value) != FLAG_ID_CHARACTERS or re.search(FLAG_ID_PATTERN, value) is None:
        return Reason.NOT_A_FLAG_ID, f"{name} is {shown(name, value)}; it must be a UUID in lower case, as in the flag"
    return None


def _check_note(name: str, value: Any) -> Finding | None:
    if not isinstance(value, str):
        return wrong_type(name, value, "a string")
    if len(value) > NOTE_CHARACTERS_MAX:
        return Reason.TEXT_TOO_LONG, f"{name} has {len(value)} characters; {NOTE_CHARACTERS_MAX} are allowed"
    return None


_FIELDS: Final = (
    Field("flag_id", _check_flag_id),
    Field("ts", check_time),
    Field("verdict", check_one_of(Reason.UNKNOWN_VERDICT, *Judgement)),
    Field("by", check_id),
    Field("note", _check_note, required=False),
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Verdict).decode


def encode_verdict(verdict: Verdict) -> bytes:
    """Return the verdict as JSON, its fields always in the same order."""
    return _encode(verdict)


def decode_verdict(value: bytes | None, row: int = 0) -> Verdict | Refusal:
    """Decode and check one verdict; a value that is none comes back as a refusal with that `row`. Never raises."""
    if value is None or len(value) > RECORD_BYTES_MAX:
        return Refusal(row, *_explain(value))
    try:
        verdict = _decode(value)
    except Exception:  # noqa: BLE001  # MsgspecError, UnicodeDecodeError, RecursionError: all are refusals
        return Refusal(row, *_explain(value))
    if len(verdict.by.encode()) > ID_BYTES_MAX:
        return Refusal(row, *_explain(value))
    return verdict


def _explain(value: bytes | None) -> Finding:
    record = read(value)
    if isinstance(record, tuple):
        return record
    breaches = (breach_of(record, field) for field in _FIELDS)
    return next(filter(None, breaches), DUPLICATE)
