"""The dashboard for whoever asks: are we being attacked? What is flagged, where, how sure, how fast, and how right."""

from __future__ import annotations

from deploy.grafana.panels import Panel, one, quantiles, stat

FLAGS = 'boostwatch_flags_total{status="opened"}'
ATTACKS = (
    stat(
        "Episodes open now",
        "short",
        "sum(boostwatch_open_episodes)",
        "Subjects that are being boosted, as far as known.",
    ),
    stat(
        "Flags in the last hour",
        "short",
        'sum(increase(boostwatch_flags_total{status="opened",mode="live"}[1h]))',
        "Episodes opened by detectors that are live.",
    ),
    stat(
        "Severe ones",
        "short",
        'sum(increase(boostwatch_episodes_total{severity=~"high|critical"}[1h]))',
        "Opened in the last hour as high or critical.",
    ),
    stat(
        "Late flags",
        "percentunit",
        "boostwatch:detection_slow:ratio1h",
        "Acknowledged later than 5 s after the event that tipped them, in the last hour. The objective is 1%.",
        0.01,
        0.06,
    ),
    stat("Blind spots", "short", 'count(up{job="boostwatch"} == 0) or vector(0)', "Workers that do not answer.", 1, 1),
    stat(
        "History",
        "s",
        "min(boostwatch_history_seconds)",
        "How far back the baselines of the newest partition go: under a day much of what is usual is not known yet.",
    ),
    one(
        "Flags opened",
        "short",
        f"sum by (kind, mode) (increase({FLAGS}[$__rate_interval]))",
        "What is flagged, when. A campaign is a hill of one kind; a detector that is wrong, usually a step.",
        "{{kind}} {{mode}}",
        width=12,
    ),
    one(
        "Where: by kind and severity",
        "short",
        "sum by (kind, severity) (increase(boostwatch_episodes_total[$__range]))",
        "Followers hit accounts, likes hit notes, searches and clicks hit keywords.",
        "{{kind}} {{severity}}",
        kind="bargauge",
        width=12,
    ),
    one(
        "How right",
        "percentunit",
        "boostwatch:verdicts:precision7d",
        "Share of the week's verdicts that confirmed: the live precision, as far as somebody answers.",
        "{{kind}}",
        width=6,
    ),
    one(
        "How sure",
        "percentunit",
        "sum by (kind) (rate(boostwatch_flag_score_sum[1h])) "
        "/ (sum by (kind) (rate(boostwatch_flag_score_count[1h])) > 0)",
        "Mean score of the flags that open.",
        "{{kind}}",
        width=6,
    ),
    Panel(
        "How fast",
        "s",
        quantiles("boostwatch_detection_latency_seconds"),
        "From the event that tipped the decision to the flag's acknowledgement.",
        limits=(5.0,),
        width=6,
    ),
    one(
        "How it ended",
        "short",
        "sum by (status) (increase(boostwatch_flags_total[$__rate_interval]))",
        "Opened, updated, closed, and retracted: the last ones were wrong.",
        "{{status}}",
        width=6,
    ),
    one(
        "Suspicious actions",
        "percentunit",
        "boostwatch:suspicious:ratio1h",
        "Share of the accepted actions that look bought, whatever they hit: the tide below the flags.",
        "{{topic}}",
    ),
    one(
        "Past the gate",
        "percentunit",
        "avg by (kind) (boostwatch_gate_pass_share)",
        "Share of subjects' hours with more than is usual for them. Virality shows here; fraud only in flags.",
        "{{kind}}",
    ),
    one(
        "Drift of the gate",
        "short",
        "sum by (kind) (increase(boostwatch_gate_drifts_total[6h]))",
        "Times that the share left its daily rhythm for good.",
        "{{kind}}",
    ),
)
