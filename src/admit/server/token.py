"""POST /token: the grants as a table (RFC 6749 4.4, 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from admit.errors import UnsupportedGrantType
from admit.server.clients import credentials, required_credentials
from admit.server.endpoint import Context
from admit.server.errors import answer
from admit.server.parsing import Parameters, read_body
from admit.service.clients import FIRST_PARTY
from admit.service.results import AccessToken, TokenPair

if TYPE_CHECKING:
    from starlette.responses import Response


async def token(context: Context, request: Request) -> Response:
    """An access token by one of the `GRANTS`."""
    parameters = await read_body(request)
    grant = GRANTS.get(parameters.required("grant_type"))
    if grant is None:
        raise UnsupportedGrantType("no such grant")
    return rendered(await grant(context, request, parameters))


async def refresh(context: Context, request: Request, parameters: Parameters) -> AccessToken:
    """RFC 6749 6. A request that names no client speaks for the first-party one, which is public."""
    client_id, client_secret = credentials(request, parameters) or (FIRST_PARTY, None)
    return await context.calls.refresh(
        parameters.required("refresh_token"),
        client_id=client_id,
        client_secret=client_secret,
        scope=parameters.optional("scope"),
        audience=parameters.optional("audience"),
        address=address(request),
    )


async def client_credentials(context: Context, request: Request, parameters: Parameters) -> AccessToken:
    """RFC 6749 4.4: for confidential clients only."""
    return await context.calls.client_credentials(
        *required_credentials(request, parameters),
        scope=parameters.optional("scope"),
        audience=parameters.optional("audience"),
    )


Grant = Callable[[Context, Request, Parameters], Awaitable[AccessToken]]
GRANTS: Final[dict[str, Grant]] = {"refresh_token": refresh, "client_credentials": client_credentials}


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
    return request.client.host if request.client is not None else ""
