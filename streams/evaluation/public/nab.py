"""The Numenta Anomaly Benchmark: its series, and its way of scoring.

Lavin and Ahmad (2015), Evaluating Real-time Anomaly Detection Algorithms, arXiv:1510.03336; Ahmad, Lavin, Purdy and
Agha (2017), Unsupervised real-time anomaly detection for streaming data, Neurocomputing,
doi:10.1016/j.neucom.2017.04.070.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PROBATION_SHARE, PROBATION_ROWS_MAX = 0.15, 750
"""Rows at a file's start that are neither rewarded nor punished: this share of it, no more than so many."""

TWEETS = "realTweets/"


@dataclass(frozen=True, slots=True)
class Series:
    """One file of n rows; `windows` holds the first and the last row of each labelled window."""

    name: str
    ts: NDArray[np.int64]  # s since the epoch
    value: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window found, a false alarm and a window missed weigh."""

    name: str
    found: float
    false: float
    missed: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward low FP", 1.0, 0.22, 1.0),
    Profile("reward low FN", 1.0, 0.11, 2.0),
)
"""NAB's three application profiles."""

PUBLISHED: dict[str, tuple[str, str, str]] = {
    "ARTime": ("74.9 / 65.1 / 80.4", "81.8 / 70.1 / 87.9", "83.2 / 74.6 / 88.8"),
    "Numenta HTM": ("70.1 / 63.1 / 74.3", "68.0 / 61.1 / 72.6", "69.3 / 63.5 / 73.5"),
    "CAD OSE": ("69.9 / 67.0 / 73.2", "74.5 / 73.1 / 76.5", "74.5 / 73.1 / 76.9"),
    "earthgecko Skyline": ("58.2 / 46.2 / 63.9", "68.9 / 45.3 / 78.3", "68.9 / 45.3 / 78.3"),
    "Random Cut Forest": ("51.7 / 38.4 / 59.7", "", ""),
    "Twitter ADVec": ("47.1 / 33.6 / 53.5", "", ""),
    "Windowed Gaussian": ("39.6 / 20.9 / 47.4", "51.4 / 16.3 / 64.6", "51.4 / 16.3 / 64.6"),
}
"""Standard / low FP / low FN: NAB's scoreboard on all files; from NAB's stored scores, realTweets at the threshold of
all files and at its own."""


def read_series(folder: Path) -> list[Series]:
    """Read `nab.csv.gz` and `combined_windows.json`, files in the source's order."""
    windows = msgspec.json.decode(
        (folder / "combined_windows.json").read_bytes(), type=dict[str, list[tuple[str, str]]]
    )
    rows: dict[str, list[tuple[str, float]]] = {}
    with gzip.open(folder / "nab.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["file"], []).append((row["timestamp"], float(row["value"])))
    return [_series(name, found, windows.get(name, [])) for name, found in rows.items()]


def worth(series: Series) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each row what a detection is worth, and the window that it is in, -1 outside.

    Outside a window the worth is what a false alarm costs, from just below 0 after a window to -1.
    """
    count = len(series.value)
    found, inside = np.full(count, -1.0), np.full(count, -1, np.int64)
    for number, (left, right) in enumerate(series.windows):
        width = right - left + 1
        within = np.arange(left, right + 1)
        found[within] = _sigmoid(-(right - within + 1) / width) / _sigmoid(np.array(-1.0))
        inside[within] = number
        after = np.arange(right + 1, series.windows[number + 1][0] if number + 1 < len(series.windows) else count)
        if width > 1:
            found[after] = _sigmoid((after - right) / (width - 1))
    return found, inside


def score(series: Sequence[Series], scores: Mapping[str, NDArray[np.float64]], profile: Profile) -> tuple[float, float]:
    """Return the threshold that serves all files best and the score there, 0 for silence and 100 for perfect."""
    threshold, _ = best_threshold(series, scores, profile)
    return threshold, score_at(series, scores, profile, threshold)


def best_threshold(
    series: Sequence[Series], scores: Mapping[str, NDArray[np.float64]], profile: Profile
) -> tuple[float, float]:
    """Return the threshold with the highest sum over all files, and that sum; infinity detects nothing."""
    value, gain, window = _rows(series, scores)
    order = np.argsort(-value, kind="stable")
    total = -profile.missed * sum(len(one.windows) for one in series)
    best, threshold = total, np.inf
    paid: dict[int, float] = {}
    ordered = value[order].tolist()
    for place, row in enumerate(order.tolist()):
        which = int(window[row])
        if which < 0:
            total += profile.false * gain[row]
        elif which not in paid:
            total += profile.missed + profile.found * gain[row]
            paid[which] = gain[row]
        elif gain[row] > paid[which]:
            total += profile.found * (gain[row] - paid[which])
            paid[which] = gain[row]
        last = place + 1 == len(ordered) or ordered[place + 1] != ordered[place]
        if last and total > best:
            best, threshold = total, ordered[place]
    return float(threshold), float(best)


def score_at(
    series: Sequence[Series], scores: Mapping[str, NDArray[np.float64]], profile: Profile, threshold: float
) -> float:
    """Return the normalised score at a threshold."""
    value, gain, window = _rows(series, scores)
    detected = value >= threshold
    count = sum(len(one.windows) for one in series)
    false = profile.false * float(gain[detected & (window < 0)].sum())
    most = np.full(count, -np.inf)
    inside = detected & (window >= 0)
    np.maximum.at(most, window[inside], gain[inside])
    found = np.isfinite(most)
    total = false + profile.found * float(most[found].sum()) - profile.missed * float((~found).sum())
    null, perfect = -profile.missed * count, profile.found * count
    return 100.0 * (total - null) / (perfect - null)


def _rows(
    series: Sequence[Series], scores: Mapping[str, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return score, worth and window of every row after probation; windows are numbered through all files."""
    values, gains, windows, before = [], [], [], 0
    for one in series:
        start = min(int(PROBATION_SHARE * len(one.value)), PROBATION_ROWS_MAX)
        gain, inside = worth(one)
        values.append(scores[one.name][start:])
        gains.append(gain[start:])
        windows.append(np.where(inside < 0, -1, inside + before)[start:])
        before += len(one.windows)
    return np.concatenate(values), np.concatenate(gains), np.concatenate(windows)


def _sigmoid(place: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(place > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, 3.0))) - 1.0)


def _series(name: str, rows: Sequence[tuple[str, float]], windows: Sequence[tuple[str, str]]) -> Series:
    stamps = [stamp for stamp, _ in rows]
    first = {stamp: place for place, stamp in reversed(list(enumerate(stamps)))}
    moments = [int(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()) for stamp in stamps]
    edges = tuple((first[_short(left)], first[_short(right)]) for left, right in windows)
    return Series(name, np.array(moments, np.int64), np.array([value for _, value in rows]), edges)


def _short(stamp: str) -> str:
    """Return a label's time as the series write it, without fractions."""
    return stamp.partition(".")[0]
