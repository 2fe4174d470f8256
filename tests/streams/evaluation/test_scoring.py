from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from schemas.flags import Flag, Kind, Status, Subject, SubjectType
from streams.comparison import Benign
from streams.evaluation.results import Evaluated, Evaluation, Exposure
from streams.evaluation.scoring import check, merged, score
from streams.evaluation.summary import by_family, by_kind, by_shape, by_size, curve_of, zero_below
from streams.evaluation.tables import print_evaluation
from streams.evaluation.traffic import Purchase
from tests.streams.flags import MINUTE_MS, flag
from tests.streams.recordings import START_MS

END_MS = START_MS + 10 * MINUTE_MS
TIMES = tuple(START_MS + second * 1_000 for second in range(0, 600, 6))


def purchase(number: int, kind: Kind = Kind.FOLLOWER_SPIKE, subject: str = "u81", **more: object) -> Purchase:
    kinds = {Kind.FOLLOWER_SPIKE: SubjectType.ACCOUNT, Kind.LIKE_BOOST: SubjectType.NOTE}
    named = Subject(kinds.get(kind, SubjectType.KEYWORD), subject)
    made = Purchase(f"a{number}", kind, named, START_MS, END_MS, "burst", times=TIMES)
    return msgspec.structs.replace(made, **more)


def evaluated(flags: list[Flag], attacks: list[Purchase], benign: list[Benign]) -> Evaluation:
    ours, _ = score("boostwatch", "day", flags, attacks, benign)
    exposure = Exposure(directory="day", events=1_000, accounts=50_000, days=2.0)
    return Evaluation(ours=ours, exposure=[exposure], consistency=check(flags))


def test_an_attack_that_is_found_tells_when_and_how_much_had_come() -> None:
    ours = evaluated([flag()], [purchase(0), purchase(1, subject="u9")], []).ours
    found, missed = ours.attacks
    assert (found.delay_ms, found.bought, found.score) == (2 * MINUTE_MS, 100, 0.993)
    assert found.delivered == pytest.approx(0.21)
    assert (missed.delay_ms, missed.delivered, missed.detected_ms, missed.score) == (None, None, None, None)
    assert ours.right == {Kind.FOLLOWER_SPIKE: 1}
    assert ours.false_flags == []


def test_rows_group_by_shape_and_size_and_mixed_attacks_by_what_was_bought_of_the_rise() -> None:
    attacks = [
        purchase(0),
        purchase(1, subject="u9", shape="drip"),
        purchase(2, subject="u10", shape="mixed", bought_share=0.2, times=TIMES[:20]),
    ]
    rows = by_shape(evaluated([flag()], attacks, []).ours.attacks)
    assert [row.label[1] for row in rows] == ["burst", "drip", "mixed 20%"]
    assert [(row.found, row.attacks, row.missed) for row in rows] == [(1, 1, 0.0), (0, 1, 1.0), (0, 1, 1.0)]
    assert rows[0].delay_median_ms == rows[0].delay_p90_ms == 2 * MINUTE_MS
    assert rows[1].delay_median_ms is None
    sizes = by_size(evaluated([flag()], attacks, []).ours.attacks)
    assert [row.label[1] for row in sizes] == ["under 30", "30 to 299"]


def test_recall_is_zero_below_the_smallest_attack_that_was_found() -> None:
    attacks = [purchase(0), purchase(1, subject="u9", times=TIMES[:40])]
    assert zero_below(evaluated([flag()], attacks, []).ours.attacks) == 100
    assert zero_below(evaluated([], attacks, []).ours.attacks) is None


def test_false_flags_are_counted_by_account_days_and_by_family() -> None:
    viral = Benign("b0", "viral", Subject(SubjectType.NOTE, "n1"), START_MS, END_MS)
    news = Benign("b1", "news", Subject(SubjectType.NOTE, "n2"), START_MS, END_MS)
    evaluation = evaluated([flag(Kind.LIKE_BOOST, "n1"), flag(subject="u6")], [purchase(0)], [viral, news])
    assert [(row.family, row.flagged, row.episodes) for row in by_family(evaluation.ours)] == [
        ("viral", 1, 1),
        ("news", 0, 1),
    ]
    rows = {row.kind: row for row in by_kind(evaluation.ours, evaluation)}
    assert evaluation.account_days == 100_000.0
    assert rows[Kind.LIKE_BOOST].per_million_account_days == pytest.approx(10.0)
    assert rows[Kind.LIKE_BOOST].precision == 0.0
    assert sorted(str(flag.family) for flag in evaluation.ours.false_flags) == ["None", "viral"]


