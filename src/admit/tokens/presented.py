"""What a request brings that says who asks, and the one token in it: by header, subprotocol or cookie, never two ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from admit.errors import InvalidRequest
from admit.tokens.bearer import MissingToken, UnreadableToken, read_token

if TYPE_CHECKING:
    from admit.tokens.cookies import Cookies

AUTHORIZATION: Final = b"authorization"
COOKIE: Final = b"cookie"
ORIGIN: Final = b"origin"
FETCH_SITE: Final = b"sec-fetch-site"
REFERER: Final = b"referer"
PROTOCOLS: Final = b"sec-websocket-protocol"
_READ: Final = frozenset((AUTHORIZATION, COOKIE, ORIGIN, FETCH_SITE, REFERER, PROTOCOLS))

PROTOCOL_PREFIX: Final = "bearer."
"""Of the subprotocol that carries a token: a page's WebSocket can set no header (RFC 6455 4.1; a JWT is a token there)."""

SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing (RFC 9110 9.2.1); TRACE, which would echo cookies, is not among them."""

_IN_QUERY: Final = re.compile(rb"(?:^|&)access_token=")
"""RFC 6750 2.3, which RFC 9700 4.3.2 takes back."""
_LIKE_A_JWT: Final = re.compile(rb"(?:^|&)[^=&]*=eyJ[A-Za-z0-9_-]+\.")


class TokenInUrl(InvalidRequest):
    """The request brings its token in the URL, where it ends in logs, histories and Referer headers (RFC 9700 4.3.2)."""

    public = "a token belongs in the Authorization header, never in a URL"


@dataclass(frozen=True, slots=True)
class Presented:
    """A request's method, and the values of those of its headers that say who asks, by names in lower case."""

    headers: Mapping[bytes, Sequence[bytes]]
    method: str = ""
    query: bytes = b""
    is_websocket: bool = False

    def values(self, name: bytes) -> Sequence[bytes]:
        """All values of a header, in order."""
        return self.headers.get(name, ())

    @property
    def is_from_browser(self) -> bool:
        """Whether it bears a mark that browsers leave on a POST; a program has no page to be told of."""
        return not self.headers.keys().isdisjoint((ORIGIN, FETCH_SITE, REFERER))


def presented(
    headers: Iterable[tuple[bytes, bytes]], *, method: str = "", query: bytes = b"", is_websocket: bool = False
) -> Presented:
    """What matters of a request, from all its headers (names in lower case, as in an ASGI scope)."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _READ:
            found.setdefault(name, []).append(value)
    return Presented(found, method, query, is_websocket)


def token_of(request: Presented, cookies: Cookies | None = None) -> str:
    """The access token of a request.

    cookies: without them, cookies are not looked at. Raises MissingToken; TokenInUrl; UnreadableToken where two tokens
    come that differ, or one cannot be read; ForeignOrigin where only a cookie brings it, and not from a page of ours: on
    methods that change something (CSRF), and for every WebSocket (cross-site WebSocket hijacking).
    """
    missing: MissingToken | None = None
    explicit = set[str]()
    try:
        explicit.add(read_token(request.values(AUTHORIZATION)))
    except MissingToken as error:
        missing = error
    if request.is_websocket:
        explicit.update(_in_protocols(request))
    carried = None if cookies is None else cookies.read(request, cookies.access)
    if len(explicit) > 1 or (carried is not None and explicit and carried not in explicit):
        raise UnreadableToken(
            "the request brings different tokens in its header, subprotocol or cookie: send one of them"
        )
    if explicit:
        return explicit.pop()
    if carried is not None and cookies is not None:
        if request.is_websocket or request.method not in SAFE:
            cookies.must_be_own_page(request)
        return carried
    if _IN_QUERY.search(request.query) or (request.is_websocket and _LIKE_A_JWT.search(request.query)):
        raise TokenInUrl(
            "the token came in the URL, where logs and histories keep it: send it in the Authorization header"
        )
    raise missing or MissingToken("no Authorization header")


def offered(request: Presented) -> list[str]:
    """The subprotocols that a WebSocket handshake offers (RFC 6455 4.1)."""
    lines = b",".join(request.values(PROTOCOLS)).decode("latin-1")
    return [name for part in lines.split(",") if (name := part.strip())]


def _in_protocols(request: Presented) -> list[str]:
    return [name.removeprefix(PROTOCOL_PREFIX) for name in offered(request) if name.startswith(PROTOCOL_PREFIX)]
