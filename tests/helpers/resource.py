"""A resource server in a process of its own: it trusts an issuer by its URL alone, and answers who asks.

Its monotonic clock runs faster than the world's: a verifier keeps a key set for a minute at least, and a test has seconds.
"""

from __future__ import annotations

import socket
import sys
import time
from datetime import timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from admit import RemoteIssuer
from admit.web.starlette import BearerMiddleware, claims_of


async def who(request: Request) -> Response:
    return PlainTextResponse(claims_of(request).kid)


def main(issuer: str, speed: str) -> None:
    remote = RemoteIssuer(
        issuer,
        revocations="required",
        max_revocation_age=timedelta(hours=4),
        now=lambda: time.monotonic() * float(speed),
    )
    remote.warm()
    door = Middleware(BearerMiddleware, verifier=remote.verifier(audience="orders"))
    app = Starlette(routes=[Route("/", who)], middleware=[door])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none")).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