def test_a_false_flag_that_names_bought_accounts_is_false_and_told_apart() -> None:
    wrong = flag(subject="u6")
    bought = purchase(0, actors=tuple(wrong.evidence.sample_actors))
    evaluation = evaluated([wrong, flag(subject="u7")], [bought], [])
    assert [one.by_bought for one in evaluation.ours.false_flags] == [True, True]
    assert [one.by_bought for one in evaluated([wrong], [purchase(0)], []).ours.false_flags] == [False]
    row = by_kind(evaluation.ours, evaluation)[0]
    assert (row.wrong, row.wrong_by_bought) == (2, 2)


def test_precision_is_projected_from_the_upper_limit_of_false_flags() -> None:
    evaluation = evaluated([flag()], [purchase(0)], [])
    row = by_kind(evaluation.ours, evaluation)[0]
    assert (row.precision, row.per_million_account_days) == (1.0, 0.0)
    assert row.per_million_upper == pytest.approx(30.0, rel=0.02)
    assert row.projected["0.01%"] == pytest.approx(1e-4 / (1e-4 + 30e-6), rel=0.02)


def test_the_curve_of_a_kind_takes_the_best_flag_of_each_attack_and_its_own_false_flags() -> None:
    flags = [flag(), flag(start=START_MS + 6 * MINUTE_MS, score=0.999), flag(subject="u6", score=0.5)]
    ours = evaluated([*flags, flag(Kind.LIKE_BOOST, "n7", score=1.0)], [purchase(0)], []).ours
    assert curve_of(ours, Kind.FOLLOWER_SPIKE) == [(0.999, 1.0, 1.0), (0.5, 1.0, 0.5)]


def test_several_directories_pool() -> None:
    one, other = (evaluated([flag()], [purchase(0)], []).ours for _ in range(2))
    one.add(other)
    assert (len(one.attacks), one.right) == (2, {Kind.FOLLOWER_SPIKE: 2})
    assert isinstance(one, Evaluated)


def step(base: Flag, status: Status, minutes: float, observed: int = 500) -> Flag:
    evidence = msgspec.structs.replace(base.evidence, observed=observed)
    at = base.detected_at + int(minutes * MINUTE_MS)
    return msgspec.structs.replace(base, status=status, detected_at=at, evidence=evidence)


def test_an_episode_that_opens_grows_and_closes_is_in_order() -> None:
    first = flag()
    steps = [first, step(first, Status.UPDATED, 1), step(first, Status.UPDATED, 2, 600), step(first, Status.CLOSED, 2)]
    assert check(steps).total == 0
    assert check([*steps, step(first, Status.RETRACTED, 9)]).total == 0


@pytest.mark.parametrize(
    ("wrong", "counted"),
    [
        ([(Status.OPENED, 0.0)], (1, 0, 0, 0)),
        ([(Status.UPDATED, 0.5)], (0, 0, 1, 0)),
        ([(Status.CLOSED, 1.0), (Status.UPDATED, 5.0)], (0, 1, 0, 0)),
        ([(Status.UPDATED, 1.0), (Status.UPDATED, 1.0)], (1, 0, 1, 0)),
    ],
)
def test_repeats_contradictions_and_haste_are_counted(
    wrong: list[tuple[Status, float]], counted: tuple[int, ...]
) -> None:
    first = flag()
    found = check([first, *(step(first, status, minutes, 412) for status, minutes in wrong)])
    assert (found.repeated, found.contradicting, found.hasty_updates, found.overlapping) == counted
    assert found.examples


def test_an_episode_without_an_opening_contradicts_itself() -> None:
    assert check([step(flag(), Status.UPDATED, 0)]).contradicting == 1


def test_two_episodes_of_one_subject_at_the_same_time_overlap() -> None:
    first, second = flag(), flag(start=START_MS + MINUTE_MS)
    found = check([first, second, step(first, Status.CLOSED, 5), step(second, Status.CLOSED, 6)])
    assert found.overlapping == 1
    assert merged([found, found]).overlapping == 2


def test_the_tables_tell_false_flags_before_anything_else_and_escape_ids() -> None:
    viral = Benign("b0", "viral", Subject(SubjectType.NOTE, "n1"), START_MS, END_MS)
    evaluation = evaluated([flag(), flag(Kind.LIKE_BOOST, "n1"), flag(subject="u\x1b6")], [purchase(0)], [viral])
    evaluation.baselines = [evaluated([], [purchase(0)], [viral]).ours]
    out = io.StringIO()
    print_evaluation(Console(file=out, width=200, soft_wrap=True), evaluation)
    text = out.getvalue()
    assert text.index("false flags on benign episodes") < text.index("by kind and shape")
    assert "\x1b6" not in text
    assert "nobody's episode, score 0.993" in text
    assert "1 of 1" in text
