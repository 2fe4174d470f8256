from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from schemas.flags import Kind, Mode, Status, encode_flag
from streams import clients, flags_view
from streams.embedded import EmbeddedBroker
from streams.errors import BrokerUnavailable, TopicMissing
from streams.flag_text import flag_text
from streams.settings import Settings
from tests.streams.flags import flag

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({"flags": 2}) as running:
        yield running


def send(broker: EmbeddedBroker, *values: bytes | None) -> None:
    producer = clients.producer(broker.bootstrap)
    for value in values:
        producer.send("flags", key=b"u81", value=value).get(timeout=10)
    producer.close()


def seen(broker: EmbeddedBroker, count: int) -> list[bytes]:
    follow = flags_view.follow(Settings(bootstrap=broker.bootstrap), since="beginning")
    found = [next(follow) for _ in range(count)]
    follow.close()  # type: ignore[attr-defined]
    return found


def test_flags_are_followed_from_the_beginning_and_tombstones_are_left_out(broker: EmbeddedBroker) -> None:
    values = [encode_flag(flag(subject=f"u{number}")) for number in range(3)]
    send(broker, values[0], None, *values[1:])
    assert seen(broker, 3) == values


def test_from_now_on_only_what_comes_later_is_shown(broker: EmbeddedBroker) -> None:
    send(broker, b"old")
    follow = flags_view.follow(Settings(bootstrap=broker.bootstrap), since="now")
    timer = threading.Timer(1.0, send, [broker, b"new"])
    timer.start()
    assert next(follow) == b"new"
    timer.join()
    follow.close()  # type: ignore[attr-defined]


def test_what_is_no_flag_is_told_and_the_next_is_shown(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = encode_flag(flag(Kind.KEYWORD_TREND, "lamp"))
    values = [b"{}", encode_flag(flag()), wanted]
    monkeypatch.setattr(flags_view, "follow", lambda *_, **__: iter(values))
    flags_view.run(Settings(bootstrap=broker.bootstrap), since="beginning", kinds=["keyword_trend"], raw=True)
    out, err = capsys.readouterr()
    assert out == wanted.decode() + "\n"
    assert "is no flag" in err


def test_a_missing_topic_and_a_missing_broker_are_told(broker: EmbeddedBroker) -> None:
    follow = flags_view.follow(Settings(bootstrap=broker.bootstrap, topic_flags="flogs"), since="now")
    with pytest.raises(TopicMissing, match="boostwatch topics"):
        next(follow)
    with pytest.raises(BrokerUnavailable):
        next(flags_view.follow(Settings(bootstrap="127.0.0.1:1"), since="now"))


def test_an_opened_flag_tells_how_much_and_why_and_an_update_one_line() -> None:
    opened = flag_text(flag()).plain.splitlines()
    assert "follower_spike" in opened[0]
    assert "account u81" in opened[0]
    assert "412 in 5 min where 9.7 were to be expected, by 401 accounts, score 0.993" in opened[1]
    assert "71% of them are new accounts" in opened[2]
    assert len(flag_text(flag(status=Status.CLOSED)).plain.splitlines()) == 1
    assert "(shadow)" in flag_text(flag(mode=Mode.SHADOW)).plain


def test_names_from_outside_cannot_write_on_the_terminal() -> None:
    evil = "u\x1b[2J\n\u202e[bold]x[/bold]"
    evidence = msgspec.structs.replace(flag().evidence, reasons=[evil], sample_actors=[evil], note_id=evil)
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=200, highlight=False)
    flags_view.show(console, flag(subject=evil, evidence=evidence))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text
    assert text.count("\n") == len(flag_text(flag()).plain.splitlines())
