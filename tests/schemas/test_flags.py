from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.flags import (
    FLAG_ID_PATTERN,
    SUBJECT_TYPE,
    Detector,
    Evidence,
    Flag,
    Kind,
    Mode,
    Severity,
    Share,
    Status,
    Subject,
    Window,
    cloudevent_headers,
    decode_flag,
    encode_flag,
    event_id,
    flag_id,
    rfc3339,
)
from tests.schemas.strategies import characters

replace = msgspec.structs.replace
START = 1_764_000_000_000

text = st.text(characters, min_size=1, max_size=40)
numbers = st.floats(0, 1e15)
shares = st.floats(0, 1)
counts = st.integers(0, 2**53)
times = st.integers(0, 253_402_300_799_999)
texts = st.lists(text, max_size=3)

evidence = st.builds(
    Evidence,
    observed=counts,
    expected=numbers,
    actors=counts,
    reasons=texts,
    sample_actors=texts,
    author_id=st.none() | text,
    note_id=st.none() | text,
    members=st.none() | texts,
    members_total=st.none() | counts,
    targets=st.none() | texts,
    targets_total=st.none() | counts,
    groups=st.none() | st.dictionaries(text, st.builds(Share, observed=shares, expected=shares), max_size=3),
    numbers=st.none() | st.dictionaries(text, st.floats(-1e15, 1e15), max_size=3),
)


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    kind, subject_id, start = draw(st.sampled_from(Kind)), draw(text), draw(times)
    return Flag(
        flag_id=flag_id(kind, subject_id, start),
        kind=kind,
        status=draw(st.sampled_from(Status)),
        mode=draw(st.sampled_from(Mode)),
        subject=Subject(SUBJECT_TYPE[kind], subject_id),
        window=Window(start, start + draw(st.integers(0, 10**9))),
        detected_at=draw(times),
        emitted_at=draw(times),
        score=draw(shares),
        severity=draw(st.sampled_from(Severity)),
        evidence=draw(evidence),
        detector=Detector(kind.value, "1", "abc"),
    )


def a_flag(**changes: Any) -> Flag:
    plain = Flag(
        flag_id=flag_id(Kind.FOLLOWER_SPIKE, "u81", START),
        kind=Kind.FOLLOWER_SPIKE,
        status=Status.OPENED,
        subject=Subject(SUBJECT_TYPE[Kind.FOLLOWER_SPIKE], "u81"),
        window=Window(START, START + 300_000),
        detected_at=START + 123_000,
        emitted_at=0,
        score=0.993,
        severity=Severity.HIGH,
        evidence=Evidence(observed=412, expected=9.7, actors=401, reasons=["..."], sample_actors=["u1"]),
        detector=Detector("follower_spike", "1", "abc"),
    )
    return replace(plain, **changes)


def headers_of(flag: Flag) -> dict[str, str]:
    return {name: value.decode() for name, value in cloudevent_headers(flag, "/boostwatch/eu-1")}


@given(flags())
def test_a_flag_survives_the_wire(flag: Flag) -> None:
    value = encode_flag(flag)
    assert decode_flag(value) == flag
    assert encode_flag(decode_flag(value)) == value
    assert None not in orjson.loads(value)["evidence"].values()


def test_a_flag_is_the_json_that_the_contract_shows() -> None:
    assert orjson.loads(encode_flag(a_flag(emitted_at=START + 123_310))) == {
        "schema_version": 1,
        "flag_id": flag_id(Kind.FOLLOWER_SPIKE, "u81", START),
        "kind": "follower_spike",
        "status": "opened",
        "mode": "live",
        "subject": {"type": "account", "id": "u81"},
        "window": {"start": START, "end": START + 300_000},
        "detected_at": START + 123_000,
        "emitted_at": START + 123_310,
        "score": 0.993,
        "severity": "high",
        "evidence": {
            "observed": 412, "expected": 9.7, "actors": 401, "reasons": ["..."], "sample_actors": ["u1"],
        },
        "detector": {"name": "follower_spike", "version": "1", "config": "abc"},
    }  # fmt: skip


