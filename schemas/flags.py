"""Flags: what is published when a subject is found to be boosted, and how it travels as a CloudEvent.

The record's key is `subject.id`, its value the JSON of `Flag`, its headers a CloudEvents 1.0 context in Kafka
binary mode. One episode is one `flag_id`; a reader that keeps the last record by `flag_id` is right.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Annotated, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta, Struct

SCHEMA_VERSION: Final = 1
"""Raised only by a change that breaks readers."""

FLAG_SCHEMA_ID: Final = "urn:boostwatch:schema:flag:v1"
"""The published schema's `$id`, and `ce_dataschema`."""

FLAG_ID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""A UUID in lower case, as `flag_id` writes it."""

FLAG_ID_CHARACTERS: Final = 36
"""Stated beside the pattern, whose end some readers take to be before a last line feed."""

CONTENT_TYPE: Final = "application/json"

_NAMESPACE: Final = UUID("6f1d3b8e-52a4-4c8b-9d0e-8c7f2a51e643")
"""Drawn once at random; another one would give every episode another id."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What was found."""

    FOLLOWER_SPIKE = "follower_spike"
    LIKE_BOOST = "like_boost"
    KEYWORD_RANKING = "keyword_ranking"
    KEYWORD_TREND = "keyword_trend"
    AUTOMATION = "automation"
    LOCKSTEP = "lockstep"


class Status(StrEnum):
    """Where the episode stands."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"
    RETRACTED = "retracted"


class Mode(StrEnum):
    """Whether to act on it: a detector on trial writes `shadow`."""

    LIVE = "live"
    SHADOW = "shadow"


class Severity(StrEnum):
    """How much it matters, for the order of a review queue."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class SubjectType(StrEnum):
    """What kind of thing a flag is about."""

    ACCOUNT = "account"
    NOTE = "note"
    KEYWORD = "keyword"
    GROUP = "group"


SUBJECT_TYPE: Final[dict[Kind, SubjectType]] = {
    Kind.FOLLOWER_SPIKE: SubjectType.ACCOUNT,
    Kind.LIKE_BOOST: SubjectType.NOTE,
    Kind.KEYWORD_RANKING: SubjectType.KEYWORD,
    Kind.KEYWORD_TREND: SubjectType.KEYWORD,
    Kind.AUTOMATION: SubjectType.ACCOUNT,
    Kind.LOCKSTEP: SubjectType.GROUP,
}
"""The one type of subject that each kind has."""

TimeMs = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(description="Finite.")]


class Subject(Struct, frozen=True):
    """What the flag is about."""

    type: Annotated[SubjectType, Meta(description="What the id names.")]
    id: Annotated[
        str,
        Meta(min_length=1, description="The account, the note, the normalised query, or the stable id of a group."),
    ]


class Window(Struct, frozen=True):
    """The event time that the flag covers: milliseconds since the Unix epoch, start included, end excluded."""

    start: Annotated[TimeMs, Meta(description="Start of the episode; the same in each of its flags.")]
    end: Annotated[TimeMs, Meta(description="End of what was looked at; grows as the episode does.")]


class Share(Struct, frozen=True):
    """How common a trait is among the actions in the window, and how common it usually is here."""

    observed: Annotated[float, Meta(ge=0, le=1, description="Share of the actions in the window that show it.")]
    expected: Annotated[float, Meta(ge=0, le=1, description="Share that is usual for this subject.")]

    def __post_init__(self) -> None:
        """Refuse what is no share.

        Raises:
            ValueError: one of the two is not in [0, 1].

        """
        for share in (self.observed, self.expected):
            if not 0 <= share <= 1:
                raise ValueError(f"a share is {share}; it must be in [0, 1]")


