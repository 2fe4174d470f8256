"""The truth says what is in the files, no more and no less."""

from __future__ import annotations

from collections import Counter

from schemas.text import normalise_query
from streams.simulator.scenario import BENIGN_FAMILIES, KINDS
from tests.streams.simulator.traffic import START_MS, Line, written

SUBJECT_TYPES = {
    "follower_spike": "account",
    "like_boost": "note",
    "keyword_ranking": "keyword",
    "keyword_trend": "keyword",
}
OWN_FIELD = {"account": "target_id", "note": "note_id", "keyword": "query"}
REMOVALS = {"unlike", "unfollow"}


def by_id() -> dict[str, Line]:
    return {event["event_id"]: event for events in written()[0].values() for event in events}


def test_every_paid_event_is_in_the_files_and_done_by_a_named_actor() -> None:
    events = by_id()
    for attack in written()[1]:
        assert len(set(attack["event_ids"])) == len(attack["event_ids"]) > 0
        assert {events[each]["actor_id"] for each in attack["event_ids"]} == set(attack["actors"])


def test_paid_events_hit_the_subject_within_start_and_end() -> None:
    events = by_id()
    for attack in written()[1]:
        kind, subject = attack["kind"], attack["subject"]
        assert subject["type"] == SUBJECT_TYPES[kind]
        delivered = attack["event_ids"][: len(attack["event_ids"]) - attack["removals"]]
        for event in (events[each] for each in delivered):
            if "query" in event:
                assert normalise_query(event["query"]) == subject["id"]
            elif kind == "keyword_ranking":
                assert event["action"] == "like"
                assert event["note_id"] == attack["note_id"]
            else:
                assert event[OWN_FIELD[subject["type"]]] == subject["id"]
            assert attack["start"] <= event["ts"] <= attack["end"]
        assert {events[each]["ts"] for each in delivered} >= {attack["start"], attack["end"]}


def test_removals_come_last_and_are_counted() -> None:
    events = by_id()
    attacks = written()[1]
    for attack in attacks:
        removed = [events[each].get("action") in REMOVALS for each in attack["event_ids"]]
        assert sum(removed) == attack["removals"]
        assert removed == sorted(removed)
    gone = [attack for attack in attacks if attack["shape"] == "follow_unfollow"]
    assert gone
    assert all(attack["removals"] > 0.2 * len(attack["actors"]) for attack in gone)


def test_every_kind_and_shape_is_there_and_no_subject_twice() -> None:
    attacks = written()[1]
    assert {attack["kind"] for attack in attacks} == set(KINDS)
    assert {attack["shape"] for attack in attacks} == {
        "burst", "drip", "mixed", "aged", "follow_unfollow", "pool", "poison", "poisoned",
    }  # fmt: skip
    own = [attack for attack in attacks if attack["shape"] != "poison"]
    subjects = Counter((attack["subject"]["type"], attack["subject"]["id"]) for attack in own)
    assert max(subjects.values()) == 1
    assert len({attack["attack_id"] for attack in attacks}) == len(attacks)


def test_a_poisoned_purchase_comes_after_a_trickle_on_the_same_subject() -> None:
    attacks = written()[1]
    poison = {attack["subject"]["id"]: attack for attack in attacks if attack["shape"] == "poison"}
    poisoned = {attack["subject"]["id"]: attack for attack in attacks if attack["shape"] == "poisoned"}
    assert poison.keys() == poisoned.keys()
    for name, before in poison.items():
        assert before["end"] <= poisoned[name]["start"] + 60_000
        assert len(before["event_ids"]) < len(poisoned[name]["event_ids"])


def test_notes_of_attacks_are_named_with_their_owner() -> None:
    owner = {event["note_id"]: event["author_id"] for event in written()[0]["likes"]}
    for attack in written()[1]:
        if attack["kind"] in {"like_boost", "keyword_ranking"}:
            assert owner.get(attack["note_id"], attack["author_id"]) == attack["author_id"]
        if attack["kind"] == "like_boost":
            assert attack["note_id"] == attack["subject"]["id"]


def test_a_pool_serves_many_customers_with_rotating_accounts() -> None:
    pools = [attack for attack in written()[1] if attack["shape"] == "pool"]
    served = Counter(actor for attack in pools for actor in attack["actors"])
    assert len(pools) >= 5
    assert max(served.values()) >= 3
    assert len({tuple(sorted(attack["actors"])) for attack in pools}) == len(pools)


def test_benign_episodes_of_every_family_move_their_subject_and_are_nobodys_purchase() -> None:
    events, attacks, benign = written()
    assert {episode["family"] for episode in benign} == set(BENIGN_FAMILIES)
    bought = {(attack["subject"]["type"], attack["subject"]["id"]) for attack in attacks}
    for episode in benign:
        kind, name = episode["subject"]["type"], episode["subject"]["id"]
        assert (kind, name) not in bought
        assert START_MS <= episode["start"] < episode["end"]
        topic = {"account": "follows", "note": "likes", "keyword": "searches"}[kind]
        hits = sum(
            normalise_query(event["query"]) == name if kind == "keyword" else event[OWN_FIELD[kind]] == name
            for event in events[topic]
            if episode["start"] <= event["ts"] < episode["end"]
        )
        if episode["family"] != "fan_club":
            assert hits > 0.3 * episode["visitors"] > 10
