"""Endpoint: one row of the table that the app, the router for FastAPI and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from admit.clock import monotonic
from admit.errors import AdmitError
from admit.server import logs, traces
from admit.server.errors import Refusal, render, unexpected
from admit.server.proxy import plain

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

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
    traces_from: Sequence[IPv4Network | IPv6Network] = ()
    tracer_provider: TracerProvider | None = None

    @cached_property
    def tracing(self) -> traces.Traces | None:
        """Decided once, at the first request: by then whoever configures a tracer provider has done so."""
        found = traces.find(self.traces_from, self.tracer_provider)
        if found is not None:
            found.watch(self.service)
        return found


Handler = Callable[[Context, Request], Awaitable[Response]]


class Answered(NamedTuple):
    """An answer; what the request came to, in a word of our own; and the error that it came from."""

    response: Response
    outcome: str
    error: Exception | None


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

        async def answer(request: Request) -> Answered:
            begun, seen = monotonic(), logs.request.get()
            if seen is not None:
                seen.route = name
                seen.address = plain(request.client.host) if request.client is not None else "-"
            raised: Exception | None = None
            try:
                response = await handler(context, request)
                refused = response.code if isinstance(response, Refusal) else "refused"
                outcome = "ok" if response.status_code < 400 else refused
            except AdmitError as error:
                response, outcome, raised = render(error), error.code, error
            except Exception as error:  # noqa: BLE001 - the last line: no client ever sees a traceback
                response, outcome, raised = unexpected(error), "server_error", error
            if context.cors is not None:
                context.cors.mark(response, self.readers, request)
            metrics.done(name, response.status_code, outcome, monotonic() - begun)
            return Answered(response, outcome, raised)

        async def endpoint(request: Request) -> Response:
            found = context.tracing
            if found is None:
                return (await answer(request)).response
            return await found.request(self.method, self.path, request, answer)

        return endpoint
