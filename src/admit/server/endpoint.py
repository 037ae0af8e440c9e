"""Endpoint: one row of the table that the app, the router for FastAPI and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from admit.clock import monotonic
from admit.errors import AdmitError
from admit.server import logs
from admit.server.errors import render, unexpected

if TYPE_CHECKING:
    from admit.server.cors import Cors, Readers
    from admit.server.feed import Feed
    from admit.server.metrics import Metrics
    from admit.server.requests import Draining
    from admit.server.siblings import Siblings
    from admit.service.aio import AsyncTokenService
    from admit.service.facade import TokenService
    from admit.tokens.cookies import Cookies
    from admit.tokens.verifier import Verifier


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every endpoint works with: one service, in one process."""

    service: TokenService
    calls: AsyncTokenService
    verifier: Verifier[Any]
    """Of tokens for the service itself: a resource server that was shown another one cannot replay it here."""
    feed: Feed
    metrics: Metrics
    metrics_from: Sequence[IPv4Network | IPv6Network]
    siblings: Siblings | None
    draining: Draining
    cookies: Cookies | None = None
    cors: Cors | None = None


Handler = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method, a path, and what answers it."""

    method: str
    path: str
    handler: Handler
    readers: Readers = "nobody"

    def bind(self, context: Context) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint as Starlette and FastAPI call it; whatever goes wrong is an OAuth error object."""
        handler, metrics, name = self.handler, context.metrics, f"{self.method} {self.path}"

        async def endpoint(request: Request) -> Response:
            begun, seen = monotonic(), logs.request.get()
            if seen is not None:
                seen.route = name
                seen.address = request.client.host if request.client is not None else "-"
            try:
                response = await handler(context, request)
                outcome = "ok" if response.status_code < 400 else "refused"
            except AdmitError as error:
                response, outcome = render(error), error.code
            except Exception as error:  # noqa: BLE001 - the last line: no client ever sees a traceback
                response, outcome = unexpected(error), "server_error"
            if context.cors is not None:
                context.cors.mark(response, self.readers, request)
            metrics.done(name, response.status_code, outcome, monotonic() - begun)
            return response

        return endpoint
