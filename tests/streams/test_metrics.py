from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from schemas.flags import Kind
from streams import metrics_table
from streams.metrics import OUTCOMES, Metrics

FIXED = {
    "boostwatch_events": {"topic", "outcome"},
    "boostwatch_flags": {"kind", "status", "mode"},
    "boostwatch_detection_latency_seconds": set(),
    "boostwatch_watermark_lag_seconds": {"topic"},
    "boostwatch_consumer_lag_records": {"topic"},
    "boostwatch_tracked": {"what"},
}
"""Other systems rely on these; they are for ever."""


def test_the_fixed_metrics_are_there_with_their_labels() -> None:
    metrics = Metrics(["likes"])
    metrics.flags.labels("like_boost", "opened", "live").inc()
    metrics.watermark_lag.labels("likes").set(1)
    metrics.consumer_lag.labels("likes").set(1)
    metrics.tracked.labels("accounts").set(1)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    for name, labels in FIXED.items():
        assert name in families, name
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == labels, sample


def test_every_outcome_of_every_input_topic_is_there_from_the_start() -> None:
    text = Metrics(["likes", "follows"]).render().decode()
    for topic in ("likes", "follows"):
        for outcome in OUTCOMES:
            assert f'boostwatch_events_total{{outcome="{outcome}",topic="{topic}"}} 0.0' in text


def test_names_follow_the_conventions() -> None:
    for family in text_string_to_metric_families(Metrics(["likes"]).render().decode()):
        if family.name.startswith("boostwatch_"):
            assert re.fullmatch(r"boostwatch_[a-z_]+", family.name)
            assert family.documentation.endswith(".")
            if family.type == "counter":
                assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)


def test_two_workers_in_one_process_do_not_share_a_registry() -> None:
    one, two = Metrics(["likes"]), Metrics(["likes"])
    one.events.labels("likes", "accepted").inc()
    assert b'outcome="accepted",topic="likes"} 0.0' in two.render()


def test_the_published_table_is_that_of_the_code() -> None:
    assert metrics_table.PUBLISHED.read_text(encoding="utf-8") == metrics_table.render(), "run make metrics-doc"


def test_every_label_says_what_bounds_it() -> None:
    for name, _, labels, _ in metrics_table.described():
        assert set(labels) <= set(metrics_table.LABELS), name


def test_what_counts_from_nothing_is_there_at_nothing() -> None:
    text = Metrics(["likes"]).render().decode()
    for kind in Kind:
        assert f'boostwatch_flags_total{{kind="{kind.value}",mode="live",status="opened"}} 0.0' in text
        assert f'boostwatch_flag_score_count{{kind="{kind.value}"}} 0.0' in text
    assert 'boostwatch_suspicious_actions_total{topic="likes"} 0.0' in text
