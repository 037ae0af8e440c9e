"""Bearer tokens for FastAPI: `Annotated[Claims[Mine], Security(bearer, scopes=["orders:read"])]`."""
# No postponed annotations here: FastAPI reads those of Bearer.__call__ and cannot resolve strings on an object's
# method.

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

from fastapi import HTTPException, Security
from fastapi.openapi.models import HTTPBearer, OAuth2, OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import APIKeyCookie, SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from admit.errors import AdmitError, ConfigurationError
from admit.tokens.claims import Claims
from admit.tokens.cookies import Cookies
from admit.tokens.several import Verifiers
from admit.tokens.verifier import Verifier
from admit.web.bearer import Door, asked, checked_age, checked_scopes
from admit.web.streams import RECHECK, UNAUTHORIZED, Socket, Watch, checked_every, close_code, until_end

E = TypeVar("E")
T = TypeVar("T")

_ERROR = {
    "application/json": {
        "schema": {
            "title": "Refusal",
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}},
        }
    }
}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "The challenge (RFC 6750 3)", "schema": {"type": "string"}},
}
_RETRY = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


class Bearer(SecurityBase, Generic[E]):
    """A security dependency: the claims of the request's bearer token, if it carries the scopes that the route asks
    for.

    verifier: whose tokens are let in. scheme_name: in the OpenAPI document, whose Authorize button takes a token.
    token_url: makes that button ask for a client id and secret, and get the token from there itself. scopes: their
    descriptions, for that form. realm: for the challenge. max_age: how long ago the user's login may be, for routes that
    need a recent one (RFC 9470). cookies: where browsers may bring the token, too. recheck: how soon a revocation closes
    what is open.

    A WebSocket depends on `bearer.socket`, and an event stream iterates over `bearer.while_good(claims, events)`: both end
    with the token.

    `FastAPI(responses=bearer.responses)` documents what a refused request gets. In tests,
    `app.dependency_overrides[bearer] = lambda: claims`. RFC 6750.
    """

    responses: dict[int | str, dict[str, Any]] = {  # noqa: RUF012 - FastAPI's own type for it
        400: {"description": "Malformed Authorization header", "content": _ERROR, "headers": _CHALLENGE},
        401: {"description": "No token, or one that is not valid", "content": _ERROR, "headers": _CHALLENGE},
        403: {"description": "The token lacks a scope", "content": _ERROR, "headers": _CHALLENGE},
        503: {"description": "Nothing could be judged; try again", "content": _ERROR, "headers": _RETRY},
    }

    def __init__(
        self,
        verifier: Verifier[E] | Verifiers[E],
        *,
        scheme_name: str = "Bearer",
        description: str | None = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        realm: str | None = None,
        max_age: timedelta | None = None,
        cookies: Cookies | None = None,
        recheck: timedelta = RECHECK,
    ) -> None:
        self.door, self._max_age = Door(verifier, realm=realm, cookies=cookies), checked_age(max_age)
        self._every = checked_every(recheck)
        self.scheme_name = scheme_name
        checked_scopes(scopes or ())
        if token_url is None:
            self.model = HTTPBearer(bearerFormat="JWT", description=description)
        else:
            flow = OAuthFlowClientCredentials(tokenUrl=token_url, scopes=dict(scopes or {}))
            self.model = OAuth2(flows=OAuthFlows(clientCredentials=flow), description=description)
        self.__signature__ = _signature(self.__call__, cookies, scheme_name)

    async def __call__(
        self,
        request: HTTPConnection,
        security_scopes: SecurityScopes,
        cookie: str | None = None,  # noqa: ARG002 - for the document alone: see _signature
    ) -> Claims[E]:
        """The claims, or an HTTPException with the status and headers of RFC 6750 3."""
        if request.scope["type"] == "websocket":
            raise ConfigurationError(
                "a WebSocket outlives its request: depend on bearer.socket, which ends with the token"
            )
        return await self._claims(request, security_scopes)

    async def socket(self, websocket: WebSocket, security_scopes: SecurityScopes) -> AsyncIterator[Claims[E]]:
        """The claims of a WebSocket's token, for `Security(bearer.socket)`; the socket closes when the token ends.

        The close code is 4401, or 1013 where nobody knows whether the token was revoked. Beside the header and the cookie
        a token may come as the subprotocol `bearer.TOKEN`; accept another one that the page offers with it.
        """
        claims = await self._claims(websocket, security_scopes)
        async with until_end(Watch(self.door, claims, self._every, asked(websocket.scope)), _told(websocket)):
            yield claims

    async def while_good(
        self, claims: Claims[E], source: AsyncIterable[T], request: HTTPConnection | None = None
    ) -> AsyncIterator[T]:
        """What `source` yields, until the token of these claims ends: for event streams.

        request: the one that brought it, for an issuer that is asked while its revocations are stale. Without it, the stream
        ends then.
        """
        brought = None if request is None else asked(request.scope)
        async for item in Watch(self.door, claims, self._every, brought).while_good(source):
            yield item

    async def _claims(self, request: HTTPConnection, security_scopes: SecurityScopes) -> Claims[E]:
        try:
            return await self.door.admit(asked(request.scope), security_scopes.scopes, self._max_age)
        except AdmitError as error:
            refusal = self.door.refuse(error, security_scopes.scopes)
            headers = {name: value for name, value in refusal.headers.items() if name != "Content-Type"}
            raise HTTPException(refusal.status, error.public, headers) from None


def _told(websocket: WebSocket) -> Callable[[AdmitError], Awaitable[bool]]:
    """What ends a WebSocket whose token has ended. Its handler then sees a disconnect, whether it receives or sends."""
    theirs, socket = websocket.receive, Socket(websocket.receive, websocket.send)
    code = UNAUTHORIZED

    async def receive() -> Message:
        # Theirs then raises: a handler that heeds no disconnect would take the event loop for itself.
        if websocket.client_state is WebSocketState.DISCONNECTED:
            return await theirs()
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            websocket.client_state = WebSocketState.DISCONNECTED
        return message

    async def send(message: Message) -> None:
        try:
            await socket.send(message)
        except OSError as error:
            raise WebSocketDisconnect(code, str(error)) from None

    async def end(error: AdmitError) -> bool:
        nonlocal code
        code, before = close_code(error), websocket.application_state
        await socket.end(error)
        if before is WebSocketState.CONNECTED:
            # Or its methods raise RuntimeError, as for a handler that closed it itself.
            websocket.application_state = before
        return False

    websocket.receive, websocket.send = receive, send  # type: ignore[method-assign]
    return end


def _signature(call: Callable[..., object], cookies: Cookies | None, scheme_name: str) -> inspect.Signature:
    """What FastAPI reads as the signature of a Bearer: with cookies, a dependency more that documents theirs as a second way."""
    own = inspect.signature(call)
    *parameters, cookie = own.parameters.values()
    if cookies is not None:
        scheme = APIKeyCookie(name=cookies.access, scheme_name=f"{scheme_name}Cookie", auto_error=False)
        parameters.append(cookie.replace(default=Security(scheme)))
    return own.replace(parameters=parameters)
