"""GET /status-lists/{number} and GET /status-lists: status lists for others (draft-ietf-oauth-status-list 8, 9)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from admit.server.errors import answer, refusal
from admit.server.parsing import header
from admit.tokens.status_list import MEDIA_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_FITTING: Final = (MEDIA_TYPE, "application/*", "*/*")


async def status_list(context: Context, request: Request) -> Response:
    """One list as a signed token; 304 for who holds it already."""
    if not _accepted(header(request, "accept")):
        return refusal(406, "invalid_request", f"a status list is {MEDIA_TYPE}")
    if "time" in request.query_params:
        return refusal(501, "invalid_request", "status lists of earlier times are not kept (8.4)")
    number = request.path_params["number"]
    found = await context.calls.status_list(int(number)) if _NUMBER.fullmatch(number) else None
    if found is None:
        return refusal(404, "not_found", "there is no such status list")
    headers = {"Cache-Control": f"public, max-age={found.max_age}", "ETag": found.etag, "Vary": "Accept"}
    known = header(request, "if-none-match") or ""
    if found.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(None, 304, headers)
    return Response(found.token, 200, headers, MEDIA_TYPE)


async def aggregation(context: Context, request: Request) -> Response:  # noqa: ARG001
    """Where all lists are (9.3)."""
    uris = await context.calls.status_list_uris()
    return answer({"status_lists": uris}, headers={"Cache-Control": "public, max-age=60"})


def _accepted(accept: str | None) -> bool:
    """Whether an Accept header takes the one media type there is."""
    ranges = [item.partition(";")[0].strip().lower() for item in (accept or "*/*").split(",")]
    return any(media in _FITTING for media in ranges)
