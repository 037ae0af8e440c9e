"""Tokens in cookies: which requests bring them, which get them, and what the answers carry instead.

A browser's page of ours gets its tokens in cookies and never in JSON, at login and at every refresh by cookie: a script that was
injected there can use the session while the page is open, and cannot carry its tokens away. A program gets JSON.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

from admit.errors import ConfigurationError, InvalidGrant, InvalidToken
from admit.server.clients import bearer
from admit.server.errors import answer, log
from admit.server.logs import seldom
from admit.server.loop import memory_only
from admit.server.parsing import RefusedRequest
from admit.tokens.presented import AUTHORIZATION, ORIGIN, SAFE, Presented, presented
from admit.tokens.waiting import WouldWait

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from admit.server.endpoint import Context
    from admit.server.parsing import Parameters
    from admit.service.results import TokenPair
    from admit.tokens.cookies import Cookies


class RefreshToken(NamedTuple):
    """A refresh token as it came, and whether a cookie brought it: then a page of ours did."""

    token: str
    is_cookie: bool

    def __repr__(self) -> str:
        return f"RefreshToken(..., is_cookie={self.is_cookie})"


class Subject(NamedTuple):
    """Whose sessions are looked after, and from which of them."""

    sub: str
    sid: str | None
    is_cookie: bool
    auth_time: float | None
    """When the user logged in."""


def require_same_scheme(cookies: Cookies, issuer: str) -> None:
    """Raises ConfigurationError where the pages are https and the service is not, or the reverse.

    Cookies without Secure must not come from an https service, and those with it not from a plain one.
    """
    if cookies.secure != issuer.startswith("https:"):
        raise ConfigurationError(
            f"the issuer is {issuer}, and the pages with its cookies are {', '.join(sorted(cookies.origins))}: let both be https,"
            " or both http on loopback, for development"
        )


def is_from_page(context: Context, request: Request) -> bool:
    """Whether a login comes from a page of ours, whose tokens go into cookies; False for programs.

    Browsers mark every POST, so that what bears no mark is no page. Raises ForeignOrigin for other sites' pages: they would
    log a visitor into an account of theirs (login CSRF). Pages that CORS allows and cookies do not are like programs.
    """
    asked = _asked(request)
    if context.cookies is None or not asked.is_from_browser:
        return False
    origins = [origin.decode("latin-1") for origin in asked.values(ORIGIN)]
    if context.cors is not None and len(origins) == 1 and origins[0] in context.cors.origins - context.cookies.origins:
        return False
    context.cookies.must_be_own_page(asked)
    return True


def read_refresh_token(context: Context, request: Request, parameters: Parameters) -> RefreshToken:
    """The refresh token of the body or of the cookie, never of both. Raises RefusedRequest, UnreadableToken, ForeignOrigin."""
    asked = _asked(request)
    carried = None if context.cookies is None else context.cookies.read(asked, context.cookies.refresh)
    if carried is None or context.cookies is None:
        return RefreshToken(parameters.required("refresh_token"), False)
    if parameters.optional("refresh_token") not in (None, carried):
        raise RefusedRequest("a refresh token comes in the body, and another one in a cookie; one of them is enough")
    context.cookies.must_be_own_page(asked)
    return RefreshToken(carried, True)


async def read_subject(context: Context, request: Request) -> Subject:
    """Who asks for its sessions: by an access token for the issuer, or, without one, by the refresh token's cookie.

    The access token in the cookie is for APIs, and one of them could replay it here; the refresh token is for nobody else.
    Raises as `bearer`, and InvalidToken where the cookie's session is over.
    """
    asked = _asked(request)
    cookies = context.cookies
    carried = None if cookies is None or asked.values(AUTHORIZATION) else cookies.read(asked, cookies.refresh)
    if cookies is None or carried is None:
        try:
            with memory_only():
                claims = bearer(request, context.verifier)
        except WouldWait:
            claims = await to_thread.run_sync(bearer, request, context.verifier)
        return Subject(claims.sub, claims.sid, False, claims.auth_time)
    if asked.method not in SAFE:
        cookies.must_be_own_page(asked)
    try:
        session = await context.calls.session(carried)
    except InvalidGrant:
        raise InvalidToken("the session of the cookie is over, or never was") from None
    return Subject(session.sub, session.id, True, session.auth_time)


def in_cookies(cookies: Cookies, pair: TokenPair, absolute: timedelta) -> Response:
    """The answer of RFC 6749 5.1 to a page: no token in it. absolute: the longest life of a session."""
    body: dict[str, object] = {"expires_in": pair.expires_in}
    if pair.scope:
        body["scope"] = pair.scope
    response = answer(body)
    try:
        access = cookies.set(cookies.access, pair.access_token, pair.expires_in)
    except ConfigurationError as error:
        log.error("%s", error, extra=seldom("cookie"))
        raise
    response.headers.append("Set-Cookie", access)
    response.headers.append(
        "Set-Cookie", cookies.set(cookies.refresh, pair.refresh_token, int(absolute.total_seconds()))
    )
    return response


def forgotten(context: Context, response: Response) -> Response:
    """The answer, which also makes the browser drop both cookies."""
    for value in context.cookies.cleared() if context.cookies is not None else ():
        response.headers.append("Set-Cookie", value)
    return response


def _asked(request: Request) -> Presented:
    return presented(request.scope["headers"], method=request.method)
