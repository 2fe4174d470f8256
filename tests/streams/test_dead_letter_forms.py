from __future__ import annotations

import numpy as np
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from schemas import dead_letters as wire
from schemas.refusals import Reason
from streams.commits import Partition
from streams.dead_letters import (
    MENDED_BYTES_MAX,
    MENDED_HEADER,
    Refusals,
    StreamReason,
    letter,
    mended,
    unreadable,
)
from streams.fetched import FetchedBatch
from streams.logs import SELDOM_S

LIKES = Partition("likes", 3)


def batch(value: bytes | None, timestamp_ms: int = 5, headers: list[wire.Header] | None = None) -> FetchedBatch:
    return FetchedBatch(
        LIKES, [value], [b"key"], np.array([7]), np.array([timestamp_ms]), {0: headers} if headers else {}, 8
    )


def test_a_dead_letter_is_the_record_as_it_came_and_where_it_came_from() -> None:
    made = letter(batch(b"\x00bad", headers=[("trace", None)]), 0, Reason.NOT_JSON, "why")
    assert (made.value, made.key, made.timestamp_ms) == (b"\x00bad", b"key", 5)
    assert made.headers[0] == ("trace", None)
    found = wire.read_headers(made.headers)
    assert found is not None
    assert (found.last.topic, found.last.partition, found.last.offset) == ("likes", 3, 7)


def test_a_record_without_a_timestamp_gets_the_time_of_writing() -> None:
    assert letter(batch(b"x", timestamp_ms=-1), 0, Reason.NOT_JSON, "").timestamp_ms is None


def test_mending_cuts_what_is_large_and_keeps_why_and_where() -> None:
    made = letter(batch(b"x" * 1_000_000, headers=[("large", b"y" * 1_000_000)]), 0, Reason.TOO_LARGE, "why")
    short = mended(made, MessageSizeTooLargeError())
    assert short.value == b"x" * MENDED_BYTES_MAX
    assert short.timestamp_ms is None
    assert dict(short.headers)[MENDED_HEADER].startswith(b"MessageSizeTooLargeError: value of 1000000 bytes")  # type: ignore[union-attr]
    found = wire.read_headers(short.headers)
    assert found is not None
    assert (found.last.offset, found.last.reason) == (7, "too_large")
    assert [name for name, _ in found.original_headers] == [MENDED_HEADER]


def test_what_cannot_be_read_still_has_its_place() -> None:
    lost = FetchedBatch(LIKES, [], [], np.empty(0, np.int64), np.empty(0, np.int64), {}, 12, unreadable=2)
    letters = list(unreadable(lost))
    assert [one.reason for one in letters] == [StreamReason.UNREADABLE] * 2
    assert [dict(one.headers)[wire.OFFSET] for one in letters] == [b"10", b"11"]


def test_a_flood_of_refusals_is_a_line_for_each_reason_now_and_then_and_says_nothing_of_what_was_in_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 100.0
    refusals = Refusals(lambda: now_s)
    wrong, blank = (letter(batch(b"secret"), 0, reason, "secret") for reason in (Reason.WRONG_TYPE, Reason.QUERY_BLANK))
    refusals.tell([wrong, blank, wrong])
    refusals.tell([wrong] * 5)
    now_s += SELDOM_S
    refusals.tell([wrong])
    told = [record.__dict__["fields"] for record in caplog.records]
    assert [(one["reason"], one["records"]) for one in told] == [
        ("query_blank", 1),
        ("wrong_type", 2),
        ("wrong_type", 6),
    ]
    assert (told[0]["topic"], told[0]["partition"], told[0]["offset"]) == ("likes", 3, 7)
    assert "secret" not in str(told) + caplog.text
