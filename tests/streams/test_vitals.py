"""How the detectors are, told by metrics: over real stages, without a broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from schemas.columns import Topic
from schemas.decode import decode_batch
from streams.block_parts import source_name
from streams.commits import Partition
from streams.metrics import Metrics
from streams.pipeline import build_actor_stage, build_subject_stage
from streams.settings import Settings
from streams.stages import Stages
from streams.vitals import Vitals

if TYPE_CHECKING:
    from detectors.actions import Actions

START_MS = 1_764_000_000_000
DAY_MS = 86_400_000
SOURCE = source_name("follows", 0)


def settings() -> Settings:
    return Settings(partitions=2, actors_max=1_000, subjects_max=1_000)


def stages(of: Settings) -> Stages:
    return Stages(lambda: build_actor_stage(of), lambda: build_subject_stage(of), [Partition("follows", 0)])


def actions(made: Stages, count: int, ts: int) -> Actions:
    event = {"action": "follow"}
    values: list[bytes | None] = [
        json.dumps({**event, "event_id": f"e{ts}.{n}", "ts": ts, "actor_id": f"u{n}", "target_id": f"t{n}"}).encode()
        for n in range(count)
    ]
    events, refusals = decode_batch(Topic.FOLLOWS, values, np.full(count, ts))
    assert not refusals
    return made.actors(0).apply(events).actions


def value(metrics: Metrics, name: str, *labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == f"boostwatch_{name}" and tuple(sample.labels.values()) == labels:
                return sample.value
    raise AssertionError(f"no {name} {labels}")


def test_rows_that_made_way_are_counted_and_the_bound_is_told() -> None:
    chosen, metrics = settings(), Metrics(["follows"])
    made = stages(chosen)
    vitals = Vitals(chosen, metrics, made)
    stage, _ = made.subjects(1)
    vitals.look()
    assert value(metrics, "tracked_limit", "accounts") == 1_000
    assert value(metrics, "evicted_rows_total", "subjects") == 0
    stage.apply(actions(made, 1_500, START_MS), SOURCE)
    vitals.look()
    vitals.look()
    assert value(metrics, "evicted_rows_total", "actors") > 0
    assert value(metrics, "evicted_rows_total", "subjects") >= 500
    assert value(metrics, "tracked_limit", "actors") == 1_000


def test_history_is_as_long_as_what_is_known_of_the_partition_with_the_least() -> None:
    chosen, metrics = settings(), Metrics(["follows"])
    made = stages(chosen)
    vitals = Vitals(chosen, metrics, made)
    vitals.look()
    assert value(metrics, "history_seconds") == 0
    first, _ = made.subjects(0)
    for day in range(4):
        first.apply(actions(made, 10, START_MS + day * DAY_MS), SOURCE)
        first.advance(SOURCE, START_MS + day * DAY_MS)
    vitals.look()
    assert 2.9 * 86_400 < value(metrics, "history_seconds") < 3.1 * 86_400
    made.subjects(1)
    vitals.look()
    assert value(metrics, "history_seconds") == 0


def test_drift_that_a_stage_brings_along_is_no_news_and_what_follows_is() -> None:
    chosen, metrics = settings(), Metrics(["follows"])
    made = stages(chosen)
    vitals = Vitals(chosen, metrics, made)
    rate = made.subjects(0)[0].models[0].pass_rate
    rate.drifts, rate.last = 3, 0.25
    vitals.look()
    assert value(metrics, "gate_drifts_total", "follower_spike") == 0
    rate.drifts = 5
    vitals.look()
    assert value(metrics, "gate_drifts_total", "follower_spike") == 2
    assert value(metrics, "gate_pass_share", "follower_spike") == 0.25
