from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detectors.rhythm_training import THRESHOLD_LEAST
from streams import rhythm_models
from streams.cli import parser
from streams.crowds import MARGIN
from streams.models import ALONE, CALIBRATED_ON, CROWDS, DENSE, EVENTS, HIRED, SPARSE, TRAINING, simulations, steps
from streams.pipeline import shipped_rhythm, shipped_thresholds
from streams.simulator.habits import TRAINING_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


def test_every_step_is_a_command_that_there_is(tmp_path: Path) -> None:
    told = steps(tmp_path, tmp_path, EVENTS)
    parsed = [parser().parse_args(step) for step in told]
    assert [one.command for one in parsed] == ["simulate"] * len(simulations(tmp_path, EVENTS)) + [
        "train",
        "calibrate",
        "calibrate",
    ]
    trained, calibrated, judged = parsed[-3:]
    assert len(trained.directory) == len(TRAINING)
    assert len(calibrated.directory) == len(CALIBRATED_ON)
    assert len(judged.directory) == len(CROWDS) + len(DENSE) + len(SPARSE) + len(ALONE) + len(HIRED)
    assert trained.out == calibrated.marks == judged.marks
    assert (judged.crowds_only, judged.base, judged.out) == (True, calibrated.out, calibrated.out)


def test_traffic_that_is_there_is_not_simulated_again(tmp_path: Path) -> None:
    for directory, _ in simulations(tmp_path, EVENTS):
        directory.mkdir()
    assert [step[0] for step in steps(tmp_path, tmp_path, EVENTS)] == ["train", "calibrate", "calibrate"]


def test_families_that_are_held_out_are_learned_from_by_nobody() -> None:
    assert {family for family, *_ in (*TRAINING, *CROWDS, *DENSE, *SPARSE, *ALONE, *HIRED)} <= set(TRAINING_FAMILIES)
    assert {family for family, _ in rhythm_models.LEARNED_FROM} <= set(TRAINING_FAMILIES)
    assert not set(rhythm_models.LEARNED_FROM) & set(rhythm_models.REPORTED_ON)


def test_what_is_shipped_was_asked_for_as_it_stands_here() -> None:
    margins = ", ".join(f"{kind.value} {nats:g} nats" for kind, nats in MARGIN.items())
    assert shipped_thresholds().provenance["crowds_budget"].endswith(margins)
    assert shipped_rhythm().threshold >= THRESHOLD_LEAST


def test_rhythms_are_learned_from_more_programs_than_other_recordings_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[str]] = []

    def hear(arguments: Sequence[str]) -> int:
        told.append(arguments)
        return 0

    monkeypatch.setattr(rhythm_models, "LEARNED_FROM", (("metro", 1),))
    monkeypatch.setattr(rhythm_models, "REPORTED_ON", (("quiet", 2),))
    monkeypatch.setattr("streams.rhythm_training.main", hear)
    assert rhythm_models.make(tmp_path, tmp_path, events=20_000) == 0
    (learned, _, reported, _, out) = told[0]
    assert out == str(tmp_path / "rhythm.json")
    programs = [b"automation" in line for line in (Path(learned) / "attacks.jsonl").read_bytes().splitlines()]
    assert sum(programs) > 0.9 * rhythm_models.PROGRAMS
    assert Path(reported, "attacks.jsonl").exists()
