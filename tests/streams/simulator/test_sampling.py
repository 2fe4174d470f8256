"""The draws that everything rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.text import normalise_query
from streams.simulator.arrivals import PROCESSES, attention, bought
from streams.simulator.lines import hexed, opaque
from streams.simulator.rhythm import make_rhythm
from streams.simulator.sampling import GapForm, GroupedWeights, LengthForm, SeenPairs, gaps_s, heavy, lengths, scramble
from streams.simulator.words import make_keywords, spellings

RNG_SEED = 7


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 10.0)), min_size=1, max_size=60),
    st.integers(0, 2**32 - 1),
)
def test_members_are_drawn_from_the_group_asked_for_and_never_without_weight(
    members: list[tuple[int, float]], seed: int
) -> None:
    groups = np.array([group for group, _ in members])
    weights = np.array([weight if weight > 1e-6 else 0.0 for _, weight in members])
    index = GroupedWeights(groups, 6, weights)
    wanted = np.arange(6).repeat(20)
    drawn = index.draw(np.random.default_rng(seed), wanted)
    for group, member in zip(wanted.tolist(), drawn.tolist(), strict=True):
        if member < 0:
            assert weights[groups == group].sum() == 0.0
        else:
            assert groups[member] == group
            assert weights[member] > 0.0


def test_draws_are_in_proportion_to_weight_and_mixed_ones_are_partly_local() -> None:
    index = GroupedWeights(np.array([0, 0, 1]), 2, np.array([1.0, 3.0, 4.0]))
    rng = np.random.default_rng(RNG_SEED)
    local = np.bincount(index.draw(rng, np.zeros(20_000, dtype=np.int64)), minlength=3) / 20_000
    assert local == pytest.approx([0.25, 0.75, 0.0], abs=0.02)
    mixed = np.bincount(index.draw_mixed(rng, np.zeros(20_000, dtype=np.int64), 0.5), minlength=3) / 20_000
    assert mixed == pytest.approx([0.1875, 0.5625, 0.25], abs=0.02)


def test_a_pair_is_new_once() -> None:
    seen = SeenPairs(1_000, 3)
    actor, thing = np.array([1, 1, 2, 1]), np.array([5, 6, 5, 5])
    assert seen.first_time(actor, thing).tolist() == [True, True, True, False]
    assert not seen.first_time(actor, thing).any()


@pytest.mark.parametrize("form", ["lognormal", "weibull", "pareto", "mixture"])
def test_pauses_have_the_median_asked_for(form: GapForm) -> None:
    drawn = gaps_s(np.random.default_rng(RNG_SEED), 20_000, form, 20.0, 1.0)
    assert np.median(drawn) == pytest.approx(20.0, rel=0.35)
    assert drawn.min() >= 0.35


@pytest.mark.parametrize("form", ["geometric", "lognormal", "zeta"])
def test_visits_are_as_long_as_asked_and_some_much_longer(form: LengthForm) -> None:
    drawn = lengths(np.random.default_rng(RNG_SEED), 40_000, form, 4.0)
    assert drawn.min() >= 1
    assert drawn.mean() == pytest.approx(4.0, rel=0.25)
    assert np.quantile(drawn, 0.999) > 15


def test_no_weight_is_the_world() -> None:
    drawn = heavy(np.random.default_rng(RNG_SEED), 5_000, "pareto", 1.0, top_share=0.02)
    assert drawn.max() <= 0.05 * drawn.sum()
    assert drawn.mean() == pytest.approx(1.0)


@given(st.integers(1, 5_000), st.integers(0, 2**62))
def test_opaque_numbers_are_a_bijection(count: int, salt: int) -> None:
    hidden = opaque(np.arange(count), 16, salt)
    assert len(np.unique(hidden)) == count
    assert int(hidden.max()) < 1 << 16


def test_event_ids_are_distinct_and_hexadecimal() -> None:
    names = hexed(scramble(np.arange(10_000), 9), 16)
    assert len(np.unique(names)) == 10_000
    assert int(names[3], 16) == int(scramble(np.array([3]), 9)[0])


@pytest.mark.parametrize("process", PROCESSES)
def test_bought_actions_stay_in_their_time(process: str) -> None:
    rng = np.random.default_rng(RNG_SEED)
    rhythm = make_rhythm(rng, 3, 0.9, 21.0, 0.5, 1.1)
    for count in (1, 7, 500):
        at = bought(rng, process, count, 1_000, 60_000, rhythm)  # type: ignore[arg-type]
        assert len(at) == count
        assert (np.diff(at) >= 0).all()
        assert 1_000 <= at[0] <= at[-1] < 61_000


def test_interest_rises_and_fades() -> None:
    at = attention(np.random.default_rng(RNG_SEED), 20_000, 0, 100_000, 0.2)
    per_tenth = np.bincount(at // 10_000, minlength=10)
    assert per_tenth[1] > per_tenth[0]
    assert per_tenth[2] > 2 * per_tenth[9]


def test_spellings_of_a_keyword_are_one_keyword() -> None:
    keywords = make_keywords(np.random.default_rng(RNG_SEED), 15_000)
    assert len({normalise_query(word) for word in keywords}) == 15_000
    for word in keywords[::37]:
        assert {normalise_query(typed) for typed in spellings(word)} == {word}
        assert all(1 <= len(typed) <= 256 for typed in spellings(word))
