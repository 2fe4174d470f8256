"""The dashboard for whoever asks: is the detector ill? What comes in, what is refused, and how far behind it is."""

from __future__ import annotations

from deploy.grafana.panels import Panel, one, quantiles, stat

PIPELINE = (
    stat("Events a second", "short", "sum(boostwatch:events:rate5m)", "All topics, all outcomes."),
    stat("Records waiting", "short", "sum(boostwatch_consumer_lag_records)", "Not done yet, internal topic included."),
    stat(
        "Delay",
        "s",
        "max(boostwatch:receive_delay:seconds)",
        "From a record's Kafka timestamp to the work on it.",
        30,
        120,
    ),
    stat("Refused", "percentunit", "max(boostwatch:dead_letters:ratio10m)", "Of the topic with the most.", 0.01, 0.2),
    stat("Workers", "short", 'sum(up{job="boostwatch"})', "That answer."),
    stat(
        "Last checkpoint",
        "s",
        "max(time() - boostwatch_last_checkpoint_timestamp_seconds)",
        "Of the worker with the oldest.",
        60,
        120,
    ),
    one(
        "Events by topic",
        "short",
        "sum by (topic) (boostwatch:events:rate5m)",
        "A topic that goes to zero is a silent one.",
        "{{topic}}",
        width=12,
    ),
    one(
        "Not accepted",
        "short",
        'sum by (topic, outcome) (boostwatch:events:rate5m{outcome!="accepted"})',
        "Repeats, late ones and dead letters, a second.",
        "{{topic}} {{outcome}}",
        width=12,
    ),
    one(
        "Delay by topic",
        "s",
        "boostwatch:receive_delay:seconds",
        "The page comes at two minutes.",
        "{{topic}}",
        limits=(30.0, 120.0),
    ),
    one(
        "Watermark lag",
        "s",
        "max by (topic) (boostwatch_watermark_lag_seconds)",
        "The allowed lateness (120 s) is in it.",
        "{{topic}}",
    ),
    one("Lag in records", "short", "sum by (topic) (boostwatch_consumer_lag_records)", "Not done yet.", "{{topic}}"),
    one(
        "Dead letters by reason",
        "short",
        "sum by (topic, reason) (rate(boostwatch_dead_letters_total[5m]))",
        "What producers do wrong.",
        "{{topic}} {{reason}}",
    ),
    one(
        "Keys that are no actor_id",
        "percentunit",
        "boostwatch:misrouted:ratio10m",
        "They split an actor's history.",
        "{{topic}}",
    ),
    Panel(
        "Work on a batch", "s", quantiles("boostwatch_batch_seconds", "stage"), "Without the wait for acknowledgements."
    ),
    Panel(
        "Checkpoints",
        "s",
        quantiles("boostwatch_checkpoint_seconds"),
        "How long one takes, its commit included.",
    ),
    Panel(
        "Verdicts",
        "short",
        (
            ("sum by (kind, verdict) (increase(boostwatch_verdicts_total[1d]))", "{{kind}} {{verdict}}"),
            ("sum by (outcome) (increase(boostwatch_verdict_records_total[1d]))", "records {{outcome}}"),
        ),
        "Answers to flags in a day, each counted once, and all records of their topic.",
    ),
    Panel(
        "Visits",
        "short",
        (
            ("sum(rate(boostwatch_surge_records_total[5m]))", "records"),
            ("sum(rate(boostwatch_surge_bytes_total[5m])) / 1024", "KiB"),
        ),
        "What crosses, a second, to the one partition where groups are looked for.",
    ),
    one("Commits a second", "short", "sum(rate(boostwatch_commits_total[5m]))", "0 with traffic is wrong.", "commits"),
    one(
        "Full tables",
        "percentunit",
        "max by (what) (boostwatch_tracked / on (job, instance, what) (boostwatch_tracked_limit > 0))",
        "At 1 the coldest rows make way.",
        "{{what}}",
        limits=(0.9, 1.0),
    ),
)
