"""GET /sessions, DELETE /sessions, DELETE /sessions/{id}: a user's own sessions, by a first-party access token for the issuer.

Such a token comes from /login or /token with `audience` the issuer's own URL; those for APIs are refused here.
A page with cookies needs none: its refresh token's cookie says whose sessions they are.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.server.cookies import forgotten, read_subject
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
    who = await read_subject(context, request)
    sessions = [
        {name: session[name] for name in _SHOWN} | {"current": session["id"] == who.sid}
        for session in map(asdict, await context.calls.sessions(who.sub))
    ]
    return answer({"sessions": sessions})


async def end_session(context: Context, request: Request) -> Response:
    """End one session of the token's own subject; somebody else's is not found, like one that never was."""
    who = await read_subject(context, request)
    ended = request.path_params["id"]
    if await context.calls.end_session(who.sub, ended):
        response = Response(None, 204, NO_STORE)
        return forgotten(context, response) if who.is_cookie and ended == who.sid else response
    return refusal(404, "not_found", "you have no such session")


async def end_every_session(context: Context, request: Request) -> Response:
    """Log the token's subject out everywhere, and cut off the access tokens too; or everywhere else (keep=current)."""
    who = await read_subject(context, request)
    keep = read_query(request).optional("keep")
    if keep is not None:
        if keep != "current" or who.sid is None:
            raise RefusedRequest("keep is `current`, the session of the token that asks, or is left out")
        await context.calls.end_other_sessions(who.sub, who.sid)
        return Response(None, 204, NO_STORE)
    await context.calls.logout_everywhere(who.sub)
    response = Response(None, 204, NO_STORE)
    return forgotten(context, response) if who.is_cookie else response
