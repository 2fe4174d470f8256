"""What a crowd looks like, the trees that judge it, and how they are fitted."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import Trait
from detectors.boosting import boost
from detectors.calibration import Thresholds, read_thresholds, untrained, write_thresholds
from detectors.crowd import (
    KINDS,
    MARKS,
    NOTHING_PLAIN,
    ON_SHARED_DEVICES,
    RISING,
    SHARES,
    SIGN_NAMES,
    SIGNS,
    PlainWeights,
    Sign,
    plain_nats,
)
from detectors.crowd_training import Cases, asked_of, cases_of, fit_crowds, judged_by_others
from detectors.deciding import JUDGED_FIRST
from detectors.fitting import Labelled, Surge
from detectors.specs import Spec
from detectors.subject_rows import FOLLOWS, RULE
from detectors.subjects import SPECS
from detectors.trees import ANSWERS, QUESTIONS, Forest, Tree, walk_trees
from schemas.columns import Verb
from schemas.flags import Kind, Status
from tests.detectors.subject_traffic import HOUR_MS, START_MS, actions_of, bought, crowd, feed, in_time, organic, stage

SPEC: Spec = SPECS[FOLLOWS]
REPEAT = settings(max_examples=60, deadline=None)


def forest_of(rng: np.random.Generator, trees: int) -> Forest:
    made = [
        Tree(
            tuple(rng.integers(0, SIGNS, QUESTIONS).tolist()),
            tuple(rng.normal(size=QUESTIONS).astype(np.float32).tolist()),
            tuple(rng.normal(size=ANSWERS).astype(np.float32).tolist()),
        )
        for _ in range(trees)
    ]
    return Forest(SIGN_NAMES, tuple(made))


def judging(asked: float, nats: float = 5.0) -> Thresholds:
    """Thresholds by which follows are judged by one tree: `nats` where all lately acted like bought ones."""
    tree = Tree((MARKS - 4,) * QUESTIONS, (0.9,) * QUESTIONS, (0.0,) * (ANSWERS - 1) + (nats,))
    kinds = {spec.kind: untrained() for spec in SPECS}
    kinds[SPEC.kind] = msgspec.structs.replace(untrained(), crowd=Forest(SIGN_NAMES, (tree,)), factor=(asked,) * 5)
    return Thresholds(1, {}, kinds)


class TestTrees:
    @REPEAT
    @given(st.integers(0, 2**32 - 1), st.integers(1, 5))
    def test_the_compiled_loop_says_what_the_arrays_say(self, seed: int, trees: int) -> None:
        rng = np.random.default_rng(seed)
        forest = forest_of(rng, trees)
        rule = np.array([SPEC.rule(msgspec.structs.replace(untrained(), crowd=forest))], RULE)[0]
        cases = rng.normal(size=(20, SIGNS)).astype(np.float32).astype(np.float64)
        said = [walk_trees(rule, case) for case in cases]
        assert said == pytest.approx(forest.nats_of(cases).tolist(), abs=1e-4)

    def test_they_are_kept_with_the_thresholds(self) -> None:
        thresholds = judging(3.0)
        assert read_thresholds(write_thresholds(thresholds)) == thresholds

    def test_trees_that_ask_for_signs_that_are_not_there_are_refused(self) -> None:
        tree = Tree((9,) * QUESTIONS, (0.0,) * QUESTIONS, (0.0,) * ANSWERS)
        with pytest.raises(ValueError, match="there are 2"):
            Forest(("one", "two"), (tree,))
        other = Forest(tuple(f"sign_{each}" for each in range(SIGNS)), (tree,))
        with pytest.raises(ValueError, match="other signs"):
            msgspec.structs.replace(untrained(), crowd=other)


class TestBoosting:
    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 1000))
    def test_a_sign_that_may_only_speak_for_bought_crowds_never_speaks_against(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        cases = rng.normal(size=(400, 3))
        label = cases[:, 0] + cases[:, 1] + rng.normal(size=400) < 0
        forest = boost(cases, label, np.ones(400), ("one", "two", "three"), (1, 0, 0), seed)
        case = rng.normal(size=(1, 3))
        more = case + np.array([[1.0, 0.0, 0.0]])
        assert forest.nats_of(more)[0] >= forest.nats_of(case)[0] - 1e-6

    def test_what_only_two_signs_together_tell_is_learned(self) -> None:
        rng = np.random.default_rng(3)
        cases = rng.uniform(-1, 1, size=(3_000, 4))
        label = (cases[:, 0] > 0) & (cases[:, 1] > 0)
        forest = boost(cases, label, np.ones(3_000), ("a", "b", "c", "d"), (0, 0, 0, 0))
        asked = forest.nats_of(np.array([[0.5, 0.5, 0, 0], [0.5, -0.5, 0, 0], [-0.5, 0.5, 0, 0]]))
        assert asked[0] > 1.0
        assert asked[1:].max() < 0.0


def crowd_signs(stayed: float, spread: float, excess: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    signs = np.zeros(SIGNS)
    signs[SHARES + Sign.STAYED_AWAY_FAR] = stayed
    signs[SHARES + Sign.SPREAD] = spread
    signs[SHARES + Sign.EXCESS_SLOW] = excess
    return signs


class TestPlain:
    """What speaks for itself beside the trees."""

    weights = PlainWeights(varied=4.0, leisurely=2.0)

    @pytest.mark.parametrize(
        ("stayed", "spread", "excess", "nats"),
        [
            (0.0, 2.0, 0.0, 0.0),  # it is not known who went on
            (2.0, 2.0, 0.0, 0.0),  # more stayed away than usually do
            (-1.0, 0.5, 8.0, 0.0),  # all alike, at once
            (-1.0, 1.5, 8.0, -4.0),  # of all sorts
            (-1.0, 0.5, 0.0, -2.6),  # no more than usual
        ],
    )
    def test_who_goes_on_as_people_do_is_let_alone(
        self, stayed: float, spread: float, excess: float, nats: float
    ) -> None:
        assert plain_nats(crowd_signs(stayed, spread, excess), self.weights) == pytest.approx(nats)

    @pytest.mark.parametrize(("seconds", "nats"), [(24, 1.8), (140, 1.8), (160, 0.0), (3_600, 0.0)])
    def test_devices_that_serve_many_count_where_they_act_at_once(self, seconds: float, nats: float) -> None:
        signs = np.zeros(SIGNS)
        signs[ON_SHARED_DEVICES], signs[SHARES + Sign.SPAN_SHORT] = 1.0, np.log(seconds)
        assert plain_nats(signs, PlainWeights(rack=3.0)) == pytest.approx(nats)

    @REPEAT
    @given(st.floats(-9, 9), st.floats(0, 5), st.floats(0, 3), st.floats(0, 8))
    def test_who_stays_away_never_makes_a_crowd_less_suspect(
        self, stayed: float, more: float, spread: float, excess: float
    ) -> None:
        less, further = (plain_nats(crowd_signs(at, spread, excess), self.weights) for at in (stayed, stayed + more))
        assert further >= less or stayed == 0.0


class TestJudging:
    def traffic(self, seed: int = 1) -> list[object]:
        rng = np.random.default_rng(seed)
        usual = organic(rng, 40, START_MS, 20 * HOUR_MS, Verb.FOLLOW, "u1")
        paid = bought(rng, 40, START_MS + 20 * HOUR_MS, HOUR_MS, Verb.FOLLOW, "u1", traits=Trait.NARROW)
        return in_time(usual, paid)  # type: ignore[return-value]

    def test_a_flag_comes_where_the_trees_say_what_is_asked_for_and_tells_their_nats(self) -> None:
        acts = actions_of(self.traffic())  # type: ignore[arg-type]
        flags = feed(stage(judging(2.0)), acts, source="follows-0")
        opened = [flag for flag in flags if flag.status is Status.OPENED]
        assert [flag.kind for flag in opened] == [Kind.FOLLOWER_SPIKE]
        assert opened[0].evidence.numbers is not None
        assert opened[0].evidence.numbers["mix_nats"] == pytest.approx(2.16)  # of 5 at each look
        assert not feed(stage(judging(4.0)), acts, source="follows-0")

    def test_more_is_asked_for_while_nobody_is_known_yet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        acts = actions_of(self.traffic())  # type: ignore[arg-type]
        colder = (dataclasses.replace(SPEC, cold_nats=1.5), *SPECS[1:])
        monkeypatch.setattr("detectors.subjects.SPECS", colder)
        # The purchase comes in the twenty-first hour: an eighth or so of what is asked for besides is left then. It
        # reaches 3.27 nats.
        assert feed(stage(judging(2.95)), acts, source="follows-0")
        assert not feed(stage(judging(3.15)), acts, source="follows-0")

    def test_batches_change_nothing(self) -> None:
        acts = actions_of(self.traffic())  # type: ignore[arg-type]
        whole = feed(stage(judging(2.0)), acts, source="follows-0")
        assert whole
        assert feed(stage(judging(2.0)), acts, cuts=[7, 41, 55, 70], source="follows-0") == whole

    def test_a_crowd_of_which_nobody_is_odd_alone_is_looked_at_where_all_are_alike(self) -> None:
        rng = np.random.default_rng(4)
        usual = organic(rng, 40, START_MS, 20 * HOUR_MS, Verb.FOLLOW, "u1")
        paid = crowd(rng, 60, START_MS + 20 * HOUR_MS, HOUR_MS, Verb.FOLLOW, "u1", mean=-0.2, deviation=0.1)
        learning = stage(judging(1e6))
        learning.note_judged(50)
        feed(learning, actions_of(in_time(usual, paid)), source="follows-0")
        assert len(learning.judged) > 10
        signs = learning.judged[-1, JUDGED_FIRST:]
        assert signs[SHARES + Sign.SPREAD_SHORT] < 0.3
        assert signs[SHARES + Sign.SUSPICIOUS] > 0.7

    def test_what_is_looked_at_is_noted_down_only_where_somebody_learns(self) -> None:
        acts = actions_of(self.traffic())  # type: ignore[arg-type]
        quiet, learning = stage(judging(1e6)), stage(judging(1e6))
        learning.note_judged(50)
        assert feed(quiet, acts, source="follows-0") == feed(learning, acts, source="follows-0") == []
        assert len(quiet.judged) == 0
        judged = learning.judged
        assert 3 < len(judged) <= 50
        signs = judged[-1, JUDGED_FIRST:]
        assert signs[:MARKS].tolist() == sorted(signs[:MARKS], reverse=True)
        assert signs[2 * MARKS + list(Trait).index(Trait.NARROW)] == 1.0  # of the last sixteen
        assert signs[SHARES + Sign.SPAN] > signs[SHARES + Sign.SPAN_SHORT] > 0
        assert len(RISING) == SIGNS == SHARES + len(Sign)
        assert len(Trait) == KINDS


class TestLearning:
    def cases(self, seed: int, count: int = 300) -> Cases:
        rng = np.random.default_rng(seed)
        attack = np.repeat([0, 1, -1], count)
        signs = rng.normal(size=(3 * count, SIGNS)) + 1.5 * (attack == 1)[:, None]
        episode = np.where((attack == 0) & (np.arange(3 * count) % 50 == 0), 7, -1)
        return Cases(signs, attack, episode, np.arange(3 * count) // 3, np.arange(3 * count) % 3)

    def test_a_crowd_is_bought_where_some_of_its_last_actions_are(self) -> None:
        count = 60
        paid = np.zeros(count, np.int32)
        paid[10:20] = 3
        subject = np.array([5, 9] * count, np.uint64)
        traffic = Labelled(
            np.arange(2 * count) * 1_000, np.full(2 * count, Verb.FOLLOW, np.uint8), subject,
            np.zeros(2 * count, np.uint64), np.zeros(2 * count, np.int8), np.zeros(2 * count, np.uint16),
            np.stack([paid, np.zeros(count, np.int32)], axis=1).ravel(),
            (Surge("influx", FOLLOWS, 9, 0, 0, 10_000),),
        )  # fmt: skip
        judged = np.zeros((5, JUDGED_FIRST + SIGNS))
        judged[:, 1], judged[:, 5] = [10, 12, 20, 60, 3], [5, 5, 5, 5, 9]
        found = cases_of(traffic, FOLLOWS, judged)
        assert found.attack.tolist() == [0, -1, 3, 3, 0]
        assert found.episode.tolist() == [-1, -1, -1, -1, 0]
        assert len(set(found.subject.tolist())) == 2

    def test_what_is_asked_for_leaves_no_more_false_cases_than_the_budget(self) -> None:
        parts = [self.cases(seed) for seed in range(3)]
        nats = judged_by_others(parts, NOTHING_PLAIN)
        for flags_most, episodes_most in ((0, 0), (5, 1)):
            asked, score, left = asked_of(parts, nats, flags_most, episodes_most)
            false = {
                (turn, int(subject))
                for turn, (part, found) in enumerate(zip(parts, nats, strict=True))
                for subject in part.subject[(part.attack == 0) & (found >= asked)]
            }
            assert len(false) == left <= flags_most
            assert score[-1][1] > score[0][1]

    def test_the_same_cases_give_the_same_trees(self) -> None:
        assert fit_crowds([self.cases(1)]) == fit_crowds([self.cases(1)])
