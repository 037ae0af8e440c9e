"""An issuer on loopback whose feed says what a measurement wants, and a verifier that follows it: real pages, really taken."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

from admit import Key, KeySet, RemoteIssuer
from admit.tokens.revocation import PAGE_ENTRIES, Entry, Page

JWKS, FEED, FEED_JWKS = "/jwks", "/revocations", "/.well-known/revocations-jwks.json"


class Issuer:
    """Publishes one key for tokens and one for its feed, whose entries may be added to."""

    def __init__(self, key: Key) -> None:
        self.key, self._feed_key = key, Key.generate("ES256")
        self._entries: list[Entry] = []
        self._moved, issuer = Event(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                body = issuer._answer(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Followers end in the middle of a long poll."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def cut_off(self, entries: Iterable[Entry]) -> None:
        """Publish further entries, numbered on from those before."""
        self._entries += entries
        self._moved.set()

    def _answer(self, target: str) -> bytes:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path != FEED:
            return json.dumps(KeySet([(self.key if path == JWKS else self._feed_key).public()]).to_jwks()).encode()
        since = int(query["since"][0]) if "since" in query else None
        if since == len(self._entries):
            self._moved.clear()
            self._moved.wait(float(query["wait"][0]))
        start, head = since or 0, len(self._entries)
        to = head if head - start <= 2 * PAGE_ENTRIES else start + PAGE_ENTRIES
        page = Page(
            iss=self.url, feed="measured", since=start, to=to, iat=int(time.time()), full=since is None,
            entries=tuple(self._entries[start:to]), more=to < head,
        )  # fmt: skip
        return page.sign(self._feed_key).encode()


@contextmanager
def issuing(key: Key, entries: Iterable[Entry] = ()) -> Iterator[Issuer]:
    """The issuer, answering."""
    issuer = Issuer(key)
    issuer.cut_off(entries)
    Thread(target=issuer.server.serve_forever, daemon=True).start()
    try:
        yield issuer
    finally:
        issuer.server.shutdown()
        issuer.server.server_close()


@contextmanager
def following(url: str, entries: int = 0) -> Iterator[RemoteIssuer]:
    """A remote issuer that follows the feed there and has that many entries."""
    with RemoteIssuer(url, revocations="required", jwks_uri=url + JWKS) as remote:
        reach(remote, entries)
        yield remote


def reach(remote: RemoteIssuer, entries: int) -> None:
    """Wait until it has that many entries."""
    while remote.revocations is None or len(remote.revocations) < entries:
        time.sleep(0.02)
