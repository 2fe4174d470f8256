"""Verdicts in memory, and their turn: what holds without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from detectors.answers import Answered
from schemas.flags import Flag, Kind
from schemas.verdicts import Judgement
from streams.answering import Answering
from streams.errors import ProduceFailed
from streams.lifecycle import Lifecycle
from streams.metrics import Metrics
from streams.verdict_command import encoded
from streams.verdicts import VerdictReader, Verdicts
from tests.streams.flags import flag

CONFIRMED, DISMISSED = Judgement.CONFIRMED, Judgement.DISMISSED
LIMIT_S = 10


def test_the_newest_verdict_on_a_flag_counts_and_the_oldest_make_way() -> None:
    verdicts = Verdicts(most=3)
    for name in "abcd":
        verdicts.take(name, CONFIRMED)
    verdicts.take("b", DISMISSED)
    verdicts.take("e", CONFIRMED)
    assert verdicts.on("abcde") == [("b", DISMISSED), ("d", CONFIRMED), ("e", CONFIRMED)]
    assert len(verdicts) == 3


class Log:
    """A consumer's face over one partition of verdicts, and the dead letters' over a list."""

    def __init__(self, *values: bytes) -> None:
        self.records = [
            SimpleNamespace(
                topic="verdicts", partition=0, offset=at, value=value, key=b"k", headers=(), timestamp=1_764_000_000_000
            )
            for at, value in enumerate(values)
        ]
        self.at, self.commits, self.letters = 0, dict[Any, int](), list[Any]()

    async def committed(self, tp: Any) -> int | None:
        return self.commits.get(tp)

    async def position(self, _: Any) -> int:
        return self.at

    def seek(self, _: Any, offset: int) -> None:
        self.at = offset

    async def commit(self, offsets: dict[Any, int]) -> None:
        self.commits.update(offsets)

    async def write(self, letters: list[Any], _: int) -> None:
        self.letters += letters

    def read(self) -> list[Any]:
        found, self.at = self.records[self.at :], len(self.records)
        return found


def test_garbage_is_refused_once_by_whoever_answers_for_it_also_where_that_is_another_later() -> None:
    flag_id = flag().flag_id
    good = encoded(flag_id, "dismissed", by="kim", note=None, ts=1)
    log, tp, mine = Log(b"{", good, b"[]"), TopicPartition("verdicts", 0), {0: False}

    async def nothing(_: str) -> int:
        return 1

    async def run() -> None:
        verdicts, metrics = Verdicts(), Metrics([])
        reader = VerdictReader(
            "verdicts",
            "g",
            cast("Any", None),
            verdicts,
            cast("Any", log),
            metrics,
            Lifecycle(),
            nothing,
            mine.__getitem__,
        )  # fmt: skip
        reader._ends[tp] = 3

        async def turn() -> None:
            await reader._take_over(log, [tp])
            if found := log.read():
                await reader._take(log, {tp: found})

        await turn()
        assert (log.letters, log.commits) == ([], {})
        assert verdicts.on([flag_id]) == [(flag_id, DISMISSED)]
        mine[0] = verdicts.caught_up = True
        await turn()
        assert not verdicts.caught_up
        assert [letter.value for letter in log.letters] == [b"{", b"[]"]
        assert log.commits == {tp: 3}
        mine[0] = False
        await turn()
        mine[0] = True
        await turn()
        assert len(log.letters) == 2
        assert metrics.verdict_records.labels("accepted")._value.get() == 1

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


class OneFlag:
    """A stage with one flag, answered once."""

    def __init__(self) -> None:
        self.flag = flag()
        self.answers: list[Judgement] = []

    def answerable(self) -> list[str]:
        return [self.flag.flag_id]

    def answer(self, _: str, judgement: Judgement) -> Answered | None:
        if judgement in self.answers:
            return None
        self.answers.append(judgement)
        return Answered(self.flag.kind, judgement, [self.flag])


class Worker:
    """What of a worker has to do with answers: what is published waits until `acknowledged`."""

    def __init__(self) -> None:
        self.stage = OneFlag()
        self.verdicts = Verdicts()
        self.verdicts.caught_up = True
        self.published: list[Flag] = []
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lifecycle, self.metrics = Lifecycle(), Metrics([])
        self.turns = {"subjects": asyncio.Lock()}
        self.stages = SimpleNamespace(answerable=lambda _: {3: self.stage}, answered=set())
        self.answering = Answering(
            self.verdicts, cast("Any", self.stages), cast("Any", self), self.metrics, self.lifecycle
        )

    async def flag(self, published: Flag) -> asyncio.Future[None]:
        self.published.append(published)
        return self.acknowledged

    def counted(self, verdict: str) -> float:
        return float(self.metrics.verdicts.labels(Kind.FOLLOWER_SPIKE.value, verdict)._value.get())


def test_a_verdict_is_answered_once_however_often_it_is_looked_at() -> None:
    async def run() -> None:
        worker = Worker()
        worker.verdicts.take(worker.stage.flag.flag_id, DISMISSED)
        worker.verdicts.take("another", DISMISSED)
        for _ in range(3):
            await worker.answering.look(worker.turns)
        assert worker.published == [worker.stage.flag]
        assert worker.counted("dismissed") == 1
        assert worker.stages.answered == {("subjects", 3)}

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_nothing_is_answered_while_an_agent_has_its_turn_or_the_worker_ends() -> None:
    async def run() -> None:
        worker = Worker()
        worker.verdicts.take(worker.stage.flag.flag_id, DISMISSED)
        async with worker.turns["subjects"]:
            looking = asyncio.ensure_future(worker.answering.look(worker.turns))
            await asyncio.sleep(0.05)
            assert worker.published == []
        await looking
        assert len(worker.published) == 1
        ended = Worker()
        ended.verdicts.take(ended.stage.flag.flag_id, DISMISSED)
        ended.lifecycle.request_stop()
        await ended.answering.look(ended.turns)
        assert ended.published == []

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_checkpoint_waits_for_retractions_and_one_that_fails_ends_the_worker() -> None:
    async def run() -> None:
        worker = Worker()
        worker.verdicts.take(worker.stage.flag.flag_id, DISMISSED)
        await worker.answering.look(worker.turns)
        settling = asyncio.ensure_future(worker.answering.settled())
        await asyncio.sleep(0.05)
        assert not settling.done()
        worker.acknowledged.set_result(None)
        await settling
        failing = Worker()
        failing.verdicts.take(failing.stage.flag.flag_id, DISMISSED)
        await failing.answering.look(failing.turns)
        failing.acknowledged.set_exception(ProduceFailed("not acknowledged"))
        with pytest.raises(ProduceFailed):
            await failing.answering.settled()
        assert isinstance(failing.lifecycle.failure, ProduceFailed)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
