"""The dashboard of one worker, chosen as `$instance`."""

from __future__ import annotations

from deploy.grafana.panels import Panel, one, quantiles, stat

ME = '{instance="$instance"}'
WORKER = (
    stat("Ready", "bool_yes_no", f"boostwatch_ready{ME}", "Assigned and restored."),
    stat("Up for", "s", f"time() - process_start_time_seconds{ME}", "A small number is a restart."),
    stat("Partitions", "short", f"sum(boostwatch_assigned_partitions{ME})", "Of all four topics."),
    stat(
        "Since progress",
        "s",
        f"time() - boostwatch_last_progress_timestamp_seconds{ME}",
        "It ends itself at 120.",
        5,
        20,
    ),
    stat("Busy", "percentunit", f"boostwatch:batch_busy:ratio5m{ME}", "Of its one loop: near 1 it is full.", 0.7, 0.9),
    stat("Memory", "bytes", f"process_resident_memory_bytes{ME}", "Resident."),
    one(
        "Events a second", "short", f"sum by (topic) (rate(boostwatch_events_total{ME}[5m]))", "Read here.", "{{topic}}"
    ),
    one("Lag", "short", f"boostwatch_consumer_lag_records{ME}", "Records not done yet.", "{{topic}}"),
    one(
        "Oldest unacknowledged",
        "s",
        f"boostwatch_oldest_unacknowledged_seconds{ME}",
        "The broker's slowness; at 90 s the worker ends.",
        "oldest",
        limits=(15.0,),
    ),
    Panel("Work on a batch", "s", quantiles("boostwatch_batch_seconds", "stage", ME), "By stage."),
    Panel(
        "In flight",
        "short",
        ((f"boostwatch_in_flight_batches{ME}", "batches"), (f"boostwatch_in_flight_bytes{ME} / 1048576", "MiB")),
        "Fetched and not done.",
    ),
    Panel(
        "Waiting for other topics",
        "short",
        (
            (f"boostwatch_aligning_records{ME}", "records"),
            (f"increase(boostwatch_alignment_given_up_total{ME}[1h])", "given up in an hour"),
        ),
        "Fetched, and ahead of the other topics of their partition.",
    ),
    one(
        "CPU",
        "percentunit",
        f"rate(process_cpu_seconds_total{ME}[5m])",
        "Of one core; fetching has its own thread.",
        "cpu",
    ),
    one("Rows held", "short", f"boostwatch_tracked{ME}", "By what they are about.", "{{what}}"),
    one("State", "bytes", f"boostwatch_state_bytes{ME}", "By stage.", "{{stage}}"),
    one("Rows that made way", "short", f"rate(boostwatch_evicted_rows_total{ME}[5m])", "A second.", "{{stage}}"),
    one("Rebalances", "short", f"increase(boostwatch_rebalances_total{ME}[1h])", "In an hour.", "rebalances"),
    one("Idle partitions", "short", f"boostwatch_idle_partitions{ME}", "Caught up and silent.", "{{topic}}"),
    one(
        "Checkpoint bytes",
        "Bps",
        f"sum by (stage) (rate(boostwatch_checkpoint_bytes_total{ME}[5m]))",
        "Written.",
        "{{stage}}",
    ),
)
