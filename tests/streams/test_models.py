from __future__ import annotations

from pathlib import Path

from streams.cli import parser
from streams.models import CALIBRATED_ON, EVENTS, TRAINING, steps
from streams.simulator.habits import TRAINING_FAMILIES


def test_every_step_is_a_command_that_there_is(tmp_path: Path) -> None:
    told = steps(tmp_path, tmp_path, EVENTS)
    parsed = [parser().parse_args(step) for step in told]
    assert [one.command for one in parsed] == ["simulate"] * len(TRAINING) + ["train", "calibrate"]
    assert len(parsed[-2].directory) == len(TRAINING)
    assert len(parsed[-1].directory) == len(CALIBRATED_ON)
    assert parsed[-1].marks == parsed[-2].out


def test_traffic_that_is_there_is_not_simulated_again(tmp_path: Path) -> None:
    for family, seed in TRAINING:
        (tmp_path / f"{family}-{seed}").mkdir()
    assert [step[0] for step in steps(tmp_path, tmp_path, EVENTS)] == ["train", "calibrate"]


def test_families_that_are_held_out_are_learned_from_by_nobody() -> None:
    assert {family for family, _ in TRAINING} <= set(TRAINING_FAMILIES)
