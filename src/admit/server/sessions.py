"""GET /sessions, DELETE /sessions, DELETE /sessions/{id}: a user's own sessions, by a first-party access token for the issuer.

Such a token comes from /login or /token with `audience` the issuer's own URL; those for APIs are refused here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.server.clients import bearer
from admit.server.errors import NO_STORE, answer, refusal
from admit.server.parsing import RefusedRequest, read_query

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context

_SHOWN = (
    "id",
    "client_id",
    "scope",
    "device",
    "address",
    "created_at",
    "last_used_at",
    "expires_at",
    "auth_time",
    "auth_method",
)


async def list_sessions(context: Context, request: Request) -> Response:
    """The live sessions of the token's subject, newest first; `current` marks the one that asks."""
    claims = bearer(request, context.verifier)
    sessions = [
        {name: session[name] for name in _SHOWN} | {"current": session["id"] == claims.sid}
        for session in map(asdict, await context.calls.sessions(claims.sub))
    ]
    return answer({"sessions": sessions})


async def end_session(context: Context, request: Request) -> Response:
    """End one session of the token's own subject; somebody else's is not found, like one that never was."""
    claims = bearer(request, context.verifier)
    if await context.calls.end_session(claims.sub, request.path_params["id"]):
        return Response(None, 204, NO_STORE)
    return refusal(404, "not_found", "you have no such session")


async def end_every_session(context: Context, request: Request) -> Response:
    """Log the token's subject out everywhere, and cut off the access tokens too; or everywhere else (keep=current)."""
    claims = bearer(request, context.verifier)
    keep = read_query(request).optional("keep")
    if keep is not None:
        if keep != "current" or claims.sid is None:
            raise RefusedRequest("keep is `current`, the session of the token that asks, or is left out")
        await context.calls.end_other_sessions(claims.sub, claims.sid)
        return Response(None, 204, NO_STORE)
    await context.calls.logout_everywhere(claims.sub)
    return Response(None, 204, NO_STORE)
