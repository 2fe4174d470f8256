"""The small HTTP server beside the loop: `/live`, `/ready`, `/metrics`, and the page with its flags.

It runs on threads of its own and only reads, so that a slow reader or a busy loop do not meet. GET alone,
loopback alone unless set otherwise, no file outside the page's folder, at most `CONNECTIONS_MAX` at a time.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.recent import RecentFlags

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"

CONNECTIONS_MAX = 64
"""Each has a thread: more than a scraper, probes and some open pages need, few enough to bound memory."""

REQUEST_TIMEOUT_S = 10.0
"""How long a client may take to send its request; otherwise idle connections would use up all there are."""

EVENTS_KEEPALIVE_S = 15.0
"""Silence on the event stream before a comment is sent, which finds out that the reader has gone."""

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Views:
    """What the server shows. Every function may be called from any thread."""

    live: Callable[[], tuple[bool, str]]
    ready: Callable[[], tuple[bool, str]]
    metrics: Callable[[], bytes]
    health: Callable[[], Mapping[str, object]]
    recent: RecentFlags


class Server:
    """The server and its thread."""

    def __init__(self, host: str, port: int, views: Views, page: Path = PAGE) -> None:
        """Bind; port 0 takes a free one. Raises ConfigurationError where the address cannot be had."""
        local = host in _LOCAL_HOSTS
        handler = type("Handler", (_Handler,), {"views": views, "page": page.resolve(), "local": local})
        try:
            self._server = _Bounded((host, port), handler)
        except OSError as error:
            raise ConfigurationError(
                f"http_host = {host!r} with http_port = {port} cannot be listened on ({error.strerror}): choose "
                "another port, or 0 for any free one"
            ) from None
        self._recent = views.recent
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and let open event streams end."""
        self._recent.close()
        self._server.shutdown()
        self._server.server_close()


class _Bounded(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a request ended early", exc_info=sys.exception())


class _Handler(BaseHTTPRequestHandler):
    views: Views
    page: Path
    local: bool

    protocol_version = "HTTP/1.1"
    server_version = "boostwatch"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:  # the library's name
        # A name that some web site points at this machine must not read what is meant for this machine.
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.local and asked not in _LOCAL_HOSTS:
            self._send(b"ask for it by a name of this machine\n", "text/plain", HTTPStatus.MISDIRECTED_REQUEST)
            return
        url = urlsplit(self.path)
        routes: dict[str, Callable[[], None]] = {
            "/live": lambda: self._check(self.views.live),
            "/ready": lambda: self._check(self.views.ready),
            "/metrics": lambda: self._send(self.views.metrics(), "text/plain; version=0.0.4; charset=utf-8"),
            "/health.json": lambda: self._json(self.views.health()),
            "/flags.json": lambda: self._flags(_number(parse_qs(url.query).get("since", ["0"])[0])),
            "/events": self._events,
        }
        routes.get(url.path, lambda: self._file(url.path))()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug("%s %s", self.address_string(), format % args)

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(code, message)
        for name, value in _HEADERS.items():
            self.send_header(name, value)

    def _check(self, look: Callable[[], tuple[bool, str]]) -> None:
        good, told = look()
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        self._send(f"{told}\n".encode(), "text/plain; charset=utf-8", status)

    def _json(self, value: object) -> None:
        self._send(json.dumps(value, allow_nan=False).encode(), "application/json")

    def _flags(self, since: int) -> None:
        entries = self.views.recent.since(since)
        last = entries[-1][0] if entries else since
        body = b'{"last":%d,"flags":[%b]}' % (last, b",".join(value for _, value in entries))
        self._send(body, "application/json")

    def _events(self) -> None:
        number = _number(self.headers.get("Last-Event-ID", "0"))
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        recent = self.views.recent
        while not recent.closed:
            entries = recent.since(number, EVENTS_KEEPALIVE_S)
            lines = [b"id: %d\nevent: flag\ndata: %b\n\n" % entry for entry in entries] or [b": still here\n\n"]
            self.wfile.write(b"".join(lines))
            self.wfile.flush()
            number = entries[-1][0] if entries else number

    def _file(self, path: str) -> None:
        name = "index.html" if path == "/" else path.removeprefix("/")
        file = (self.page / name).resolve()
        if file.is_relative_to(self.page) and file.suffix in _TYPES and file.is_file():
            self._send(file.read_bytes(), _TYPES[file.suffix])
        else:
            self._send(b"there is nothing here\n", "text/plain; charset=utf-8", HTTPStatus.NOT_FOUND)

    def _send(self, body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
