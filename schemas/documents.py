"""The published documents: JSON Schemas, an AsyncAPI document and examples, all made from the code's own types.

They are committed under `schemas/published/`, so that a reader finds them without running anything and a
change to a type shows as a change to what was promised. `stale` says what no longer agrees; `write` refuses a
change that would break who relies on the promise.
"""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from schemas.asyncapi import asyncapi
from schemas.compatibility import unreadable
from schemas.events import Follow, Like, Search
from schemas.examples import EXAMPLES
from schemas.flags import FLAG_SCHEMA_ID, Detector, Evidence, Flag, Share, Subject, Window
from schemas.verdicts import Verdict

PUBLISHED: Final = Path(__file__).parent / "published"
"""Where the documents are committed."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_CLICK: Final = ("clicked_note_id", "clicked_author_id", "position")


class Document(NamedTuple):
    """One kind of record: its type, the schema's identity, and which side of the topic boostwatch is on."""

    type: type[msgspec.Struct]
    schema_id: str
    title: str
    written: bool = False  # by boostwatch; otherwise it reads what others write


DOCUMENTS: Final = {
    "like": Document(Like, "urn:boostwatch:schema:like:v1", "A like or its removal"),
    "follow": Document(Follow, "urn:boostwatch:schema:follow:v1", "A follow or its removal"),
    "search": Document(Search, "urn:boostwatch:schema:search:v1", "A search and perhaps a click"),
    "flag": Document(Flag, FLAG_SCHEMA_ID, "A flag", written=True),
    "verdict": Document(Verdict, "urn:boostwatch:schema:verdict:v1", "An answer to a flag"),
}
"""By the stem of the file. A change that breaks readers or producers needs another version in the id."""

_STRUCTS: Final = {struct.__name__: struct for struct in (Flag, Subject, Window, Share, Evidence, Detector)}


class BreakingChangeError(ValueError):
    """A type has changed so that what was published breaks; undo it, or raise the version in the schema's id."""


def json_schema(document: Document) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one kind of record, complete in itself."""
    definitions = components([document], "#/$defs/{name}")
    root = definitions.pop(document.type.__name__)
    schema: dict[str, Any] = {"$schema": DIALECT, "$id": document.schema_id, **root, "title": document.title}
    if definitions:
        schema["$defs"] = definitions
    return schema


def components(documents: list[Document], ref_template: str) -> dict[str, Any]:
    """Return the schemas of the given kinds and of what they are made of, by type name."""
    found: dict[str, Any] = {}
    for document in documents:
        _, schemas = msgspec.json.schema_components([document.type], ref_template=ref_template)
        for name, schema in schemas.items():
            found[name] = _as_written(_STRUCTS[name], schema) if document.written and name in _STRUCTS else schema
    if "Search" in found:
        found["Search"] |= _whole_click()
    return {name: _tidy(schema) for name, schema in found.items()}


def _as_written(struct: type[msgspec.Struct], schema: dict[str, Any]) -> dict[str, Any]:
    """Narrow a schema from what is accepted to what is written: no nulls, and every field that is never left out."""
    properties = {name: _without_null(field) for name, field in schema["properties"].items()}
    always = schema.get("required", []) if struct.__struct_config__.omit_defaults else list(properties)
    return schema | {"properties": properties, "required": always}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    branches: list[dict[str, Any]] = [branch for branch in field.get("anyOf", []) if branch != {"type": "null"}]
    rest = {name: value for name, value in field.items() if name != "default"}
    if len(branches) != 1 or len(branches) == len(field["anyOf"]):
        return rest
    del rest["anyOf"]
    return branches[0] | rest


def _whole_click() -> dict[str, Any]:
    """Return the rule that no type states: all three fields of a click, or none; null is the same as none."""
    return {
        "anyOf": [
            {"required": [*_CLICK], "properties": {name: {"not": {"type": "null"}} for name in _CLICK}},
            {"properties": {name: {"type": "null"} for name in _CLICK}},
        ]
    }


def _tidy(schema: Any) -> Any:
    """Take the source's indentation out of descriptions, and defaults that only say that a field may be absent."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidy(value) for name, value in schema.items() if not (name == "default" and value is None)}
    description = tidied.get("description")
    return tidied | {"description": cleandoc(description)} if isinstance(description, str) else tidied


def contents() -> dict[str, bytes]:
    """Return every published file: its path under the directory, and its bytes."""
    files = {f"{stem}.schema.json": _json(json_schema(document)) for stem, document in DOCUMENTS.items()}
    files["asyncapi.json"] = _json(asyncapi(components(list(DOCUMENTS.values()), "#/components/schemas/{name}")))
    files |= {f"examples/{example.path}": example.value for example in EXAMPLES}
    return files


def write(directory: Path = PUBLISHED, *, allow_breaking: bool = False) -> list[str]:
    """Write every published file that is missing or differs, and return their paths. Nothing is removed.

    Raises:
        BreakingChangeError: what is in the directory promises something that the code no longer keeps.
        OSError: the directory cannot be written.

    """
    broken = [] if allow_breaking else breaking_changes(directory)
    if broken:
        raise BreakingChangeError(
            f"{directory} promises what the code no longer keeps: {'; '.join(broken)}. "
            "Undo the change, or raise the version in the schema's id"
        )
    files = contents()
    changed: list[str] = []
    for path, content in files.items():
        target = directory / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            changed.append(path)
    return changed


def stale(directory: Path = PUBLISHED) -> list[str]:
    """Return a line for each published file that does not agree with the code, none when all do."""
    files = contents()
    lines: list[str] = []
    for path, content in files.items():
        target = directory / path
        if not target.is_file():
            lines.append(f"{path} is missing")
        elif target.read_bytes() != content:
            lines.append(f"{path} differs from what the code says")
    return [*lines, *(f"{path} is no longer published; remove it" for path in _extra(directory, files))]


def breaking_changes(directory: Path = PUBLISHED) -> list[str]:
    """Return a line for each way in which the code breaks a schema published in `directory` under the same id.

    Events and verdicts: what producers were allowed to send is refused now. Flags: what readers were told to
    expect no longer holds.
    """
    lines: list[str] = []
    for stem, document in DOCUMENTS.items():
        published = directory / f"{stem}.schema.json"
        if not published.is_file():
            continue
        old, new = orjson.loads(published.read_bytes()), json_schema(document)
        if old.get("$id") != new["$id"]:
            continue
        problems = unreadable(new, old) if document.written else unreadable(old, new)
        lines += [f"{stem}: {problem}" for problem in problems]
    return lines


def _extra(directory: Path, files: dict[str, bytes]) -> list[str]:
    """Return what lies in the directory's own places and is none of `files`."""
    present = [
        *directory.glob("*.schema.json"),
        *(path for path in (directory / "examples").rglob("*") if path.is_file()),
    ]
    return sorted({path.relative_to(directory).as_posix() for path in present} - files.keys())


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
