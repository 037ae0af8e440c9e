"""create_app: the ASGI app of one TokenService, from the table of its endpoints."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Match, Route

from admit.jose.encoding import json_bytes
from admit.server import (
    health,
    introspect,
    login,
    metadata,
    password,
    revocations,
    revoke,
    second_factor,
    sessions,
    status_lists,
    token,
)
from admit.server.cookies import require_same_scheme
from admit.server.cors import Cors
from admit.server.endpoint import Context, Endpoint
from admit.server.errors import refusal
from admit.server.feed import Feed
from admit.server.metrics import Metrics
from admit.server.openapi import document
from admit.server.proxy import ProxyRules, parse_networks
from admit.server.requests import Draining, Requests
from admit.service.aio import AsyncTokenService
from admit.tokens.origin import parse_origins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from opentelemetry.trace import TracerProvider
    from starlette.requests import Request

    from admit.server.siblings import Siblings
    from admit.service.facade import TokenService
    from admit.tokens.cookies import Cookies

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

FIRST_PARTY_ENDPOINTS: Final = (
    Endpoint("POST", "/token", token.token, "pages"),  # the busiest first: routes are tried in order
    Endpoint("POST", "/login", login.login, "pages"),
    Endpoint("POST", "/logout", login.logout, "pages"),
    Endpoint("POST", "/password", password.change_password, "pages"),
    Endpoint("GET", "/second-factor", second_factor.show, "pages"),
    Endpoint("POST", "/second-factor", second_factor.begin, "pages"),
    Endpoint("POST", "/second-factor/confirm", second_factor.confirm, "pages"),
    Endpoint("POST", "/second-factor/recovery-codes", second_factor.renew, "pages"),
    Endpoint("POST", "/second-factor/remove", second_factor.remove, "pages"),
    Endpoint("GET", "/sessions", sessions.list_sessions, "pages"),
    Endpoint("DELETE", "/sessions", sessions.end_every_session, "pages"),
    Endpoint("DELETE", "/sessions/{id}", sessions.end_session, "pages"),
)
"""What an application's own users need."""

ISSUER_ENDPOINTS: Final = (
    Endpoint("POST", "/revoke", revoke.revoke, "pages"),
    Endpoint("POST", "/introspect", introspect.introspect),
    Endpoint("GET", "/revocations", revocations.revocations),
    Endpoint("GET", "/status-lists", status_lists.aggregation, "everybody"),
    Endpoint("GET", "/status-lists/{number}", status_lists.status_list, "everybody"),
    Endpoint("GET", "/.well-known/jwks.json", metadata.jwks, "everybody"),
    Endpoint("GET", "/.well-known/revocations-jwks.json", metadata.feed_jwks, "everybody"),
    Endpoint("GET", metadata.METADATA, metadata.metadata, "everybody"),
)
"""What other services need that trust this issuer."""

PROBES: Final = (
    Endpoint("GET", "/healthz", health.healthz),
    Endpoint("GET", "/readyz", health.readyz),
    Endpoint("GET", "/metrics", health.metrics),
)

ENDPOINTS: Final = (*FIRST_PARTY_ENDPOINTS, *ISSUER_ENDPOINTS, *PROBES)


def create_context(
    service: TokenService,
    *,
    followers: int = 1000,
    followers_per_address: int = 64,
    feed_readers: str = "anyone",
    cookies: Cookies | None = None,
    cors: Cors | None = None,
    metrics_from: Sequence[str] = LOOPBACK,
    traces_from: Sequence[str] = LOOPBACK,
    tracer_provider: TracerProvider | None = None,
    siblings: Siblings | None = None,
) -> Context:
    """What the endpoints of one service share in this process. followers: how many may wait for the feed at once.

    Raises ConfigurationError, also for an issuer that nobody could trust by its URL, though in process it would do.
    """
    metadata.check_issuer(service.issuer)
    if cookies is not None:
        require_same_scheme(cookies, service.issuer)
    calls = AsyncTokenService(service)
    feed = Feed(calls, at_most=followers, per_address=followers_per_address, readers=feed_readers)
    return Context(
        service=service,
        calls=calls,
        verifier=service.verifier(audience=service.issuer),
        feed=feed,
        metrics=Metrics(service, followers=lambda: feed.followers, hashing=lambda: calls.hashes),
        metrics_from=parse_networks(metrics_from, "metrics_from"),
        siblings=siblings,
        draining=Draining(),
        cookies=cookies,
        cors=cors,
        traces_from=parse_networks(traces_from, "traces_from"),
        tracer_provider=tracer_provider,
    )


