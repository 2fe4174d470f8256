from __future__ import annotations

import sys
from dataclasses import fields as dataclass_fields
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import ABSENT, ABSENT_MS, Events, Surface, Topic, Verb
from schemas.decode import decode_batch
from schemas.events import RECORD_BYTES_MAX, TS_MS_MAX, Event
from schemas.explain import DUPLICATE, explain
from schemas.hashing import hash_id
from schemas.refusals import Reason, Refusal
from tests.schemas.strategies import STRUCT, events, json_values, nearly, topics

NOW = 1_764_000_000_000
DAY = 86_400_000

LIKE: dict[str, Any] = {
    "event_id": "e1", "ts": NOW, "actor_id": "u1", "action": "like", "note_id": "n1", "author_id": "u9",
}  # fmt: skip
FOLLOW: dict[str, Any] = {"event_id": "e1", "ts": NOW, "actor_id": "u1", "action": "follow", "target_id": "u9"}
SEARCH: dict[str, Any] = {"event_id": "e1", "ts": NOW, "actor_id": "u1", "query": "Red  Shoes"}
CLICK: dict[str, Any] = {"clicked_note_id": "n1", "clicked_author_id": "u9", "position": 3}
BASE = {Topic.LIKES: LIKE, Topic.FOLLOWS: FOLLOW, Topic.SEARCHES: SEARCH}


