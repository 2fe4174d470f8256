from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from schemas.flags import Kind, Status, Subject, SubjectType
from streams.comparison import Also, Attack, Benign, compare, read_attacks, read_benign
from streams.demo_summary import print_comparison
from streams.errors import RecordedTrafficError
from tests.streams.flags import MINUTE_MS, flag
from tests.streams.recordings import START_MS

if TYPE_CHECKING:
    from pathlib import Path

END_MS = START_MS + 10 * MINUTE_MS


def attack(kind: Kind = Kind.FOLLOWER_SPIKE, subject: str = "u81", **more: object) -> Attack:
    types = {Kind.FOLLOWER_SPIKE: SubjectType.ACCOUNT, Kind.LIKE_BOOST: SubjectType.NOTE}
    named = Subject(types.get(kind, SubjectType.KEYWORD), subject)
    return msgspec.structs.replace(Attack("a0", kind, named, START_MS, END_MS, "burst"), **more)


def test_a_flag_of_the_kind_on_the_subject_in_time_is_right() -> None:
    times = tuple(START_MS + second * 1_000 for second in range(0, 600, 6))
    result = compare([flag()], [attack(times=times)], [])
    assert result.flagged == 1
    assert result.others == []
    found = result.attacks[0]
    assert found.delay_ms == 2 * MINUTE_MS
    assert found.delivered == pytest.approx(0.21)


def test_the_first_episode_counts_for_the_delay_and_updates_do_not_count_again() -> None:
    early, late = flag(), flag(start=START_MS + 6 * MINUTE_MS)
    updated = msgspec.structs.replace(early, status=Status.UPDATED, detected_at=START_MS + 9 * MINUTE_MS)
    found = compare([late, early, updated], [attack()], []).attacks[0]
    assert found.flag is early
    assert len(found.episodes) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        flag(Kind.LIKE_BOOST, "u81"),
        flag(subject="u82"),
        flag(start=START_MS + 11 * MINUTE_MS),
        flag(start=START_MS - 6 * MINUTE_MS),
    ],
)
def test_another_kind_subject_or_time_is_not_right(wrong: object) -> None:
    result = compare([wrong], [attack()], [])  # type: ignore[list-item]
    assert result.flagged == 0
    assert len(result.others) == 1


def test_an_episode_that_is_open_when_the_attack_comes_meets_it_by_its_last_flag() -> None:
    first = flag(start=START_MS - 6 * MINUTE_MS)
    last = msgspec.structs.replace(
        first,
        status=Status.CLOSED,
        window=msgspec.structs.replace(first.window, end=START_MS + 1),
    )
    assert compare([first, last], [attack()], []).flagged == 1


def test_a_pushed_search_result_must_be_about_the_note_that_was_pushed() -> None:
    pushed = attack(Kind.KEYWORD_RANKING, "lamp", note_id="n1")
    evidence = flag().evidence
    right = flag(Kind.KEYWORD_RANKING, "lamp", evidence=msgspec.structs.replace(evidence, note_id="n1"))
    wrong = flag(Kind.KEYWORD_RANKING, "lamp", evidence=msgspec.structs.replace(evidence, note_id="n2"))
    assert compare([right], [pushed], []).flagged == 1
    assert compare([wrong], [pushed], []).flagged == 0


def test_what_an_attack_also_hits_is_neither_a_hit_nor_wrong() -> None:
    also = (Also(Kind.LIKE_BOOST, Subject(SubjectType.NOTE, "n1")),)
    result = compare([flag(Kind.LIKE_BOOST, "n1")], [attack(also=also)], [])
    assert (result.flagged, result.others) == (0, [])


def test_a_group_is_known_by_half_of_the_members_that_its_flag_names() -> None:
    group = Subject(SubjectType.GROUP, "the truth's own name")
    together = attack(Kind.LOCKSTEP, subject="x", actors=("a", "b", "c", "d"))
    together = msgspec.structs.replace(together, subject=group)
    named = msgspec.structs.replace(flag().evidence, members=["a", "b", "y", "z"])
    strangers = msgspec.structs.replace(flag().evidence, members=["a", "x", "y", "z"])
    assert compare([flag(Kind.LOCKSTEP, "g1", evidence=named)], [together], []).flagged == 1
    result = compare([flag(Kind.LOCKSTEP, "g1", evidence=strangers)], [together], [])
    assert (result.flagged, len(result.others)) == (0, 1)


def test_a_bought_account_that_acts_like_a_program_is_not_wronged() -> None:
    bought = attack(actors=("a", "b"))
    result = compare([flag(Kind.AUTOMATION, "a"), flag(Kind.AUTOMATION, "z")], [bought], [])
    assert result.flagged == 0
    assert [episode.first.subject.id for episode in result.others] == ["z"]
    assert [episode.first.subject.id for episode in result.right] == ["a"]


def test_a_retracted_episode_is_no_flag() -> None:
    opened = flag()
    result = compare([opened, msgspec.structs.replace(opened, status=Status.RETRACTED)], [attack()], [])
    assert (result.flagged, result.others) == (0, [])


def test_a_flag_on_anything_in_a_benign_episode_wrongs_it() -> None:
    viral = Benign("b0", "viral", Subject(SubjectType.NOTE, "n1"), START_MS, END_MS, "n1", "u5")
    flags = [flag(Kind.LIKE_BOOST, "n1"), flag(subject="u5"), flag(subject="u6")]
    result = compare(flags, [], [viral])
    assert result.wronged == 1
    assert len(result.benign[0][1]) == 2
    assert len(result.others) == 1


def test_a_right_flag_on_an_attacked_benign_subject_does_not_wrong_it() -> None:
    viral = Benign("b0", "viral", Subject(SubjectType.NOTE, "n1"), START_MS, END_MS)
    result = compare([flag(Kind.LIKE_BOOST, "n1")], [attack(Kind.LIKE_BOOST, "n1")], [viral])
    assert (result.flagged, result.wronged, result.others) == (1, 0, [])


def test_the_truth_is_read_with_fields_that_nobody_here_knows(tmp_path: Path) -> None:
    path = tmp_path / "attacks.jsonl"
    path.write_bytes(msgspec.json.encode({**msgspec.to_builtins(attack()), "actors": ["a"], "new": 1}) + b"\n")
    assert read_attacks(path) == [attack(actors=("a",))]
    assert read_benign(tmp_path / "benign.jsonl") == []
    path.write_bytes(b"{}\n")
    with pytest.raises(RecordedTrafficError, match=r"attacks.jsonl:1 is no attack"):
        read_attacks(path)


def test_the_summary_names_every_attack_and_episode_and_counts_them() -> None:
    viral = Benign("b0", "viral", Subject(SubjectType.NOTE, "n\x1b1"), START_MS, END_MS)
    missed = attack(Kind.LIKE_BOOST, "n9")
    out = io.StringIO()
    result = compare([flag(), flag(subject="u6")], [attack(times=(START_MS,)), missed], [viral])
    print_comparison(Console(file=out, width=200, soft_wrap=True), result)
    text = out.getvalue()
    assert "follower_spike   account u81, burst: flagged after 2 min, with 100% of its 1 actions delivered" in text
    assert "like_boost       note n9, burst: not flagged" in text
    assert r"viral            note n\x1b1: not flagged" in text
    assert "1 of 2 attacks flagged; 0 of 1 benign episodes flagged; 1 other flags" in text
