from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from schemas.compatibility import unreadable
from schemas.documents import DOCUMENTS, json_schema

SCHEMAS = {stem: json_schema(document) for stem, document in DOCUMENTS.items()}


def changed(stem: str, path: str, **values: Any) -> dict[str, Any]:
    """Return a published schema with the keywords under `path` set, or taken out where the value is ...."""
    schema = deepcopy(SCHEMAS[stem])
    place = schema
    for part in filter(None, path.split("/")):
        place = place[part]
    for name, value in values.items():
        if value is ...:
            del place[name]
        else:
            place[name] = value
    return schema


@pytest.mark.parametrize("stem", list(SCHEMAS))
def test_a_schema_reads_what_it_describes(stem: str) -> None:
    assert unreadable(SCHEMAS[stem], SCHEMAS[stem]) == []


# What producers were allowed to send (the old schema writes, the new one reads).
PRODUCERS: list[tuple[dict[str, Any], str]] = [
    (changed("like", "", required=[*SCHEMAS["like"]["required"], "surface"]), "$.surface may be absent"),
    (changed("like", "properties/action", enum=["like"]), "$.action may be 'unlike'"),
    (changed("like", "properties/note_id", maxLength=64), "$.note_id may be above the maxLength 64"),
    (changed("like", "properties/note_id", minLength=2), "$.note_id may be below the minLength 2"),
    (changed("like", "properties/note_id", **{"x-maxBytes": 64}), "$.note_id may be above the x-maxBytes 64"),
    (changed("like", "properties/note_id", pattern="^n"), "$.note_id may not match the pattern ^n"),
    (changed("like", "properties/ts", type="string"), "$.ts may be integer where string"),
    (changed("like", "properties/ts", maximum=5), "$.ts may be above the maximum 5"),
    (changed("like", "properties/device_id", anyOf=[{"type": "string", "maxLength": 128}]), "$.device_id may be null"),
    (
        changed(
            "like", "properties/surface", anyOf=[{"enum": ["feed", "note", "profile", "search"]}, {"type": "null"}]
        ),
        "$.surface may be 'external'",
    ),
    (changed("like", "properties/note_id", multipleOf=3), "multipleOf, which this check does not know"),
    (changed("search", "", anyOf=[{"required": ["position"]}]), "another rule for which fields come together"),
]


@pytest.mark.parametrize(("new", "told"), PRODUCERS, ids=[told for _, told in PRODUCERS])
def test_a_change_that_would_refuse_what_producers_send_is_told(new: dict[str, Any], told: str) -> None:
    stem = "search" if "query" in new["properties"] else "like"
    problems = unreadable(SCHEMAS[stem], new)
    assert len(problems) == 1, problems
    assert told in problems[0]


# What readers were told (the new schema writes, the old one reads).
READERS: list[tuple[dict[str, Any], str]] = [
    (changed("flag", "", required=["schema_version"]), "$.flag_id may be absent"),
    (changed("flag", "$defs/Status", enum=["opened", "paused"]), "$.status may be 'paused'"),
    (changed("flag", "$defs/Evidence/properties/observed", type="number"), "$.evidence.observed may be number"),
    (changed("flag", "$defs/Evidence/properties/reasons/items", type="integer"), "$.evidence.reasons[] may be integer"),
    (
        changed("flag", "$defs/Evidence/properties/numbers", additionalProperties={"type": "string"}),
        "$.evidence.numbers.* may be string",
    ),
    (changed("flag", "properties/score", maximum=...), "$.score may be above the maximum 1"),
    (changed("flag", "$defs/Subject/properties/id", type=...), "$.subject.id may be anything"),
]


@pytest.mark.parametrize(("new", "told"), READERS, ids=[told for _, told in READERS])
def test_a_change_that_readers_were_not_told_of_is_told(new: dict[str, Any], told: str) -> None:
    problems = unreadable(new, SCHEMAS["flag"])
    assert told in problems[0], problems


def test_adding_is_no_breach() -> None:
    evidence = SCHEMAS["flag"]["$defs"]["Evidence"]["properties"] | {"later": {"type": "number"}}
    assert unreadable(changed("flag", "$defs/Evidence", properties=evidence), SCHEMAS["flag"]) == []
    like = SCHEMAS["like"]["properties"] | {"later": {"type": "string"}}
    assert unreadable(SCHEMAS["like"], changed("like", "", properties=like)) == []
    assert unreadable(SCHEMAS["like"], changed("like", "properties/action", enum=["like", "unlike", "love"])) == []
    assert unreadable(SCHEMAS["like"], changed("like", "properties/note_id", maxLength=256)) == []
    fewer = changed("flag", "$defs/Status", enum=["opened", "closed"])
    assert unreadable(fewer, SCHEMAS["flag"]) == []


def test_an_integer_is_a_number() -> None:
    assert unreadable(changed("flag", "properties/score", type="integer"), SCHEMAS["flag"]) == []
