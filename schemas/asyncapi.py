"""The AsyncAPI 3 document: every topic, who sends and who receives, keys, headers and examples.

Addresses are the default names of the topics; a deployment may choose others.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas import dead_letters
from schemas.events import ID_BYTES_MAX, RECORD_BYTES_MAX
from schemas.examples import ACCEPTED_STRUCTS
from schemas.flags import CONTENT_TYPE, FLAG_SCHEMA_ID, Flag, Kind, Status, cloudevent_headers
from schemas.refusals import Reason

VERSION: Final = "1.0.0"
"""Of the contract: major for what breaks, minor for what is added."""

_BINDING_VERSION: Final = "0.5.0"
_BYTES: Final = "application/octet-stream"

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_DIGITS: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9]+$"}
_ID: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}


def asyncapi(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the AsyncAPI document around the given schemas, which go under `#/components/schemas`."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:boostwatch:asyncapi",
        "info": {
            "title": "boostwatch",
            "version": VERSION,
            "description": "Likes, follows and searches come in; flags on accounts, notes and keywords that are "
            "boosted with bought or automated actions go out; verdicts on flags come back.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka cluster that holds every topic.",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "Any of its brokers."}},
            }
        },
        "channels": _CHANNELS,
        "operations": {name: _operation(*operation) for name, operation in _OPERATIONS.items()},
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _channel(address: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": _BINDING_VERSION}},
    }


_EVENT_RULES: Final = (
    f" Keyed by `actor_id`; at most {RECORD_BYTES_MAX} bytes a record. Unknown fields are ignored, null in an "
    "optional field is the same as the field left out, and times are integers without fraction or exponent. "
    "A record that breaks the contract goes to the dead letters and stops nothing."
)
_CHANNELS: Final = {
    "likes": _channel("likes", "like", "Likes and their removal." + _EVENT_RULES),
    "follows": _channel("follows", "follow", "Follows and their removal." + _EVENT_RULES),
    "searches": _channel("searches", "search", "Searches and the clicks on their results." + _EVENT_RULES),
    "flags": _channel(
        "flags",
        "flag",
        "What was found. CloudEvents 1.0 in Kafka binary mode, keyed by `subject.id`, at least once: keep the last "
        "record by `flag_id`.",
    ),
    "verdicts": _channel("verdicts", "verdict", "Answers to flags, keyed by `flag_id`."),
    "deadLetters": _channel(
        "boostwatch.dead-letters",
        "deadLetter",
        "What was refused: bytes, key, timestamp and headers as they came, then headers that say from where and why.",
    ),
    "actions": _channel(
        "boostwatch.actions",
        "actions",
        "Internal: packed blocks of marked actions between two stages, partitioned by subject. Not an interface; "
        "its format changes without notice.",
    ),
    "surges": _channel(
        "boostwatch.surges",
        "surges",
        "Internal: packed visits of accounts to targets, all in partition 0, where groups are looked for. Not an "
        "interface; its format changes without notice.",
    ),
}

_OPERATIONS: Final = {
    "receiveLikes": ("receive", "likes", "like", "Producers send likes."),
    "receiveFollows": ("receive", "follows", "follow", "Producers send follows."),
    "receiveSearches": ("receive", "searches", "search", "Producers send searches."),
    "sendFlags": ("send", "flags", "flag", "Enforcement, review and dashboards read flags."),
    "receiveVerdicts": ("receive", "verdicts", "verdict", "Answers to flags; what is dismissed is retracted."),
    "sendDeadLetters": ("send", "deadLetters", "deadLetter", "Owners of producers look at what was refused."),
    "sendActions": ("send", "actions", "actions", "The actor stage hands on marked actions."),
    "receiveActions": ("receive", "actions", "actions", "The subject stage takes marked actions."),
    "sendSurges": ("send", "surges", "surges", "The subject stage hands on who met whom."),
    "receiveSurges": ("receive", "surges", "surges", "The group stage takes who met whom."),
}


def _operation(action: str, channel: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages() -> dict[str, Any]:
    return {
        "like": _message("like", "A like or its removal", "Like", _ID, "The actor's id."),
        "follow": _message("follow", "A follow or its removal", "Follow", _ID, "The actor's id."),
        "search": _message("search", "A search and perhaps a click", "Search", _ID, "The actor's id."),
        "flag": _message("flag", "A flag", "Flag", {"type": "string", "minLength": 1}, "`subject.id` of the flag.")
        | {"headers": _flag_headers()},
        "verdict": _message("verdict", "An answer to a flag", "Verdict", _TEXT, "The flag's id."),
        "deadLetter": {
            "name": "deadLetter",
            "title": "A refused record",
            "contentType": _BYTES,
            "headers": _dead_letter_headers(),
            "payload": {"description": "The refused record's own bytes, whatever they are; none for a tombstone."},
            "bindings": _key({"description": "The refused record's own key."}),
            "examples": [{"name": "not-json", "headers": _dead_letter_example(), "payload": "not json"}],
        },
        "actions": {
            "name": "actions",
            "title": "A packed block of actions",
            "contentType": _BYTES,
            "payload": {"description": "lz4-compressed columns; internal."},
        },
        "surges": {
            "name": "surges",
            "title": "Packed visits",
            "contentType": _BYTES,
            "payload": {"description": "lz4-compressed columns; internal."},
        },
    }


def _message(name: str, title: str, schema: str, key: dict[str, Any], key_is: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": _key(key | {"description": key_is}),
        "examples": [
            _example(path, struct) for path, struct in ACCEPTED_STRUCTS.items() if path.startswith(f"{name}/")
        ],
    }


def _example(path: str, struct: msgspec.Struct) -> dict[str, Any]:
    example = {"name": path.partition("/")[2], "payload": msgspec.to_builtins(struct)}
    if isinstance(struct, Flag):
        example["headers"] = {name: value.decode() for name, value in cloudevent_headers(struct, "/boostwatch/demo")}
    return example


def _key(schema: dict[str, Any]) -> dict[str, Any]:
    return {"kafka": {"key": schema, "bindingVersion": _BINDING_VERSION}}


def _flag_headers() -> dict[str, Any]:
    kinds = "|".join(kind.value for kind in Kind)
    statuses = "|".join(status.value for status in Status)
    properties: dict[str, Any] = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": _TEXT | {"description": "The same for a repeat, another for each step of an episode."},
        "ce_source": _TEXT | {"description": "The deployment that speaks, a URI reference."},
        "ce_type": {"type": "string", "pattern": f"^boostwatch\\.({kinds})\\.({statuses})\\.v[0-9]+$"},
        "ce_subject": _TEXT | {"description": "`subject.id`, its control characters percent-encoded."},
        "ce_time": {"type": "string", "format": "date-time", "description": "`detected_at`, RFC 3339, UTC."},
        "ce_dataschema": {"const": FLAG_SCHEMA_ID},
        "content-type": {"const": CONTENT_TYPE},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _dead_letter_headers() -> dict[str, Any]:
    properties: dict[str, Any] = {
        dead_letters.TOPIC: _TEXT | {"description": "The topic that the record was read from."},
        dead_letters.PARTITION: _DIGITS | {"description": "Its partition."},
        dead_letters.OFFSET: _DIGITS | {"description": "Its offset."},
        dead_letters.STAGE: _TEXT | {"description": "The step that refused it, as Kafka Connect names it."},
        dead_letters.MESSAGE: _TEXT | {"description": "What was wrong, with field and value, for people."},
        dead_letters.REASON: {"enum": [reason.value for reason in Reason], "description": "What was wrong."},
    }
    return {
        "type": "object",
        "description": "Behind the producer's own headers. A record that was sent again and refused again has them "
        "once for each refusal, the last one last.",
        "properties": properties,
        "required": list(properties),
    }


def _dead_letter_example() -> dict[str, str]:
    detail = "JSON is malformed: invalid character (byte 1) (8 bytes)"
    context = dead_letters.headers("likes", 3, 104_812, Reason.NOT_JSON, detail, [])
    return {name: (value or b"").decode() for name, value in context}
