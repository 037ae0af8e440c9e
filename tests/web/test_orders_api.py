"""examples/orders_api.py as a process of its own, against an issuer it shares nothing with but HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2

from admit import Key, KeySet, Signer
from admit.tokens.revocation import Entry, Page

ROOT = Path(__file__).parents[2]


def test_the_example_lets_in_refuses_and_forgets_a_session_that_was_cut_off() -> None:
    key, feed_key, entries = Key.generate("ES256"), Key.generate("ES256"), list[Entry]()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            page = Page(
                iss=url, feed="f", since=0, to=len(entries), iat=int(time.time()), entries=tuple(entries), full=True
            )
            documents = {
                "/.well-known/oauth-authorization-server": json.dumps({"issuer": url, "jwks_uri": url + "/jwks"}),
                "/jwks": json.dumps(KeySet([key.public()]).to_jwks()),
                "/.well-known/revocations-jwks.json": json.dumps(KeySet([feed_key.public()]).to_jwks()),
                "/revocations": page.sign(feed_key),
            }
            body = documents.get(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or "").encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "examples.orders_api:app", "--port", str(port), "--log-level", "error"],
        cwd=ROOT,
        env={**os.environ, "ADMIT_ISSUER": url},
    )
    signer = Signer(key, issuer=url, audience="orders")
    good = signer.sign(sub="alice", client_id="web", scope="orders:read", claims={"sid": "s1"})

    def status(token: str | None) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx2.get(f"http://127.0.0.1:{port}/orders", headers=headers, trust_env=False).status_code

    try:
        for _ in range(200):
            try:
                if status(None) == 401:
                    break
            except httpx2.ConnectError:
                time.sleep(0.05)
        assert status(good) == 200
        assert status(None) == 401
        assert status(signer.sign(sub="alice", client_id="web")) == 403
        entries.append(Entry.of("sid", "s1", seq=1, exp=int(time.time()) + 600))
        begun = time.monotonic()
        while status(good) == 200:
            assert time.monotonic() - begun < 20
            time.sleep(0.02)
        assert status(good) == 401
    finally:
        api.terminate()
        api.wait(10)
        server.shutdown()
        server.server_close()
