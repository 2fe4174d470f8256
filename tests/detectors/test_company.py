from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.company import COMPANY_BITS, COMPANY_MOST, company_factor
from detectors.subject_rows import ROW_FIELDS, SUSPECT
from schemas.columns import Verb
from schemas.flags import Status
from tests.detectors.subject_traffic import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    Act,
    actions_of,
    bought,
    feed,
    in_time,
    organic,
    stage,
)

if TYPE_CHECKING:
    from schemas.flags import Flag


def pool_at(subjects: int, *, members: int, each: int, seed: int = 3, verb: Verb = Verb.FOLLOW) -> list[Act]:
    """Make a day's follows and likes of people, in which customers are served at once by `each` of a pool."""
    rng = np.random.default_rng(seed)
    parts = [
        organic(rng, 6, START_MS - DAY_MS // 2, DAY_MS, what, f"u{number}", owner=f"u{number}")
        for number in range(150)
        for what in (Verb.FOLLOW, Verb.LIKE)
    ]
    for number in range(subjects):
        acts = bought(rng, each, START_MS, 2 * HOUR_MS, verb, f"c{number}", owner=f"o{number}")
        who = rng.permutation(members)[:each].tolist()
        parts.append([dataclasses.replace(act, actor=f"p{one}") for act, one in zip(acts, who, strict=True)])
    return in_time(*parts)


def shared_of(flags: list[Flag]) -> float:
    return max(((flag.evidence.numbers or {}).get("shared", 0.0) for flag in flags), default=0.0)


def test_customers_of_one_pool_are_told_by_their_company() -> None:
    flags = feed(stage(), actions_of(pool_at(8, members=40, each=24)))
    assert len({flag.subject.id for flag in flags if flag.status is Status.OPENED}) >= 6
    assert shared_of(flags) >= 12
    assert any("lately acted alike on others" in reason for flag in flags for reason in flag.evidence.reasons)


def test_actors_who_are_odd_once_each_keep_no_company() -> None:
    rng = np.random.default_rng(4)
    people = [organic(rng, 6, START_MS - DAY_MS // 2, DAY_MS, Verb.FOLLOW, f"u{number}") for number in range(150)]
    alone = [bought(rng, 24, START_MS, 2 * HOUR_MS, Verb.FOLLOW, f"c{number}") for number in range(8)]
    flags = feed(stage(), actions_of(in_time(*people, *alone)))
    assert flags
    assert shared_of(flags) == 0


def test_fans_of_one_author_keep_no_company_however_many_notes_they_like() -> None:
    acts = [dataclasses.replace(act, owner="one") for act in pool_at(8, members=40, each=24, verb=Verb.LIKE)]
    assert shared_of(feed(stage(), actions_of(acts))) == 0


def test_company_of_long_ago_does_not_count() -> None:
    first = pool_at(1, members=24, each=24)
    customer = [act for act in first if act.subject == "c0"]
    for days, shared in ((1, True), (9, False)):
        later = [dataclasses.replace(act, ts=act.ts + days * DAY_MS, subject="d", owner="o9") for act in customer]
        assert (shared_of(feed(stage(), actions_of([*first, *later]))) > 0) is shared


def row_and_held(among: int, shared: int) -> tuple[np.void, np.void]:
    row = np.zeros(1, np.dtype([("key", np.uint64), ("touched", np.int64), *ROW_FIELDS], align=True))[0]
    held = np.zeros(1, SUSPECT)[0]
    row["seen_suspicious"] = (1 << among) - 1
    held["shared"] = (1 << shared) - 1
    return row, held


@given(st.integers(0, 64), st.integers(0, 64))
@settings(deadline=None)
def test_company_never_speaks_for_anybody_and_is_bounded(among: int, shared: int) -> None:
    nats = company_factor(*row_and_held(among, shared))
    assert 0.0 <= nats <= COMPANY_MOST
    if among > COMPANY_BITS or shared < 4:
        assert nats == 0.0


def test_more_company_says_more_and_more_strangers_less() -> None:
    said = [company_factor(*row_and_held(20, shared)) for shared in range(4, 12)]
    assert said == sorted(said)
    assert company_factor(*row_and_held(12, 8)) > company_factor(*row_and_held(24, 8))


@pytest.mark.parametrize("cut", [41, 700])
def test_cuts_and_a_restore_change_nothing(cut: int) -> None:
    actions = actions_of(pool_at(6, members=30, each=20))
    whole = [msgspec.json.encode(flag) for flag in feed(stage(), actions)]
    pieces = feed(stage(), actions, cuts=range(cut, len(actions), cut))
    assert [msgspec.json.encode(flag) for flag in pieces] == whole
    first, later = stage(), stage()
    flags = feed(first, actions.take(np.arange(len(actions) // 2)))
    for name, table in first.tables().items():
        later.restore_rows(name, table.snapshot())
    for name, data in first.parts().items():
        later.restore_part(name, data)
    later.finish_restore()
    flags += feed(later, actions.take(np.arange(len(actions) // 2, len(actions))))
    assert [msgspec.json.encode(flag) for flag in flags] == whole


def test_without_room_the_oldest_company_is_forgotten_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.tables.COMPANY_ROWS", 16)
    one = stage()
    assert feed(one, actions_of(pool_at(8, members=40, each=24)))
    assert 0 < len(one.tables()["company"]) <= 16
