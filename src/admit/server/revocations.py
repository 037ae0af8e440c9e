"""GET /revocations?since=&epoch=&wait=: the signed list of what was cut off, as a long poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from admit.server.clients import basic_credentials
from admit.server.errors import NO_STORE
from admit.server.feed import MAX_WAIT
from admit.server.parsing import read_query
from admit.server.token import address

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context

MEDIA_TYPE = "application/jwt"


async def revocations(context: Context, request: Request) -> Response:
    """The feed after `since`, at once where there is news, else within `wait` seconds.

    Without since, or with the epoch of another feed, the whole list comes at once. A proxy that cached an answer
    would hide what was revoked since, hence no-store; and never a 304, for only the signed iat renews freshness. Where
    `feed_readers` is "clients", a confidential client authenticates by Basic.
    """
    if context.feed.readers == "clients":
        await context.calls.clients.authenticate(*basic_credentials(request))
    query = read_query(request)
    since, epoch, wait = query.number("since"), query.optional("epoch"), query.seconds("wait")
    if since is not None:
        seconds = MAX_WAIT if wait is None else min(wait, MAX_WAIT)
        await context.feed.wait(since, epoch, seconds, address(request), gone=lambda: _gone(request))
    return Response(await context.feed.answer(since, epoch), 200, NO_STORE, MEDIA_TYPE)


async def _gone(request: Request) -> None:
    """Returns when the client has left: its follower's place is free again."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
