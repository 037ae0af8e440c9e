"""Bearer tokens for Starlette and other ASGI applications: a middleware that judges, a decorator for scopes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from admit.errors import AdmitError, ConfigurationError
from admit.tokens.presented import PROTOCOL_PREFIX, PROTOCOLS, Presented, offered
from admit.web.bearer import Door, MissingToken, Refusal, asked, checked_age, checked_scopes
from admit.web.streams import RECHECK, Watch, checked_every, guard_socket, guard_stream

if TYPE_CHECKING:
    from datetime import timedelta

    from starlette.types import ASGIApp, Receive, Scope, Send

    from admit.tokens.claims import Claims
    from admit.tokens.cookies import Cookies
    from admit.tokens.several import Verifiers
    from admit.tokens.verifier import Verifier

Endpoint = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]

_CLAIMS, _DOOR = "admit.claims", "admit.door"


class BearerMiddleware:
    """Lets a request in only with a token that the verifier accepts; its claims are then `claims_of(request)`.

    scopes: what every request needs. public: exact paths that need no token, such as /healthz; a token there is not
    even looked at. realm: for the challenge. max_age: how long ago the user's login may be (RFC 9470). cookies: where
    browsers may bring the token, too. WebSockets are judged alike, before they are accepted; there a token may also come
    as the subprotocol `bearer.TOKEN`, which the application does not see. WebSockets and event streams end with their
    token: at its expiry, and within `recheck` of its revocation.

    `Starlette(routes, middleware=[Middleware(BearerMiddleware, verifier=verifier)])`. RFC 6750.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier[Any]
        | Verifiers[Any],  # whatever its claims' type: Starlette's Middleware could not infer it
        *,
        scopes: Iterable[str] = (),
        public: Iterable[str] = (),
        realm: str | None = None,
        max_age: timedelta | None = None,
        cookies: Cookies | None = None,
        recheck: timedelta = RECHECK,
    ) -> None:
        if isinstance(public, str):
            raise ConfigurationError("public is a collection of paths, not one string")
        self.app, self.door = app, Door(verifier, realm=realm, cookies=cookies)
        self._scopes, self._public, self._max_age = checked_scopes(scopes), frozenset(public), checked_age(max_age)
        self._every = checked_every(recheck)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope[_DOOR] = self.door
        if scope["path"] in self._public:
            await self.app(scope, receive, send)
            return
        request = asked(scope)
        try:
            claims = scope[_CLAIMS] = await self.door.admit(request, self._scopes, self._max_age)
        except AdmitError as error:
            await _send(self.door.refuse(error, self._scopes), scope, receive, send)
            return
        watch = Watch(self.door, claims, self._every, request)
        if request.is_websocket:
            await guard_socket(self.app, without_tokens(scope, request), receive, send, watch)
        else:
            await guard_stream(self.app, scope, receive, send, watch)


def claims_of(request: HTTPConnection) -> Claims[Any]:
    """The claims of the token that came with a request. Raises MissingToken where no BearerMiddleware judged one."""
    claims = request.scope.get(_CLAIMS)
    if claims is None:
        raise MissingToken("no token was judged for this request: its path is public, or there is no BearerMiddleware")
    return cast("Claims[Any]", claims)


def requires(
    *scopes: str, max_age: timedelta | None = None
) -> Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]:
    """Decorates an endpoint (async or not) behind BearerMiddleware: its token needs all of these scopes, or 403.

    max_age: how long ago its user's login may be, or 401 (RFC 9470).
    """
    wanted, age = checked_scopes(scopes), checked_age(max_age)

    def decorate(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        is_async = inspect.iscoroutinefunction(endpoint)

        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            door = request.scope.get(_DOOR)
            if door is None:
                raise ConfigurationError("requires() works behind BearerMiddleware, and this application has none")
            try:
                cast("Door[Any]", door).allowed(claims_of(request), wanted, age)
            except AdmitError as error:
                return _response(cast("Door[Any]", door).refuse(error, wanted))
            if is_async:
                return await cast("Callable[[Request], Awaitable[Response]]", endpoint)(request)
            return await run_in_threadpool(cast("Callable[[Request], Response]", endpoint), request)

        return guarded

    return decorate


def without_tokens(scope: Scope, request: Presented) -> Scope:
    """A WebSocket's scope whose subprotocols hold no token: an application that accepts the first one would echo it."""
    names = [name for name in offered(request) if not name.startswith(PROTOCOL_PREFIX)]
    headers = [(name, value) for name, value in scope["headers"] if name != PROTOCOLS]
    if names:
        headers.append((PROTOCOLS, ", ".join(names).encode("latin-1")))
    return {**scope, "headers": headers, "subprotocols": names}


def _response(refusal: Refusal) -> Response:
    return Response(refusal.body, refusal.status, refusal.headers)


async def _send(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _response(refusal)(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": refusal.body})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
