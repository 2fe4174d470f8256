from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from schemas.columns import Topic, Verb
from schemas.flags import Kind, Subject, SubjectType
from schemas.hashing import hash_id
from streams.comparison import Benign
from streams.evaluation.ablation import GROUPS, without_features, without_mixes
from streams.evaluation.baselines import METHODS, count_zscore, half_space_trees, judge, midas
from streams.evaluation.midas import midas_f
from streams.evaluation.results import Evaluated, FalseFlag
from streams.evaluation.traffic import Purchase, Traffic
from streams.pipeline import shipped_marks, shipped_thresholds

MINUTE_MS = 60_000
DAY_MS = 86_400_000


def burst_on_one_of_many(seed: int = 3) -> tuple[Traffic, Purchase]:
    """Give a day of follows on forty accounts and two hundred more on one of them within ten minutes."""
    rng = np.random.default_rng(seed)
    quiet, bought = 8_000, 200
    begin = DAY_MS // 2
    ts = np.concatenate([rng.integers(0, DAY_MS, quiet), begin + np.sort(rng.integers(0, 10 * MINUTE_MS, bought))])
    names = np.array([hash_id(f"u{number}") for number in range(40)], np.uint64)
    subject = np.concatenate([names[rng.integers(0, 40, quiet)], np.full(bought, names[5])])
    actor = np.concatenate([rng.integers(1, 900, quiet), 10_000 + np.arange(bought)]).astype(np.uint64)
    order = np.argsort(ts, kind="stable")
    count = len(ts)
    made = Traffic(
        ts[order], np.full(count, int(Topic.FOLLOWS), np.uint8), np.full(count, int(Verb.FOLLOW), np.uint8),
        np.arange(1, count + 1, dtype=np.uint64), actor[order], subject[order], np.zeros(count, np.uint64),
    )  # fmt: skip
    times = tuple(np.sort(ts[quiet:]).tolist())
    named = Subject(SubjectType.ACCOUNT, "u5")
    return made, Purchase("a0", Kind.FOLLOWER_SPIKE, named, times[0], times[-1], "burst", times=times)


@pytest.mark.parametrize("name", ["count z-score", "MIDAS-F"])
def test_a_method_finds_a_burst_that_a_count_shows_at_its_own_threshold(name: str) -> None:
    traffic, attack = burst_on_one_of_many()
    about, statistic = METHODS[name]
    found = judge(name, about, statistic, "day", traffic, [attack], [], Evaluated(name="ours", about=""))
    assert found.false_flags == []
    assert found.attacks[0].detected_ms is not None
    assert 0.0 < (found.attacks[0].delivered or 0.0) <= 1.0
    assert found.right == {Kind.FOLLOWER_SPIKE: 1}


def test_a_method_may_give_as_many_false_flags_as_ours_and_they_are_told_by_family() -> None:
    traffic, attack = burst_on_one_of_many()
    elsewhere = Purchase("a1", Kind.FOLLOWER_SPIKE, Subject(SubjectType.ACCOUNT, "u6"), 0, 1, "burst", times=(0,))
    viral = Benign("b0", "viral", attack.subject, attack.start, attack.end)
    found = judge("z", "", count_zscore, "day", traffic, [elsewhere], [viral], Evaluated(name="ours", about=""))
    assert found.false_flags == []
    one = Evaluated(name="ours", about="", false_flags=[false_flag(attack)])
    found = judge("z", "", count_zscore, "day", traffic, [elsewhere], [viral], one)
    assert [flag.family for flag in found.false_flags] == ["viral"]
    assert found.benign[0].flagged == [Kind.FOLLOWER_SPIKE]


def false_flag(attack: Purchase) -> FalseFlag:
    return FalseFlag(directory="day", kind=attack.kind, subject="u5", detected_ms=attack.start, score=0.5, reasons=[])


def test_the_statistics_do_not_look_ahead() -> None:
    traffic, _ = burst_on_one_of_many()
    half = len(traffic) // 2
    for statistic in (count_zscore, midas):
        whole = statistic(traffic.subject, traffic.actor, traffic.ts)
        part = statistic(traffic.subject[:half], traffic.actor[:half], traffic.ts[:half])
        np.testing.assert_allclose(whole[:half], part)


def test_the_trees_speak_once_a_window_with_its_last_action() -> None:
    ts = np.repeat(np.arange(600) * 300_000, 6) + np.tile(np.arange(6), 600)
    subject = np.full(len(ts), 7, np.uint64)
    found = half_space_trees(subject, np.arange(len(ts), dtype=np.uint64), ts)
    assert (found[np.arange(len(ts)) % 6 != 5] == 0).all()
    assert (found >= 0).all()
    assert found.any()


def test_midas_scores_a_burst_above_what_came_every_minute_and_does_not_learn_it() -> None:
    tick = np.repeat(np.arange(1, 201), 3).astype(np.int64)
    source = np.tile(np.arange(1, 4), 200).astype(np.uint64)
    burst = np.full(400, 150, np.int64)
    order = np.argsort(np.concatenate([tick, burst]), kind="stable")
    ticks = np.concatenate([tick, burst])[order]
    sources = np.concatenate([source, np.full(400, 99, np.uint64)])[order]
    targets = np.where(sources == 99, 77, 5).astype(np.uint64)
    targets[np.flatnonzero(ticks == 3)[:1]] = 77
    scores = midas_f(sources, targets, ticks, 1_024, 1, 1_000.0, 0.5)
    assert scores[sources == 99].max() > 10 * scores[sources != 99].max()
    assert all(before <= after for before, after in pairwise(scores[sources == 99].tolist()))


def test_every_feature_of_the_marks_belongs_to_one_group_of_the_ablation() -> None:
    features = [feature for group in GROUPS.values() for feature in group]
    assert len(features) == len(set(features))
    known = set(next(iter(shipped_marks().groups.values())).usual)
    assert set(features) >= known


def test_an_ablated_feature_moves_no_mark_and_the_others_keep_their_weight() -> None:
    group = shipped_marks().groups["follow"]
    ablated = without_features(shipped_marks(), ("device_new",)).groups["follow"]
    usual = dict.fromkeys(group.usual, 0.0)
    assert ablated.score_one(usual | {"device_new": 1.0}) == ablated.score_one(usual)
    moved = {"newness": 2.0}
    assert ablated.score_one(usual | moved) - ablated.score_one(usual) == pytest.approx(
        group.score_one(usual | moved) - group.score_one(usual)
    )


def test_without_mixes_only_the_factor_changes() -> None:
    for kind, learned in without_mixes(shipped_thresholds()).kinds.items():
        assert max(learned.factor) < -1e5
        assert learned.threshold == shipped_thresholds().kinds[kind].threshold
