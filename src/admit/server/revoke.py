"""POST /revoke (RFC 7009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.server.clients import credentials
from admit.server.errors import NO_STORE
from admit.server.parsing import read_body
from admit.service.clients import FIRST_PARTY

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context


async def revoke(context: Context, request: Request) -> Response:
    """200 for the client's own token and for what is none (RFC 7009 2.2); another client's is refused.

    token_type_hint is not needed, and a wrong one not an error (2.1): the two sorts look nothing alike, and both can be
    revoked, so that unsupported_token_type never arises.
    """
    parameters = await read_body(request)
    client_id, client_secret = credentials(request, parameters) or (FIRST_PARTY, None)
    await context.calls.revoke(parameters.required("token"), client_id=client_id, client_secret=client_secret)
    return Response(None, 200, NO_STORE)
