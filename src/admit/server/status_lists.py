"""GET /status-lists/{number} and GET /status-lists: status lists for others (draft-ietf-oauth-status-list 8, 9)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from admit.server.errors import answer, refusal
from admit.tokens.status_list import MEDIA_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.server.endpoint import Context

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_FITTING: Final = (MEDIA_TYPE, "application/*", "*/*")
_REFUSED: Final = re.compile(r"(?:^|;)\s*q\s*=\s*0(?:\.0{0,3})?\s*(?:;|$)", re.IGNORECASE)  # a weight of 0


async def status_list(context: Context, request: Request) -> Response:
    """One list as a signed token; 304 for who holds it already."""
    if not _accepted(_listed(request, "accept") or ["*/*"]):
        return refusal(406, "invalid_request", f"a status list is {MEDIA_TYPE}")
    if "time" in request.query_params:
        return refusal(501, "invalid_request", "status lists of earlier times are not kept (8.4)")
    number = request.path_params["number"]
    found = await context.calls.status_list(int(number)) if _NUMBER.fullmatch(number) else None
    if found is None:
        return refusal(404, "not_found", "there is no such status list")
    headers = {"Cache-Control": f"public, max-age={found.max_age}", "ETag": found.etag, "Vary": "Accept"}
    known = {tag.removeprefix("W/") for tag in _listed(request, "if-none-match")}
    if known & {found.etag, "*"}:
        return Response(None, 304, headers)
    return Response(found.token, 200, headers, MEDIA_TYPE)


async def aggregation(context: Context, request: Request) -> Response:  # noqa: ARG001
    """Where all lists are (9.3)."""
    uris = await context.calls.status_list_uris()
    return answer({"status_lists": uris}, headers={"Cache-Control": "public, max-age=60"})


def _listed(request: Request, name: str) -> list[str]:
    """The members of a header that is a list, over however many lines (RFC 9110 5.3)."""
    lines = ",".join(request.headers.getlist(name))
    return [member.strip() for member in lines.split(",") if member.strip()]


def _accepted(ranges: list[str]) -> bool:
    """Whether an Accept header's ranges take the one media type there is: the narrowest that fits decides (RFC 9110 12.5.1)."""
    weights = {}
    for item in ranges:
        media, _, parameters = item.partition(";")
        weights[media.strip().lower()] = not _REFUSED.search(parameters)
    return next((weights[media] for media in _FITTING if media in weights), False)
