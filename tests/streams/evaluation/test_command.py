from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from streams.cli import main
from streams.evaluation.command import Request, run
from streams.evaluation.report import render
from streams.evaluation.results import Evaluation
from streams.settings import Settings
from streams.simulator import AttackOrder, BenignOrder, Scenario, write_directory
from tests.conftest import lacking
from tests.integration.browser import chromium
from tests.streams.recordings import START_MS

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
EVIL = "</title><script>window.hurt=1</script>"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenario = Scenario(
        start_ms=START_MS,
        duration_ms=6 * HOUR_MS,
        accounts=3_000,
        notes=800,
        keywords=80,
        events_per_s=1.5,
        attacks=(
            AttackOrder("follower_spike", "burst", 200, START_MS + 3 * HOUR_MS, HOUR_MS // 2),
            AttackOrder("keyword_trend", "burst", 300, START_MS + 3 * HOUR_MS, HOUR_MS // 2),
            AttackOrder("keyword_ranking", "burst", 200, START_MS + 4 * HOUR_MS, HOUR_MS // 2),
        ),
        benign=(BenignOrder("viral", 250, START_MS + 2 * HOUR_MS, 2 * HOUR_MS),),
    )
    return write_directory(tmp_path_factory.mktemp("evaluated") / "day", scenario, 3).path


@pytest.fixture(scope="module")
def evaluation(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    place = tmp_path_factory.mktemp("out")
    request = Request([recording], report=place / "report.html", json=place / "figures.json", baselines=True)
    return run(Settings(), request), place


def test_a_simulated_day_is_replayed_and_scored(evaluation: tuple[Evaluation, Path]) -> None:
    found, _ = evaluation
    assert len(found.ours.attacks) == 3
    assert all(attack.bought >= 180 for attack in found.ours.attacks)
    flagged = [attack for attack in found.ours.attacks if attack.detected_ms is not None]
    assert flagged
    assert all(0.0 < (attack.delivered or 0.0) <= 1.0 for attack in flagged)
    assert [quiet.family for quiet in found.ours.benign] == ["viral"]
    assert found.consistency.total == 0
    assert [method.name for method in found.baselines] == ["count z-score", "MIDAS-F", "HalfSpaceTrees"]
    assert all(len(method.attacks) == 3 for method in found.baselines)
    assert found.exposure[0].account_days > 0


def test_the_figures_are_written_whole(evaluation: tuple[Evaluation, Path]) -> None:
    found, place = evaluation
    read = msgspec.json.decode((place / "figures.json").read_bytes(), type=Evaluation)
    assert read.ours.attacks == found.ours.attacks
    assert read.timelines == found.timelines


def test_flags_that_were_written_before_score_as_those_of_a_replay(
    recording: Path, evaluation: tuple[Evaluation, Path], tmp_path: Path
) -> None:
    assert main(["replay", str(recording), "--flags", str(tmp_path / "flags.jsonl")]) == 0
    again = run(Settings(), Request([recording], flags=tmp_path / "flags.jsonl"))
    assert again.ours.attacks == evaluation[0].ours.attacks


def test_what_does_not_go_together_is_refused(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = tmp_path / "flags.jsonl"
    flags.write_bytes(b"")
    assert main(["evaluate", str(recording), str(recording), "--flags", str(flags)]) == 2
    assert main(["evaluate", str(recording), "--flags", str(flags), "--ablate"]) == 2
    assert main(["evaluate", str(tmp_path)]) == 5
    (tmp_path / "likes.jsonl").write_bytes(b"")
    assert main(["evaluate", str(tmp_path)]) == 5
    flags.write_bytes(b"{}\n")
    assert main(["evaluate", str(recording), "--flags", str(flags)]) == 5
    told = capsys.readouterr().err
    assert "attacks.jsonl" in told
    assert "flags.jsonl:1 is no flag" in told


def test_a_report_of_nothing_is_a_page_all_the_same() -> None:
    from streams.evaluation.results import Evaluated

    assert "Whom it wrongs" in render(Evaluation(ours=Evaluated(name="boostwatch", about="")))


def test_the_report_opens_offline_with_every_plot_and_runs_nothing(
    evaluation: tuple[Evaluation, Path], tmp_path: Path
) -> None:
    command = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if command is None:
        lacking("there is no chromium to look at the report with")
    found = msgspec.json.decode(msgspec.json.encode(evaluation[0]), type=Evaluation)
    found.timelines = [msgspec.structs.replace(line, title=EVIL) for line in found.timelines]
    found.ours.attacks[0] = msgspec.structs.replace(found.ours.attacks[0], shape=EVIL)
    page_path = tmp_path / "report.html"
    page_path.write_text(render(found), encoding="utf-8")

    async def visit() -> None:
        async with chromium(command, tmp_path / "profile", page_path.as_uri()) as page:
            await page.until("document.readyState === 'complete' && document.querySelectorAll('figure').length > 0")
            assert await page.ask("window.hurt") is None
            figures = await page.ask("document.querySelectorAll('figure').length")
            assert figures >= 3 + 2 * 3 + len(found.timelines)
            wide = "[...document.querySelectorAll('figure > svg')].every(s => s.getBoundingClientRect().height > 60)"
            assert await page.ask(wide)
            broken = "[...document.querySelectorAll('svg *')].some(e => /NaN|inf/i.test(e.outerHTML.split('>')[0]))"
            assert await page.ask(broken) is False
            over = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert await page.ask(over)
            colour = "getComputedStyle(document.body).backgroundColor"
            light = await page.ask(colour)
            dark = [{"name": "prefers-color-scheme", "value": "dark"}]
            await page.call("Emulation.setEmulatedMedia", features=dark)
            assert await page.ask(colour) != light
            assert page.complaints == []
            assert {url.split(":")[0] for url in page.requested} <= {"file", "data"}

    asyncio.run(visit())
