from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from streams.errors import ConfigurationError
from streams.recent import RecentFlags
from streams.server import Server, Views

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Served:
    def __init__(self, page: Path) -> None:
        self.recent = RecentFlags(most=3)
        self.live, self.ready = True, True
        self.server = Server(
            "127.0.0.1",
            0,
            Views(
                live=lambda: (self.live, "told"),
                ready=lambda: (self.ready, "told"),
                metrics=lambda: b"boostwatch_up 1\n",
                health=lambda: {"ready": True},
                recent=self.recent,
            ),
            page,
        )
        self.server.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<p>page</p>")
    (page / "main.js").write_text("1;")
    (page / "notes.py").write_text("secret")
    (tmp_path / "outside.html").write_text("secret")
    made = Served(page)
    yield made
    made.server.stop()


def test_live_and_ready_answer_by_status(served: Served) -> None:
    assert served.ask("/live")[0].status == served.ask("/ready")[0].status == 200
    served.live = served.ready = False
    assert served.ask("/live")[0].status == served.ask("/ready")[0].status == 503


def test_metrics_and_health_are_told(served: Served) -> None:
    response, body = served.ask("/metrics")
    assert (response.status, body) == (200, b"boostwatch_up 1\n")
    assert json.loads(served.ask("/health.json")[1]) == {"ready": True}


def test_the_page_and_its_files_are_served_with_their_types(served: Served) -> None:
    response, body = served.ask("/")
    assert (response.headers["Content-Type"], body) == ("text/html; charset=utf-8", b"<p>page</p>")
    assert served.ask("/main.js")[0].headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/../outside.html", "/%2e%2e/outside.html", "/notes.py", "//etc/passwd", "/nothing", "/."]
)
def test_nothing_else_is(served: Served, path: str) -> None:
    response, body = served.ask(path)
    assert response.status == 404
    assert b"secret" not in body


def test_every_answer_has_the_strict_headers(served: Served) -> None:
    for path in ("/", "/live", "/metrics", "/flags.json", "/nothing"):
        headers = served.ask(path)[0].headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_is_answered(served: Served, method: str) -> None:
    assert served.ask("/flags.json", method)[0].status == 501


def test_a_foreign_name_for_this_machine_is_refused(served: Served) -> None:
    assert served.ask("/flags.json", Host="attacker.example")[0].status == 421
    assert served.ask("/flags.json", Host="localhost:1234")[0].status == 200


def test_flags_are_given_from_a_number_on_and_bounded(served: Served) -> None:
    for number in range(5):
        served.recent.add(b'{"n":%d}' % number)
    assert json.loads(served.ask("/flags.json")[1]) == {"last": 5, "flags": [{"n": 2}, {"n": 3}, {"n": 4}]}
    assert json.loads(served.ask("/flags.json?since=4")[1]) == {"last": 5, "flags": [{"n": 4}]}
    assert json.loads(served.ask("/flags.json?since=5")[1]) == {"last": 5, "flags": []}
    assert len(json.loads(served.ask("/flags.json?since=-1x")[1])["flags"]) == 3


def test_a_number_of_an_earlier_process_gives_all_there_is(served: Served) -> None:
    served.recent.add(b"{}")
    assert len(json.loads(served.ask("/flags.json?since=900")[1])["flags"]) == 1


def test_a_reader_of_an_earlier_process_gets_what_a_later_one_had_before_it_asked() -> None:
    earlier, later = RecentFlags(before=1_000), RecentFlags(before=2_000)
    earlier.add(b"old")
    ((number, _),) = earlier.since(0)
    for value in (b"1", b"2"):
        later.add(value)
    assert [value for _, value in later.since(number)] == [b"1", b"2"]
    assert later.since(2_002) == []


def test_events_come_as_they_happen_and_end_with_the_server(served: Served) -> None:
    served.recent.add(b'{"n":1}')
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as reader:
        reader.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream = reader.makefile("rb")
        lines = iter(stream.readline, b"")
        assert b'data: {"n":1}\n' in lines
        served.recent.add(b'{"n":2}')
        assert b"id: 2\n" in lines
        assert b'data: {"n":2}\n' in lines
        served.recent.close()
        assert b'data: {"n":3}\n' not in lines


def test_a_port_that_is_taken_is_told_at_start(served: Served, tmp_path: Path) -> None:
    views = Views(lambda: (True, ""), lambda: (True, ""), lambda: b"", dict, RecentFlags())
    with pytest.raises(ConfigurationError, match=f"http_port = {served.server.port}"):
        Server("127.0.0.1", served.server.port, views, tmp_path)
