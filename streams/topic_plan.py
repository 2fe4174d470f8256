"""What every topic must be: partitions, replication and settings, with the reason for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR_MS = 3_600_000
MIB = 1 << 20

# Kafka's topic settings that are used here, with the names it gives them.
CLEANUP = "cleanup.policy"
RETENTION_MS = "retention.ms"
RETENTION_BYTES = "retention.bytes"
TIMESTAMPS = "message.timestamp.type"
MESSAGE_BYTES = "max.message.bytes"
IN_SYNC = "min.insync.replicas"
# More than is wanted does no harm in these; -1 is without limit.
AT_LEAST = frozenset({RETENTION_MS, RETENTION_BYTES, MESSAGE_BYTES, IN_SYNC})

UNLIMITED = "-1"
# Kafka's own default for inputs is 1 MiB; a packed block of such a batch, a dead letter of it with its headers and a
# checkpointed model must fit with room to spare. The frame is Kafka's overhead around a record.
RECORD_BYTES_MAX = 8 * MIB
_FRAME_BYTES = 64 * 1024
# Strangers decide how much is refused, so dead letters are bounded by size too, per partition.
_DEAD_LETTER_BYTES_MAX = 1024 * MIB
# Only closed segments are compacted: what is read back at a restart is the live rows and about one of these.
_STATE_SEGMENT_BYTES = 64 * MIB
_STATE_SEGMENT_MS = HOUR_MS
_STATE_DIRTY_RATIO = "0.2"
# With three replicas one may be down and a send is still acknowledged by two; with fewer there is no such choice.
_REPLICATION_WITH_SPARE = 3


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What the topics are called in Kafka."""

    likes: str = "likes"
    follows: str = "follows"
    searches: str = "searches"
    flags: str = "flags"
    verdicts: str = "verdicts"
    actions: str = "boostwatch.actions"
    surges: str = "boostwatch.surges"
    dead_letters: str = "boostwatch.dead-letters"
    actor_state: str = "boostwatch.actor-state"
    subject_state: str = "boostwatch.subject-state"
    group_state: str = "boostwatch.group-state"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How one topic must be.

    `co_partitioned` says that state is found by partition number, so the number must be exact and never change.
    `vital` are the settings without which a worker would lose or misread something, so that it does not start.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    co_partitioned: bool = True
    vital: frozenset[str] = frozenset()


def plan(
    names: TopicNames,
    partitions: int,
    *,
    replication: int = 1,
    input_retention_ms: int = 72 * HOUR_MS,
    flags_retention_ms: int = 720 * HOUR_MS,
    create_time: bool = False,
) -> list[TopicPlan]:
    """Return the plan of all topics, each with `partitions`.

    `create_time` is for a backfill: input records keep the time that their producer gave them, and are kept whatever
    that time is, for by it they are older than any retention.
    """
    durable = {IN_SYNC: str(replication - 1)} if replication >= _REPLICATION_WITH_SPARE else {}
    large = {MESSAGE_BYTES: str(RECORD_BYTES_MAX + _FRAME_BYTES)}

    def topic(
        name: str, config: Mapping[str, str], *, vital: frozenset[str] = frozenset(), co_partitioned: bool = True
    ) -> TopicPlan:
        return TopicPlan(name, partitions, replication, {**config, **durable}, co_partitioned, vital)

    inputs = {
        CLEANUP: "delete",
        RETENTION_MS: UNLIMITED if create_time else str(input_retention_ms),
        # The broker's clock decides what comes from the future, not a producer's.
        TIMESTAMPS: "CreateTime" if create_time else "LogAppendTime",
    }
    # A block lives until its subjects were updated; as long as what it was made from, to be safe. Its own time may be
    # that of old events, by which retention would take it at once.
    blocks = {CLEANUP: "delete", RETENTION_MS: str(input_retention_ms), TIMESTAMPS: "LogAppendTime", **large}
    answers = {CLEANUP: "delete", RETENTION_MS: str(flags_retention_ms)}
    # They keep the original timestamp, so in a backfill only the size can bound them.
    refused = {
        CLEANUP: "delete",
        RETENTION_MS: UNLIMITED if create_time else str(flags_retention_ms),
        RETENTION_BYTES: str(_DEAD_LETTER_BYTES_MAX),
        **large,
    }
    state = {
        CLEANUP: "compact",
        "segment.bytes": str(_STATE_SEGMENT_BYTES),
        "segment.ms": str(_STATE_SEGMENT_MS),
        "min.cleanable.dirty.ratio": _STATE_DIRTY_RATIO,
        **large,
    }
    must_carry_blocks = frozenset({MESSAGE_BYTES})
    must_keep_rows = frozenset({CLEANUP, MESSAGE_BYTES})
    return [
        topic(names.likes, inputs),
        topic(names.follows, inputs),
        topic(names.searches, inputs),
        topic(names.flags, answers, co_partitioned=False),
        topic(names.verdicts, answers, co_partitioned=False),
        topic(names.actions, blocks, vital=must_carry_blocks),
        topic(names.surges, blocks, vital=must_carry_blocks),
        topic(names.dead_letters, refused, vital=must_carry_blocks, co_partitioned=False),
        topic(names.actor_state, state, vital=must_keep_rows),
        topic(names.subject_state, state, vital=must_keep_rows),
        topic(names.group_state, state, vital=must_keep_rows),
    ]