def test_a_reader_of_this_version_reads_flags_with_more_in_them() -> None:
    value = orjson.loads(encode_flag(a_flag()))
    value["evidence"]["later"] = {"x": 1}
    value["later"] = True
    assert decode_flag(orjson.dumps(value)) == a_flag()


@given(st.sampled_from(Kind), text, times)
def test_a_flag_id_depends_only_on_kind_subject_and_start(kind: Kind, subject_id: str, start: int) -> None:
    assert re.fullmatch(FLAG_ID_PATTERN, flag_id(kind, subject_id, start))
    assert flag_id(kind, subject_id, start) == flag_id(kind, subject_id, start)
    assert flag_id(kind, subject_id, start) != flag_id(kind, subject_id, start + 1)


def test_flag_ids_are_those_that_readers_already_keep() -> None:
    assert flag_id(Kind.LIKE_BOOST, "n1", START) == "5f6ff72a-a18b-59ea-9252-01246fbfde92"


def test_subjects_that_look_like_other_parts_of_the_name_are_told_apart() -> None:
    seen = {
        flag_id(kind, subject_id, start)
        for kind in Kind
        for subject_id in ("", "1", "1:", ":1", "1:1", "u:1", "u")
        for start in (1, 11)
    }
    assert len(seen) == len(Kind) * 7 * 2


@pytest.mark.parametrize("score", [-0.001, 1.001, float("nan"), float("inf")])
def test_a_score_outside_zero_and_one_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="score is"):
        a_flag(score=score)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_cannot_hold_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="expected is"):
        Evidence(observed=1, expected=number, actors=1, reasons=[], sample_actors=[])
    with pytest.raises(ValueError, match="'lift'"):
        Evidence(observed=1, expected=1, actors=1, reasons=[], sample_actors=[], numbers={"lift": number})
    with pytest.raises(ValueError, match="share is"):
        Share(number, 0.5)


def test_headers_are_a_cloudevent_in_kafka_binary_mode() -> None:
    assert headers_of(a_flag()) == {
        "ce_specversion": "1.0",
        "ce_id": f"{a_flag().flag_id}/opened",
        "ce_source": "/boostwatch/eu-1",
        "ce_type": "boostwatch.follower_spike.opened.v1",
        "ce_subject": "u81",
        "ce_time": "2025-11-24T16:02:03.000Z",
        "ce_dataschema": "urn:boostwatch:schema:flag:v1",
        "content-type": "application/json",
    }


def test_a_repeat_has_the_same_headers_whenever_it_is_sent() -> None:
    assert cloudevent_headers(a_flag(emitted_at=1), "s") == cloudevent_headers(a_flag(emitted_at=2), "s")


def test_every_step_of_an_episode_has_an_event_id_of_its_own() -> None:
    steps = [
        a_flag(),
        a_flag(status=Status.UPDATED),
        a_flag(status=Status.UPDATED, detected_at=START + 200_000),
        a_flag(status=Status.UPDATED, evidence=replace(a_flag().evidence, observed=900)),
        a_flag(status=Status.CLOSED),
        a_flag(status=Status.RETRACTED),
    ]
    assert len({event_id(step) for step in steps}) == len(steps)


def test_control_characters_of_an_opaque_id_do_not_reach_a_header() -> None:
    subject = Subject(SUBJECT_TYPE[Kind.FOLLOWER_SPIKE], "a\x00\nb c\x85\u00fc")
    assert headers_of(a_flag(subject=subject))["ce_subject"] == "a%00%0Ab c%C2%85\u00fc"


@given(flags())
def test_headers_can_always_be_built_and_are_utf8(flag: Flag) -> None:
    found = headers_of(flag)
    assert all(found.values())
    assert all(value.isprintable() for value in found.values())


def test_times_are_rfc3339_to_the_millisecond() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1) == "1970-01-01T00:00:00.001Z"
    assert rfc3339(253_402_300_799_999) == "9999-12-31T23:59:59.999Z"
