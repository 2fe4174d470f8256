from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from schemas import documents
from schemas.columns import Topic
from schemas.decode import decode_batch
from schemas.documents import DOCUMENTS, PUBLISHED, BreakingChangeError, breaking_changes, contents, stale, write
from schemas.examples import ARRIVAL_MS, EXAMPLES, TOPIC_OF, UNSEEN_BY_SCHEMA, Example
from schemas.flags import Flag, decode_flag, encode_flag
from schemas.refusals import Reason, Refusal
from schemas.verdicts import decode_verdict
from tests.schemas.strategies import nearly, topics
from tests.schemas.test_flags import flags

ROOT = PUBLISHED.parent.parent
SCHEMAS: dict[str, dict[str, Any]] = {
    stem: orjson.loads((PUBLISHED / f"{stem}.schema.json").read_bytes()) for stem in DOCUMENTS
}
VALID = {stem: Draft202012Validator(schema) for stem, schema in SCHEMAS.items()}
ASYNCAPI: dict[str, Any] = orjson.loads((PUBLISHED / "asyncapi.json").read_bytes())
KIND_OF = {topic: kind for kind, topic in TOPIC_OF.items()}


def nodes(document: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    yield path, document
    children = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for name, child in children:
        yield from nodes(child, f"{path}/{name}")


def resolved(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def verdict_on(example: Example) -> Reason | None:
    """Decode an example as its kind is decoded, and return the reason of its refusal."""
    if example.kind == "flag":
        return None if isinstance(decode_flag(example.value), Flag) else Reason.NOT_JSON
    if example.kind == "verdict":
        answer = decode_verdict(example.value)
        return answer.reason if isinstance(answer, Refusal) else None
    _, refused = decode_batch(TOPIC_OF[example.kind], [example.value], np.array([ARRIVAL_MS], np.int64))
    return refused[0].reason if refused else None


class TestPublished:
    def test_published_documents_are_what_the_code_says(self) -> None:
        assert stale() == []

    def test_documents_are_the_same_in_every_process(self) -> None:
        program = (
            "import hashlib; from schemas.documents import contents; files = contents(); "
            "print([(path, hashlib.sha256(files[path]).hexdigest()) for path in files])"
        )
        printed = {
            subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(printed) == 1

    def test_every_file_ends_its_last_line(self) -> None:
        assert all(content.endswith(b"\n") for content in contents().values())

    @pytest.mark.parametrize("stem", list(DOCUMENTS))
    def test_a_schema_is_valid_and_explains_every_field(self, stem: str) -> None:
        schema = SCHEMAS[stem]
        Draft202012Validator.check_schema(schema)
        assert schema["title"]
        assert schema["description"]
        for path, node in nodes(schema):
            if path.endswith("/properties") and "/anyOf/" not in path:
                for name, field in node.items():
                    assert field.get("description"), f"{path}/{name} does not say what it is"
            if isinstance(node, dict) and "$ref" in node:
                assert resolved(schema, node["$ref"])

    def test_ids_of_schemas_are_their_own(self) -> None:
        assert len({schema["$id"] for schema in SCHEMAS.values()}) == len(SCHEMAS)


class TestExamples:
    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.path)
    def test_an_example_is_accepted_or_refused_as_it_says(self, example: Example) -> None:
        published = example._replace(value=(PUBLISHED / "examples" / example.path).read_bytes())
        assert verdict_on(published) is example.refused

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.path)
    def test_a_schema_sees_what_a_schema_can_see(self, example: Example) -> None:
        if example.refused is Reason.NOT_JSON:
            return
        valid = VALID[example.kind].is_valid(orjson.loads(example.value))
        assert valid == (example.refused is None or example.refused in UNSEEN_BY_SCHEMA)


class TestSchemaAndDecoder:
    @given(st.data(), topics)
    def test_what_the_schema_refuses_is_refused_and_the_rest_is_accepted_but_for_what_it_cannot_state(
        self, data: st.DataObject, topic: Topic
    ) -> None:
        record = data.draw(nearly(topic))
        value = msgspec.json.encode(record)
        _, refused = decode_batch(topic, [value], None)
        if not VALID[KIND_OF[topic]].is_valid(record):
            assert refused
        elif refused:
            whole_floats = [v for v in record.values() if isinstance(v, float) and v.is_integer()]
            assert refused[0].reason is Reason.ID_TOO_LONG or (refused[0].reason is Reason.WRONG_TYPE and whole_floats)

    @given(flags())
    def test_every_flag_that_can_be_made_is_one_that_the_schema_describes(self, flag: Flag) -> None:
        VALID["flag"].validate(orjson.loads(encode_flag(flag)))


class TestAsyncApi:
    def test_every_reference_resolves(self) -> None:
        references = [node["$ref"] for _, node in nodes(ASYNCAPI) if isinstance(node, dict) and "$ref" in node]
        assert references
        for reference in references:
            assert resolved(ASYNCAPI, reference), reference

    def test_every_channel_is_used_and_every_message_is_in_a_channel(self) -> None:
        used = {operation["channel"]["$ref"] for operation in ASYNCAPI["operations"].values()}
        assert used == {f"#/channels/{name}" for name in ASYNCAPI["channels"]}
        sent = {ref["$ref"] for channel in ASYNCAPI["channels"].values() for ref in channel["messages"].values()}
        assert sent == {f"#/components/messages/{name}" for name in ASYNCAPI["components"]["messages"]}

    def test_operations_take_messages_of_their_own_channel(self) -> None:
        for operation in ASYNCAPI["operations"].values():
            for message in operation["messages"]:
                assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")

    def test_kafka_addresses_are_the_topics_of_the_bindings(self) -> None:
        for channel in ASYNCAPI["channels"].values():
            assert channel["bindings"]["kafka"]["topic"] == channel["address"]

    def test_examples_fit_payload_and_headers(self) -> None:
        shown = 0
        for message in ASYNCAPI["components"]["messages"].values():
            for example in message.get("examples", []):
                shown += 1
                for part in ("payload", "headers"):
                    if part in message:
                        schema = message[part] | {"components": ASYNCAPI["components"]}
                        Draft7Validator(schema).validate(example[part])
        assert shown >= 10

    def test_fields_are_those_of_the_published_schemas(self) -> None:
        for stem, document in DOCUMENTS.items():
            component = ASYNCAPI["components"]["schemas"][document.type.__name__]
            assert component["properties"].keys() == SCHEMAS[stem]["properties"].keys()
            assert component["required"] == SCHEMAS[stem]["required"]


class TestFiles:
    def test_writing_is_idempotent_and_makes_nothing_stale(self, tmp_path: Path) -> None:
        assert set(write(tmp_path)) == contents().keys()
        assert write(tmp_path) == []
        assert stale(tmp_path) == []

    def test_stale_names_what_is_missing_changed_and_left_over(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / "like.schema.json").unlink()
        (tmp_path / "asyncapi.json").write_text("{}")
        (tmp_path / "share.schema.json").write_text("{}")
        (tmp_path / "examples" / "like" / "old.json").write_text("{}")
        (tmp_path / "package.json").write_text("{}")
        assert stale(tmp_path) == [
            "like.schema.json is missing",
            "asyncapi.json differs from what the code says",
            "examples/like/old.json is no longer published; remove it",
            "share.schema.json is no longer published; remove it",
        ]

    def test_a_promise_is_not_overwritten_by_less(self, tmp_path: Path) -> None:
        write(tmp_path)
        older = SCHEMAS["flag"] | {"required": [*SCHEMAS["flag"]["required"], "region"]}
        (tmp_path / "flag.schema.json").write_bytes(orjson.dumps(older))
        assert breaking_changes(tmp_path) == ["flag: $.region may be absent where it was required"]
        with pytest.raises(BreakingChangeError, match=r"\$\.region .* raise the version"):
            write(tmp_path)
        assert "flag.schema.json" in write(tmp_path, allow_breaking=True)

    def test_another_version_may_promise_something_else(self, tmp_path: Path) -> None:
        write(tmp_path)
        older = SCHEMAS["flag"] | {"required": ["region"], "$id": "urn:boostwatch:schema:flag:v0"}
        (tmp_path / "flag.schema.json").write_bytes(orjson.dumps(older))
        assert breaking_changes(tmp_path) == []

    def test_a_directory_with_a_broken_schema_is_told_rather_than_hidden(self, tmp_path: Path) -> None:
        (tmp_path / "like.schema.json").write_text("{")
        with pytest.raises(ValueError, match=r"unexpected end of data|EOF"):
            documents.breaking_changes(tmp_path)
