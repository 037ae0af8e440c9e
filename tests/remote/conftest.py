"""A real issuer on loopback whose every answer a test can replace, and that counts what it was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from admit import Key, KeySet, Signer
from admit.tokens.revocation import Entry, Page

METADATA, JWKS = "/.well-known/oauth-authorization-server", "/jwks"
FEED, FEED_JWKS = "/revocations", "/.well-known/revocations-jwks.json"

Answer = tuple[int, dict[str, str], bytes]


def document(value: object, headers: dict[str, str] | None = None) -> Answer:
    """A JSON answer."""
    return 200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode()


def _not_found(_: BaseHTTPRequestHandler) -> Answer:
    return 404, {}, b""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early are part of these tests."""


class Issuer:
    """`answers[path]` is called for each request, with the handler; it answers, or has written to the socket itself."""

    def __init__(self) -> None:
        self.key, self.feed_key = Key.generate("ES256"), Key.generate("ES256")
        self.asked: Counter[str] = Counter()
        self.posted: list[str] = []
        self.feed, self.entries, self.seq, self.iat_offset = "first", list[Entry](), 0, 0
        self.moved = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                issuer.posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.do_GET()

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                issuer.asked[path] += 1
                answer = issuer.answers.get(path, _not_found)(self)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.keys = [self.key.public()]
        self.max_age = 600
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], Answer | None]] = {
            METADATA: lambda _: document({"issuer": self.url, "jwks_uri": self.url + JWKS}),
            JWKS: lambda _: document(KeySet(self.keys).to_jwks(), {"Cache-Control": f"max-age={self.max_age}"}),
            FEED_JWKS: lambda _: document(KeySet([self.feed_key.public()]).to_jwks()),
            FEED: self._revocations,
        }
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.moved.set()
        self.server.shutdown()
        self.server.server_close()

    def slow(self, path: str, seconds: float) -> None:
        """Let every answer at that path take a while."""
        plain = self.answers[path]

        def later(handler: BaseHTTPRequestHandler) -> Answer | None:
            time.sleep(seconds)
            return plain(handler)

        self.answers[path] = later

    def token(self, key: Key | None = None, **claims: str) -> str:
        signer = Signer(key or self.key, issuer=self.url, audience="orders")
        return signer.sign(sub="alice", client_id="web", jti=claims.pop("jti", None), claims=claims)

    def cut_off(self, kind: str, value: str, epoch: int | None = None) -> None:
        self.seq += 1
        exp = None if kind == "kid" else int(time.time()) + 600
        self.entries.append(Entry.of(kind, value, seq=self.seq, exp=exp, epoch=epoch))  # type: ignore[arg-type]
        self.moved.set()

    def page(self, since: int | None, epoch: str | None) -> Page:
        full = since is None or epoch != self.feed or since > self.seq
        start = 0 if full or since is None else since
        entries = tuple(entry for entry in self.entries if entry.seq > start)
        iat = int(time.time()) + self.iat_offset
        return Page(iss=self.url, feed=self.feed, since=start, to=self.seq, iat=iat, entries=entries, full=full)

    def _revocations(self, handler: BaseHTTPRequestHandler) -> Answer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        since = int(query["since"]) if "since" in query else None
        if since == self.seq and query.get("epoch") == self.feed:
            self.moved.clear()
            self.moved.wait(min(float(query.get("wait", 0)), 1))
        return (
            200,
            {"Content-Type": "application/jwt"},
            self.page(since, query.get("epoch")).sign(self.feed_key).encode(),
        )


class Ticker:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
