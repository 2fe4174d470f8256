"""The scanner may decline whatever it likes, but what it takes it must read as the typed parse does."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.columns import Events, Topic
from schemas.decode import PAD, decode_batch, decode_spans
from schemas.events import RECORD_BYTES_MAX, TS_MS_MAX
from schemas.scan import room, scan
from schemas.scan_layout import LAYOUTS, NAME_BYTES_MAX
from schemas.typed import decode_typed
from tests.schemas.strategies import STRUCT, nearly, topics

NOW = 1_764_000_000_000

FULL = {
    Topic.LIKES: b'{"event_id":"326d582b4fb60aed","ts":1764000000000,"actor_id":"u6fabe0","action":"like",'
    b'"note_id":"n247456","author_id":"ud0e64e","actor_created_at":1759893546967,"device_id":"de9265937bf3a",'
    b'"ip_prefix":"p2acdfd46","surface":"note"}',
    Topic.FOLLOWS: b'{"event_id":"6a069bfeaf49ce8d","ts":1764000000000,"actor_id":"u1","action":"unfollow",'
    b'"target_id":"u3fdc96","actor_created_at":0,"device_id":null,"ip_prefix":"p","surface":"external"}',
    Topic.SEARCHES: b'{"event_id":"f","ts":1764000000000,"actor_id":"ub8ebae","query":" Red  SHOES ",'
    b'"clicked_note_id":"n1","clicked_author_id":"u2","position":70000,"surface":"search"}',
}

ascii_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=140)
wide_texts = st.text(st.sampled_from("aÄ é\u3000ß\u00a0ﬁ👟"), max_size=260)
numbers = st.sampled_from([
    "0", "-0", "00", "01", "1", "-1", "1.0", "1.", ".5", "-", "1e3", "1E+3", "-1.5", "12345678901234567890", str(2**63),
    str(2**64), "9" * 15, "1" + "0" * 15, "9" * 16, "9" * 400, str(NOW), f"{NOW}.0", str(TS_MS_MAX), str(TS_MS_MAX + 1),
    "NaN", "Infinity", "0x1", "1_000", "+1", "1764000000000e0", "0.1234567890123456789", "65535", "65536",
])  # fmt: skip
oddities = st.sampled_from([
    "null", "true", "false", "nul", "True", "nulll",
    "[]", "{}", '[1,{"a":"b"}]', '{"ts":1}', '""', '"\\u0041"', '"a\\"b"',
    '"\\ud800"', '"é"', '"\x7f"', '"\x1f"', '"\n"', '"', "'a'", '"like"', '"feed"', '"A  b "', "", ' " " ',
])  # fmt: skip
values = (
    numbers
    | oddities
    | ascii_texts.map(lambda text: f'"{text}"')
    | st.sampled_from(["x" * 128, "x" * 129]).map(lambda text: f'"{text}"')
)
spaces = st.sampled_from(["", "", "", " ", "\t", "\n", "\r\n  ", "\x0b", "\x0c", "\x00", "\u00a0"])
strange_names = st.sampled_from([
    "v", "", "event_i", "event_idd", "clicked_Xuthor_id", "clicked_author_id_", "actor_iD", "Ts", "t", "a\\u0062", "ü",
    "clicked_noteXid", "x" * 17, "device_ix",
])  # fmt: skip


@st.composite
def texts_of_records(draw: st.DrawFn, topic: Topic) -> bytes:
    """Draw a record as somebody might have written it by hand: order, spaces, fields twice, odd values."""
    names = list(STRUCT[topic].__struct_fields__)
    full: dict[str, Any] = msgspec.json.decode(FULL[topic])
    pairs = [(name, msgspec.json.encode(full[name]).decode()) for name in names if name in full]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(names) | strange_names)
        place = draw(st.integers(0, len(pairs)))
        pairs.insert(place, (name, draw(values)))
        if draw(st.booleans()):
            pairs = [pair for index, pair in enumerate(pairs) if pair[0] != name or index == place]
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    space = draw(spaces)
    text = f",{space}".join(f'"{name}"{space}:{draw(st.sampled_from(["", space]))}{value}' for name, value in pairs)
    return f"{space}{{{space}{text}{space}}}{space}".encode()


@st.composite
def mangled(draw: st.DrawFn, topic: Topic) -> bytes:
    """Draw a record of which some bytes are lost, doubled or others."""
    value = draw(st.just(FULL[topic]) | texts_of_records(topic))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        piece = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b",", b"}", b"{", b":", b"\xef\xbb\xbf", b"0"])
        )
        value = value[:at] + piece + value[at + draw(st.integers(0, 4)) :]
    return value[: draw(st.integers(0, len(value)))] if draw(st.integers(0, 4)) == 0 else value


def told(events: Events) -> dict[str, list[Any]]:
    columns = {field.name: getattr(events, field.name) for field in dataclass_fields(events) if field.name != "topic"}
    return {
        name: column.tolist() if isinstance(column, np.ndarray) else list(column) for name, column in columns.items()
    }


def assert_alike(topic: Topic, records: list[bytes | None], arrival: np.ndarray[Any, Any] | None) -> None:
    events, refusals = decode_batch(topic, records, arrival)
    right, rightly_refused = decode_typed(topic, records, arrival)
    assert told(events) == told(right)
    assert refusals == rightly_refused
    for field in dataclass_fields(Events):
        column, other = getattr(events, field.name), getattr(right, field.name)
        if isinstance(column, np.ndarray):
            assert column.dtype == other.dtype, field.name
            assert column.flags.writeable, field.name
            assert column.flags.c_contiguous, field.name


def scanned(topic: Topic, value: bytes) -> int:
    data = np.frombuffer(value + PAD, np.uint8)
    out = room(1, len(value))
    return scan(data, np.array([0]), np.array([len(value)]), np.empty(0, np.int64), LAYOUTS[topic], out)[0]


@settings(deadline=None, max_examples=400)
@given(st.data(), topics)
def test_what_is_scanned_and_what_is_not_reads_as_by_the_typed_parse(data: st.DataObject, topic: Topic) -> None:
    whole = st.none() | st.just(FULL[topic]) | nearly(topic).map(msgspec.json.encode)
    records = data.draw(st.lists(texts_of_records(topic) | mangled(topic) | whole, min_size=1, max_size=6))
    times = st.integers(NOW - 604_800_002, NOW + 300_002) | st.sampled_from([NOW, 0, -(2**63), 2**63 - 1])
    arrival = np.array([data.draw(times) for _ in records], np.int64) if data.draw(st.booleans()) else None
    assert_alike(topic, records, arrival)


@settings(deadline=None)
@given(topics, st.lists(st.binary(max_size=60), max_size=8))
@example(Topic.LIKES, [])
def test_bytes_of_any_kind_are_judged_alike(topic: Topic, records: list[bytes]) -> None:
    assert_alike(topic, [*records], None)


@settings(deadline=None)
@given(st.data(), topics)
def test_records_side_by_side_do_not_run_into_each_other(data: st.DataObject, topic: Topic) -> None:
    value = FULL[topic]
    cut = data.draw(st.integers(0, len(value)))
    assert_alike(topic, [value[:cut], value[cut:], value], None)


@pytest.mark.parametrize("topic", list(Topic))
def test_ordinary_records_are_scanned_and_not_parsed(topic: Topic) -> None:
    value = FULL[topic]
    assert scanned(topic, value) == 1
    assert scanned(topic, value.replace(b",", b" ,\n\t").replace(b":", b" : ")) == 1
    assert scanned(topic, value[:-1] + b',"v":2,"w":-1.5,"x":"y","clicked":true,"z":null,"":false}\r') == 1
    assert scanned(topic, value[:-1] + b',"v":[]}') == 0


@pytest.mark.parametrize("topic", list(Topic))
def test_every_value_in_every_field_is_judged_alike(topic: Topic) -> None:
    odd = [
        b"0", b"-0", b"01", b"1.0", b"1e3", b"-5", b"9" * 15, b"9" * 20, b"null", b"true", b"[]", b"{}", b'""', b'"a"',
        b'"' + b"x" * 128 + b'"', b'"' + b"x" * 129 + b'"', b'"' + b"x " * 150 + b'"', b'"\\n"', b'"\x7f"', b'" "',
        '"\u00fc"'.encode(), b'"like"', b'"unlike"', b'"follow"', b'"likes"', b'"feed"', b'"external"', b'"externals"',
    ]  # fmt: skip
    full: dict[str, Any] = msgspec.json.decode(FULL[topic])
    records: list[bytes | None] = []
    for name in STRUCT[topic].__struct_fields__:
        others = msgspec.json.encode({key: value for key, value in full.items() if key != name})
        records += [others[:-1] + b',"' + name.encode() + b'":' + value + b"}" for value in odd]
        records += [others, others[:-1] + b',"' + name.encode() + b'x":1}']
    assert_alike(topic, records, None)


def test_a_record_over_the_limit_is_refused_however_plain_it_is() -> None:
    value = FULL[Topic.LIKES]
    fits = value[:-1] + b" " * (RECORD_BYTES_MAX - len(value)) + b"}"
    assert len(decode_batch(Topic.LIKES, [fits, fits + b" "], None)[0]) == 1
    assert_alike(Topic.LIKES, [fits, fits + b" ", value], None)


def test_queries_beyond_ascii_become_keywords_and_those_that_are_no_utf8_are_refused() -> None:
    queries = [
        "Röd  SKO", "\uff21\uff22", "\u3000", "\u3000x\u3000", "é" * 256, "é" * 257, "\U0001f45f" * 256, "Straße",
        "a" * 200, "a" * 257, "é" + "a" * 254, "é" + "a" * 300, "\u00a0", "ﷺ" * 256,
    ]  # fmt: skip
    raw = [query.encode() for query in queries]
    raw += [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xc3", b"\xf4\x90\x80\x80", b"\xc3\x28", b"\x80", b"\xef\xbb\xbf"]
    value = FULL[Topic.SEARCHES]
    assert_alike(Topic.SEARCHES, [value.replace(b" Red  SHOES ", query) for query in raw], None)
    assert scanned(Topic.SEARCHES, value.replace(b"Red", "Röd".encode())) == 1


def test_records_in_one_buffer_are_read_where_they_are_told_to_be() -> None:
    good, bad = FULL[Topic.SEARCHES], b'{"event_id":"\xc3\xbc"}'
    odd = good.replace(b"Red", "Röd".encode())
    pieces = [good, bad, b"skipped", odd, good]
    data = b"\n".join(pieces) + PAD
    ends = np.cumsum([len(piece) + 1 for piece in pieces]) - 1
    begins = ends - [len(piece) for piece in pieces]
    told_rows = [0, 1, 3, 4]
    events, refusals = decode_spans(Topic.SEARCHES, data, begins[told_rows], ends[told_rows])
    right, rightly_refused = decode_typed(Topic.SEARCHES, [good, bad, odd, good], None)
    assert told(events) == told(right)
    assert refusals == rightly_refused
    assert list(events.subject_ids) == ["red shoes", "röd shoes", "red shoes"]


def test_no_name_is_longer_than_what_tells_names_apart() -> None:
    names = [name for struct in STRUCT.values() for name in struct.__struct_fields__]
    assert max(map(len, names)) <= NAME_BYTES_MAX
