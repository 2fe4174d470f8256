"""Organic traffic has the shapes that are known of real platforms."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from streams.simulator import Scenario, simulate
from streams.simulator.columns import DAY_MS, HOUR_MS, MINUTE_MS, Floats, Ints
from tests.streams.simulator.traffic import START_MS, small, written


def counts(values: list[object]) -> Ints:
    return np.array(sorted(Counter(values).values(), reverse=True), dtype=np.int64)


def hill(sizes: Ints, part: float) -> float:
    """Estimate the tail index of the largest `part` (Hill 1975)."""
    top = sizes[: max(10, int(part * len(sizes)))].astype(np.float64)
    return float(1.0 / np.mean(np.log(top / top[-1])))


def hourly(scenario: Scenario) -> Floats:
    ts = np.concatenate([rows["ts"] for part in simulate(scenario, seed=2) for rows in part.topics.values()])
    return np.bincount((ts - START_MS).clip(0) // HOUR_MS, minlength=1)[: scenario.duration_ms // HOUR_MS].astype(float)


def test_popularity_and_activity_have_heavy_tails() -> None:
    events = written()[0]
    for sizes in (
        counts([event["note_id"] for event in events["likes"]]),
        counts([event["target_id"] for event in events["follows"]]),
        counts([event["actor_id"] for event in events["likes"]]),
    ):
        assert 0.4 < hill(sizes, 0.05) < 4.0
        assert sizes[0] > 20 * np.median(sizes)


def test_searches_follow_zipf_and_clicks_go_to_the_top() -> None:
    searches = written()[0]["searches"]
    positions = np.array([search["position"] for search in searches if "position" in search])
    assert 0.3 < len(positions) / len(searches) < 0.95
    share_by_position = np.bincount(positions, minlength=11) / len(positions)
    assert share_by_position[1] > 1.5 * share_by_position[3] > share_by_position[10]
    assert np.quantile(positions, 0.95) > 10


def test_a_day_has_a_night_and_the_rate_is_as_asked() -> None:
    scenario = small(duration_ms=4 * DAY_MS, attacks=0, benign=0, events_per_s=0.25, family="metro")
    per_hour = hourly(scenario)
    by_hour = per_hour.reshape(4, 24).mean(axis=0)
    assert by_hour.max() > 1.8 * by_hour.min()
    assert 0.7 < per_hour.mean() / (scenario.events_per_s * 3600) < 1.4


def test_visits_are_bursts_of_actions_with_gaps_of_seconds_to_minutes() -> None:
    times = defaultdict(list)
    for events in written()[0].values():
        for event in events:
            times[event["actor_id"]].append(event["ts"])
    gaps = np.concatenate([np.diff(np.sort(each)) for each in times.values() if len(each) > 1])
    inside = gaps[gaps < 30 * MINUTE_MS]
    assert 0.5 < len(inside) / len(gaps) < 0.98
    assert 2_000 < np.median(inside) < 90_000


def test_a_like_is_an_event_once_for_an_actor_and_a_note_until_it_is_taken_back() -> None:
    held: set[tuple[str, str]] = set()
    seen: set[str] = set()
    twice = likes = 0
    for event in sorted(written()[0]["likes"], key=lambda like: int(like["ts"])):
        pair = (event["actor_id"], event["note_id"])
        if event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        if event["action"] == "unlike":
            held.discard(pair)
            continue
        likes += 1
        twice += pair in held
        held.add(pair)
    assert twice < 0.002 * likes


def test_newcomers_are_followed_by_nobody_before_they_exist_but_act_at_once() -> None:
    events = written()[0]
    fresh = {
        event["actor_id"]: event["ts"] - event["actor_created_at"]
        for event in reversed(events["follows"])
        if event["actor_created_at"] > START_MS
    }
    assert len(fresh) > 20
    assert np.median(list(fresh.values())) < HOUR_MS
