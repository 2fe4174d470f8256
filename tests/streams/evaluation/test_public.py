from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streams.evaluation.public import cascades, level, wikipedia
from streams.evaluation.public.__main__ import SETS, VARIABLE, main
from streams.evaluation.public.darpa import evaluate_edges, read_edges
from streams.evaluation.public.nab import PROFILES, Profile, Series, read_series, score, score_at, worth
from streams.evaluation.public.surges import surge_scores
from streams.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

STANDARD = PROFILES[0]


def series(rows: int = 100, windows: tuple[tuple[int, int], ...] = ((50, 59),), name: str = "x/a.csv") -> Series:
    return Series(name, np.arange(rows) * 300, np.ones(rows), windows)


def only(rows: list[int], count: int = 100) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    scores = np.zeros(count)
    scores[rows] = 1.0
    return {"x/a.csv": scores}


@pytest.mark.parametrize(("row", "paid"), [(50, 1.0), (59, 0.248242)])
def test_a_window_pays_most_at_its_start(row: int, paid: float) -> None:
    assert worth(series())[0][row] == pytest.approx(paid, abs=1e-6)
    assert score_at([series()], only([row]), STANDARD, 1.0) == pytest.approx(100 * (paid + 1) / 2, abs=1e-4)


@pytest.mark.parametrize(("row", "cost"), [(60, -0.029793), (90, -0.11), (20, -0.11), (14, 0.0)])
def test_a_false_alarm_costs_more_the_further_it_is_behind_a_window(row: int, cost: float) -> None:
    found = score_at([series()], only([50, row]), STANDARD, 1.0)
    assert found == pytest.approx(100 * (1 + cost + 1) / 2, abs=1e-4)


@pytest.mark.parametrize("profile", PROFILES)
def test_perfect_is_100_and_a_constant_score_is_0(profile: Profile) -> None:
    two = series(1_000, ((300, 349), (700, 749)))
    perfect = {"x/a.csv": np.zeros(1_000)}
    perfect["x/a.csv"][[300, 700]] = 1.0
    assert score([two], perfect, profile)[1] == pytest.approx(100.0)
    assert score([two], {"x/a.csv": np.ones(1_000)}, profile)[1] == 0.0


def test_the_best_threshold_is_never_worse_than_any_other() -> None:
    rng = np.random.default_rng(5)
    one = series(400, ((120, 150), (300, 320)))
    scores = {"x/a.csv": rng.integers(0, 12, 400) / 12}
    best = score([one], scores, STANDARD)[1]
    others = [score_at([one], scores, STANDARD, threshold) for threshold in (*np.unique(scores["x/a.csv"]), np.inf)]
    assert best == pytest.approx(max(others))


