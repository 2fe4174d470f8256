"""`boostwatch dead-letters`, against the embedded broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from schemas.dead_letters import headers, read_headers
from schemas.refusals import Reason
from streams import cli, clients
from streams.embedded import EmbeddedBroker
from tests.streams.topic_records import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAD = "boostwatch.dead-letters"
TS_MS = 1_764_000_000_000


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({DEAD: 2, "likes": 2, "follows": 1, "searches": 1, "verdicts": 1}) as running:
        monkeypatch.setenv("BOOSTWATCH_BOOTSTRAP", running.bootstrap)
        yield running


def refuse(broker: EmbeddedBroker, topic: str, *values: bytes, reason: Reason = Reason.WRONG_TYPE) -> None:
    producer = clients.producer(broker.bootstrap)
    for number, value in enumerate(values):
        context = headers(topic, 3, 70 + number, reason, "ts is soon", [("trace", b"t1")])
        producer.send(DEAD, key=b"u1", value=value, headers=context, timestamp_ms=TS_MS + number).get(timeout=10)
    producer.close()


def test_they_are_counted_by_topic_and_reason_and_the_latest_shown(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(broker, "likes", b"{}", b"{}")
    refuse(broker, "follows", b"x", reason=Reason.NOT_JSON)
    assert cli.main(["dead-letters", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "3 dead letters" in shown
    assert "not_json" in shown
    assert shown.count("partition 3 offset") == 1


def test_without_any_it_says_so(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dead-letters"]) == 0
    assert cli.main(["dead-letters", "--replay"]) == 0
    assert "no dead letters" in capsys.readouterr().out


def test_as_json_each_has_its_value_and_its_refusals(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(broker, "likes", b'{"ts":"soon"}', b"\xff\x00")
    assert cli.main(["dead-letters", "--json", "--topic", "likes"]) == 0
    first, second = map(orjson.loads, capsys.readouterr().out.splitlines())
    assert first["value"] == '{"ts":"soon"}'
    assert first["contexts"][0]["reason"] == "wrong_type"
    assert second["value_base64"] == "/wA="


def test_a_replay_sends_each_once_with_key_headers_and_time(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(broker, "likes", b"a", b"b")
    assert cli.main(["dead-letters", "--replay"]) == 0
    assert cli.main(["dead-letters", "--replay"]) == 0
    assert "2 of 2 dead letters sent again" in capsys.readouterr().out
    sent = records_of(broker.bootstrap, "likes")
    assert sorted(record.value for record in sent) == [b"a", b"b"]
    assert {record.key for record in sent} == {b"u1"}
    assert {record.timestamp for record in sent} == {TS_MS, TS_MS + 1}
    found = read_headers(sent[0].headers)
    assert found is not None
    assert found.original_headers == [("trace", b"t1")]  # and the refusal stays with it
    assert cli.main(["dead-letters", "--replay", "--again"]) == 0
    assert len(records_of(broker.bootstrap, "likes")) == 4


def test_values_are_mended_on_the_way_and_an_empty_line_leaves_one_out(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(broker, "likes", b'{"n":\n1}', b"hopeless")
    assert cli.main(["dead-letters", "--replay", "--mend", "sed -e s/hopeless// -e s/1/2/"]) == 0
    assert [record.value for record in records_of(broker.bootstrap, "likes")] == [b'{"n": 2}']
    assert "1 left out by the mending command" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "told"),
    [("exit 3", "exit code 3"), ("cat; echo", "must write one for each"), ("true", "wrote 0 lines")],
)
def test_a_mending_command_that_fails_sends_nothing_and_loses_nothing(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], command: str, told: str
) -> None:
    refuse(broker, "follows", b"a", b"b")
    assert cli.main(["dead-letters", "--replay", "--mend", command]) == 2
    assert told in capsys.readouterr().err
    assert records_of(broker.bootstrap, "follows") == []
    assert cli.main(["dead-letters", "--replay"]) == 0
    assert len(records_of(broker.bootstrap, "follows")) == 2


def test_only_the_wanted_reasons_are_sent(broker: EmbeddedBroker) -> None:
    refuse(broker, "likes", b"a")
    refuse(broker, "likes", b"b", reason=Reason.TS_TOO_OLD)
    assert cli.main(["dead-letters", "--replay", "--reason", "ts_too_old"]) == 0
    assert [record.value for record in records_of(broker.bootstrap, "likes")] == [b"b"]


def test_a_refused_verdict_is_mended_too_and_records_of_our_own_topics_are_not_sent_again(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(broker, "verdicts", b'{"verdict":"wrong"}', reason=Reason.UNKNOWN_VERDICT)
    refuse(broker, "boostwatch.actions", b"block")
    assert cli.main(["dead-letters", "--replay", "--mend", "sed s/wrong/dismissed/"]) == 0
    assert [record.value for record in records_of(broker.bootstrap, "verdicts")] == [b'{"verdict":"dismissed"}']
    assert "1 of 2 dead letters sent again; 1 were of the workers' own topics" in capsys.readouterr().out


def test_how_to_send_again_needs_replay(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dead-letters", "--mend", "cat"]) == 2
    assert "--replay" in capsys.readouterr().err
