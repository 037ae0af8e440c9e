"""POST /password: a user's own change of password, by a first-party access token for the issuer (or the page's cookie) and
the old password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.errors import InvalidRequest
from admit.server.cookies import forgotten, read_subject
from admit.server.errors import NO_STORE
from admit.server.parsing import RefusedRequest, read_body
from admit.server.token import address

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context


async def change_password(context: Context, request: Request) -> Response:
    """Another password for the token's subject; every session ends, the one that asks too."""
    who = await read_subject(context, request)
    parameters = await read_body(request, json=True)
    old, new = parameters.required("old_password"), parameters.required("new_password")
    try:
        otp = parameters.optional("otp")
        await context.calls.change_password(who.sub, old, new, address=address(request), otp=otp)
    except RefusedRequest:
        raise
    except InvalidRequest as error:
        raise RefusedRequest(str(error)) from None  # why the new password cannot be one: the user has to know
    response = Response(None, 204, NO_STORE)
    return forgotten(context, response) if who.is_cookie else response
