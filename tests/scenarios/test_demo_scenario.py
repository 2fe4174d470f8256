"""What the demo shows, without a broker: its traffic through `replay`, its flags against its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.flags import decode_flag
from streams import replay
from streams.comparison import Comparison, compare, read_attacks, read_benign
from streams.demo import HISTORY_EVENTS
from streams.settings import Settings
from streams.simulator import Scenario, write_directory
from tests.streams.recordings import START_MS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SECONDS = 90.0


def outcome(place: Path, seed: int) -> Comparison:
    scenario = Scenario.demo(START_MS, SECONDS, history_events=HISTORY_EVENTS)
    place.mkdir()
    directory = write_directory(place / "traffic", scenario, seed, compress=False).path
    replay.run(Settings(), directory, place / "flags.jsonl")
    flags = [decode_flag(line) for line in (place / "flags.jsonl").read_bytes().splitlines()]
    return compare(flags, read_attacks(directory / "attacks.jsonl"), read_benign(directory / "benign.jsonl"))


def test_the_demo_flags_its_attacks_and_neither_the_viral_post_nor_the_celebrity(tmp_path: Path) -> None:
    # Over three seeds, since one vendor's likes pass now and then: what must hold always is the other half.
    results = [outcome(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    found = [attack.attack.kind.value for result in results for attack in result.attacks if attack.episodes]
    assert len(found) >= 10
    assert set(found) == {"follower_spike", "like_boost", "keyword_ranking", "keyword_trend"}
    for result in results:
        assert {quiet.family for quiet, _ in result.benign} >= {"viral", "celebrity"}
        flagged = {quiet.family for quiet, episodes in result.benign if episodes}
        assert not flagged & {"viral", "celebrity"}