def test_series_and_windows_are_read_and_a_repeated_time_is_its_first_row(tmp_path: Path) -> None:
    lines = ["file,timestamp,value"] + [f"a/b.csv,2014-01-01 00:0{row}:00,{row}" for row in (0, 1, 1, 2, 3)]
    with gzip.open(tmp_path / "nab.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    text = '{"a/b.csv": [["2014-01-01 00:01:00.000000", "2014-01-01 00:02:00.000000"]]}'
    (tmp_path / "combined_windows.json").write_text(text)
    found = read_series(tmp_path)
    assert found[0].windows == ((1, 3),)
    assert found[0].value.tolist() == [0.0, 1.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("detector", level.DETECTORS.values(), ids=list(level.DETECTORS))
def test_a_detector_of_series_finds_a_burst_does_not_look_ahead_and_survives_odd_series(detector: object) -> None:
    rng = np.random.default_rng(2)
    value = rng.poisson(20, 3_000).astype(np.float64)
    value[2_000:2_005] += 300
    made = Series("a/b.csv", np.arange(3_000) * 300, value, ())
    found = detector(made)  # type: ignore[operator]
    assert found.argmax() in range(2_000, 2_005)
    assert ((found >= 0) & (found < 1)).all()
    half = Series("a/b.csv", made.ts[:1_500], value[:1_500], ())
    np.testing.assert_allclose(detector(half), found[:1_500])  # type: ignore[operator]
    for odd in (np.zeros(500), np.full(500, -7.5), np.full(500, 1e12)):
        assert np.isfinite(detector(Series("c", np.arange(500) * 300, odd, ()))).all()  # type: ignore[operator]


def edges_file(path: Path) -> Path:
    rows = [f"172.16.{row % 7}.1,10.0.0.{row % 5},{1_000 + row // 10},-" for row in range(2_000)]
    rows[1_500:1_500] = [f"9.9.9.9,10.0.0.{row % 50 + 100},1150,ipsweep" for row in range(200)]
    rows[900:900] = ["8.8.8.8,10.0.0.1,1090,neptune"] * 300
    with gzip.open(path, "wt") as file:
        file.write("src,dst,minute,attack\n" + "\n".join(rows) + "\n")
    return path


def test_edges_are_read_with_their_ranks_and_attacks_and_bursts_outscore_what_is_usual(tmp_path: Path) -> None:
    edges = read_edges(edges_file(tmp_path / "darpa.csv.gz"))
    assert len(edges) == 2_500
    assert set(edges.names) == {"-", "ipsweep", "neptune"}
    assert (edges.tick[0], edges.tick[-1]) == (1, 200)
    assert len(np.unique(edges.source)) == 9
    ours, midas = evaluate_edges(edges)
    assert ours.auc_all > 0.9
    assert ours.auc_without_floods > 0.9
    assert 0.0 <= midas.auc_all <= 1.0


def test_the_surge_score_does_not_look_ahead(tmp_path: Path) -> None:
    edges = read_edges(edges_file(tmp_path / "darpa.csv.gz"))
    whole = surge_scores(edges.source, edges.destination, edges.tick)
    part = surge_scores(edges.source[:1_000], edges.destination[:1_000], edges.tick[:1_000])
    np.testing.assert_array_equal(whole[:1_000], part)


def test_moved_posts_keep_their_pace_and_begin_in_one_week() -> None:
    rows = [cascades.Row(f"n{row % 3}", "u", f"a{row}", 10**12 + row * 86_400_000) for row in range(30)]
    moved = cascades.shifted(rows)
    assert [row.ts_ms for row in moved] == sorted(row.ts_ms for row in moved)
    for note in ("n0", "n1", "n2"):
        was = [row.ts_ms for row in rows if row.note_id == note]
        now = [row.ts_ms for row in moved if row.note_id == note]
        assert np.diff(was).tolist() == np.diff(now).tolist()
        assert 0 <= now[0] - cascades.SHIFTED_START_MS < cascades.SHIFTED_DAYS * 86_400_000


def test_cascades_go_through_the_whole_pipeline() -> None:
    rng = np.random.default_rng(3)
    rows = [cascades.Row("n1", "u1", f"a{row}", 10**12 + int(rng.integers(0, 10**7))) for row in range(200)]
    found = cascades.evaluate_cascades(Settings(), sorted(rows, key=lambda row: row.ts_ms))
    assert [(figures.posts, figures.planted, figures.rows) for figures in found] == [
        (1, 0, 200),
        (1, 0, 200),
        (0, 1, 400),
    ]
    assert all(figures.flagged <= 1 for figures in found)


def test_a_clock_has_less_entropy_than_people_and_users_are_judged_by_it() -> None:
    rng = np.random.default_rng(4)
    users = [
        wikipedia.User(f"r{number}", True, tuple(10**12 + step * 60_000 for step in range(40)), ("p",) * 40)
        for number in range(5)
    ]
    for number in range(5):
        gaps = np.exp(rng.normal(10.0, 2.0, 20)).astype(np.int64)
        users.append(wikipedia.User(f"u{number}", False, tuple((10**12 + np.cumsum(gaps)).tolist()), ("p", "q") * 10))
    figures = wikipedia.evaluate_timing(Settings(), users)
    assert (figures.users, figures.robots) == (10, 5)
    assert figures.auc["entropy of the first 9 gaps"] == 1.0
    assert figures.auc["edits"] == 1.0


def test_what_is_not_there_is_passed_over_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(f"{name}: skipped" in told for name in SETS)


def test_a_set_that_is_there_is_told_beside_the_published_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "darpa").mkdir()
    edges_file(tmp_path / "darpa" / "darpa.csv.gz")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert main(["darpa"]) == 0
    told = capsys.readouterr().out
    assert "surge score" in told
    assert "0.984 to 0.986" in told
    with pytest.raises(SystemExit):
        main(["mars"])
