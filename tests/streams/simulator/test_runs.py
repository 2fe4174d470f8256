"""Runs repeat exactly, come in bounded slices, and the demonstration has what it must have."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from streams.simulator import (
    FAMILIES,
    HELD_OUT_FAMILIES,
    TRAINING_FAMILIES,
    Scenario,
    World,
    draw_habits,
    simulate,
    stream,
)
from streams.simulator.columns import DAY_MS, HOUR_MS, SECOND_MS
from streams.simulator.directory import write_directory
from streams.simulator.habits import RANGES
from streams.simulator.scenario import KINDS
from streams.simulator.simulate import namer_of
from tests.streams.simulator.traffic import START_MS, small

NOW_MS = START_MS + 7 * DAY_MS


def files(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.iterdir()}


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    scenario = small(duration_ms=8 * HOUR_MS, attacks=6)
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        write_directory(tmp_path / name, scenario, seed)
    assert files(tmp_path / "one") == files(tmp_path / "again")
    assert files(tmp_path / "one")["likes.jsonl.gz"] != files(tmp_path / "two")["likes.jsonl.gz"]


def test_plain_files_replace_compressed_ones_of_an_earlier_run(tmp_path: Path) -> None:
    scenario = small(duration_ms=HOUR_MS, attacks=0, benign=0)
    write_directory(tmp_path, scenario, 1)
    write_directory(tmp_path, scenario, 1, compress=False)
    assert sorted(files(tmp_path)) == [
        "attacks.jsonl",
        "benign.jsonl",
        "follows.jsonl",
        "likes.jsonl",
        "searches.jsonl",
    ]


def test_slices_are_bounded_and_arrive_one_after_another() -> None:
    scenario = small(events_per_s=2.0, duration_ms=DAY_MS, attacks=8, benign=4)
    last_ms, sizes = 0, []
    for part in simulate(scenario, seed=1, slice_events=5_000):
        arrivals = np.concatenate([rows["arrival"] for rows in part.topics.values()])
        if part.end_ms < scenario.end_ms and len(arrivals):
            assert last_ms <= arrivals.min()
            assert arrivals.max() < part.end_ms
        last_ms = part.end_ms
        sizes.append(part.count)
    assert len(sizes) > 20
    assert max(sizes) < 10 * 5_000


def test_throughput_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.perf_counter()
    done: list[float] = []
    written = write_directory(
        tmp_path, small(events_per_s=0.5), 1, progress=lambda _, part: done.append(part)
    )  # fmt: skip
    rate = sum(written.events.values()) / (time.perf_counter() - begun)
    with capsys.disabled():
        print(f" simulated {rate:,.0f} events/s", end="")  # noqa: T201 -- what the test is for
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1.0)


def test_the_demonstration_has_every_kind_early_and_benign_crowds_beside() -> None:
    world = World.build(Scenario.demo(NOW_MS, 90.0), seed=1)
    assert [attack.kind for attack in world.attacks] == list(KINDS)
    begins = [int(world.paid["ts"][world.paid["attack"] == number].min()) for number in range(4)]
    assert all(NOW_MS <= begin <= NOW_MS + 25 * SECOND_MS for begin in begins)
    assert {"viral", "celebrity"} <= {episode.family for episode in world.episodes}
    note = next(episode.note for episode in world.episodes if episode.family == "viral")
    namer = namer_of(world)
    live_likes, batches = 0, 0
    for batch in stream(world):
        batches += batch.due_s > 0
        if batch.due_s > 0:
            name = b'"note_id":"%b"' % namer.note[note]
            live_likes += sum(name in record.value for record in batch.records)
    assert batches == 90
    assert live_likes > 10


def test_history_ends_at_the_rate_at_which_it_goes_live() -> None:
    for hour in (3, 15):  # the middle of the night, and of the afternoon, at the origin of time zones
        scenario = Scenario.demo(NOW_MS + hour * HOUR_MS, 60.0, history_events=120_000)
        live_ms = scenario.live_from_ms
        assert live_ms is not None
        parts = [rows[rows["attack"] < 0] for part in simulate(scenario, seed=4) for rows in part.topics.values()]
        ts = np.concatenate([rows["ts"] for rows in parts])
        before = ((ts >= live_ms - 5 * 60 * SECOND_MS) & (ts < live_ms)).sum() / 300.0
        after = ((ts >= live_ms) & (ts < live_ms + 30 * SECOND_MS)).sum() / 30.0
        assert 0.5 < after / before < 2.0
        assert 0.4 < before / scenario.events_per_s < 1.6


def test_speed_shortens_what_is_due() -> None:
    scenario = small(duration_ms=10 * SECOND_MS, attacks=0, benign=0)
    assert [batch.due_s for batch in stream(scenario, speed=5.0)] == [1.0, 2.0]
    assert {batch.due_s for batch in stream(scenario, speed=0)} == {0.0}


def test_families_differ_and_held_out_ones_are_not_trained_on() -> None:
    assert not set(TRAINING_FAMILIES) & set(HELD_OUT_FAMILIES)
    assert set(TRAINING_FAMILIES) | set(HELD_OUT_FAMILIES) < set(FAMILIES)
    rng = np.random.default_rng(1)
    drawn = {draw_habits(family, rng) for family in FAMILIES for _ in range(3)}
    assert len(drawn) == 3 * len(FAMILIES)
    with pytest.raises(ValueError, match="'nowhere'"):
        draw_habits("nowhere", rng)  # type: ignore[arg-type]


def test_clean_traffic_has_no_attack() -> None:
    world = World.build(Scenario.randomised(1, "campus", start_ms=START_MS, events=20_000).clean(), seed=1)
    assert not world.attacks
    assert len(world.paid) == 0


def test_where_everybody_is_for_themselves_accounts_are_advertised_too() -> None:
    scenario = Scenario.randomised(5, "arcade", start_ms=START_MS, events=60_000).denser(6.0)
    world = World.build(scenario, 5)
    advertised = [episode for episode in world.episodes if episode.family == "promotion"]
    assert {episode.note < 0 for episode in advertised} == {True, False}
    assert all(episode.account >= 0 and episode.visitors for episode in advertised)


def guild(seed: int) -> tuple[Scenario, World]:
    scenario = Scenario.randomised(seed, "guild", start_ms=START_MS, events=60_000).denser(3.0)
    return scenario, World.build(scenario, seed)


def test_in_a_guild_few_services_use_their_accounts_for_many_customers() -> None:
    _, world = guild(4)
    paid = world.paid[np.isin(world.paid["attack"], [n for n, one in enumerate(world.attacks) if one.kind in KINDS])]
    pairs = np.unique(np.stack([paid["actor"].astype(np.int64), paid["attack"].astype(np.int64)]), axis=1)
    customers = np.unique(pairs[0], return_counts=True)[1]
    assert 1.5 < customers.mean() < 8.0
    assert len({attack.vendor for attack in world.attacks if attack.kind in KINDS}) <= world.population.habits.services


def test_in_a_guild_some_services_hire_people_who_live_besides() -> None:
    shares = []
    for seed in range(4, 10):
        scenario, world = guild(seed)
        bought = np.unique(world.paid["actor"][world.paid["attack"] >= 0])
        people = bought[bought < scenario.accounts]
        shares.append(len(people) / len(bought))
        assert (world.population.accounts.weight[people] > 0).all()
    assert max(shares) > 0.1
    metro = World.build(Scenario.randomised(4, "metro", start_ms=START_MS, events=60_000), 4)
    orders = [number for number, attack in enumerate(metro.attacks) if attack.kind in KINDS]
    assert (metro.paid["actor"][np.isin(metro.paid["attack"], orders)] >= metro.scenario.accounts).all()


def test_all_who_join_a_guild_are_shown_the_same_accounts() -> None:
    _, world = guild(4)
    drawn = world.population.shown(np.random.default_rng(1), 2_000)
    assert len(np.unique(drawn)) <= world.population.habits.shown
    assert (world.population.accounts.created[np.unique(drawn)] <= world.scenario.end_ms).all()


def test_a_habit_that_a_family_lacks_changes_none_of_its_draws() -> None:
    metro = draw_habits("metro", np.random.default_rng(7))
    assert (metro.advertised_accounts, metro.unseen, metro.hired, metro.services, metro.shown) == (0, 0, 0, 0, 0)
    lacking = sum(len(span) == 2 and span[0] == span[1] for span in RANGES.values())
    generator = np.random.default_rng(7)
    generator.random(len(fields(metro)) - lacking)
    other = np.random.default_rng(7)
    draw_habits("metro", other)
    assert other.random() == generator.random()
