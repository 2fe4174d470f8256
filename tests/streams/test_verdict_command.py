from __future__ import annotations

import pytest

from schemas.flags import Kind, flag_id
from schemas.verdicts import Judgement, Verdict, decode_verdict
from streams import cli, verdict_command
from streams.embedded import EmbeddedBroker
from streams.errors import ConfigurationError, TopicMissing
from streams.settings import Settings
from tests.streams.topic_records import records_of

FLAG_ID = flag_id(Kind.LIKE_BOOST, "n1", 1_764_000_000_000)


def test_a_verdict_is_sent_as_the_contract_says_keyed_by_its_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedBroker({"verdicts": 2}) as broker:
        monkeypatch.setenv("BOOSTWATCH_BOOTSTRAP", broker.bootstrap)
        assert cli.main(["verdict", FLAG_ID, "dismissed", "--by", "kim", "--note", "a giveaway"]) == 0
        (record,) = records_of(broker.bootstrap, "verdicts")
    sent = decode_verdict(record.value)
    assert isinstance(sent, Verdict)
    assert (sent.flag_id, sent.verdict, sent.by, sent.note) == (FLAG_ID, Judgement.DISMISSED, "kim", "a giveaway")
    assert record.key == FLAG_ID.encode()
    assert FLAG_ID in capsys.readouterr().out


@pytest.mark.parametrize(("given", "by"), [("not-an-id", "kim"), (FLAG_ID, "k" * 200), (FLAG_ID.upper(), "kim")])
def test_a_verdict_that_breaks_the_contract_is_refused_before_it_is_sent(given: str, by: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        verdict_command.encoded(given, "confirmed", by=by, note=None, ts=1)


def test_a_missing_topic_is_told() -> None:
    with EmbeddedBroker() as broker, pytest.raises(TopicMissing, match="boostwatch topics"):
        verdict_command.run(
            Settings(bootstrap=broker.bootstrap, topic_verdicts="nowhere"), FLAG_ID, "confirmed", by=None, note=None
        )
