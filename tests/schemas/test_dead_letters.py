from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letters import CONTEXTS_MAX, OFFSET, TOPIC, Context, Header, headers, read_headers
from schemas.refusals import Reason
from tests.schemas.strategies import characters

names = st.text(characters, min_size=1, max_size=20) | st.just(OFFSET)
original = st.lists(st.tuples(names.filter(lambda name: name != TOPIC), st.none() | st.binary(max_size=20)), max_size=4)


def a_context(offset: int, reason: Reason = Reason.NOT_JSON, detail: str = "x") -> Context:
    return Context("likes", 3, offset, "VALUE_CONVERTER", reason.value, f"{reason.value}: {detail}")


def refused(times: int, producers: list[Header]) -> list[Header]:
    """Return the headers of a record that was refused, sent again with all its headers, and refused again."""
    found = producers
    for offset in range(times):
        found = headers("likes", 3, offset, Reason.NOT_JSON, "x", found)
    return found


def test_context_is_in_the_header_names_of_kafka_connect() -> None:
    assert headers("likes", 3, 41, Reason.UNKNOWN_ACTION, 'action is "love"', [("trace", b"1"), ("n", None)]) == [
        ("trace", b"1"),
        ("n", None),
        ("__connect.errors.topic", b"likes"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"41"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.exception.message", b'unknown_action: action is "love"'),
        ("boostwatch.errors.reason", b"unknown_action"),
    ]


@given(original, st.integers(1, 5))
def test_what_was_written_is_read_back_and_the_producers_headers_are_untouched(
    producers: list[Header], times: int
) -> None:
    letter = read_headers(refused(times, producers))
    assert letter is not None
    assert letter.contexts == [a_context(offset) for offset in range(times)]
    assert letter.last == a_context(times - 1)
    assert letter.original_headers == producers


def test_the_first_refusal_is_never_lost_and_the_headers_do_not_grow_for_ever() -> None:
    letter = read_headers(refused(50, [("trace", b"1")]))
    assert letter is not None
    assert len(letter.contexts) == CONTEXTS_MAX
    assert [context.offset for context in letter.contexts] == [0, 43, 44, 45, 46, 47, 48, 49]
    assert letter.original_headers == [("trace", b"1")]


def test_a_context_of_another_program_is_kept_beside_ours() -> None:
    theirs: list[Header] = [(TOPIC, b"orders"), ("__connect.errors.exception.message", b"boom"), (OFFSET, b"-1")]
    letter = read_headers(headers("likes", 3, 0, Reason.NOT_JSON, "x", theirs))
    assert letter is not None
    assert letter.contexts == [Context("orders", None, None, None, None, "boom"), a_context(0)]


def test_a_record_without_context_is_no_dead_letter() -> None:
    assert read_headers([]) is None
    assert read_headers([("trace", b"1"), (OFFSET, b"5")]) is None


def test_a_long_detail_is_cut() -> None:
    found = dict(headers("likes", 3, 0, Reason.NOT_JSON, "x" * 100_000, []))
    assert len(found["__connect.errors.exception.message"] or b"") == 1_000


@given(st.lists(st.tuples(st.sampled_from([TOPIC, OFFSET, "a"]), st.none() | st.binary(max_size=30)), max_size=10))
def test_arbitrary_headers_never_raise(found: list[Header]) -> None:
    letter = read_headers(found)
    assert (letter is None) == all(name != TOPIC for name, _ in found)
