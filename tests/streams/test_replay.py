from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detectors.actors import Outcome
from streams import lines, replay
from streams.errors import RecordedTrafficError
from streams.recorded import Recording
from streams.settings import Settings
from streams.simulator import AttackOrder, Scenario, write_directory
from tests.streams.recordings import START_MS, like, traffic, write

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a day with a plain burst of bought followers and one of bought likes in it."""
    scenario = Scenario(
        start_ms=START_MS,
        duration_ms=12 * HOUR_MS,
        accounts=3_000,
        notes=1_500,
        keywords=200,
        events_per_s=0.7,
        attacks=(
            AttackOrder("follower_spike", "burst", 300, START_MS + 8 * HOUR_MS, HOUR_MS),
            AttackOrder("like_boost", "burst", 300, START_MS + 9 * HOUR_MS, HOUR_MS, vendor=1),
        ),
        benign=2,
    )
    return write_directory(tmp_path_factory.mktemp("recording"), scenario, seed=5).path


def flags_of(directory: Path, out: Path, batch: int = 8_192) -> list[dict[str, Any]]:
    replay.run(Settings(), directory, out, batch)
    flags = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    for flag in flags:
        assert flag.pop("emitted_at") > START_MS
    return flags


def test_a_second_replay_gives_the_same_bytes_apart_from_emitted_at(attacked: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert flags_of(attacked, first)
    flags_of(attacked, second)
    without = [re.sub(rb'"emitted_at":\d+', b"", path.read_bytes()) for path in (first, second)]
    assert without[0] == without[1]


@pytest.mark.parametrize(("batch", "block"), [(1, 1 << 19), (7, 4_096), (500, 65_536), (8_192, 100_000)])
def test_flags_do_not_depend_on_how_the_recording_is_cut(
    attacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, block: int
) -> None:
    whole = flags_of(attacked, tmp_path / "whole.jsonl")
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    assert flags_of(attacked, tmp_path / "cut.jsonl", batch) == whole


def test_every_line_is_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = traffic(400)
    twice = recording["likes"][10]
    recording["likes"].insert(12, twice)
    recording["likes"].append(like(9_999, START_MS, action="love"))
    write(tmp_path, recording)
    with (tmp_path / "follows.jsonl").open("ab") as file:
        file.write(b"\xff\xfe{\n\n")
    totals = replay.Totals()
    source = Recording(tmp_path)
    for _ in replay.replay(Settings(), source, 100, totals):
        pass
    refused = sum(source.report.refused.values())
    assert sum(totals.outcomes.values()) + refused == sum(source.report.read.values())
    assert totals.outcomes[source_topic(source, "likes"), Outcome.DUPLICATE] == 1
    assert refused == 2
    replay.run(Settings(), tmp_path, tmp_path / "flags.jsonl")
    out = capsys.readouterr().out
    assert "2 bad lines" in out
    assert "1 empty lines" in out
    assert re.search(r"likes.jsonl:\d+: .*love", out)
    assert "follows not_utf8: 1" in out or "follows not_json: 1" in out


def source_topic(recording: Recording, stem: str) -> Any:
    return next(topic for topic, path in recording.files.items() if path.name.startswith(stem))


def test_the_flags_file_appears_whole_or_not_at_all(
    attacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "flags.jsonl"
    out.write_text("kept")

    def fail(*_: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(replay, "encode_flag", fail)
    with pytest.raises(RuntimeError):
        replay.run(Settings(), attacked, out)
    assert [path.name for path in tmp_path.iterdir()] == ["flags.jsonl"]
    assert out.read_text() == "kept"


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(attacked: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordedTrafficError, match="cannot write"):
        replay.run(Settings(), attacked, tmp_path / "none" / "flags.jsonl")


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    code = (
        "import sys, resource; from pathlib import Path; from streams.recorded import Recording\n"
        "for events in Recording(Path(sys.argv[1])).batches(8192): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks_kib = []
    for times in (1, 6):
        directory = tmp_path / str(times)
        write(directory, traffic(20_000))
        for path in directory.iterdir():
            path.write_bytes(path.read_bytes() * times)
        told = subprocess.run([sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=True)
        peaks_kib.append(int(told.stdout))
    assert peaks_kib[1] < peaks_kib[0] + 12 * 1024, peaks_kib


def test_open_episodes_stay_open_at_the_end_of_the_recording(attacked: Path, tmp_path: Path) -> None:
    flags = flags_of(attacked, tmp_path / "flags.jsonl")
    last = max(flag["detected_at"] for flag in flags)
    assert last < START_MS + 12 * HOUR_MS
