from __future__ import annotations

from typing import TYPE_CHECKING

from streams.evaluation.command import Request
from streams.evaluation.detection import PARTS, Part, run, simulated
from streams.models import TRAINING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHORT = Part("a short one", "none", 1, ("quiet",))


def test_what_is_judged_shares_no_family_with_what_was_learned_from() -> None:
    learned = {family for family, _ in TRAINING}
    assert all(not learned & set(part.families) for part in PARTS)
    assert sum(part.rounds * len(part.families) for part in PARTS) >= 5


def test_figures_for_the_readme_come_out_of_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = Request([], json=tmp_path / "out.json")
    (found,) = run([SHORT], tmp_path, events=20_000, days=1.0, rounds=None, request=request)
    assert found.ours.attacks
    assert found.ours.benign
    assert (tmp_path / "out-none.json").exists()
    assert simulated(SHORT, tmp_path, 20_000, 1.0) == [tmp_path / "quiet-901-none-20000"]  # and is not written anew
    told = capsys.readouterr().out
    assert "| kind | found | recall (95%) |" in told
    assert "Benign episodes flagged: " in told


def test_other_seeds_are_other_recordings(tmp_path: Path) -> None:
    (usual,) = simulated(SHORT, tmp_path, 2_000, 1.0)
    (other,) = simulated(SHORT, tmp_path, 2_000, 1.0, first_seed=951)
    assert other.name == "quiet-951-none-2000"
    assert (other / "attacks.jsonl").read_bytes() != (usual / "attacks.jsonl").read_bytes()
