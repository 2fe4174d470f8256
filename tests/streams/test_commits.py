from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.commits import Ledger, Partition, State, Ticket

LIKES = Partition("likes", 0)
FOLLOWS = Partition("follows", 0)


def ledger(batches_max: int = 1_000, bytes_max: int = 1 << 30) -> Ledger:
    made = Ledger(batches_max, bytes_max)
    made.resume({LIKES: 0, FOLLOWS: 0})
    return made


def started(book: Ledger, first: int, following: int, source: Partition = LIKES) -> Ticket:
    ticket = book.open(source, first, following, 10)
    assert book.start(ticket)
    return ticket


def test_nothing_is_committed_past_a_batch_that_is_not_done() -> None:
    book = ledger()
    first, second, third = (started(book, at, at + 10) for at in (0, 10, 20))
    book.finish(third)
    book.finish(second)
    assert book.committable() == {}
    book.finish(first)
    assert book.committable() == {LIKES: 30}


def test_partitions_do_not_wait_for_each_other() -> None:
    book = ledger()
    started(book, 0, 10)
    book.finish(started(book, 0, 7, FOLLOWS))
    assert book.committable() == {FOLLOWS: 7}


def test_what_is_committed_is_not_committed_again() -> None:
    book = ledger()
    book.finish(started(book, 0, 10))
    book.committed(book.committable())
    assert book.committable() == {}
    book.finish(started(book, 10, 12))
    assert book.committable() == {LIKES: 12}


def test_gaps_in_the_offsets_hold_nothing_back() -> None:
    book = ledger()
    book.finish(started(book, 5, 10))
    book.finish(started(book, 900, 950))
    assert book.committable() == {LIKES: 950}


def test_queued_batches_are_dropped_and_begun_ones_stay() -> None:
    book = ledger()
    begun = started(book, 0, 10)
    queued = [book.open(LIKES, at, at + 10, 10) for at in (10, 20)]
    assert book.drop_queued() == 2
    assert [book.start(ticket) for ticket in queued] == [False, False]
    assert book.in_flight_batches == 1
    book.finish(begun)
    assert book.committable() == {LIKES: 10}


def test_a_new_assignment_names_the_partitions_whose_state_does_not_fit() -> None:
    book = ledger()
    book.finish(started(book, 0, 10))
    book.finish(started(book, 0, 10, FOLLOWS))
    strangers = book.resume({LIKES: 10, FOLLOWS: 7, Partition("searches", 0): None})
    assert strangers == {FOLLOWS}
    assert book.committable() == {}


def test_a_partition_that_was_made_anew_can_be_committed_again() -> None:
    book = Ledger(10, 100)
    book.resume({LIKES: 1_000})
    book.finish(started(book, 0, 5))
    assert book.committable() == {LIKES: 5}


def test_a_batch_cannot_be_done_before_it_is_begun() -> None:
    book = ledger()
    with pytest.raises(AssertionError, match="not started"):
        book.finish(book.open(LIKES, 0, 10, 10))


def test_bounds_count_batches_by_partition_and_bytes_together() -> None:
    book = ledger(batches_max=2, bytes_max=25)

    def state() -> tuple[bool, bool, bool]:
        return book.full(LIKES), book.full(FOLLOWS), book.crowded

    one = started(book, 0, 10)
    assert state() == (False, False, False)
    started(book, 10, 20)
    assert state() == (True, False, False)
    started(book, 0, 10, FOLLOWS)
    assert state() == (True, False, True)
    book.finish(one)
    assert state() == (False, False, False)


def test_a_partition_is_busy_while_a_batch_of_it_waits_for_its_agent() -> None:
    book = ledger()
    assert not book.busy(LIKES)
    ticket = book.open(LIKES, 0, 5, 1)
    assert book.busy(LIKES)
    book.start(ticket)
    assert not book.busy(LIKES)


def test_waiting_ends_when_all_is_done_and_gives_up_in_time() -> None:
    async def settle() -> tuple[bool, bool]:
        book = ledger()
        ticket = started(book, 0, 10)
        too_early = await book.wait_settled(0.01)
        asyncio.get_running_loop().call_later(0.01, book.finish, ticket)
        return too_early, await book.wait_settled(5)

    assert asyncio.run(settle()) == (False, True)


def test_who_waits_until_a_batch_is_begun_hears_of_a_dropped_one_too() -> None:
    async def run() -> None:
        ledger = Ledger(9, 1 << 20)
        first, second = (ledger.open(Partition("likes", 0), offset, offset + 1, 1) for offset in (0, 1))
        waiting = asyncio.ensure_future(ledger.wait_begun([first, second], 60))
        await asyncio.sleep(0)
        assert ledger.start(first)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        ledger.drop_queued()
        assert await asyncio.wait_for(waiting, 10)
        assert not await ledger.wait_begun([ledger.open(Partition("likes", 1), 0, 1, 1)], 0.01)

    asyncio.run(run())


@given(st.data())
def test_the_committed_offset_is_the_unbroken_run_of_done_batches(data: st.DataObject) -> None:
    book = ledger()
    tickets: list[Ticket] = []
    offset = 0
    for _ in range(data.draw(st.integers(1, 60))):
        step = data.draw(st.sampled_from(["open", "start", "finish", "commit"]))
        if step == "open":
            size = data.draw(st.integers(1, 5))
            tickets.append(book.open(LIKES, offset, offset + size, size))
            offset += size
        elif step == "start":
            waiting = [ticket for ticket in tickets if ticket.state is State.QUEUED]
            if waiting:
                assert book.start(waiting[0])
        elif step == "finish":
            begun = [ticket for ticket in tickets if ticket.state is State.STARTED]
            if begun:
                book.finish(data.draw(st.sampled_from(begun)))
        else:
            book.committed(book.committable())
        done = 0
        for ticket in tickets:
            if ticket.state is not State.DONE:
                break
            done = ticket.offset_next
        assert book.committable().get(LIKES, done) == done
        open_ones = [ticket for ticket in tickets if ticket.state in {State.QUEUED, State.STARTED}]
        assert book.in_flight_batches == len(open_ones)
        assert book.in_flight_bytes == sum(ticket.size_bytes for ticket in open_ones)
