"""What a worker knows outlives it: checkpoints and restores of the worker as a process, against a real broker."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from schemas.flags import decode_flag
from streams import clients
from streams.errors import MembershipLost, StateUnreadable, TopicMismatch
from streams.worker import require_topics
from tests.integration.test_worker_parts import settings_for
from tests.integration.traffic import committed, drain, encoded, ends, follow, forwarded, now_ms, send
from tests.integration.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from streams.topic_plan import TopicNames
    from tests.integration.conftest import MakeTopics

SUBJECTS = 40


def send_follows(kafka: str, names: TopicNames, first: int, each: int) -> int:
    """Send `each` follows of every account, by accounts from `first` on, and return how many there were."""
    now = now_ms()
    events = [
        follow(10_000 + first * SUBJECTS + n, now + n % 500, target_id=f"t{n % SUBJECTS}")
        for n in range(each * SUBJECTS)
    ]
    return send(kafka, names.follows, encoded(events))


def flagged(kafka: str, names: TopicNames) -> Counter[str]:
    """Count the flags by subject. The counting stage flags at the tenth action it ever saw of one."""
    return Counter(decode_flag(record.value).subject.id for record in drain(kafka, names.flags))


def each_once() -> Counter[str]:
    return Counter({f"t{n}": 1 for n in range(SUBJECTS)})


def wait_for_checkpoints(worker: WorkerProcess, kafka: str, names: TopicNames) -> None:
    """Wait until everything there is, is committed, and so checkpointed."""
    worker.wait_until_idle()
    topics = (names.follows, names.actions)

    def all_committed() -> bool:
        found = {topic: committed(kafka, names.likes, topic) for topic in topics}
        return all(found[topic].get(n, 0) == end for topic in topics for n, end in ends(kafka, topic).items())

    worker.wait_for(all_committed, "a checkpoint of everything")


def test_a_killed_worker_goes_on_with_what_it_knew(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names = kafka_topics(2)
    with WorkerProcess(kafka, names, tmp_path / "log", "counting", partitions=2) as worker:
        worker.wait_until_ready()
        send_follows(kafka, names, 0, 6)
        wait_for_checkpoints(worker, kafka, names)
        send_follows(kafka, names, 6, 1)
        worker.wait_until_read({names.follows: 7 * SUBJECTS})
        worker.kill()
    assert not flagged(kafka, names)
    with WorkerProcess(kafka, names, tmp_path / "log", "counting", partitions=2) as worker:
        worker.wait_until_ready()
        assert worker.metrics()["boostwatch_restored_rows_total"][()] > 0
        send_follows(kafka, names, 7, 2)
        send_follows(kafka, names, 5, 1)  # these event ids were seen before the kill
        worker.wait_until_idle()
        assert worker.read(names.follows)["duplicate"] == SUBJECTS
        assert not flagged(kafka, names)
        send_follows(kafka, names, 9, 1)
        worker.wait_until_idle()
        assert worker.stop() == 0
    assert flagged(kafka, names) == each_once()
    offsets = [offset for found in forwarded(kafka, names).values() for offset in set(found)]
    assert len(offsets) == 10 * SUBJECTS


def test_state_goes_where_its_partition_goes(kafka: str, kafka_topics: MakeTopics, tmp_path: Path) -> None:
    names = kafka_topics(2)

    def share(worker: WorkerProcess) -> float:
        return worker.metrics()["boostwatch_assigned_partitions"].get((names.actions,), 0)

    with WorkerProcess(kafka, names, tmp_path / "1", "counting", partitions=2) as one:
        one.wait_until_ready()
        send_follows(kafka, names, 0, 4)
        one.wait_until_idle()
        with WorkerProcess(kafka, names, tmp_path / "2", "counting", partitions=2) as two:
            two.wait_for(lambda: share(one) == share(two) == 1, "one partition each")
            one.wait_until_ready()
            two.wait_until_ready()
            send_follows(kafka, names, 4, 4)
            one.wait_until_idle()
            two.wait_until_idle()
            assert not flagged(kafka, names)
            assert two.stop() == 0
        one.wait_for(lambda: share(one) == 2, "both partitions")
        send_follows(kafka, names, 8, 2)
        one.wait_until_idle()
        assert one.stop() == 0
        # What stayed was not read back: the second partition came back with what the other worker had made of it.
        restored = [line for line in one.log.splitlines() if "checkpoint=" in line and "stage=groups" not in line]
        assert len(restored) == 2
    assert flagged(kafka, names) == each_once()


def test_a_paused_worker_that_was_overtaken_changes_nothing_and_ends(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(1)
    # It is paused between two checkpoints: with nothing to lose it could join again, and rightly go on.
    with WorkerProcess(kafka, names, tmp_path / "1", "counting", partitions=1, checkpoint_ms=15_000) as one:
        one.wait_until_ready()
        send_follows(kafka, names, 0, 6)
        wait_for_checkpoints(one, kafka, names)
        send_follows(kafka, names, 6, 1)
        one.wait_until_read({names.follows: 7 * SUBJECTS})
        one.process.send_signal(signal.SIGSTOP)
        with WorkerProcess(kafka, names, tmp_path / "2", "counting", partitions=1) as two:
            two.wait_until_ready()
            two.wait_for(
                lambda: two.metrics()["boostwatch_assigned_partitions"].get((names.actions,), 0) == 1, "its partition"
            )
            send_follows(kafka, names, 7, 2)
            wait_for_checkpoints(two, kafka, names)
            one.process.send_signal(signal.SIGCONT)
            assert one.ended() == MembershipLost.exit_code
            assert "the group went on without this worker" in one.log
            send_follows(kafka, names, 9, 1)
            two.wait_until_idle()
            assert two.stop() == 0
    assert flagged(kafka, names) == each_once()


def test_garbage_in_a_state_topic_is_refused_with_where_it_is(
    kafka: str, kafka_topics: MakeTopics, tmp_path: Path
) -> None:
    names = kafka_topics(1)
    send(kafka, names.subject_state, [(b"chunk", b"garbage")], partition=0)
    with WorkerProcess(kafka, names, tmp_path / "log", "counting", partitions=1) as worker:
        assert worker.ended() == StateUnreadable.exit_code
        assert f"the worker stops: state in topic {names.subject_state}, partition 0, offset 0 cannot be" in worker.log


@pytest.mark.parametrize("change", ["partitions", "policy"])
def test_state_topics_that_cannot_hold_state_are_refused_at_the_start(
    change: str, kafka: str, kafka_topics: MakeTopics
) -> None:
    names = kafka_topics(2)
    other = f"{names.actor_state}.other"
    policy = {"partitions": "compact", "policy": "delete"}[change]
    with clients.admin(kafka) as admin:
        wrong = {"num_partitions": 3 if change == "partitions" else 2, "replication_factor": 1}
        admin.create_topics({other: {**wrong, "configs": {"cleanup.policy": policy, "max.message.bytes": "9000000"}}})
        admin.wait_for_topics([other], timeout_ms=30_000)
    told = {"partitions": "has 3 partitions, not 2", "policy": "has cleanup.policy delete, not compact"}[change]
    with pytest.raises(TopicMismatch, match=f"topic {other} {told}"):
        require_topics(settings_for(kafka, names, topic_actor_state=other))
    require_topics(settings_for(kafka, names, topic_actor_state=other, checkpoint_ms=0))
    with clients.admin(kafka) as admin:
        admin.delete_topics([other])
