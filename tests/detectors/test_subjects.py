"""The subject stage: what it flags, what it does not, and that neither depends on how actions come."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.actions import Actions, Trait
from schemas.columns import Verb
from schemas.flags import Kind, Mode, Severity, Status
from tests.detectors.subject_traffic import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MIXED,
    SECOND_MS,
    START_MS,
    THRESHOLDS,
    Act,
    actions_of,
    bought,
    crowd,
    feed,
    in_time,
    mixed_traffic,
    organic,
    stage,
)

if TYPE_CHECKING:
    from schemas.flags import Flag

RNG = np.random.default_rng
QUIET_MS = 30 * MINUTE_MS


def attacked_account(seed: int = 1) -> list[Act]:
    """Two days of a follower now and then, then eighty bought in half an hour, then calm."""
    rng = RNG(seed)
    return in_time(
        organic(rng, 100, START_MS, 2 * DAY_MS, Verb.FOLLOW, "u1"),
        bought(rng, 80, START_MS + 2 * DAY_MS, HOUR_MS // 2, Verb.FOLLOW, "u1", traits=Trait.NEW_ACCOUNT),
        organic(rng, 20, START_MS + 2 * DAY_MS + HOUR_MS, 12 * HOUR_MS, Verb.FOLLOW, "u1"),
    )


def encoded(flags: list[Flag]) -> list[bytes]:
    return [msgspec.json.encode(flag) for flag in flags]


class TestWhatIsFlagged:
    def test_bought_followers_make_one_episode_that_opens_grows_and_closes(self) -> None:
        flags = feed(stage(), actions_of(attacked_account()))
        assert {(flag.kind, flag.subject.id) for flag in flags} == {(Kind.FOLLOWER_SPIKE, "u1")}
        assert len({flag.flag_id for flag in flags}) == 1
        statuses = [flag.status for flag in flags]
        assert statuses[0] is Status.OPENED
        assert statuses[-1] is Status.CLOSED
        assert set(statuses[1:-1]) <= {Status.UPDATED}

    def test_it_is_opened_before_a_third_is_delivered(self) -> None:
        acts = attacked_account()
        first = feed(stage(), actions_of(acts))[0]
        came = [act for act in acts if act.mark > 0 and act.actor.startswith("b") and act.ts <= first.detected_at]
        assert len(came) <= 27

    def test_the_attack_of_each_kind_is_flagged_on_its_subject_and_nothing_else(self) -> None:
        flags = feed(stage(), MIXED)
        opened = {(flag.kind, flag.subject.id) for flag in flags if flag.status is Status.OPENED}
        assert opened == {
            (Kind.FOLLOWER_SPIKE, "u1"),
            (Kind.LIKE_BOOST, "n1"),
            (Kind.KEYWORD_RANKING, "tea"),
            (Kind.KEYWORD_TREND, "hat"),
        }

    def test_likes_name_the_owner_and_rankings_the_note_too(self) -> None:
        first = {flag.kind: flag for flag in reversed(feed(stage(), MIXED))}
        assert first[Kind.LIKE_BOOST].evidence.author_id == "u2"
        assert first[Kind.KEYWORD_RANKING].evidence.note_id == "n2"
        assert first[Kind.KEYWORD_RANKING].evidence.author_id == "u3"
        assert first[Kind.FOLLOWER_SPIKE].evidence.author_id is None

    def test_a_drip_over_days_is_flagged(self) -> None:
        rng = RNG(4)
        acts = in_time(
            organic(rng, 150, START_MS, 9 * DAY_MS, Verb.FOLLOW, "u1"),
            bought(rng, 120, START_MS + 4 * DAY_MS, 5 * DAY_MS, Verb.FOLLOW, "u1"),
        )
        assert [flag.kind for flag in feed(stage(), actions_of(acts))][:1] == [Kind.FOLLOWER_SPIKE]

    def test_a_boost_of_a_loud_note_is_found_among_its_own_likes(self) -> None:
        rng = RNG(5)
        acts = in_time(
            organic(rng, 2_000, START_MS, DAY_MS, Verb.LIKE, "n1"),
            bought(rng, 400, START_MS + DAY_MS, HOUR_MS, Verb.LIKE, "n1"),
            organic(rng, 100, START_MS + DAY_MS, HOUR_MS, Verb.LIKE, "n1", owner="u"),
        )
        assert Kind.LIKE_BOOST in {flag.kind for flag in feed(stage(), actions_of(acts))}

    def test_actions_taken_back_in_a_wave_are_told(self) -> None:
        rng = RNG(6)
        come = bought(rng, 60, START_MS, HOUR_MS, Verb.FOLLOW, "u1")
        gone = [Act(act.ts + HOUR_MS // 2, Verb.UNFOLLOW, "u1", act.actor, 2.0) for act in come]
        last = feed(stage(), actions_of([*in_time(come, gone), Act(START_MS + DAY_MS, Verb.LIKE, "n9", "a1")]))[-1]
        assert last.evidence.numbers is not None
        assert last.evidence.numbers["removed"] >= 30
        assert any("taken back" in reason for reason in last.evidence.reasons)


class TestWhatIsNot:
    def test_a_viral_note_among_people_is_not_flagged(self) -> None:
        acts = organic(RNG(7), 5_000, START_MS, 4 * HOUR_MS, Verb.LIKE, "n1")
        assert feed(stage(), actions_of(acts)) == []

    def test_a_surge_of_strangers_and_newcomers_is_not_flagged(self) -> None:
        rng = RNG(8)
        acts = in_time(
            organic(rng, 400, START_MS, HOUR_MS, Verb.FOLLOW, "u1"),
            crowd(rng, 200, START_MS, HOUR_MS, Verb.FOLLOW, "u1", mean=0.0, who="n", traits=Trait.FIRST_SEEN),
        )
        assert feed(stage(), actions_of(acts)) == []

    def test_fewer_than_the_least_number_of_actors_are_not_enough(self) -> None:
        rng = RNG(9)
        acts = [Act(START_MS + at * SECOND_MS, Verb.LIKE, "n1", f"b{at % 5}", 3.0) for at in range(200)]
        assert feed(stage(), actions_of(acts)) == []
        assert feed(stage(), actions_of(bought(rng, 60, START_MS, HOUR_MS, Verb.LIKE, "n1"))) != []

    def test_clicks_that_the_position_earns_are_not_flagged(self) -> None:
        rng = RNG(10)
        clicks = bought(rng, 40, START_MS, HOUR_MS, Verb.SEARCH, "tea", item="n1", owner="u1", position=1)
        others = organic(rng, 400, START_MS, HOUR_MS, Verb.SEARCH, "tea", item="n5", owner="u5", position=2)
        flags = feed(stage(), actions_of(in_time(clicks, others)))
        assert Kind.KEYWORD_RANKING not in {flag.kind for flag in flags}

    def test_news_that_everybody_searches_and_reads_is_not_flagged(self) -> None:
        rng = RNG(11)
        parts = [
            organic(rng, 300, START_MS, 2 * HOUR_MS, Verb.SEARCH, "storm", item=f"n{place}", owner="u", position=place)
            for place in range(1, 8)
        ]
        assert feed(stage(), actions_of(in_time(*parts))) == []

    def test_a_ranking_is_not_a_trend_as_well(self) -> None:
        flags = feed(stage(), MIXED)
        assert (Kind.KEYWORD_TREND, "tea") not in {(flag.kind, flag.subject.id) for flag in flags}


class TestNothingDependsOnCuts:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(0, len(MIXED)), max_size=12))
    def test_any_cut_gives_the_same_flags(self, cuts: list[int]) -> None:
        assert encoded(feed(stage(), MIXED, cuts)) == encoded(feed(stage(), MIXED))

    def test_an_action_at_a_time_gives_the_same_flags(self) -> None:
        assert encoded(feed(stage(), MIXED, range(len(MIXED)))) == encoded(feed(stage(), MIXED))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 60)), min_size=1, max_size=25))
    def test_cuts_of_two_interleaved_sources_give_the_same_flags(self, turns: list[tuple[int, int]]) -> None:
        """The order of rows is fixed by the turns; each turn's rows may come at once or one by one."""
        acts = mixed_traffic(seed=3)
        streams = [actions_of(acts[0::2]), actions_of(acts[1::2])]
        whole, single, joint = stage(), stage(), stage()
        at = [0, 0]
        flags: list[list[Flag]] = [[], []]
        taken: list[tuple[int, Actions]] = []
        for source, count in [*turns, (0, len(acts)), (1, len(acts))]:
            rows = np.arange(at[source], min(at[source] + count, len(streams[source])))
            at[source] += len(rows)
            flags[0] += whole.apply(streams[source].take(rows), f"s{source}")
            for row in rows:
                flags[1] += single.apply(streams[source].take(np.array([row])), f"s{source}")
            if len(rows):
                taken.append((source, streams[source].take(rows)))
        assert encoded(flags[0]) == encoded(flags[1])
        columns = {
            field.name: np.concatenate([getattr(each, field.name) for _, each in taken])
            for field in fields(Actions)
            if field.name != "names"
        }
        every = Actions(**columns, names=actions_of(acts).names)
        assert encoded(joint.apply_all(every, [(f"s{n}", len(each)) for n, each in taken])) == encoded(flags[0])

    def test_the_flag_id_outlives_a_small_reordering(self) -> None:
        acts = attacked_account()
        swapped = acts.copy()
        for place in range(len(acts) - 1):
            if abs(acts[place].ts - acts[place + 1].ts) < 30 * SECOND_MS and place % 3 == 0:
                swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        ids = [{flag.flag_id for flag in feed(stage(), actions_of(each))} for each in (acts, swapped)]
        assert ids[0] == ids[1]


