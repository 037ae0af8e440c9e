"""The API of `jwt demo`, a process of its own: `python -m admit.web.demo_api ISSUER`, which is all it is told."""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from admit.remote.issuer import RemoteIssuer
from admit.web.starlette import BearerMiddleware, claims_of, requires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


def create_api(issuer: RemoteIssuer) -> Starlette:
    """GET /orders, for tokens of this issuer with the scope orders:read."""

    @requires("orders:read")
    async def orders(request: Request) -> JSONResponse:
        return JSONResponse({"orders": [1, 2], "of": claims_of(request).sub})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        async with issuer:
            yield

    return Starlette(
        routes=[Route("/orders", orders)],
        middleware=[Middleware(BearerMiddleware, verifier=issuer.verifier(audience="orders"))],
        lifespan=lifespan,
    )


def main(issuer: str) -> None:
    """Serve on a free port of loopback, and say on stdout where."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_api(RemoteIssuer(issuer, revocations="required"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        # uvicorn raises the signal once more after it has stopped as asked
        signal.signal(signal.SIGTERM, lambda *_: None)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
