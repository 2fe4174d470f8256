"""Events, valid and nearly valid, as Hypothesis draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from schemas.columns import Topic
from schemas.events import TS_MS_MAX, Event, Follow, Like, Search
from schemas.text import normalise_query

STRUCT = {Topic.LIKES: Like, Topic.FOLLOWS: Follow, Topic.SEARCHES: Search}

topics = st.sampled_from(Topic)
characters = st.characters(exclude_categories=["Cs"])
times = st.integers(0, TS_MS_MAX)
ids = st.text(characters, min_size=1, max_size=128).filter(lambda text: len(text.encode()) <= 128)
queries = st.text(characters, min_size=1, max_size=256).filter(lambda text: bool(normalise_query(text)))
surfaces = st.sampled_from(["feed", "search", "profile", "note", "external"])

json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(characters),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def fields(draw: st.DrawFn, topic: Topic) -> dict[str, Any]:
    """Draw the fields of a valid event as they stand in its JSON."""
    record: dict[str, Any] = {"event_id": draw(ids), "ts": draw(times), "actor_id": draw(ids)}
    if topic is Topic.LIKES:
        record |= {"action": draw(st.sampled_from(["like", "unlike"])), "note_id": draw(ids), "author_id": draw(ids)}
    elif topic is Topic.FOLLOWS:
        record |= {"action": draw(st.sampled_from(["follow", "unfollow"])), "target_id": draw(ids)}
    else:
        record["query"] = draw(queries)
        if draw(st.booleans()):
            record |= {
                "clicked_note_id": draw(ids),
                "clicked_author_id": draw(ids),
                "position": draw(st.integers(1, 2**70)),
            }
    optional = {"actor_created_at": times, "device_id": ids, "ip_prefix": ids, "surface": surfaces}
    for name, values in optional.items():
        if draw(st.booleans()):
            record[name] = draw(st.none() | values)
    return record


def events(topic: Topic) -> SearchStrategy[Event]:
    """Draw valid events as structs."""
    return fields(topic).map(lambda record: STRUCT[topic](**record))


@st.composite
def nearly(draw: st.DrawFn, topic: Topic) -> dict[str, Any]:
    """Draw an event of which some fields are missing, or of any type and value."""
    record = draw(fields(topic))
    for name in draw(st.lists(st.sampled_from(STRUCT[topic].__struct_fields__), max_size=2)):
        if draw(st.booleans()):
            record.pop(name, None)
        else:
            record[name] = draw(json_values | st.text(characters, min_size=120, max_size=300))
    return record