class TestTime:
    def test_an_episode_closes_when_the_watermark_passes_its_deadline_and_not_before(self) -> None:
        target = stage()
        acts = bought(RNG(12), 60, START_MS, HOUR_MS, Verb.LIKE, "n1")
        feed(target, actions_of(acts))
        last = max(act.ts for act in acts if act.mark >= 1.0)
        assert target.open_episodes == 1
        assert target.advance("likes-0", last + QUIET_MS - MINUTE_MS) == []
        closed = target.advance("likes-0", last + DAY_MS)
        assert [flag.status for flag in closed] == [Status.CLOSED]
        assert closed[0].window.end > last
        assert last + QUIET_MS <= closed[0].detected_at <= last + DAY_MS
        assert target.open_episodes == 0

    @pytest.mark.parametrize("together", [2, 1])
    def test_sources_that_all_go_idle_at_once_let_time_go_on_to_where_the_last_one_was(self, together: int) -> None:
        target = stage()
        said = [("b", START_MS, False), ("a", START_MS + DAY_MS, False)]
        left = [("b", START_MS, True), ("a", START_MS + DAY_MS, True)]
        every = [*said, *left]
        for first in range(0, len(every), together):
            target.advance_all(every[first : first + together])
        assert target.clock_ms == START_MS + DAY_MS

    def test_a_source_that_lags_holds_closing_back_until_it_is_idle(self) -> None:
        target = stage()
        acts = bought(RNG(12), 60, START_MS, HOUR_MS, Verb.LIKE, "n1")
        target.advance("likes-1", START_MS)
        feed(target, actions_of(acts))
        assert target.advance("likes-0", START_MS + DAY_MS) == []
        assert [flag.status for flag in target.advance("likes-1", START_MS, idle=True)] == [Status.CLOSED]

    def test_the_clock_never_runs_back(self) -> None:
        target = stage()
        target.advance("a", START_MS + DAY_MS)
        target.advance("b", START_MS)
        assert target.clock_ms == START_MS + DAY_MS

    def test_an_action_closes_what_was_due_before_it(self) -> None:
        target = stage()
        acts = [
            *bought(RNG(12), 60, START_MS, HOUR_MS, Verb.LIKE, "n1"),
            Act(START_MS + 3 * DAY_MS, Verb.LIKE, "n1", "x"),
        ]
        flags = feed(target, actions_of(acts))
        assert flags[-1].status is Status.CLOSED
        assert flags[-1].detected_at < START_MS + DAY_MS

    def test_updates_come_at_most_once_a_minute_and_only_when_it_grew(self) -> None:
        flags = feed(stage(), actions_of(bought(RNG(13), 3_000, START_MS, HOUR_MS, Verb.LIKE, "n1")))
        told = [flag for flag in flags if flag.status in {Status.OPENED, Status.UPDATED}]
        assert len(told) >= 4
        for before, after in itertools.pairwise(told):
            assert after.detected_at - before.detected_at >= MINUTE_MS
            assert after.evidence.numbers is not None
            assert before.evidence.numbers is not None
            assert after.evidence.numbers["suspicious"] >= 1.4 * before.evidence.numbers["suspicious"]

    def test_late_actions_count_where_their_buckets_live(self) -> None:
        acts = attacked_account()
        late = sorted(acts, key=lambda act: act.ts + (MINUTE_MS if act.actor.startswith("b") else 0))
        for each in (acts, late):
            flags = feed(stage(), actions_of(each))
            assert len({flag.flag_id for flag in flags}) == 1

    def test_a_subject_that_flaps_makes_one_episode_within_its_cooldown(self) -> None:
        rng = RNG(14)
        acts = in_time(*(
            bought(rng, 40, START_MS + wave * 2 * HOUR_MS, 10 * MINUTE_MS, Verb.LIKE, "n1", owner=f"u{wave}")
            for wave in range(3)
        ))  # fmt: skip
        assert len({flag.flag_id for flag in feed(stage(), actions_of(acts))}) == 1

    def test_after_the_cooldown_a_new_attack_is_a_new_episode(self) -> None:
        rng = RNG(15)
        acts = in_time(*(bought(rng, 60, START_MS + day * 2 * DAY_MS, HOUR_MS, Verb.LIKE, "n1") for day in range(2)))
        assert len({flag.flag_id for flag in feed(stage(), actions_of(acts))}) == 2


