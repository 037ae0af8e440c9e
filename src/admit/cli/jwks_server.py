"""A small HTTP server for public keys, for trying a verifier. It has no state, and answers three paths."""

from __future__ import annotations

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.output import stopped
from admit.errors import AdmitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

JWKS: Final = "/.well-known/jwks.json"
_METADATA: Final = frozenset(("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"))


def serve_keys(keys: Callable[[], dict[str, Any]], host: str, port: int, issuer: str | None) -> None:
    """Serve a JWK Set until SIGINT or SIGTERM. keys: called for every request. Raises Stop where the port is not free."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a client that sends nothing

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == JWKS:
                try:
                    self._answer(200, keys())
                except (AdmitError, Stop):
                    self._answer(503, {"error": "the keys cannot be read"})
            elif path in _METADATA:
                self._answer(200, {"issuer": issuer or base, "jwks_uri": base + JWKS})
            else:
                self._answer(404, {"error": "not_found"})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: a request's path is its sender's text."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, UnicodeError) as error:
        raise Stop(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or 'no such address'}", Exit.PORT
        ) from None
    server.daemon_threads = True
    base = f"http://{host}:{server.server_address[1]}"
    said = {"issuer": issuer or base, "jwks_uri": base + JWKS}

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        click.echo(json.dumps(said) if not sys.stdout.isatty() else f"Keys at {base + JWKS}. Ctrl-C stops it.")
        sys.stdout.flush()
        server.serve_forever()
    except KeyboardInterrupt:
        stopped()
    finally:
        server.server_close()
