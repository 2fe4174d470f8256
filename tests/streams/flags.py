"""Flags made by hand, for the tests of what shows or compares them."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.flags import (
    SUBJECT_TYPE,
    Detector,
    Evidence,
    Flag,
    Kind,
    Severity,
    Status,
    Subject,
    Window,
    flag_id,
)
from tests.streams.recordings import START_MS

MINUTE_MS = 60_000


def flag(kind: Kind = Kind.FOLLOWER_SPIKE, subject: str = "u81", start: int = START_MS, **more: Any) -> Flag:
    """Give an opened flag whose window lasts five minutes and that was tipped after two; `more` replaces fields."""
    made = Flag(
        flag_id=flag_id(kind, subject, start),
        kind=kind,
        status=Status.OPENED,
        subject=Subject(SUBJECT_TYPE[kind], subject),
        window=Window(start, start + 5 * MINUTE_MS),
        detected_at=start + 2 * MINUTE_MS,
        score=0.993,
        severity=Severity.HIGH,
        evidence=Evidence(412, 9.7, 401, ["71% of them are new accounts, where 4% is usual"], ["a1", "a2"]),
        detector=Detector(kind.value, "1", "c0ffee"),
    )
    return msgspec.structs.replace(made, **more)
