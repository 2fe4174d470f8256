"""The three kinds of event that producers send, one to a Kafka record, as JSON.

Unknown fields are ignored; null in an optional field is the same as the field left out. The structs are the
contract: the decoder checks what they state, and the published JSON Schemas are made from them. What no type
can state (bytes rather than characters, clicks that are whole, times against the record's own) is checked
beside them in `schemas.decode`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

ID_BYTES_MAX = 128
"""Bytes of UTF-8 in an id."""

QUERY_CHARACTERS_MAX = 256
"""Characters in a query as it was typed."""

RECORD_BYTES_MAX = 65_536
"""Bytes of a record's value. A full event with every id at its limit has under 10,000."""

TS_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: beyond it a time is a mistake in the unit."""

AHEAD_MS_MAX = 300_000
"""How far `ts` may be ahead of the record's Kafka timestamp: 5 minutes."""

BEHIND_MS_MAX = 604_800_000
"""How far `ts` may be behind the record's Kafka timestamp: 7 days."""

Id = Annotated[
    str,
    Meta(min_length=1, max_length=ID_BYTES_MAX, extra_json_schema={"x-maxBytes": ID_BYTES_MAX}),
]
TimeMs = Annotated[int, Meta(ge=0, le=TS_MS_MAX)]

EventId = Annotated[
    Id,
    Meta(description="Idempotency key: the same id again in its topic within ten minutes counts once."),
]
EventTime = Annotated[
    TimeMs,
    Meta(
        description="When it happened: milliseconds since the Unix epoch, UTC. At most 5 minutes ahead of the "
        "record's Kafka timestamp and at most 7 days behind it."
    ),
]
ActorId = Annotated[Id, Meta(description="The account that acts. Also the record's key.")]
CreatedAt = Annotated[
    TimeMs | None,
    Meta(description="When the actor's account was made: milliseconds since the Unix epoch, UTC."),
]
DeviceId = Annotated[
    Id | None, Meta(description="The device, opaque or hashed. Never logged, never in a metric label.")
]
IpPrefix = Annotated[
    Id | None, Meta(description="The address block, opaque or hashed. Never logged, never in a metric label.")
]
SurfaceName = Annotated[
    Literal["feed", "search", "profile", "note", "external"] | None,
    Meta(description="Where in the product the actor did it."),
]


class Like(Struct, frozen=True, gc=False, omit_defaults=True):
    """An account likes a note, or takes its like back."""

    event_id: EventId
    ts: EventTime
    actor_id: ActorId
    action: Annotated[
        Literal["like", "unlike"],
        Meta(description="Send removals too: taking likes back after delivery is part of an attack."),
    ]
    note_id: Annotated[Id, Meta(description="The note that is liked.")]
    author_id: Annotated[Id, Meta(description="The account that owns the note.")]
    actor_created_at: CreatedAt = None
    device_id: DeviceId = None
    ip_prefix: IpPrefix = None
    surface: SurfaceName = None


class Follow(Struct, frozen=True, gc=False, omit_defaults=True):
    """An account follows another one, or stops to."""

    event_id: EventId
    ts: EventTime
    actor_id: ActorId
    action: Annotated[
        Literal["follow", "unfollow"],
        Meta(description="Send removals too: unfollowing after delivery is part of an attack."),
    ]
    target_id: Annotated[Id, Meta(description="The account that is followed.")]
    actor_created_at: CreatedAt = None
    device_id: DeviceId = None
    ip_prefix: IpPrefix = None
    surface: SurfaceName = None


class Search(Struct, frozen=True, gc=False, omit_defaults=True):
    """An account searches, and perhaps clicks a result: one event for each result clicked, or one without.

    `clicked_note_id`, `clicked_author_id` and `position` come together or not at all.
    """

    event_id: EventId
    ts: EventTime
    actor_id: ActorId
    query: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=QUERY_CHARACTERS_MAX,
            extra_json_schema={"pattern": r"\S"},
            description="The text as it was typed, 1 to 256 characters. It becomes a keyword by NFKC, case "
            "folding and collapsing of white space; something must be left of it then.",
        ),
    ]
    clicked_note_id: Annotated[Id | None, Meta(description="The result that was clicked.")] = None
    clicked_author_id: Annotated[Id | None, Meta(description="The account that owns it.")] = None
    position: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The rank of the clicked result on the page; 1 is the top."),
    ] = None
    actor_created_at: CreatedAt = None
    device_id: DeviceId = None
    ip_prefix: IpPrefix = None
    surface: SurfaceName = None


Event = Like | Follow | Search