def at(*times_ms: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(times_ms, np.int64)


def decode(topic: Topic, record: Any, arrival_ms: int | None = NOW) -> Events | Refusal:
    value = record if record is None or isinstance(record, bytes) else msgspec.json.encode(record)
    found, refused = decode_batch(topic, [value], None if arrival_ms is None else at(arrival_ms))
    assert len(found) + len(refused) == 1
    return refused[0] if refused else found


def refusal(topic: Topic, record: Any, arrival_ms: int | None = NOW) -> Refusal:
    outcome = decode(topic, record, arrival_ms)
    assert isinstance(outcome, Refusal)
    return outcome


def rows(found: Events) -> list[tuple[Any, ...]]:
    """Return the columns as a list of rows, without where they lay in the batch."""
    columns = [getattr(found, field.name) for field in dataclass_fields(found) if field.name not in {"topic", "row"}]
    lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    return list(zip(*lists, strict=True))


class TestColumns:
    def test_a_like_names_note_and_owner(self) -> None:
        record = LIKE | {
            "action": "unlike", "surface": "feed", "actor_created_at": 5, "device_id": "d", "ip_prefix": "p",
        }  # fmt: skip
        found = decode(Topic.LIKES, record)
        assert isinstance(found, Events)
        assert found.verb.tolist() == [Verb.UNLIKE]
        assert found.actor.tolist() == [hash_id("u1")]
        assert found.event.tolist() == [hash_id("e1")]
        assert found.subject.tolist() == [hash_id("n1")]
        assert found.owner.tolist() == [hash_id("u9")]
        assert found.item.tolist() == [ABSENT]
        assert found.device.tolist() == [hash_id("d")]
        assert found.ip_prefix.tolist() == [hash_id("p")]
        assert found.created_at.tolist() == [5]
        assert found.surface.tolist() == [Surface.FEED]
        assert (found.actor_ids, found.subject_ids, found.owner_ids, found.item_ids) == (["u1"], ["n1"], ["u9"], [None])

    def test_a_follow_names_the_account(self) -> None:
        found = decode(Topic.FOLLOWS, FOLLOW)
        assert isinstance(found, Events)
        assert found.verb.tolist() == [Verb.FOLLOW]
        assert found.subject.tolist() == [hash_id("u9")]
        assert found.owner.tolist() == [ABSENT]
        assert found.created_at.tolist() == [ABSENT_MS]
        assert found.surface.tolist() == [Surface.ABSENT]

    def test_a_search_becomes_its_keyword_and_its_click(self) -> None:
        found = decode(Topic.SEARCHES, SEARCH | CLICK)
        assert isinstance(found, Events)
        assert found.verb.tolist() == [Verb.SEARCH]
        assert found.subject_ids == ["red shoes"]
        assert found.subject.tolist() == [hash_id("red shoes")]
        assert found.owner.tolist() == [hash_id("u9")]
        assert found.item.tolist() == [hash_id("n1")]
        assert found.position.tolist() == [3]

    def test_columns_have_the_types_that_compiled_code_was_made_for_in_every_batch(self) -> None:
        for topic, base in BASE.items():
            empty, _ = decode_batch(topic, [], at())
            full = decode(topic, base)
            assert isinstance(full, Events)
            for field in dataclass_fields(Events):
                column = getattr(full, field.name)
                if isinstance(column, np.ndarray):
                    assert column.dtype == getattr(empty, field.name).dtype, field.name
                    assert column.flags.writeable, field.name
                    assert column.flags.c_contiguous, field.name

    def test_a_position_beyond_the_column_is_capped(self) -> None:
        found = decode(Topic.SEARCHES, SEARCH | CLICK | {"position": 2**64})
        assert isinstance(found, Events)
        assert found.position.tolist() == [65_535]

    def test_without_record_timestamps_nothing_is_too_early_or_too_late(self) -> None:
        found = decode(Topic.LIKES, LIKE | {"ts": 0}, None)
        assert isinstance(found, Events)
        assert found.arrival.tolist() == [0]

    def test_fields_may_come_in_any_order_and_with_others_between(self) -> None:
        record = {"v": 2, "nested": {"ts": "x"}} | dict(reversed(LIKE.items())) | {"more": [1, None]}
        assert isinstance(decode(Topic.LIKES, record), Events)

    def test_null_in_an_optional_field_is_the_field_left_out(self) -> None:
        nulls = dict.fromkeys(
            (
                "actor_created_at",
                "device_id",
                "ip_prefix",
                "surface",
                "clicked_note_id",
                "clicked_author_id",
                "position",
            )
        )
        found, plain = decode(Topic.SEARCHES, SEARCH | nulls), decode(Topic.SEARCHES, SEARCH)
        assert isinstance(found, Events)
        assert isinstance(plain, Events)
        assert rows(found) == rows(plain)

    def test_ids_are_opaque(self) -> None:
        found = decode(Topic.LIKES, LIKE | {"actor_id": "a\x00\nb \u202e"})
        assert isinstance(found, Events)
        assert found.actor_ids == ["a\x00\nb \u202e"]


REFUSED: list[tuple[Topic, Any, Reason, str]] = [
    (Topic.LIKES, None, Reason.NULL_VALUE, "no value"),
    (Topic.LIKES, b"", Reason.NOT_JSON, "0 bytes"),
    (Topic.LIKES, b" ", Reason.NOT_JSON, ""),
    (Topic.LIKES, b"not json", Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE)[:-1], Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE) + b"x", Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE) * 2, Reason.NOT_JSON, ""),
    (Topic.LIKES, b"\xef\xbb\xbf" + orjson.dumps(LIKE), Reason.NOT_JSON, ""),  # a byte order mark
    (Topic.LIKES, orjson.dumps(LIKE).decode().encode("utf-16"), Reason.NOT_UTF8, ""),
    (Topic.LIKES, orjson.dumps(LIKE).replace(b'"u1"', b'"\xff"'), Reason.NOT_UTF8, "byte "),
    (Topic.LIKES, orjson.dumps(LIKE).replace(b'"u1"', b'"\xed\xa0\x80"'), Reason.NOT_UTF8, ""),
    (Topic.LIKES, orjson.dumps(LIKE).replace(b'"u1"', b'"\\ud800"'), Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE).replace(b'"u1"', b'"a\nb"'), Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE).replace(str(NOW).encode(), b"NaN"), Reason.NOT_JSON, ""),
    (Topic.LIKES, orjson.dumps(LIKE).replace(str(NOW).encode(), b"1e400"), Reason.OUT_OF_RANGE, "range"),
    (Topic.LIKES, orjson.dumps(LIKE).replace(str(NOW).encode(), b"9" * 5_000), Reason.OUT_OF_RANGE, "range"),
    (Topic.LIKES, orjson.dumps(LIKE)[:-1] + b',"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", Reason.TOO_DEEP, ""),
    (Topic.LIKES, orjson.dumps(LIKE | {"x": "y" * RECORD_BYTES_MAX}), Reason.TOO_LARGE, "65536"),
    (Topic.LIKES, orjson.dumps(LIKE)[:-1] + b',"note_id":5,"note_id":"n1"}', Reason.DUPLICATE_FIELD, "twice"),
    (Topic.LIKES, [LIKE], Reason.NOT_OBJECT, "an array of 1"),
    (Topic.LIKES, "like", Reason.NOT_OBJECT, "a string of 4"),
    (Topic.LIKES, 5, Reason.NOT_OBJECT, ""),
    (Topic.LIKES, {}, Reason.MISSING_FIELD, "event_id"),
    (Topic.FOLLOWS, LIKE, Reason.UNKNOWN_ACTION, '"like"; it must be one of "follow", "unfollow"'),
    (Topic.SEARCHES, LIKE, Reason.MISSING_FIELD, "query"),
    (Topic.LIKES, LIKE | {"action": "Like"}, Reason.UNKNOWN_ACTION, '"Like"'),
    (Topic.LIKES, LIKE | {"action": ""}, Reason.UNKNOWN_ACTION, ""),
    (Topic.LIKES, LIKE | {"action": 1}, Reason.WRONG_TYPE, "action is 1"),
    (Topic.LIKES, LIKE | {"surface": "lobby"}, Reason.UNKNOWN_SURFACE, '"lobby"'),
    (Topic.LIKES, LIKE | {"surface": 3}, Reason.WRONG_TYPE, "surface"),
    (Topic.LIKES, LIKE | {"actor_id": ""}, Reason.ID_EMPTY, "actor_id"),
    (Topic.LIKES, LIKE | {"actor_id": "x" * 129}, Reason.ID_TOO_LONG, "129 bytes"),
    (Topic.LIKES, LIKE | {"actor_id": "\u00fc" * 65}, Reason.ID_TOO_LONG, "130 bytes"),
    (Topic.LIKES, LIKE | {"device_id": ""}, Reason.ID_EMPTY, "device_id"),
    (Topic.LIKES, LIKE | {"ip_prefix": "\u00fc" * 65}, Reason.ID_TOO_LONG, "ip_prefix"),
    (Topic.LIKES, LIKE | {"ts": None}, Reason.WRONG_TYPE, "ts is null; it is required"),
    (Topic.LIKES, LIKE | {"ts": "1764000000000"}, Reason.WRONG_TYPE, '"1764000000000"'),
    (Topic.LIKES, LIKE | {"ts": 1764000000000.0}, Reason.WRONG_TYPE, "1764000000000.0"),
    (Topic.LIKES, LIKE | {"ts": 1.5}, Reason.WRONG_TYPE, "1.5"),
    (Topic.LIKES, LIKE | {"ts": True}, Reason.WRONG_TYPE, "ts is true"),
    (Topic.LIKES, LIKE | {"ts": [NOW]}, Reason.WRONG_TYPE, "an array of 1"),
    (Topic.LIKES, LIKE | {"actor_created_at": -1}, Reason.OUT_OF_RANGE, "actor_created_at is -1"),
    (Topic.LIKES, LIKE | {"actor_created_at": "2020"}, Reason.WRONG_TYPE, "actor_created_at"),
    (Topic.LIKES, LIKE | {"ts": NOW + 300_001}, Reason.TS_IN_FUTURE, "300001 ms ahead"),
    (Topic.LIKES, LIKE | {"ts": TS_MS_MAX + 1}, Reason.TS_IN_FUTURE, "ahead"),
    (Topic.LIKES, LIKE | {"ts": NOW - 7 * DAY - 1}, Reason.TS_TOO_OLD, "604800001 ms behind"),
    (Topic.LIKES, LIKE | {"ts": -5}, Reason.TS_TOO_OLD, "behind"),
    (Topic.LIKES, LIKE | {"ts": NOW // 1000}, Reason.TS_TOO_OLD, "behind"),  # seconds for milliseconds
    (Topic.SEARCHES, SEARCH | {"query": ""}, Reason.QUERY_LENGTH, "0 characters"),
    (Topic.SEARCHES, SEARCH | {"query": "x" * 257}, Reason.QUERY_LENGTH, "257 characters"),
    (Topic.SEARCHES, SEARCH | {"query": " \u3000\t"}, Reason.QUERY_BLANK, "white space"),
    (Topic.SEARCHES, SEARCH | {"query": ["red"]}, Reason.WRONG_TYPE, "query"),
    (Topic.SEARCHES, SEARCH | CLICK | {"position": 0}, Reason.OUT_OF_RANGE, "position is 0"),
    (Topic.SEARCHES, SEARCH | CLICK | {"position": 1.0}, Reason.WRONG_TYPE, "position is 1.0"),
    (Topic.SEARCHES, SEARCH | CLICK | {"position": None}, Reason.INCOMPLETE_CLICK, "position missing"),
    (Topic.SEARCHES, SEARCH | {"position": 1}, Reason.INCOMPLETE_CLICK, "clicked_note_id and clicked_author_id"),
    (Topic.SEARCHES, SEARCH | {"clicked_note_id": "n1"}, Reason.INCOMPLETE_CLICK, "clicked_author_id and position"),
    (Topic.SEARCHES, SEARCH | CLICK | {"clicked_note_id": ""}, Reason.ID_EMPTY, "clicked_note_id"),
    (Topic.SEARCHES, SEARCH | CLICK | {"clicked_author_id": "\u00fc" * 65}, Reason.ID_TOO_LONG, "clicked_author_id"),
]


class TestRefusals:
    @pytest.mark.parametrize(("topic", "record", "reason", "told"), REFUSED)
    def test_each_breach_has_its_own_reason_and_says_what_it_found(
        self, topic: Topic, record: Any, reason: Reason, told: str
    ) -> None:
        found = refusal(topic, record)
        assert found.reason is reason
        assert told in found.detail
        assert found.detail.isprintable()
        assert len(found.detail) < 300

    @pytest.mark.parametrize("topic", list(Topic))
    def test_every_required_field_is_missed_by_its_name(self, topic: Topic) -> None:
        for name in BASE[topic]:
            record = {field: value for field, value in BASE[topic].items() if field != name}
            assert refusal(topic, record) == Refusal(0, Reason.MISSING_FIELD, f"{name} is missing")

    def test_limits_themselves_are_allowed(self) -> None:
        for record in (
            LIKE | {"actor_id": "x" * 128},
            LIKE | {"actor_id": "\u00fc" * 64},
            LIKE | {"actor_id": "x"},
            LIKE | {"ts": NOW + 300_000},
            LIKE | {"ts": NOW - 7 * DAY},
            LIKE | {"actor_created_at": 0},
            LIKE | {"x": "y" * (RECORD_BYTES_MAX - len(orjson.dumps(LIKE | {"x": ""})))},
        ):
            assert isinstance(decode(Topic.LIKES, record), Events)
        for record in (
            SEARCH | {"query": "x" * 256},
            SEARCH | {"query": "\U0001f45f" * 256},
            SEARCH | CLICK | {"position": 1},
        ):
            assert isinstance(decode(Topic.SEARCHES, record), Events)

    def test_a_time_beyond_the_calendar_is_out_of_range_where_no_clock_tells_more(self) -> None:
        for ts in (-1, TS_MS_MAX + 1, 2**63, -(2**80)):
            found = decode(Topic.LIKES, orjson.dumps(LIKE).replace(str(NOW).encode(), str(ts).encode()), None)
            assert isinstance(found, Refusal)
            assert found.reason is Reason.OUT_OF_RANGE

    @pytest.mark.parametrize("name", ["device_id", "ip_prefix"])
    @pytest.mark.parametrize("value", ["s3cret" * 30, 73577357, 7357.7357, ["s3cret"], {"s3cret": 1}, True])
    def test_devices_and_addresses_are_never_told(self, name: str, value: Any) -> None:
        found = refusal(Topic.LIKES, LIKE | {name: value})
        assert name in found.detail
        assert "s3cret" not in found.detail
        assert "7357" not in found.detail

    def test_a_whole_record_of_another_shape_is_never_told(self) -> None:
        assert "s3cret" not in refusal(Topic.LIKES, '{"device_id": "s3cret"}').detail

    def test_refused_rows_are_told_in_order_and_the_others_go_on(self) -> None:
        good = orjson.dumps(LIKE)
        values = [
            good,
            None,
            orjson.dumps(LIKE | {"actor_id": "\u00fc" * 65}),
            good,
            b"x",
            orjson.dumps(LIKE | {"ts": NOW + DAY}),
            b"y" * (RECORD_BYTES_MAX + 1),
            good,
        ]
        found, refused = decode_batch(Topic.LIKES, values, np.full(len(values), NOW, np.int64))
        assert found.row.tolist() == [0, 3, 7]
        assert [(refusal.row, refusal.reason) for refusal in refused] == [
            (1, Reason.NULL_VALUE),
            (2, Reason.ID_TOO_LONG),
            (4, Reason.NOT_JSON),
            (5, Reason.TS_IN_FUTURE),
            (6, Reason.TOO_LARGE),
        ]

    def test_each_record_is_held_against_its_own_timestamp(self) -> None:
        values = [orjson.dumps(LIKE)] * 3
        found, refused = decode_batch(Topic.LIKES, values, at(NOW - 300_001, NOW, NOW + 7 * DAY + 1))
        assert found.row.tolist() == [1]
        assert found.arrival.tolist() == [NOW]
        assert [refusal.reason for refusal in refused] == [Reason.TS_IN_FUTURE, Reason.TS_TOO_OLD]

    def test_a_batch_of_nothing_but_bad_records_is_fine(self) -> None:
        found, refused = decode_batch(Topic.SEARCHES, [None, b"", b"{"], at(1, 2, 3))
        assert len(found) == 0
        assert [refusal.row for refusal in refused] == [0, 1, 2]


class TestProperties:
    @given(topics, st.lists(st.none() | st.binary(max_size=200), max_size=20))
    def test_arbitrary_bytes_never_raise(self, topic: Topic, values: list[bytes | None]) -> None:
        found, refused = decode_batch(topic, values, np.zeros(len(values), np.int64))
        assert sorted([*found.row.tolist(), *(refusal.row for refusal in refused)]) == list(range(len(values)))

    @given(topics, st.lists(json_values, max_size=8), st.integers(-(2**63), 2**63 - 1))
    def test_arbitrary_json_never_raises(self, topic: Topic, records: list[Any], arrival_ms: int) -> None:
        values = [msgspec.json.encode(record) for record in records]
        found, refused = decode_batch(topic, values, np.full(len(values), arrival_ms, np.int64))
        assert len(found) + len(refused) == len(values)

    @given(st.data(), topics)
    def test_what_is_encoded_is_decoded(self, data: st.DataObject, topic: Topic) -> None:
        event: Event = data.draw(events(topic))
        value = msgspec.json.encode(event)
        assert msgspec.json.decode(value, type=STRUCT[topic]) == event
        found = decode(topic, value, None)
        assert isinstance(found, Events)
        assert found.actor_ids == [event.actor_id]
        assert found.ts.tolist() == [event.ts]
        assert found.device.tolist() == [hash_id(event.device_id) if event.device_id else 0]

    @given(st.data(), topics)
    def test_a_reason_fits_what_was_changed(self, data: st.DataObject, topic: Topic) -> None:
        record = data.draw(nearly(topic))
        value = msgspec.json.encode(record)
        outcome = decode(topic, value, None)
        # The typed parse and the second look judge alike: the reason of last resort is for what is accepted.
        assert (explain(topic, value, None) == DUPLICATE) == isinstance(outcome, Events)
        if isinstance(outcome, Refusal):
            assert outcome.detail.isprintable()
        else:
            assert msgspec.convert(record, STRUCT[topic]).actor_id == outcome.actor_ids[0]

    @given(st.data(), topics)
    def test_where_a_batch_is_cut_makes_no_difference(self, data: st.DataObject, topic: Topic) -> None:
        encoded = nearly(topic).map(msgspec.json.encode)
        values: list[bytes | None] = data.draw(st.lists(st.none() | st.binary(max_size=40) | encoded, max_size=8))
        arrival = np.array([data.draw(st.integers(0, TS_MS_MAX)) for _ in values], np.int64)
        cut = data.draw(st.integers(0, len(values)))
        whole, whole_refused = decode_batch(topic, values, arrival)
        first, first_refused = decode_batch(topic, values[:cut], arrival[:cut])
        second, second_refused = decode_batch(topic, values[cut:], arrival[cut:])
        assert rows(first) + rows(second) == rows(whole)
        assert [*first.row.tolist(), *(second.row + cut).tolist()] == whole.row.tolist()
        moved = [Refusal(refusal.row + cut, refusal.reason, refusal.detail) for refusal in second_refused]
        assert first_refused + moved == whole_refused


def test_deep_nesting_is_survived_from_deep_in_the_stack() -> None:
    value = orjson.dumps(LIKE)[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}"

    def sink(depth: int) -> int:
        if depth:
            return sink(depth - 1)
        found, refused = decode_batch(Topic.LIKES, [value] * 2, at(NOW, NOW))
        return len(found) + len(refused)

    assert sink(sys.getrecursionlimit() // 2) == 2
