from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from detectors.calibration import Thresholds, read_thresholds
from detectors.settings import DetectorSettings
from detectors.subjects import SPECS
from schemas.flags import Kind
from streams.calibrating import FACTOR_LEAST, MORE, calibrated
from streams.cli import main
from streams.comparison import compare
from streams.errors import RecordedTrafficError
from streams.labelled import Recorded, digest, read
from streams.pipeline import shipped_marks, shipped_thresholds
from streams.simulator import Scenario, write_directory
from streams.simulator.scenario import KINDS, AttackOrder, BenignOrder
from tests.streams.recordings import START_MS, traffic, write

HOUR_MS = 3_600_000
SCENARIO = Scenario(
    start_ms=START_MS, duration_ms=20 * HOUR_MS, accounts=3_000, notes=1_200, keywords=200, events_per_s=0.4,
    attacks=tuple(
        AttackOrder(kind, "burst", 120, START_MS + (3 + 3 * turn) * HOUR_MS, HOUR_MS // 2, vendor=turn)
        for turn in range(4)
        for kind in KINDS
    ),
    benign=(
        BenignOrder("viral", 300, START_MS + 3 * HOUR_MS, 4 * HOUR_MS),
        BenignOrder("giveaway", 200, START_MS + 5 * HOUR_MS, 3 * HOUR_MS),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directory(tmp_path_factory.mktemp("traffic") / "plain-1", SCENARIO, seed=3).path


@pytest.fixture(scope="module")
def recorded(labelled: Path) -> Recorded:
    return read(labelled, shipped_marks())


def false_flags(part: Recorded, thresholds: Thresholds, kind: Kind) -> int:
    found = compare(part.flags(DetectorSettings(), thresholds), part.attacks, part.benign)
    wrong = {one.first.flag_id for one in found.others if one.first.kind is kind}
    return len(wrong | {hit.first.flag_id for _, hits in found.benign for hit in hits if hit.first.kind is kind})


def test_labelled_traffic_gives_a_file_that_loads_and_flags_what_it_learned_from(
    labelled: Path, recorded: Recorded, tmp_path: Path
) -> None:
    outs = [tmp_path / name for name in ("one.json", "other.json")]
    for out in outs:
        assert main(["calibrate", str(labelled), "--budget", "2000", "--out", str(out)]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    thresholds = read_thresholds(outs[0].read_bytes())
    assert digest(labelled) in thresholds.provenance["directories"]
    assert compare(recorded.flags(DetectorSettings(), thresholds), recorded.attacks, recorded.benign).flagged >= 4


@pytest.mark.parametrize("budget", [0.01, 1e6])
def test_the_false_flags_that_are_left_are_within_the_budget(recorded: Recorded, budget: float) -> None:
    numbers = msgspec.structs.replace(shipped_thresholds())
    thresholds = calibrated([recorded], numbers, budget)
    most = budget * recorded.account_days / 1e6
    for spec in SPECS:
        assert false_flags(recorded, thresholds, spec.kind) <= most


def test_clean_traffic_keeps_what_bought_surges_look_like_and_asks_for_no_more_than_it_must(tmp_path: Path) -> None:
    lines = traffic(3_000)
    clean = read(write(tmp_path / "clean", lines), shipped_marks())
    before = shipped_thresholds()
    after = calibrated([clean], before, 10.0)
    for kind, numbers in after.kinds.items():
        assert numbers.bought == before.kinds[kind].bought
        assert numbers.score == before.kinds[kind].score
        assert numbers.factor[0] == FACTOR_LEAST + MORE.get(kind, 0.0)


def test_what_cannot_be_learned_from_is_refused_in_one_line(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    empty = write(tmp_path / "empty", {"likes": []})
    broken = tmp_path / "broken"
    shutil.copytree(labelled, broken)
    (broken / "attacks.jsonl").write_text("{}\n")
    for directory, says in ((nowhere, "nowhere"), (empty, "no event"), (broken, "attacks.jsonl")):
        assert main(["calibrate", str(directory), "--out", str(tmp_path / "out")]) == RecordedTrafficError.exit_code
        told = capsys.readouterr().err
        assert says in told
        assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_marks_that_are_none_are_refused_by_file(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = tmp_path / "marks.json"
    marks.write_text("[]")
    assert main(["calibrate", str(labelled), "--marks", str(marks)]) == RecordedTrafficError.exit_code
    assert "marks.json" in capsys.readouterr().err