class Evidence(Struct, frozen=True, omit_defaults=True):
    """Why it was flagged, in numbers and in words. Fields that a kind does not have are left out."""

    observed: Annotated[Count, Meta(description="Actions that came in the window.")]
    expected: Annotated[float, Meta(ge=0, description="Actions that were to be expected there.")]
    actors: Annotated[Count, Meta(description="Distinct accounts that acted.")]
    reasons: Annotated[list[str], Meta(description="Sentences for people, the weightiest first.")]
    sample_actors: Annotated[list[str], Meta(description="Some of the accounts that acted, the most suspicious first.")]
    author_id: Annotated[str | None, Meta(description="The owner of the note that gains.")] = None
    note_id: Annotated[str | None, Meta(description="The note that the clicks push up.")] = None
    members: Annotated[list[str] | None, Meta(description="Some of the group's accounts.")] = None
    members_total: Annotated[Count | None, Meta(description="How many accounts the group has.")] = None
    targets: Annotated[list[str] | None, Meta(description="Some of what the group acts on.")] = None
    targets_total: Annotated[Count | None, Meta(description="How many targets the group has.")] = None
    groups: Annotated[
        dict[str, Share] | None,
        Meta(description="By trait of the actors (such as `new_account`), its share of the actions and the usual one."),
    ] = None
    numbers: Annotated[
        dict[str, Number] | None, Meta(description="Further numbers that the detector decided on, by name.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot hold.

        Raises:
            ValueError: `expected` or one of `numbers` is not finite, or `expected` is negative.

        """
        if not (isfinite(self.expected) and self.expected >= 0):
            raise ValueError(f"evidence.expected is {self.expected}; it must be finite and at least 0")
        for name, number in (self.numbers or {}).items():
            if not isfinite(number):
                raise ValueError(f"evidence.numbers[{name!r}] is {number}; it must be finite")


class Detector(Struct, frozen=True):
    """Which detector decided, and with what settings."""

    name: Annotated[str, Meta(min_length=1, description="The detector's name.")]
    version: Annotated[str, Meta(min_length=1, description="Raised when its decisions change.")]
    config: Annotated[str, Meta(description="Hash of the settings that decided.")]


class Flag(Struct, frozen=True, kw_only=True):
    """A subject is being boosted, or an earlier flag about it has changed.

    Delivered at least once; a repeat has the same `flag_id` and `status`, and the same `ce_id` header.
    """

    schema_version: Annotated[int, Meta(ge=1, description="Version of this schema; raised by a breaking change.")] = (
        SCHEMA_VERSION
    )
    flag_id: Annotated[
        str,
        Meta(
            pattern=FLAG_ID_PATTERN,
            min_length=FLAG_ID_CHARACTERS,
            max_length=FLAG_ID_CHARACTERS,
            description="A UUID that depends only on kind, subject and the start of the episode.",
        ),
    ]
    kind: Annotated[Kind, Meta(description="What was found.")]
    status: Annotated[Status, Meta(description="Where the episode stands.")]
    mode: Annotated[Mode, Meta(description="`shadow` is a detector on trial: nothing should be enforced on it.")] = (
        Mode.LIVE
    )
    subject: Annotated[Subject, Meta(description="What the flag is about. Its id is the record's key.")]
    window: Annotated[Window, Meta(description="The event time that the flag covers.")]
    detected_at: Annotated[
        TimeMs, Meta(description="Event time of the event that tipped the decision, ms since the Unix epoch.")
    ]
    emitted_at: Annotated[TimeMs, Meta(description="Wall clock when it was sent, ms since the Unix epoch.")] = 0
    score: Annotated[
        float, Meta(ge=0, le=1, description="Orders flags of one kind by how likely they are to be confirmed.")
    ]
    severity: Annotated[Severity, Meta(description="How much it matters.")]
    evidence: Annotated[Evidence, Meta(description="Why it was flagged.")]
    detector: Annotated[Detector, Meta(description="Which detector decided.")]

    def __post_init__(self) -> None:
        """Refuse a score outside [0, 1], which nothing else would notice when a flag is made.

        Raises:
            ValueError: the score is not in [0, 1].

        """
        if not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score}; it must be in [0, 1]")


def flag_id(kind: Kind, subject_id: str, start_ms: int) -> str:
    """Return the id of an episode: a UUID (version 5) of its kind, subject and start, and of nothing else.

    >>> flag_id(Kind.LIKE_BOOST, "n1", 1_764_000_000_000)
    '...-...-5...-...-...'
    """
    # The subject comes last: it is the only part that can hold a colon, so no two triples read the same.
    return str(uuid5(_NAMESPACE, f"{kind.value}:{start_ms}:{subject_id}"))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Flag).decode


def encode_flag(flag: Flag) -> bytes:
    """Return the flag as JSON, its fields always in the same order."""
    return _encode(flag)


def decode_flag(value: bytes) -> Flag:
    """Read a flag; fields that are not known are ignored.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: the value is not a flag.

    """
    return _decode(value)


def event_id(flag: Flag) -> str:
    """Return the CloudEvents id: equal for a repeat, different for each step of the episode.

    An episode opens, closes and is retracted once. Its updates differ by what tipped them and how far it had
    grown, which come from the log of events alone, so a rerun gives the same id.
    """
    step = f"{flag.flag_id}/{flag.status.value}"
    if flag.status is not Status.UPDATED:
        return step
    return f"{step}/{flag.detected_at}-{flag.evidence.observed}"


def cloudevent_headers(flag: Flag, source: str) -> list[tuple[str, bytes]]:
    """Return the record headers of a flag: CloudEvents 1.0, Kafka protocol binding, binary content mode.

    Args:
        flag: the flag in the record's value.
        source: a URI reference that says which deployment speaks; with `ce_id` it names the event.

    """
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id(flag).encode()),
        ("ce_source", source.encode()),
        ("ce_type", f"boostwatch.{flag.kind.value}.{flag.status.value}.v{flag.schema_version}".encode()),
        ("ce_subject", _printable(flag.subject.id).encode()),
        ("ce_time", rfc3339(flag.detected_at).encode()),
        ("ce_dataschema", FLAG_SCHEMA_ID.encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]


def rfc3339(time_ms: int) -> str:
    """Return a time in RFC 3339, UTC, to the millisecond.

    >>> rfc3339(1_764_000_123_000)
    '2025-11-24T16:02:03.000Z'
    """
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    """Percent-encode control characters, which a CloudEvents string must not hold and an opaque id may."""
    return "".join(c if c.isprintable() or c == " " else "".join(f"%{b:02X}" for b in c.encode()) for c in text)
