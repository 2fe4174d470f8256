"""Every line is what the contract asks for, in the order in which it arrived."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import pytest

from schemas.columns import Topic
from schemas.decode import decode_batch
from streams.simulator import FAMILIES, TOPICS, Family, Scenario, simulate, write_directory
from streams.simulator.columns import DAY_MS, HOUR_MS, MINUTE_MS
from tests.streams.simulator.traffic import read_lines, small, written

OPTIONAL = {"actor_created_at", "device_id", "ip_prefix", "surface"}
TOPIC_OF = {"likes": Topic.LIKES, "follows": Topic.FOLLOWS, "searches": Topic.SEARCHES}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_line_decodes_without_a_refusal_at_its_arrival(family: Family) -> None:
    scenario = small(family=family, optional_fields="some", duration_ms=4 * HOUR_MS, attacks=4)
    for part in simulate(scenario, seed=3):
        for topic in TOPICS:
            arrival = part.topics[topic]["arrival"].astype(np.int64)
            assert (np.diff(arrival) >= 0).all()
            events, refusals = decode_batch(TOPIC_OF[topic], part.lines(topic), arrival)
            assert not refusals
            assert len(events) == len(arrival)


def test_event_ids_repeat_only_as_retries_of_the_same_event() -> None:
    retries = 0
    for events in written()[0].values():
        seen: dict[str, object] = {}
        for event in events:
            retries += event["event_id"] in seen
            assert seen.setdefault(event["event_id"], event) == event
    assert retries > 0


@pytest.mark.parametrize("mode", ["all", "none", "some"])
def test_optional_fields_are_there_as_asked(tmp_path: Path, mode: Literal["all", "none", "some"]) -> None:
    write_directory(tmp_path, small(optional_fields=mode, duration_ms=HOUR_MS, attacks=0, benign=0, events_per_s=1.0))
    found = [OPTIONAL & orjson.loads(line).keys() for line in read_lines(tmp_path / "likes.jsonl.gz")]
    if mode == "all":
        assert all(fields == OPTIONAL for fields in found)
    elif mode == "none":
        assert not any(found)
    else:
        assert len({frozenset(fields) for fields in found}) > 3


def test_some_events_are_out_of_order_and_few_are_late() -> None:
    ts = np.array([event["ts"] for event in written()[0]["likes"]])
    behind = np.maximum.accumulate(ts) - ts
    assert (behind > 0).mean() > 0.01
    assert 0 < (behind > 2 * MINUTE_MS).mean() < 0.02


def test_accounts_act_only_once_they_are_made() -> None:
    for events in written()[0].values():
        early = [event for event in events if event["ts"] < event["actor_created_at"] - 2 * MINUTE_MS]
        assert not early


def test_a_scenario_that_cannot_be_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="duration_ms is 0"):
        Scenario(start_ms=1, duration_ms=0)
    with pytest.raises(ValueError, match="at least 500"):
        Scenario(start_ms=1, duration_ms=DAY_MS, accounts=3)
