"""POST /introspect (RFC 7662)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admit.server.clients import required_credentials
from admit.server.errors import answer
from admit.server.parsing import read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from admit.server.endpoint import Context


async def introspect(context: Context, request: Request) -> Response:
    """What a token is, for confidential clients only: an open endpoint would let anybody try tokens (RFC 7662 2.1)."""
    parameters = await read_body(request)
    client_id, client_secret = required_credentials(request, parameters)
    token = parameters.required("token")
    return answer(await context.calls.introspect(token, client_id=client_id, client_secret=client_secret))
