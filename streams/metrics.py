"""The worker's metrics, under the prefix `boostwatch_`, in a registry of their own; updated once per batch.

Labels come from small fixed sets only: a configured topic name, a kind, an outcome, a reason. Never an id, a
query or a partition. `detectors` knows nothing of this: its numbers are read from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from schemas.flags import Kind, Mode, Severity, Status
from schemas.verdicts import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable

OUTCOMES = ("accepted", "duplicate", "late", "dead_letter")

LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""Fine around the seconds in which a flag should come, coarse up to a backlog of an hour."""

DELAY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21600, 86400)
"""From what is usual to a backlog of a day; 30 s and 120 s are where alerts look."""

SCORE_BUCKETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

CHECKPOINT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

BATCH_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Every metric of one worker process. Counters start at 0 with the process."""

    def __init__(self, topics: Iterable[str]) -> None:
        """`topics` are the configured names of the input topics, whose outcomes are there from the start."""
        registry = self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._make_contract(registry)
        self._make_flow(registry)
        self._make_state(registry)
        self._make_detection(registry)
        self._begin(topics)

    def _begin(self, topics: Iterable[str]) -> None:
        """Make what is counted from 0 visible as 0: a series that first appears at 1 has no increase to alert on."""
        for topic in topics:
            for outcome in OUTCOMES:
                self.events.labels(topic, outcome)
            self.misrouted.labels(topic)
            self.suspicious.labels(topic)
            self.receive_delay.labels(topic)
        for outcome in ("accepted", "dead_letter"):
            self.verdict_records.labels(outcome)
        for kind in Kind:
            for judgement in Judgement:
                self.verdicts.labels(kind.value, judgement.value)
            for status in Status:
                self.flags.labels(kind.value, status.value, Mode.LIVE.value)
            for severity in Severity:
                self.episodes.labels(kind.value, severity.value)
            self.flag_score.labels(kind.value)

    def _make_contract(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "boostwatch_events_total",
            "Records read, by what became of them; for each topic the outcomes add up to the records read. Counts "
            "what this process read: records that are read again after a crash count again, in the new process.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.flags = Counter(
            "boostwatch_flags_total",
            "Flags that the broker has acknowledged.",
            ["kind", "status", "mode"],
            registry=registry,
        )
        self.detection_latency = Histogram(
            "boostwatch_detection_latency_seconds",
            "From the ts of the event that tipped the decision to the acknowledgement of the flag that opens the "
            "episode. A backlog or a replayed past shows here as well.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.watermark_lag = Gauge(
            "boostwatch_watermark_lag_seconds",
            "How far the furthest behind partition's watermark of this worker lies behind the wall clock; partitions "
            "that are idle do not count.",
            ["topic"],
            registry=registry,
        )
        self.consumer_lag = Gauge(
            "boostwatch_consumer_lag_records",
            "Records in this worker's partitions that are not done yet.",
            ["topic"],
            registry=registry,
        )
        self.tracked = Gauge("boostwatch_tracked", "Rows held, by what they are about.", ["what"], registry=registry)

    def _make_flow(self, registry: CollectorRegistry) -> None:
        def counter(name: str, told: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"boostwatch_{name}", told, list(labels), registry=registry)

        self.dead_letters = counter(
            "dead_letters_total", "Records refused, by the first reason found.", ["topic", "reason"]
        )
        self.dead_letters_mended = counter(
            "dead_letters_mended_total",
            "Dead letters that the broker refused as they were (too large, impossible timestamp) and that were "
            "written shortened, or with the time of writing.",
        )
        self.misrouted = counter(
            "misrouted_keys_total", "Records whose key is not their actor_id: detection sees less of them.", ["topic"]
        )
        self.blocks = counter("action_blocks_total", "Blocks of actions sent from actors to subjects.")
        self.block_bytes = counter("action_block_bytes_total", "Bytes of those blocks, packed.")
        self.surges = counter("surge_records_total", "Records of visits sent from subjects to groups.")
        self.surge_bytes = counter("surge_bytes_total", "Bytes of those records, packed.")
        self.actions = counter("actions_total", "Actions that subjects have taken in: the second hop's progress.")
        self.repeated_actions = counter(
            "repeated_actions_total", "Actions dropped because an earlier block had brought them."
        )
        self.suspicious = counter(
            "suspicious_actions_total",
            "Accepted actions whose mark says that they were rather bought than not, whatever they hit. Its share "
            "of the accepted ones is the first thing that moves when the marks no longer fit the platform.",
            ["topic"],
        )
        self.receive_delay = Histogram(
            "boostwatch_receive_delay_seconds",
            "From the Kafka timestamp of a fetched batch's first record to the start of work on it, once a batch.",
            ["topic"],
            buckets=DELAY_BUCKETS_S,
            registry=registry,
        )
        self.oldest_unacknowledged = Gauge(
            "boostwatch_oldest_unacknowledged_seconds",
            "For how long the oldest record that was sent waits for its acknowledgement; 0 where none does.",
            registry=registry,
        )
        self.commits = counter("commits_total", "Offset commits that the broker has accepted.")
        self.rebalances = counter("rebalances_total", "Assignments of partitions to this worker.")
        self.in_flight_batches = Gauge(
            "boostwatch_in_flight_batches", "Batches fetched and not done.", registry=registry
        )
        self.in_flight_bytes = Gauge("boostwatch_in_flight_bytes", "Bytes in those batches.", registry=registry)
        self.aligning_records = Gauge(
            "boostwatch_aligning_records",
            "Input records fetched that wait for other topics of their partition.",
            registry=registry,
        )
        self.alignment_given_up = counter(
            "alignment_given_up_total", "Input partitions waited for in vain while others could be fetched."
        )
        self.batch_seconds = Histogram(
            "boostwatch_batch_seconds",
            "Time that a stage, or packing blocks, took for one fetched batch, without the wait for acknowledgements.",
            ["stage"],
            buckets=BATCH_BUCKETS_S,
            registry=registry,
        )

    def _make_state(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, told: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"boostwatch_{name}", told, list(labels), registry=registry)

        self.assigned_partitions = gauge("assigned_partitions", "Partitions that this worker has.", ["topic"])
        self.idle_partitions = gauge("idle_partitions", "Of those, caught up and silent.", ["topic"])
        self.last_record = gauge(
            "last_record_timestamp_seconds", "Greatest Kafka timestamp of the records read from a topic.", ["topic"]
        )
        self.last_progress = gauge(
            "last_progress_timestamp_seconds", "When the loop last made progress; an idle topic is progress."
        )
        self.last_commit = gauge("last_commit_timestamp_seconds", "When offsets were last committed.")
        self.state_bytes = gauge("state_bytes", "Bytes of resident state.", ["stage"])
        self.dedup_evicted = gauge(
            "dedup_evicted_ids", "Event ids forgotten before their ten minutes were over, since the start."
        )

        self.tracked_limit = gauge(
            "tracked_limit", "Rows that the partitions of this worker may hold; beyond, the coldest make way.", ["what"]
        )
        self.evicted = Counter(
            "boostwatch_evicted_rows_total",
            "Rows that made way for others at the limit.",
            ["stage"],
            registry=registry,
        )
        self.ready = gauge("ready", "1 while /ready says yes, else 0.")
        self._make_checkpoints(registry)
        self.build = gauge("build_info", "1; what runs is in the labels.", ["version", "python"])

    def _make_checkpoints(self, registry: CollectorRegistry) -> None:
        def told(name: str, text: str) -> tuple[str, str]:
            return f"boostwatch_{name}", text

        self.checkpoint_seconds = Histogram(
            *told("checkpoint_seconds", "One partition's checkpoint, until its commit was accepted."),
            ["stage"],
            buckets=CHECKPOINT_BUCKETS_S,
            registry=registry,
        )
        self.checkpoint_copy_seconds = Histogram(
            *told("checkpoint_copy_seconds", "Of that, the copying, in which no event is worked on."),
            ["stage"],
            buckets=BATCH_BUCKETS_S,
            registry=registry,
        )
        self.checkpoint_rows = Counter(
            *told("checkpoint_rows_total", "Rows written to checkpoints, those written once more included."),
            ["stage"],
            registry=registry,
        )
        self.checkpoint_bytes = Counter(
            *told("checkpoint_bytes_total", "Bytes written to checkpoints, packed."), ["stage"], registry=registry
        )
        self.last_checkpoint = Gauge(
            *told(
                "last_checkpoint_timestamp_seconds",
                "Of this worker's partitions, when the one that waits longest was last found to be checkpointed.",
            ),
            registry=registry,
        )
        self.state_log_bytes = Gauge(
            *told("state_log_bytes", "What a restore of this worker's partitions would read, unpacked."),
            ["stage"],
            registry=registry,
        )
        self.restore_seconds = Histogram(
            *told("restore_seconds", "Restoring the partitions of one assignment, from the first to the last."),
            buckets=CHECKPOINT_BUCKETS_S,
            registry=registry,
        )
        self.restored_rows = Counter(*told("restored_rows_total", "Rows restored from checkpoints."), registry=registry)
        self.restore_progress = Gauge(
            *told("restore_progress_ratio", "How much of the restore that runs is done, 1 at its end."),
            registry=registry,
        )

    def _make_detection(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, told: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"boostwatch_{name}", told, list(labels), registry=registry)

        self.episodes = Counter(
            "boostwatch_episodes_total",
            "Episodes opened, by how severe they were when they opened; shadow ones included.",
            ["kind", "severity"],
            registry=registry,
        )
        self.flag_score = Histogram(
            "boostwatch_flag_score",
            "Score of the flags that open an episode.",
            ["kind"],
            buckets=SCORE_BUCKETS,
            registry=registry,
        )
        self.verdicts = Counter(
            "boostwatch_verdicts_total",
            "Verdicts on flags of this worker's partitions, each counted once, also across restarts; their share of "
            "confirmed ones is the live precision.",
            ["kind", "verdict"],
            registry=registry,
        )
        self.verdict_records = Counter(
            "boostwatch_verdict_records_total",
            "Records of the verdicts topic that this worker has answered for, by what became of them; those on flags "
            "that no stage remembers are among the accepted.",
            ["outcome"],
            registry=registry,
        )
        self.open_episodes = gauge("open_episodes", "Episodes that are open in this worker's partitions.")
        self.gate_pass_share = gauge(
            "gate_pass_share",
            "Share of the subjects' last closed hours that had passed the volume gate, mean over the partitions.",
            ["kind"],
        )
        self.gate_drifts = Counter(
            "boostwatch_gate_drifts_total",
            "Times that the share that passes the gate has left its daily rhythm for good (ADWIN).",
            ["kind"],
            registry=registry,
        )
        self.history = gauge(
            "history_seconds",
            "Event time that is known of the subjects, in the partition with the least: under a day, baselines are "
            "mostly priors. 0 before anything is known.",
        )

    def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
