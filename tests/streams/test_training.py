from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from detectors.mark_training import auc, marks_of
from detectors.marks import GROUP_NAMES, MarkModel
from streams.cli import main
from streams.errors import RecordedTrafficError
from streams.labelled import digest
from streams.simulator import AttackOrder, BenignOrder, Scenario, write_directory
from streams.training import read_examples
from tests.streams.recordings import START_MS, traffic, write

HOUR_MS = 3_600_000
ATTACKS = (
    AttackOrder("follower_spike", "burst", 400, START_MS + 4 * HOUR_MS, HOUR_MS),
    AttackOrder("like_boost", "burst", 400, START_MS + 5 * HOUR_MS, HOUR_MS, vendor=1),
    AttackOrder("keyword_ranking", "burst", 400, START_MS + 6 * HOUR_MS, HOUR_MS, likes_after_click=0.3, vendor=2),
    AttackOrder("keyword_trend", "burst", 600, START_MS + 7 * HOUR_MS, HOUR_MS, vendor=3),
)
BENIGN = (
    BenignOrder("viral", 300, START_MS + 3 * HOUR_MS, 4 * HOUR_MS),
    BenignOrder("giveaway", 200, START_MS + 5 * HOUR_MS, 3 * HOUR_MS),
)
SCENARIO = Scenario(
    start_ms=START_MS, duration_ms=10 * HOUR_MS, accounts=2_500, notes=1_000, keywords=150,
    events_per_s=0.5, attacks=ATTACKS, benign=BENIGN,
)  # fmt: skip


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directory(tmp_path_factory.mktemp("traffic") / "plain-1", SCENARIO, seed=3).path


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directory(tmp_path_factory.mktemp("traffic") / "plain-2", SCENARIO, seed=4).path


def test_labelled_traffic_trains_to_a_file_that_loads_and_tells_bought_from_honest(
    labelled: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "marks.json"
    assert main(["train", str(labelled), "--held-out", str(held_out), "--out", str(out)]) == 0
    model = MarkModel.from_json(out.read_bytes())
    assert model.to_json() == out.read_text()
    assert model.provenance["directories"] == [f"plain-1 ({digest(labelled)})"]
    assert model.provenance["held_out"] == [f"plain-2 ({digest(held_out)})"]
    told = json.loads(capsys.readouterr().out)
    assert told == model.provenance["report"]
    assert {"viral", "giveaway", *(f"all {name}" for name in GROUP_NAMES.values())} <= set(told["honest"])
    assert {name.split(" by ")[0] for name in told["kinds"]} == {order.kind for order in ATTACKS}
    examples = read_examples(held_out).examples
    marks = marks_of(model, examples.features, examples.group)
    for group in GROUP_NAMES:
        bought, honest = (marks[(examples.group == group) & (examples.bought == label)] for label in (True, False))
        assert auc(bought, honest) > 0.7


def test_the_same_directory_trains_to_the_same_bytes(labelled: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one.json", "other.json")]
    for out in outs:
        assert main(["train", str(labelled), "--out", str(out)]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_bought_actions_are_those_that_the_truth_names(labelled: Path) -> None:
    part = read_examples(labelled)
    truth = [json.loads(line) for line in (labelled / "attacks.jsonl").read_text().splitlines()]
    named = sum(len(attack["event_ids"]) for attack in truth)
    assert part.events > 15_000
    assert 0.9 * named < part.examples.bought.sum() <= named
    assert (part.examples.bought == (part.kind >= 0)).all()
    assert not (part.examples.bought & (part.family >= 0)).all()
    for at, kind in enumerate(part.kinds):
        sizes = [len(attack["event_ids"]) for attack in truth if attack["kind"] == kind]
        assert part.examples.weight[part.kind == at] == pytest.approx(1 / np.sqrt(sizes[0]))


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a refusal says: one line, nothing else, and nothing written."""
    out = Path(arguments[0]) / "marks.json"
    assert main(["train", *arguments, "--out", str(out)]) == RecordedTrafficError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not out.exists()
    return captured.err


def test_a_directory_without_attacks_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write(tmp_path / "unlabelled", traffic(50))
    assert said([str(directory)], capsys) == (
        f"boostwatch: {directory} has no attacks.jsonl: weights are learned from labelled traffic only\n"
    )


def test_a_directory_that_is_not_there_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(tmp_path / "nowhere") in said([str(tmp_path / "nowhere")], capsys)


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("attacks", "{", "attacks.jsonl line 2 cannot be read"),
        ("attacks", "[]", "attacks.jsonl line 2 cannot be read: Expected `object`"),
        ("attacks", '{"kind": "like_boost"}', "line 2 cannot be read: Object missing required field `event_ids`"),
        ("attacks", '{"kind": "like_boost", "event_ids": [7]}', "line 2 cannot be read: Expected `str`, got `int`"),
        ("benign", '{"family": "viral", "start": 1, "end": 2}', "benign.jsonl line 2 cannot be read: Object missing"),
    ],
)
def test_a_line_of_the_truth_that_cannot_be_read_is_named(
    name: str, line: str, says: str, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "labelled"
    shutil.copytree(labelled, directory)
    path = directory / f"{name}.jsonl"
    path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")
    assert says in said([str(directory)], capsys)


def test_a_recording_without_an_event_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write(tmp_path / "empty", {"likes": [], "attacks": []})
    assert "holds no event that can be read" in said([str(directory)], capsys)


def test_too_few_bought_actions_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = traffic(2_000)
    attack = {"kind": "like_boost", "event_ids": [line["event_id"] for line in lines["likes"][-20:]]}
    directory = write(tmp_path / "few", {**lines, "attacks": [attack]})
    assert "like: 20 bought and" in said([str(directory)], capsys)


def test_archives_that_cannot_be_unpacked_are_refused_in_one_line(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "damaged"
    shutil.copytree(labelled, directory)
    for path in directory.glob("*.gz"):
        path.write_bytes(gzip.compress(b"")[:5])
    assert "holds no event that can be read" in said([str(directory)], capsys)
