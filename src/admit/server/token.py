"""POST /token: the grants as a table (RFC 6749 4.4, 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from admit.errors import UnsupportedGrantType
from admit.server import cookies
from admit.server.clients import credentials, required_credentials
from admit.server.cookies import read_refresh_token
from admit.server.endpoint import Context
from admit.server.errors import answer
from admit.server.parsing import Parameters, read_body
from admit.server.proxy import plain
from admit.service.clients import FIRST_PARTY
from admit.service.results import AccessToken, TokenPair


async def token(context: Context, request: Request) -> Response:
    """An access token by one of the `GRANTS`."""
    parameters = await read_body(request)
    grant = GRANTS.get(parameters.required("grant_type"))
    if grant is None:
        raise UnsupportedGrantType("no such grant")
    return await grant(context, request, parameters)


async def refresh(context: Context, request: Request, parameters: Parameters) -> Response:
    """RFC 6749 6. A request that names no client speaks for the first-party one, which is public.

    What came by cookie goes by cookie: a script could otherwise ask for the tokens that are kept from it.
    """
    shown = read_refresh_token(context, request, parameters)
    client_id, client_secret = credentials(request, parameters) or (FIRST_PARTY, None)
    pair = await context.calls.refresh(
        shown.token,
        client_id=client_id,
        client_secret=client_secret,
        scope=parameters.optional("scope"),
        audience=parameters.optional("audience"),
        address=address(request),
    )
    return granted(context, pair, in_cookies=shown.is_cookie)


async def client_credentials(context: Context, request: Request, parameters: Parameters) -> Response:
    """RFC 6749 4.4: for confidential clients only."""
    token = await context.calls.client_credentials(
        *required_credentials(request, parameters),
        scope=parameters.optional("scope"),
        audience=parameters.optional("audience"),
    )
    return rendered(token)


Grant = Callable[[Context, Request, Parameters], Awaitable[Response]]
GRANTS: Final[dict[str, Grant]] = {"refresh_token": refresh, "client_credentials": client_credentials}


def granted(context: Context, pair: TokenPair, *, in_cookies: bool) -> Response:
    """The answer to a login or a refresh: tokens in JSON, or in cookies and then not in JSON."""
    if in_cookies and context.cookies is not None:
        return cookies.in_cookies(context.cookies, pair, context.service.policy.absolute)
    return rendered(pair)


def rendered(granted: AccessToken) -> Response:
    """The answer of RFC 6749 5.1; an empty scope is left out, for the grammar has no word for it (3.3)."""
    body: dict[str, object] = {
        "access_token": granted.access_token,
        "token_type": granted.token_type,
        "expires_in": granted.expires_in,
    }
    if granted.scope:
        body["scope"] = granted.scope
    if isinstance(granted, TokenPair):
        body["refresh_token"] = granted.refresh_token
    return answer(body)


def address(request: Request) -> str:
    """Where the request comes from, as the connection or a trusted proxy says."""
    return plain(request.client.host) if request.client is not None else ""
