"""Whether what one JSON Schema lets through is readable under another: the check that keeps promises.

It knows the keywords that our own schemas use, and says so when it meets another one rather than let it pass.
Objects are open: a field that the reader does not know is ignored.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_SAYS_NOTHING: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "default", "examples"})
_KNOWN: Final = frozenset(
    {"$ref", "type", "enum", "anyOf", "properties", "required", "items", "additionalProperties", "pattern"}
)
_LOWER: Final = ("minimum", "minLength")
_UPPER: Final = ("maximum", "maxLength", "x-maxBytes")


def unreadable(writer: Schema, reader: Schema) -> list[str]:
    """Return a line for each way in which a value valid under `writer` can be invalid under `reader`.

    Conservative: it may name a change that breaks nobody, never the reverse for the keywords it knows.
    """
    return _compare(_Side(writer), writer, _Side(reader), reader, "$")


class _Side:
    """A whole schema, to look references up in."""

    def __init__(self, root: Schema) -> None:
        self.root = root

    def resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            *_, name = schema["$ref"].split("/")
            schema = self.root["$defs"][name] | {key: value for key, value in schema.items() if key != "$ref"}
        return schema


def _compare(writing: _Side, writer: Schema, reading: _Side, reader: Schema, path: str) -> list[str]:
    writer, reader = writing.resolve(writer), reading.resolve(reader)
    unknown = sorted(reader.keys() - _SAYS_NOTHING - _KNOWN - {*_LOWER, *_UPPER})
    if unknown:
        return [f"{path} uses {', '.join(unknown)}, which this check does not know"]
    if "anyOf" in writer or "anyOf" in reader:
        if "properties" not in writer:
            return _alternatives(writing, writer, reading, reader, path)
        if "anyOf" in reader and reader["anyOf"] != writer.get("anyOf"):
            return [f"{path} has another rule for which fields come together"]
    if "type" in reader and not _type_fits(_type_of(writer), reader["type"]):
        return [f"{path} may be {_type_of(writer) or 'anything'} where {reader['type']} was allowed"]
    problems = _limits(writer, reader, path)
    if "enum" in reader:
        foreign = [value for value in writer.get("enum", ["anything"]) if value not in reader["enum"]]
        problems += [f"{path} may be {value!r}, which is not among the allowed values" for value in foreign]
    if reader.get("type") == "object":
        problems += _objects(writing, writer, reading, reader, path)
    if "items" in reader:
        problems += _compare(writing, writer.get("items", {}), reading, reader["items"], f"{path}[]")
    return problems


def _alternatives(writing: _Side, writer: Schema, reading: _Side, reader: Schema, path: str) -> list[str]:
    """Compare unions: each branch of the writer must fit a branch of the reader."""
    problems: list[str] = []
    for branch in writer.get("anyOf", [writer]):
        others = reader.get("anyOf", [reader])
        attempts = [_compare(writing, branch, reading, other, path) for other in others]
        if all(attempts):
            kin = [_type_of(reading.resolve(other)) == _type_of(writing.resolve(branch)) for other in others]
            problems += attempts[kin.index(True) if any(kin) else 0]
    return problems


def _objects(writing: _Side, writer: Schema, reading: _Side, reader: Schema, path: str) -> list[str]:
    missing = [name for name in reader.get("required", []) if name not in writer.get("required", [])]
    problems = [f"{path}.{name} may be absent where it was required" for name in missing]
    for name, field in reader.get("properties", {}).items():
        if name in writer.get("properties", {}):
            problems += _compare(writing, writer["properties"][name], reading, field, f"{path}.{name}")
    if isinstance(reader.get("additionalProperties"), dict):
        other = writer.get("additionalProperties", {})
        problems += _compare(writing, other, reading, reader["additionalProperties"], f"{path}.*")
    return problems


def _limits(writer: Schema, reader: Schema, path: str) -> list[str]:
    problems = [
        f"{path} may be below the {name} {reader[name]}"
        for name in _LOWER
        if name in reader and writer.get(name, float("-inf")) < reader[name]
    ]
    problems += [
        f"{path} may be above the {name} {reader[name]}"
        for name in _UPPER
        if name in reader and writer.get(name, float("inf")) > reader[name]
    ]
    if "pattern" in reader and reader["pattern"] != writer.get("pattern"):
        problems.append(f"{path} may not match the pattern {reader['pattern']}")
    return problems


def _type_fits(writer: str | None, reader: str) -> bool:
    return writer == reader or (writer == "integer" and reader == "number")


def _type_of(schema: Schema) -> str | None:
    if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
        return "string"
    return schema.get("type")
