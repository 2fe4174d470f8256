from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.flags import Kind, flag_id
from schemas.refusals import Reason, Refusal
from schemas.verdicts import Judgement, Verdict, decode_verdict, encode_verdict
from tests.schemas.strategies import characters, ids, json_values, times

FLAG_ID = flag_id(Kind.LIKE_BOOST, "n1", 1)
VERDICT: dict[str, Any] = {"flag_id": FLAG_ID, "ts": 5, "verdict": "confirmed", "by": "kim"}

verdicts = st.builds(
    Verdict,
    flag_id=st.uuids().map(str),
    ts=times,
    verdict=st.sampled_from(Judgement),
    by=ids,
    note=st.none() | st.text(characters, max_size=2_000),
)


@given(verdicts)
def test_a_verdict_survives_the_wire(verdict: Verdict) -> None:
    assert decode_verdict(encode_verdict(verdict)) == verdict


def test_a_verdict_may_have_a_note_and_more() -> None:
    found = decode_verdict(orjson.dumps(VERDICT | {"note": "seen in the press", "ticket": 7}))
    assert found == Verdict(FLAG_ID, 5, Judgement.CONFIRMED, "kim", "seen in the press")


@pytest.mark.parametrize(
    ("record", "reason", "told"),
    [
        (None, Reason.NULL_VALUE, "no value"),
        (b"{", Reason.NOT_JSON, ""),
        (b"\xff", Reason.NOT_UTF8, ""),
        ([], Reason.NOT_OBJECT, ""),
        ({}, Reason.MISSING_FIELD, "flag_id is missing"),
        (b"x" * 65_537, Reason.TOO_LARGE, ""),
        (VERDICT | {"flag_id": "n1"}, Reason.NOT_A_FLAG_ID, '"n1"'),
        (VERDICT | {"flag_id": FLAG_ID.upper()}, Reason.NOT_A_FLAG_ID, "lower case"),
        (VERDICT | {"flag_id": FLAG_ID + "\n"}, Reason.NOT_A_FLAG_ID, ""),
        (VERDICT | {"flag_id": 1}, Reason.WRONG_TYPE, "flag_id"),
        (VERDICT | {"ts": "now"}, Reason.WRONG_TYPE, "ts"),
        (VERDICT | {"ts": -1}, Reason.OUT_OF_RANGE, "ts"),
        (VERDICT | {"verdict": "perhaps"}, Reason.UNKNOWN_VERDICT, '"perhaps"'),
        (VERDICT | {"by": ""}, Reason.ID_EMPTY, "by"),
        (VERDICT | {"by": "\u00fc" * 65}, Reason.ID_TOO_LONG, "by has 130 bytes"),
        (VERDICT | {"note": 1}, Reason.WRONG_TYPE, "note"),
        (VERDICT | {"note": "x" * 2_001}, Reason.TEXT_TOO_LONG, "2001 characters"),
        (orjson.dumps(VERDICT)[:-1] + b',"ts":"x","ts":5}', Reason.DUPLICATE_FIELD, "twice"),
    ],
)
def test_each_breach_has_its_own_reason(record: Any, reason: Reason, told: str) -> None:
    value = record if record is None or isinstance(record, bytes) else orjson.dumps(record)
    found = decode_verdict(value, 7)
    assert isinstance(found, Refusal)
    assert (found.row, found.reason) == (7, reason)
    assert told in found.detail


@given(st.none() | st.binary() | json_values.map(msgspec.json.encode))
def test_arbitrary_bytes_never_raise(value: bytes | None) -> None:
    assert isinstance(decode_verdict(value), (Verdict, Refusal))
