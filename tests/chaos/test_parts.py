"""The harness itself: it must be able to find something wrong, and do what it says."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import closing
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from deploy.kafka import machine
from schemas.flags import Status
from streams.block_parts import BlockHeader
from streams.blocks import pack
from streams.recorded import Recording
from streams.replay import Totals, replay
from streams.settings import Settings
from tests.chaos.accounts import apply_log
from tests.chaos.flags import compare, gather, told
from tests.chaos.proxy import Network, Proxy
from tests.chaos.purchases import BOUGHT, EACH, MAKERS, SLOT_MS, purchases, waves
from tests.chaos.schedule import SHORT, Fault, draw
from tests.chaos.soak import Soak
from tests.chaos.traffic import Stream
from tests.streams.flags import flag
from tests.streams.test_blocks import example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_MS = 1_764_000_000_000


def block(first: int, count: int) -> Any:
    actions, _ = example(count)
    offsets = np.arange(first, first + count, dtype=np.int64)
    return SimpleNamespace(
        value=pack(actions, offsets, BlockHeader("likes", 0, first, first + count - 1, 0)), partition=0
    )


def test_a_seed_draws_the_same_faults_again_and_another_seed_others() -> None:
    assert draw(1, 300.0) == draw(1, 300.0)
    assert draw(1, 300.0) != draw(2, 300.0)


def test_twenty_minutes_have_the_faults_that_were_asked_for() -> None:
    counts = Counter(event.fault for event in draw(1, 1_200.0))
    assert counts[Fault.KILL] >= 40
    assert counts[Fault.BROKER] >= 10
    assert counts[Fault.REBALANCE] >= 20
    assert set(counts) == set(Fault)
    assert Counter(event.fault for event in draw(1, 40.0)) == SHORT


def test_a_broker_that_is_not_ours_is_left_alone() -> None:
    assert {event.fault for event in draw(1, 1_200.0, own_broker=False)} == {Fault.KILL, Fault.REBALANCE, Fault.ZOMBIE}


def test_a_stream_is_the_same_again_and_comes_in_the_order_of_its_times() -> None:
    first, again = (list(islice(Stream(4, 30.0, 20.0, NOW_MS, 60.0).records(), 3_000)) for _ in range(2))
    assert first == again
    assert [record.due_s for record in first] == sorted(record.due_s for record in first)
    assert {record.what for record in first} == {"good", "broken", "repeat"}


def test_a_purchase_stays_within_its_slot_by_accounts_seen_before_and_every_kind_is_bought() -> None:
    live_from_ms = NOW_MS - NOW_MS % SLOT_MS + 20_000
    slots: dict[str, set[int]] = {}
    kinds, others, seen = set(), set(), set()
    for action in purchases(1, live_from_ms, 600.0):
        event = json.loads(action.value)
        if "device_id" not in event:
            others.add(event["event_id"][:2])
            continue
        kind, whose, *rest = event["event_id"].split("-")
        if whose != "own":
            slots.setdefault(" ".join([kind, whose, *rest[:-1]]), set()).add(event["ts"] // SLOT_MS)
            assert event["actor_id"] in seen
        seen.add(event["actor_id"])
        kinds.add(kind)
    assert len(waves(live_from_ms, 600.0)) == 2
    assert kinds == {"bl", "bf", "br", "bt"}
    assert others == {"ti", "gr"}
    assert len(slots) == 2 * len(MAKERS) * EACH
    assert {len(some) for some in slots.values()} == {1}


@pytest.mark.parametrize("hours", [0, 11])
def test_every_purchase_of_the_short_run_is_found_at_any_hour(hours: int, tmp_path: Path) -> None:
    """What nobody finds would be equal in both runs, and compared in vain."""
    stream = Stream(5, 40.0, 60.0, NOW_MS + hours * 3_600_000)
    files = {topic: (tmp_path / f"{topic}.jsonl").open("wb") for topic in ("likes", "follows", "searches")}
    for record in stream.records():
        if record.what == "good":
            files[record.topic].write((record.value or b"") + b"\n")
    for file in files.values():
        file.close()
    every = [flag for flags in replay(Settings(), Recording(tmp_path), 8_192, Totals()) for flag in flags]
    found = Counter(flag.kind.value for flag in every if flag.status is Status.OPENED)
    assert {kind: found[kind] for kind in BOUGHT} == dict.fromkeys(BOUGHT, EACH)


def test_what_is_sent_again_is_no_loss_and_no_second_effect() -> None:
    applied = apply_log([block(0, 10), block(10, 5), block(5, 10), block(15, 5)])
    assert len(applied.once) == 20
    assert (applied.twice, applied.resent, applied.skipped) == (0, 10, set())


def test_a_row_that_comes_after_a_later_one_of_its_source_is_found_to_be_lost() -> None:
    applied = apply_log([block(10, 5), block(0, 10)])
    assert applied.skipped == {("likes", 0, offset) for offset in range(10)}


def test_flags_that_are_missing_extra_or_end_otherwise_are_told_apart() -> None:
    a, b, c = (flag(subject=one) for one in "abc")
    closed = msgspec.structs.replace(a, status=Status.CLOSED)
    compared = compare(gather([a, b]), gather([a, closed, c]))
    assert [one.subject.id for one in compared.missing] == ["c"]
    assert [one.subject.id for one in compared.extra] == ["b"]
    assert [(ours.status, theirs.status) for ours, theirs in compared.status] == [(Status.OPENED, Status.CLOSED)]
    assert not compared.right


def test_a_flag_that_differs_is_told_with_its_numbers_and_what_was_asked() -> None:
    evidence = msgspec.structs.replace(flag().evidence, numbers={"mix_nats": 7.68, "suspicious": 20.0})
    text = told(msgspec.structs.replace(flag(subject="a"), evidence=evidence))
    assert "follower_spike a opened" in text
    assert "mix_nats 7.68, suspicious 20, asked " in text


def test_a_repeat_contradicts_nothing_and_another_score_does() -> None:
    again = msgspec.structs.replace(flag(), emitted_at=NOW_MS)
    assert gather([flag(), again]).contradictions == []
    assert len(gather([flag(), flag(score=0.5)]).contradictions) == 1


def test_memory_that_grows_after_the_warm_up_is_not_flat() -> None:
    flat = Soak(1.0, 10.0, rss_mib=[(float(at), 50.0 if at < 10 else 100.0) for at in range(100)])
    assert flat.wrongs == []
    assert Soak(1.0, 10.0, rss_mib=[(float(at), 100.0 + at) for at in range(100)]).wrongs


@pytest.fixture
def echo() -> Iterator[int]:
    """Give the port of a server that sends back what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with closing(connection):
            while data := connection.recv(1_000):
                connection.sendall(data)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_proxy_passes_on_falls_silent_cuts_and_comes_back(echo: int) -> None:
    with Proxy(machine.free_port(), echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as through:
            through.sendall(b"one")
            assert through.recv(100) == b"one"
            proxy.be(Network.SILENT)
            through.sendall(b"two")
            through.settimeout(0.2)
            with pytest.raises(TimeoutError):
                through.recv(100)
            proxy.be(Network.WELL)
            through.settimeout(5)
            assert through.recv(100) == b"two"
            proxy.be(Network.CUT)
            assert ended(through)
        proxy.be(Network.WELL)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as through:
            through.sendall(b"three")
            assert through.recv(100) == b"three"
