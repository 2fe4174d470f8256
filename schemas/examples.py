"""Golden examples of every kind of record: what is accepted, and for each breach one that is refused.

They are published as files, so that whoever writes a producer or a reader can run their own code on them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import orjson

from schemas.columns import Topic
from schemas.events import Follow, Like, Search
from schemas.flags import (
    Detector,
    Evidence,
    Flag,
    Kind,
    Mode,
    Severity,
    Share,
    Status,
    Subject,
    SubjectType,
    Window,
    flag_id,
)
from schemas.refusals import Reason
from schemas.verdicts import Judgement, Verdict

ARRIVAL_MS: Final = 1_764_000_060_000
"""The Kafka timestamp that the examples of events are meant to have."""

_TS: Final = ARRIVAL_MS - 250


class Example(NamedTuple):
    """One record: its file, its bytes, and the reason for which it is refused, None where it is accepted."""

    path: str
    value: bytes
    refused: Reason | None = None

    @property
    def kind(self) -> str:
        """The kind of record: the folder that the file is in."""
        return self.path.partition("/")[0]


_LIKE: Final = Like(event_id="01JD8Q4H7Z0001", ts=_TS, actor_id="u1207", action="like", note_id="n55", author_id="u81")
_FOLLOW: Final = Follow(event_id="01JD8Q4H7Z0002", ts=_TS, actor_id="u1207", action="follow", target_id="u81")
_SEARCH: Final = Search(event_id="01JD8Q4H7Z0003", ts=_TS, actor_id="u1207", query="  Red \tSHOES ")
_ABOUT_ACTOR: Final[dict[str, Any]] = {
    "actor_created_at": 1_700_000_000_000,
    "device_id": "d-5f1c",
    "ip_prefix": "p-9a40",
}
_CLICK: Final[dict[str, Any]] = {"clicked_note_id": "n55", "clicked_author_id": "u81", "position": 3}

_START: Final = 1_764_000_000_000
_FOLLOWER_SPIKE: Final = Flag(
    flag_id=flag_id(Kind.FOLLOWER_SPIKE, "u81", _START),
    kind=Kind.FOLLOWER_SPIKE,
    status=Status.OPENED,
    subject=Subject(SubjectType.ACCOUNT, "u81"),
    window=Window(_START, _START + 300_000),
    detected_at=_START + 123_000,
    emitted_at=_START + 123_310,
    score=0.993,
    severity=Severity.HIGH,
    evidence=Evidence(
        observed=412,
        expected=9.7,
        actors=401,
        reasons=[
            "412 new followers in 5 minutes where 9.7 are usual for this account",
            "88% of them are on accounts younger than 3 days; 6% is usual here",
        ],
        sample_actors=["u901", "u902", "u903"],
        groups={"new_account": Share(0.88, 0.06)},
    ),
    detector=Detector("follower_spike", "1", "4be1d2a07c93"),
)
_FLAGS: Final = {
    "follower_spike-opened": _FOLLOWER_SPIKE,
    "follower_spike-updated": msgspec.structs.replace(
        _FOLLOWER_SPIKE,
        status=Status.UPDATED,
        window=Window(_START, _START + 600_000),
        detected_at=_START + 480_000,
        emitted_at=_START + 480_120,
        evidence=msgspec.structs.replace(_FOLLOWER_SPIKE.evidence, observed=1_630, expected=19.4, actors=1_588),
    ),
    "follower_spike-closed": msgspec.structs.replace(
        _FOLLOWER_SPIKE,
        status=Status.CLOSED,
        window=Window(_START, _START + 1_800_000),
        detected_at=_START + 1_800_000,
        emitted_at=_START + 1_920_044,
        evidence=msgspec.structs.replace(_FOLLOWER_SPIKE.evidence, observed=2_004, expected=58.2, actors=1_951),
    ),
    "keyword_ranking-opened-shadow": Flag(
        flag_id=flag_id(Kind.KEYWORD_RANKING, "red shoes", _START),
        kind=Kind.KEYWORD_RANKING,
        status=Status.OPENED,
        mode=Mode.SHADOW,
        subject=Subject(SubjectType.KEYWORD, "red shoes"),
        window=Window(_START, _START + 3_600_000),
        detected_at=_START + 2_000_000,
        emitted_at=_START + 2_000_450,
        score=0.81,
        severity=Severity.MEDIUM,
        evidence=Evidence(
            observed=96,
            expected=4.1,
            actors=93,
            reasons=["96 clicks on one note at position 40 and below, where its position earns 4.1"],
            sample_actors=["u901", "u904"],
            author_id="u81",
            note_id="n55",
            numbers={"click_lift": 23.4},
        ),
        detector=Detector("keyword_ranking", "1", "4be1d2a07c93"),
    ),
}
_VERDICT: Final = Verdict(
    flag_id=_FOLLOWER_SPIKE.flag_id, ts=_START + 5_400_000, verdict=Judgement.CONFIRMED, by="review/kim"
)

ACCEPTED_STRUCTS: Final[dict[str, msgspec.Struct]] = {
    "like/like": _LIKE,
    "like/unlike-with-everything": msgspec.structs.replace(_LIKE, action="unlike", surface="feed", **_ABOUT_ACTOR),
    "follow/follow": _FOLLOW,
    "follow/unfollow-with-everything": msgspec.structs.replace(
        _FOLLOW, action="unfollow", surface="profile", **_ABOUT_ACTOR
    ),
    "search/search": _SEARCH,
    "search/click-with-everything": msgspec.structs.replace(_SEARCH, surface="search", **_CLICK, **_ABOUT_ACTOR),
    **{f"flag/{name}": flag for name, flag in _FLAGS.items()},
    "verdict/confirmed": _VERDICT,
    "verdict/dismissed-with-note": msgspec.structs.replace(
        _VERDICT, verdict=Judgement.DISMISSED, note="a charity run; its posts were shared by the press"
    ),
}
"""By path without the ending."""

TOPIC_OF: Final = {"like": Topic.LIKES, "follow": Topic.FOLLOWS, "search": Topic.SEARCHES}
"""The topic of each kind of event."""


def _pretty(record: Any) -> bytes:
    return orjson.dumps(msgspec.to_builtins(record), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _refused(base: msgspec.Struct, kind: str, reason: Reason, **changes: Any) -> Example:
    """Return `base` with fields changed, or taken out where the change is `msgspec.UNSET`, as a refused example."""
    record = {
        name: value for name, value in (msgspec.to_builtins(base) | changes).items() if value is not msgspec.UNSET
    }
    return Example(f"{kind}/refused/{reason.value}.json", _pretty(record), reason)


EXAMPLES: Final = (
    *(Example(f"{path}.json", _pretty(struct)) for path, struct in ACCEPTED_STRUCTS.items()),
    Example("like/refused/not_json.txt", b"event_id=01JD8Q4H7Z0001 like n55\n", Reason.NOT_JSON),
    Example("like/refused/not_object.json", _pretty([msgspec.to_builtins(_LIKE)]), Reason.NOT_OBJECT),
    _refused(_LIKE, "like", Reason.MISSING_FIELD, note_id=msgspec.UNSET),
    _refused(_LIKE, "like", Reason.WRONG_TYPE, ts="2025-11-24T16:01:00Z"),
    _refused(_LIKE, "like", Reason.ID_EMPTY, author_id=""),
    _refused(_LIKE, "like", Reason.ID_TOO_LONG, actor_id="ü" * 65),
    _refused(_LIKE, "like", Reason.UNKNOWN_ACTION, action="love"),
    _refused(_LIKE, "like", Reason.UNKNOWN_SURFACE, surface="lobby"),
    _refused(_LIKE, "like", Reason.TS_IN_FUTURE, ts=ARRIVAL_MS + 300_001),
    _refused(_LIKE, "like", Reason.TS_TOO_OLD, ts=ARRIVAL_MS - 604_800_001),
    _refused(_FOLLOW, "follow", Reason.MISSING_FIELD, target_id=msgspec.UNSET),
    _refused(_FOLLOW, "follow", Reason.UNKNOWN_ACTION, action="like"),
    _refused(_FOLLOW, "follow", Reason.OUT_OF_RANGE, actor_created_at=-1),
    _refused(_SEARCH, "search", Reason.QUERY_LENGTH, query="shoes " * 43),
    _refused(_SEARCH, "search", Reason.QUERY_BLANK, query=" \t "),
    _refused(_SEARCH, "search", Reason.INCOMPLETE_CLICK, clicked_note_id="n55"),
    _refused(_SEARCH, "search", Reason.OUT_OF_RANGE, **_CLICK | {"position": 0}),
    _refused(_VERDICT, "verdict", Reason.UNKNOWN_VERDICT, verdict="maybe"),
    _refused(_VERDICT, "verdict", Reason.NOT_A_FLAG_ID, flag_id="u81"),
    _refused(_VERDICT, "verdict", Reason.TEXT_TOO_LONG, note="no " * 700),
)
"""Every published example."""

UNSEEN_BY_SCHEMA: Final = frozenset({Reason.ID_TOO_LONG, Reason.TS_IN_FUTURE, Reason.TS_TOO_OLD})
"""Breaches that JSON Schema cannot state: bytes rather than characters, and times against the record's own."""
