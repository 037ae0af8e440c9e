"""POST /login and POST /logout: a first-party session's beginning and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.errors import InvalidGrant
from admit.server.cookies import forgotten, is_from_page, read_refresh_token
from admit.server.errors import BEARER, NO_STORE, refusal
from admit.server.parsing import header, read_body
from admit.server.token import address, granted

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context

_MAX_DEVICE = 200


async def login(context: Context, request: Request) -> Response:
    """A new session for a name and a password; a wrong name and a wrong password are answered alike.

    Where the user has a second factor, the right password alone is answered by mfa_required: ask for the code, and send
    all three. Nothing is kept in between.
    """
    parameters = await read_body(request, json=True)
    by_page = is_from_page(context, request)  # before the password is looked at: no other site's page learns anything
    name, password = parameters.required("username"), parameters.required("password")
    device = parameters.optional("device") or header(request, "user-agent") or ""
    try:
        pair = await context.calls.login(
            name,
            password,
            audience=parameters.optional("audience"),
            scope=parameters.optional("scope"),
            device=device[:_MAX_DEVICE],
            address=address(request),
            otp=parameters.optional("otp"),
        )
    except InvalidGrant as error:
        # 401, with a scheme that opens no dialog in a browser; RFC 6749's own endpoint answers invalid_grant with 400
        return refusal(401, error.code, error.public, {"WWW-Authenticate": BEARER})
    return granted(context, pair, in_cookies=by_page)


async def logout(context: Context, request: Request) -> Response:
    """End the session of a refresh token of any generation; an unknown token is answered alike, an access token refused."""
    parameters = await read_body(request, json=True, may_be_absent=context.cookies is not None)
    carried = read_refresh_token(context, request, parameters)
    await context.calls.logout(carried.token)
    response = Response(None, 204, NO_STORE)
    return forgotten(context, response) if carried.is_cookie else response