class TestFlags:
    def test_each_flag_says_when_what_and_why(self) -> None:
        opened, *_, closed = feed(stage(), actions_of(attacked_account()))
        assert opened.mode is Mode.LIVE
        assert opened.emitted_at == 0
        assert opened.window.start % (5 * MINUTE_MS) == 0
        assert opened.window.start <= START_MS + 2 * DAY_MS + 10 * MINUTE_MS
        assert opened.detected_at == opened.window.end - 1
        assert 0 < len(opened.evidence.sample_actors) <= 20
        assert all(actor.startswith("bu1") for actor in opened.evidence.sample_actors[:5])
        assert closed.evidence.observed >= 75
        assert 0.75 * 80 <= closed.evidence.actors <= closed.evidence.observed
        assert closed.evidence.expected < 10
        assert closed.score >= opened.score
        assert list(Severity).index(closed.severity) >= list(Severity).index(opened.severity)
        assert opened.detector.config == closed.detector.config
        assert closed.evidence.groups is not None
        assert closed.evidence.groups["new_account"].observed > 0.9

    def test_a_kind_on_trial_writes_shadow(self) -> None:
        from detectors.settings import DetectorSettings
        from detectors.subjects import SubjectStage

        trial = SubjectStage(DetectorSettings(modes={Kind.LIKE_BOOST: Mode.SHADOW}), THRESHOLDS)
        modes = {flag.kind: flag.mode for flag in feed(trial, MIXED)}
        assert modes[Kind.LIKE_BOOST] is Mode.SHADOW
        assert modes[Kind.FOLLOWER_SPIKE] is Mode.LIVE

    def test_one_ranking_episode_a_keyword_names_the_note_that_leads(self) -> None:
        rng = RNG(16)
        acts = in_time(
            bought(rng, 40, START_MS, HOUR_MS, Verb.SEARCH, "tea", item="n1", owner="u1", position=20),
            bought(
                rng, 200, START_MS + 10 * MINUTE_MS, HOUR_MS, Verb.SEARCH, "tea", item="n2", owner="u2", position=30
            ),
        )
        flags = [flag for flag in feed(stage(), actions_of(acts)) if flag.kind is Kind.KEYWORD_RANKING]
        assert len({flag.flag_id for flag in flags}) == 1
        assert flags[0].evidence.note_id == "n1"
        assert flags[-1].evidence.note_id == "n2"

    def test_a_subject_without_a_name_is_told_by_its_hash(self) -> None:
        acts = actions_of(bought(RNG(17), 60, START_MS, HOUR_MS, Verb.LIKE, "n1"))
        acts.names.strings.clear()  # type: ignore[attr-defined]
        first = feed(stage(), acts)[0]
        assert first.subject.id == f"#{int(acts.subject[0]):016x}"
        assert first.evidence.sample_actors == []
