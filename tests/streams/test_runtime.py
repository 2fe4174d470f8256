"""What assignments and the clock do to the parts of a worker."""

from __future__ import annotations

from typing import Any, cast

from streams.commits import Ledger, Partition
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.runtime import Runtime
from streams.settings import Settings
from streams.sources import Sources
from streams.stages import Stages
from streams.watchdog import Progress

SETTINGS = Settings(partitions=2)
INPUTS = tuple(SETTINGS.input_topics.values())
ALL = {Partition(topic, n): None for topic in (*INPUTS, SETTINGS.topic_actions) for n in range(2)}


class ActorStage:
    tracked, bytes_resident, evicted = 3, 10, {"event_ids": 1}


class SubjectStage:
    bytes_resident = 20

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.tracked = {"accounts": 1, "notes": 2, "keywords": 0}

    def advance(self, source: str, watermark_ms: int) -> list[Any]:
        self.heard.append((source, watermark_ms))
        return []


class Parts:
    def __init__(self) -> None:
        sources = [Partition(topic, n) for topic in INPUTS for n in range(2)]
        self.stages = Stages(cast("Any", ActorStage), cast("Any", SubjectStage), sources)
        self.ledger, self.lifecycle, self.metrics = Ledger(4, 1_000), Lifecycle(), Metrics(INPUTS)
        self.now = 0.0
        self.progress = Progress(lambda: self.now)
        self.sources = Sources(2, SETTINGS.idle_ms)
        self.runtime = Runtime(
            SETTINGS, self.ledger, self.lifecycle, self.metrics, self.stages, self.sources, self.progress
        )

    def assign(self, *left_out: Partition, strangers: set[Partition] = frozenset()) -> None:  # type: ignore[assignment]
        self.runtime.on_assigned({p: None for p in ALL if p not in left_out}, strangers)

    def gauge(self, name: str, *labels: str) -> float:
        return float(getattr(self.metrics, name).labels(*labels)._value.get())


def test_it_is_ready_once_partitions_are_assigned_and_not_while_it_ends() -> None:
    parts = Parts()
    assert parts.runtime.ready() == (False, "no partitions assigned yet")
    parts.assign()
    assert parts.runtime.ready() == (True, "8 partitions assigned")
    parts.lifecycle.stopping = True
    assert parts.runtime.ready() == (False, "stopping")


def test_live_goes_by_progress() -> None:
    parts = Parts()
    parts.now = 29
    assert parts.runtime.live(30)[0]
    parts.now = 31
    assert not parts.runtime.live(30)[0]


def test_state_stays_where_its_partition_stays() -> None:
    parts = Parts()
    parts.assign()
    actors = [parts.stages.actors(n) for n in range(2)]
    subjects = [parts.stages.subjects(n)[0] for n in range(2)]
    parts.assign(Partition(SETTINGS.topic_actions, 1))
    assert [parts.stages.actors(n) for n in range(2)] == actors
    assert parts.stages.subjects(0)[0] is subjects[0]
    assert parts.stages.subjects(1)[0] is not subjects[1]


def test_the_actors_of_a_partition_are_dropped_when_one_of_its_three_topics_was_somebody_elses() -> None:
    parts = Parts()
    parts.assign()
    actors = [parts.stages.actors(n) for n in range(2)]
    parts.assign(strangers={Partition(INPUTS[1], 1)})
    assert parts.stages.actors(0) is actors[0]
    assert parts.stages.actors(1) is not actors[1]


def test_a_new_subject_stage_waits_for_every_source() -> None:
    parts = Parts()
    stage = cast("Any", parts.stages.subjects(0)[0])
    assert sorted(stage.heard) == sorted((f"{topic}/{n}", 0) for topic in INPUTS for n in range(2))


def test_lag_counts_what_is_in_flight() -> None:
    parts = Parts()
    parts.assign()
    likes = Partition(INPUTS[0], 0)
    parts.ledger.start(parts.ledger.open(likes, 10, 40, 5))
    parts.runtime._look({likes: (40, 50), Partition(INPUTS[1], 0): (7, 9), Partition(INPUTS[2], 0): (None, 5)})
    assert parts.gauge("consumer_lag", INPUTS[0]) == 40
    assert parts.gauge("consumer_lag", INPUTS[1]) == 2
    assert parts.gauge("consumer_lag", INPUTS[2]) == 0
    assert parts.gauge("tracked", "actors") == 0
    assert parts.runtime.health()["lag_records"] == {INPUTS[0]: 40, INPUTS[1]: 2}


def test_records_that_wait_without_a_batch_done_are_no_progress() -> None:
    parts = Parts()
    parts.assign()
    waiting: Any = {Partition(INPUTS[0], 0): (0, 50)}
    parts.runtime._look(waiting)
    parts.now = 100
    parts.runtime._look(waiting)
    assert parts.progress.age_s == 100
    parts.runtime._look({Partition(INPUTS[0], 0): (50, 50)})
    assert parts.progress.age_s == 0


def test_watermark_lag_is_that_of_the_furthest_behind_and_idle_ones_do_not_count() -> None:
    parts = Parts()
    parts.assign()
    near, far = Partition(INPUTS[0], 0), Partition(INPUTS[0], 1)
    parts.sources.get(near, 0).sent({0}, 1_700_000_100_000, 0)
    parts.sources.get(far, 0).sent({0}, 1_700_000_000_000, 0)
    parts.runtime._look({})
    both = parts.gauge("watermark_lag", INPUTS[0])
    list(parts.sources.due([far], 10_000.0))
    parts.runtime._look({})
    assert 99 < both - parts.gauge("watermark_lag", INPUTS[0]) < 101
    assert parts.gauge("idle_partitions", INPUTS[0]) == 1
