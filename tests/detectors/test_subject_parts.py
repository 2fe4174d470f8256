"""Settings, thresholds, mixes, sources, shared models and evidence of the subject stage."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.calibration import Thresholds, ThresholdsError, read_thresholds, untrained, write_thresholds
from detectors.episodes import strength_of
from detectors.evidence import Observation, number, severity, write
from detectors.like_boost import SPEC
from detectors.models import NOVELTY_WINDOW, Cycle, LaneModels, Novelty, PassRate
from detectors.positions import earned_at
from detectors.settings import SUBJECT_KINDS, ActorSettings, DetectorSettings, SettingError
from detectors.sketches import distinct_registered, distinct_seen, mark_seen, register
from detectors.sources import LAST_MS, Sources
from detectors.subjects import SPECS
from schemas.flags import Kind, Mode, Severity
from tests.detectors.subject_traffic import THRESHOLDS


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"subjects_max": 0}, "subjects_max is 0; it must be a whole number from 1 to 100000000"),
            ({"cooldown_ms": -1}, "cooldown_ms is -1"),
            ({"quiet_ms_max": 1}, "quiet_ms_max is 1; it must be a whole number from 1800000"),
            ({"update_gap_ms": True}, "update_gap_ms is True"),
            ({"modes": {Kind.LOCKSTEP: Mode.LIVE}}, "it takes live or shadow for follower_spike"),
        ],
    )
    def test_a_wrong_value_is_refused_with_its_name_and_what_is_allowed(
        self, settings: dict[str, object], said: str
    ) -> None:
        with pytest.raises(SettingError, match=said.split(";", maxsplit=1)[0]) as refused:
            DetectorSettings(**settings)  # type: ignore[arg-type]
        assert said in str(refused.value)

    def test_the_actor_stage_is_held_to_its_ranges_too(self) -> None:
        with pytest.raises(SettingError, match="lateness_ms is -5"):
            ActorSettings(lateness_ms=-5)

    def test_what_decides_does_not_hold_the_modes(self) -> None:
        assert "modes" not in DetectorSettings().deciding()
        assert DetectorSettings().mode_of(Kind.LIKE_BOOST) is Mode.LIVE


class TestThresholds:
    def test_what_is_written_reads_back(self) -> None:
        assert read_thresholds(write_thresholds(THRESHOLDS)) == THRESHOLDS

    def test_there_is_one_detector_a_lane(self) -> None:
        assert [spec.lane for spec in SPECS] == list(range(4))
        assert {spec.kind for spec in SPECS} == set(SUBJECT_KINDS)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"threshold": [9, 8, 10, 11, 12]}, "must not fall"),
            ({"reference": [0.1] * 9}, "length"),
            ({"reference": [0.2] * 10}, "sum to 1"),
            ({"score": [[0, 0.5], [1, 0.2]]}, "score not fall"),
            ({"bought": {}}, "length"),
        ],
    )
    def test_unusable_numbers_are_refused_and_say_where(self, change: dict[str, object], said: str) -> None:
        content = json.loads(write_thresholds(THRESHOLDS))
        content["kinds"]["like_boost"].update(change)
        with pytest.raises(ThresholdsError, match=said):
            read_thresholds(json.dumps(content).encode())

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[1]"])
    def test_what_is_no_thresholds_is_refused(self, content: bytes) -> None:
        with pytest.raises(ThresholdsError, match="use the shipped ones"):
            read_thresholds(content)

    @given(st.floats(-5, 10), st.floats(0, 5))
    @settings(deadline=None)
    def test_a_score_rises_with_strength_and_stays_in_the_unit_interval(self, strength: float, more: float) -> None:
        numbers = untrained()
        low, high = numbers.score_of(strength), numbers.score_of(strength + more)
        assert 0.0 <= low <= high <= 1.0

    @given(st.floats(0, 1.5), st.floats(1, 2_000), st.floats(-30, 30), st.floats(0, 1), st.floats(0, 500))
    @settings(deadline=None)
    def test_strength_is_monotone(self, ratio: float, actors: float, nats: float, more: float, others: float) -> None:
        low = strength_of(SPEC, ratio, actors, nats)
        assert strength_of(SPEC, ratio + more, actors + others, nats + others) >= low

    def test_positions_further_down_earn_less(self) -> None:
        earned = earned_at()
        assert earned[1] > 2 * earned[2] > earned[5] > earned[11] > 0


class TestSketches:
    @pytest.mark.parametrize("actors", [5, 40, 200, 600])
    def test_a_bitmap_counts_tens_and_hundreds(self, actors: int) -> None:
        bitmap = np.zeros(4, np.uint64)
        for actor in np.random.default_rng(actors).integers(1, 2**63, actors).astype(np.uint64):
            mark_seen(bitmap, actor)
            mark_seen(bitmap, actor)
        assert distinct_seen(bitmap) == pytest.approx(actors, rel=0.15, abs=1)

    @pytest.mark.parametrize("actors", [50, 2_000, 50_000])
    def test_registers_count_beyond(self, actors: int) -> None:
        registers = np.zeros(256, np.uint8)
        for actor in np.random.default_rng(actors).integers(1, 2**63, actors).astype(np.uint64):
            register(registers, actor)
        assert distinct_registered(registers) == pytest.approx(actors, rel=0.2)


class TestSources:
    def test_a_watermark_never_falls_and_nobody_holds_nothing_back(self) -> None:
        sources = Sources()
        assert sources.least is None
        assert sources.others("a") == LAST_MS
        sources.speak("a", 5)
        sources.speak("a", 3)
        assert sources.least == 5

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.one_of(st.none(), st.integers(0, 9))), max_size=40))
    def test_who_holds_back_is_always_known(self, said: list[tuple[str, int | None]]) -> None:
        sources, known = Sources(), dict[str, int]()
        for source, watermark_ms in said:
            if watermark_ms is None:
                sources.leave(source)
                known.pop(source, None)
            else:
                sources.speak(source, watermark_ms)
                known[source] = max(watermark_ms, known.get(source, 0))
            assert sources.least == min(known.values(), default=None)
            for each in "abcde":
                assert sources.others(each) == min((ms for name, ms in known.items() if name != each), default=LAST_MS)


class TestModels:
    def test_the_cycle_knows_nothing_before_a_full_day(self) -> None:
        cycle = Cycle()
        for hour in range(23):
            cycle.learn(hour, 100.0 * (hour + 1))
        assert (cycle.factors() == 1).all()

    def test_an_hour_without_anything_is_an_outage_and_no_habit(self) -> None:
        cycle = Cycle()
        for hour in range(24 * 6):
            cycle.learn(hour, 0.0 if 60 <= hour < 70 else 100.0)
        assert cycle.factors() == pytest.approx(1.0, abs=0.01)

    def test_the_cycle_stays_within_its_bounds(self) -> None:
        cycle = Cycle()
        for hour in range(24 * 14):
            cycle.learn(hour, 1e6 if hour % 24 == 3 else 1.0)
        assert cycle.factors().max() <= 5.0
        assert cycle.factors().min() >= 0.2

    def test_drift_does_not_fire_on_a_daily_rhythm(self) -> None:
        rate, rng = PassRate(), np.random.default_rng(3)
        for epoch in range(15 * 144):
            hour = epoch // 6
            share = 0.02 + 0.015 * np.sin(2 * np.pi * (hour % 24) / 24)
            rate.learn(hour, 500.0, float(rng.binomial(500, share)))
        assert rate.drifts == 0

    def test_drift_fires_when_the_gate_opens_more_often(self) -> None:
        rate, rng = PassRate(), np.random.default_rng(4)
        for epoch in range(6 * 144):
            share = 0.02 if epoch < 4 * 144 else 0.2
            rate.learn(epoch // 6, 500.0, float(rng.binomial(500, share)))
        assert rate.drifts >= 1

    @pytest.mark.parametrize("asked_every", [1, 170, 430, 2_000])
    def test_novelty_says_the_same_however_often_it_was_asked(self, asked_every: int) -> None:
        novelty, river, rng = Novelty(seed=1), Novelty(seed=1)._fresh(), np.random.default_rng(5)
        for turn in range(1_100):
            hour = {"size": float(rng.random()), "lift": float(rng.random())}
            novelty.learn(hour)
            river.learn_one(hour)
            if turn % asked_every == 0 and turn >= NOVELTY_WINDOW:
                assert novelty.score(hour) == min(max(river.score_one(hour), 0.0), 1.0)
        assert novelty.score(hour) == min(max(river.score_one(hour), 0.0), 1.0)

    def test_novelty_says_nothing_before_its_first_window_is_full(self) -> None:
        novelty, rng = Novelty(seed=1), np.random.default_rng(5)
        hour = {"size": 0.2, "lift": 0.1}
        for _ in range(249):
            novelty.learn({name: float(value + rng.normal(0, 0.02)) for name, value in hour.items()})
            assert novelty.score(hour) is None
        for _ in range(300):
            novelty.learn({name: float(value + rng.normal(0, 0.02)) for name, value in hour.items()})
        usual, odd = novelty.score(hour), novelty.score({"size": 0.9, "lift": 0.95})
        assert usual is not None
        assert odd is not None
        assert odd > usual

    def test_models_pickle(self) -> None:
        models = LaneModels(seed=1)
        models.cycle.learn(1, 5.0)
        models.novelty.learn({"size": 0.5})
        models.pass_rate.learn(1, 10.0, 1.0)
        again = pickle.loads(pickle.dumps(models))  # noqa: S301 - our own bytes
        assert again.novelty.learned == 1


def observation(**changes: object) -> Observation:
    measured = np.array([[40.0, 50.0, 60.0, 80.0], [0.1, 1.2, 30.0, 200.0], [20.0, 45.0, 3.0, 0.0]])
    traits = np.zeros(10, np.uint32)
    traits[0], traits[9] = 38, 20
    usual = np.full(10, 0.12, np.float32)
    given: dict[str, object] = {
        "observed": 52, "expected": 1.234, "actors": 49, "hours": 1.0, "measured": measured, "suspicious": 41,
        "watched": 50, "traits": traits, "usual_traits": usual, "removed": 0, "ratio": 1.2,
        "mix_nats": 7.5,
        "bought_share": 0.9, "sample": ("u1", "u2"),
    }  # fmt: skip
    return Observation(**(given | changes))  # type: ignore[arg-type]


class TestEvidence:
    def test_reasons_say_what_came_against_what_was_expected_and_who_acted(self) -> None:
        evidence = write(SPEC, observation())
        assert evidence.reasons == [
            (
                "41 of 50 likes came from accounts that could be bought ones;"
                " the mix of likers is not what is usual for this note"
            ),
            "50 likes in the last hour, where 1.2 were to be expected from this note's own past and others like it",
            "38 of 41 suspicious likers are new accounts; usual here: 12%",
            "20 of 41 suspicious likers never browse, search or click around; usual here: 12%",
        ]
        assert evidence.groups is not None
        assert evidence.groups["new_account"].observed == pytest.approx(38 / 41, abs=1e-3)
        assert evidence.expected == 1.23

    def test_clicks_are_told_against_what_their_position_earns(self) -> None:
        evidence = write(SPEC, observation(position=14, clicks=30.0, earned=1.5))
        assert any("30 clicks on this result where position 14 earns 1.5" in reason for reason in evidence.reasons)
        assert evidence.numbers is not None
        assert evidence.numbers["click_lift"] == 20.0

    def test_removals_and_novelty_are_told_where_there_are_any(self) -> None:
        evidence = write(SPEC, observation(removed=12, novelty=0.87))
        assert any("12 likes were taken back" in reason for reason in evidence.reasons)
        assert evidence.numbers is not None
        assert evidence.numbers["novelty"] == 0.87

    def test_it_is_told_how_many_left_at_once_where_people_stay(self) -> None:
        evidence = write(SPEC, observation(left=(29, 31), stays=0.7))
        told = "29 of the last 31 suspicious likers did nothing else in the two minutes after; usual here: 30%"
        assert told in evidence.reasons
        assert evidence.numbers is not None
        assert evidence.numbers["left_at_once"] == 29.0

    @pytest.mark.parametrize(("left", "stays"), [((5, 5), 0.7), ((11, 31), 0.7), ((31, 31), 0.0)])
    def test_it_is_not_told_of_few_nor_where_that_is_usual(self, left: tuple[int, int], stays: float) -> None:
        assert not any(
            "did nothing else" in reason for reason in write(SPEC, observation(left=left, stays=stays)).reasons
        )

    def test_there_are_never_more_actors_than_actions(self) -> None:
        assert write(SPEC, observation(actors=99)).actors == 52

    def test_harm_grows_with_what_is_bought_and_how_fast(self) -> None:
        levels = [
            severity(observation(suspicious=count, hours=hours))
            for count, hours in ((9, 5.0), (40, 5.0), (200, 5.0), (1_000, 5.0))
        ]
        assert levels == [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
        assert severity(observation(suspicious=150, hours=0.1)) is Severity.CRITICAL

    @pytest.mark.parametrize(
        ("value", "text"), [(0.0, "0"), (0.004, "0.004"), (0.25, "0.25"), (7.25, "7.2"), (1_500.4, "1,500")]
    )
    def test_numbers_are_written_as_people_read_them(self, value: float, text: str) -> None:
        assert number(value) == text


def test_shipped_thresholds_are_of_this_program() -> None:
    from streams.pipeline import shipped_thresholds

    shipped = shipped_thresholds()
    assert isinstance(shipped, Thresholds)
    assert set(shipped.kinds) == set(SUBJECT_KINDS)
    assert shipped.provenance
