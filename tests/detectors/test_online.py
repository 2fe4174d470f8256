"""What every detector in River's shape keeps to, crossed with every detector (after River's own checks)."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detectors.follower_spike import FollowerSpike
from detectors.keyword_ranking import KeywordRanking
from detectors.keyword_trend import KeywordTrend
from detectors.like_boost import LikeBoost
from schemas.flags import Kind
from streams.pipeline import shipped_thresholds
from tests.detectors.subject_traffic import START_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.online import OnlineDetector

DETECTORS = (FollowerSpike, LikeBoost, KeywordTrend, KeywordRanking)
CLICK = {"note": "n1", "position": 17}


def stream(kind: type[OnlineDetector], count: int, mean: float, seed: int = 0) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield {
            "ts": START_MS + number * 20_000,
            "subject": f"s{number % 3}",
            "actor": f"a{seed}-{number}",
            "mark": float(np.clip(rng.normal(mean, 1.0), -7, 7)),
        } | (CLICK if kind is KeywordRanking else {})


def state_of(detector: OnlineDetector) -> bytes:
    return pickle.dumps(detector.__getstate__())


@pytest.fixture(params=DETECTORS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[OnlineDetector]:
    return request.param  # type: ignore[no-any-return]


def test_scoring_does_not_change_state(kind: type[OnlineDetector]) -> None:
    detector = kind()
    for x in stream(kind, 60, 2.0):
        detector.learn_one(x)
    before = state_of(detector)
    for x in stream(kind, 20, 2.0, seed=1):
        detector.score_one(x)
    assert state_of(detector) == before


def test_scoring_before_learning_works(kind: type[OnlineDetector]) -> None:
    assert kind().score_one(next(stream(kind, 1, 3.0))) < 0.3


def test_scores_are_in_the_unit_interval_and_rise_in_an_attack(kind: type[OnlineDetector]) -> None:
    detector = kind()
    scores = []
    for x in stream(kind, 90, 2.3):
        scores.append(detector.score_one(x))
        detector.learn_one(x)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert min(scores[-10:]) > 0.5 > max(scores[:5])


def test_organic_actions_score_low(kind: type[OnlineDetector]) -> None:
    detector = kind()
    for x in stream(kind, 90, -1.5):
        detector.learn_one(x)
    assert max(detector.score_one(x) for x in stream(kind, 10, -1.5, seed=2)) < 0.2


def test_a_pickle_scores_and_learns_as_the_original(kind: type[OnlineDetector]) -> None:
    detector = kind()
    for x in stream(kind, 40, 2.0):
        detector.learn_one(x)
    copy = pickle.loads(pickle.dumps(detector))  # noqa: S301 - our own bytes
    for x in stream(kind, 15, 2.0, seed=3):
        assert copy.score_one(x) == pytest.approx(detector.score_one(x), abs=1e-6)
        copy.learn_one(x)
        detector.learn_one(x)


def test_memory_is_bounded(kind: type[OnlineDetector]) -> None:
    detector = kind(subjects_max=50)
    for number, x in enumerate(stream(kind, 400, 0.0)):
        detector.learn_one(x | {"subject": f"s{number}"})
    assert detector.tracked <= 50


def test_removals_are_learned_without_making_a_subject(kind: type[OnlineDetector]) -> None:
    if kind in {KeywordTrend, KeywordRanking}:
        pytest.skip("searches are not taken back")
    verb = "unfollow" if kind is FollowerSpike else "unlike"
    detector = kind()
    detector.learn_one({"ts": START_MS, "subject": "s1", "actor": "a", "action": verb, "mark": 1.0})
    assert detector.tracked == 0


def test_it_is_known_to_river(kind: type[OnlineDetector]) -> None:
    from river import base

    assert isinstance(kind(), base.AnomalyDetector)
    assert kind(subjects_max=7).clone().subjects_max == 7


def test_a_suspect_that_is_due_a_second_look_keeps_no_detector_waiting() -> None:
    detector = FollowerSpike(shipped_thresholds().kinds[Kind.FOLLOWER_SPIKE])
    last_ms = 0
    for x in stream(FollowerSpike, 200, 4.0):
        detector.learn_one(x)
        last_ms = x["ts"]
    detector.learn_one({"ts": last_ms + 3_600_000, "subject": "s1", "actor": "late", "mark": 0.0})
    assert 0.0 <= detector.score_one({"ts": last_ms + 7_200_000, "subject": "s1", "actor": "later"}) <= 1.0
