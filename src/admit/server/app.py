"""create_app: the ASGI app of one TokenService, from the table of its endpoints."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from admit.server import health, introspect, login, metadata, revocations, revoke, sessions, token
from admit.server.endpoint import Context, Endpoint
from admit.server.errors import answer, refusal
from admit.server.feed import Feed
from admit.server.metrics import Metrics
from admit.server.openapi import document
from admit.server.proxy import ProxyRules
from admit.server.requests import Draining, Requests
from admit.service.aio import AsyncTokenService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from admit.service.facade import TokenService

FIRST_PARTY_ENDPOINTS: Final = (
    Endpoint("POST", "/token", token.token),  # the busiest first: routes are tried in order
    Endpoint("POST", "/login", login.login),
    Endpoint("POST", "/logout", login.logout),
    Endpoint("GET", "/sessions", sessions.list_sessions),
    Endpoint("DELETE", "/sessions", sessions.end_every_session),
    Endpoint("DELETE", "/sessions/{id}", sessions.end_session),
)
"""What an application's own users need."""

ISSUER_ENDPOINTS: Final = (
    Endpoint("POST", "/revoke", revoke.revoke),
    Endpoint("POST", "/introspect", introspect.introspect),
    Endpoint("GET", "/revocations", revocations.revocations),
    Endpoint("GET", "/.well-known/jwks.json", metadata.jwks),
    Endpoint("GET", "/.well-known/revocations-jwks.json", metadata.feed_jwks),
    Endpoint("GET", "/.well-known/oauth-authorization-server", metadata.metadata),
)
"""What other services need that trust this issuer."""

PROBES: Final = (
    Endpoint("GET", "/healthz", health.healthz),
    Endpoint("GET", "/readyz", health.readyz),
    Endpoint("GET", "/metrics", health.metrics),
)

ENDPOINTS: Final = (*FIRST_PARTY_ENDPOINTS, *ISSUER_ENDPOINTS, *PROBES)


def create_context(service: TokenService, *, followers: int = 1000, followers_per_address: int = 64) -> Context:
    """What the endpoints of one service share in this process. followers: how many may wait for the feed at once."""
    calls = AsyncTokenService(service)
    feed = Feed(service, calls, at_most=followers, per_address=followers_per_address)
    return Context(
        service=service,
        calls=calls,
        verifier=service.verifier(audience=service.issuer),
        feed=feed,
        metrics=Metrics(lambda: feed.followers),
        draining=Draining(),
    )


def create_app(
    service: TokenService,
    *,
    trusted_proxies: Sequence[str] = (),
    followers: int = 1000,
    followers_per_address: int = 64,
) -> Starlette:
    """The HTTP face of a token service, as an ASGI app; closing the service stays the caller's.

    trusted_proxies: networks (CIDR) of the proxies that terminate TLS; then every request comes through one of them.
    followers, followers_per_address: how many requests may wait for the revocation feed, in all and from one address.
    Raises ConfigurationError for what is no network.
    """
    context = create_context(service, followers=followers, followers_per_address=followers_per_address)
    described = document(service.issuer)

    async def openapi(request: Request) -> Response:  # noqa: ARG001
        return answer(described, headers=metadata.CACHED)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        service.start()
        try:
            yield
        finally:
            context.feed.stop()

    app = Starlette(
        routes=[
            *(Route(row.path, row.bind(context), methods=[row.method]) for row in ENDPOINTS),
            Route("/openapi.json", openapi, methods=["GET"]),
        ],
        middleware=[
            Middleware(Requests, draining=context.draining),
            *([Middleware(ProxyRules, networks=trusted_proxies)] if trusted_proxies else []),
        ],
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.feed, app.state.draining = context.feed, context.draining
    return app


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """404 and 405, as OAuth error objects too."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    code = "not_found" if error.status_code == 404 else "invalid_request"
    return refusal(error.status_code, code, error.detail, error.headers)