def create_app(
    service: TokenService,
    *,
    trusted_proxies: Sequence[str] = (),
    followers: int = 1000,
    followers_per_address: int = 64,
    feed_readers: str = "anyone",
    cookies: Cookies | None = None,
    cors_origins: Sequence[str] = (),
    metrics_from: Sequence[str] = LOOPBACK,
    traces_from: Sequence[str] = LOOPBACK,
    tracer_provider: TracerProvider | None = None,
    siblings: Siblings | None = None,
) -> Starlette:
    """The HTTP face of a token service, as an ASGI app; closing the service stays the caller's.

    trusted_proxies: networks (CIDR) of the proxies that terminate TLS; then every request comes through one of them.
    followers, followers_per_address: how many requests may wait for the revocation feed, in all and from one address.
    feed_readers: "anyone", or "clients", who then authenticate.
    traces_from: networks whose traceparent is continued; any other's is linked to. tracer_provider: of OpenTelemetry; by
    default the process's own, where it has one.
    metrics_from: networks whose requests see /metrics. siblings: the other workers, whose metrics are told too.
    cookies: pages of these origins get their tokens in cookies. cors_origins: pages of these, and of those, may read the
    answers; keys, metadata and status lists everybody may. Raises ConfigurationError for what is no network or no origin.
    """
    cors = make_cors(cookies, cors_origins)
    context = create_context(
        service,
        followers=followers,
        followers_per_address=followers_per_address,
        feed_readers=feed_readers,
        cookies=cookies,
        cors=cors,
        metrics_from=metrics_from,
        traces_from=traces_from,
        tracer_provider=tracer_provider,
        siblings=siblings,
    )
    context.metrics.watch()
    described = json_bytes(document(service.issuer, cookies))  # once: it is 40 kB, and strangers may ask

    async def openapi(request: Request) -> Response:  # noqa: ARG001
        return Response(described, 200, metadata.CACHED, "application/json")

    at = _places(service.issuer)
    paths: dict[str, list[Endpoint]] = {}
    for row in ENDPOINTS:
        for path in at(row.path):
            paths.setdefault(path, []).append(row)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        service.start()
        if siblings is not None:
            await siblings.listen(context.metrics.collect)
        try:
            yield
        finally:
            context.feed.stop()
            if siblings is not None:
                siblings.close()

    app = Starlette(
        routes=[
            *(Route(path, row.bind(context), methods=[row.method]) for row in ENDPOINTS for path in at(row.path)),
            *(
                Route(path, cors.preflight(rows[0].readers, [row.method for row in rows]), methods=["OPTIONS"])
                for path, rows in paths.items()
                if rows[0].readers in cors.readers
            ),
            *(Route(path, openapi, methods=["GET"]) for path in at("/openapi.json")),
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


def _places(issuer: str) -> Callable[[str], list[str]]:
    """Where an endpoint answers: at its path, and for an issuer that has a path itself at that before it, whether or not a proxy
    takes it away; its metadata also where RFC 8414 3.1 has it, with the issuer's path behind it."""
    below, probes = unquote(urlsplit(issuer).path).rstrip("/"), {row.path for row in PROBES}

    def at(path: str) -> list[str]:
        if not below or path in probes:  # whom those answer is decided by their one path
            return [path]
        return [path, below + path, *([path + below] if path == metadata.METADATA else [])]

    return at


def make_cors(cookies: Cookies | None, origins: Sequence[str]) -> Cors:
    """What pages may read. Raises ConfigurationError for what is no origin."""
    with_cookies = cookies.origins if cookies is not None else frozenset[str]()
    named = parse_origins(origins, "cors_origins") if origins else frozenset[str]()
    return Cors(named | with_cookies, with_cookies)


async def _refused(request: Request, error: Exception) -> Response:
    """404 and 405, as OAuth error objects too."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    code = "not_found" if error.status_code == 404 else "invalid_request"
    headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
    return refusal(error.status_code, code, error.detail, headers)


def _methods(request: Request) -> list[str]:
    """All that a path takes (RFC 9110 10.2.1): Starlette names those of the first row that fits."""
    fitting = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in fitting for method in route.methods})
