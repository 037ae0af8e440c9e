"""Cookies: the tokens of first-party browser applications, out of reach of scripts and of other sites.

    __Host-admit-access     Secure; HttpOnly; Path=/; SameSite=Lax      read by the doors
    __Host-admit-refresh    Secure; HttpOnly; Path=/; SameSite=Strict   read by the token service alone

The prefix makes browsers refuse such a cookie from plain http and from other hosts of the domain, which could otherwise
plant one (RFC 6265bis 4.1.3.2). It wants Path=/; a narrower path would keep nothing from a script of the same origin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from admit.errors import ConfigurationError, ForeignOrigin, shown
from admit.tokens.bearer import UnreadableToken
from admit.tokens.origin import origin_of, parse_origins
from admit.tokens.presented import COOKIE, FETCH_SITE, ORIGIN, REFERER, Presented

SameSite = Literal["lax", "strict"]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VALUE: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""b64token (RFC 6750 2.1): within what a cookie may hold without quotes."""
MAX_COOKIE: Final = 4096
"""Bytes of name and value together: browsers drop a larger cookie and say nothing (RFC 6265bis 5.6)."""


class Cookies:
    """How tokens travel in cookies, and whose pages may use them. There is no SameSite=None: other sites' pages send headers.

    origins: of the pages, exactly as browsers send them: `https://shop.example`. Where they are `http://` on loopback,
    for development, the cookies have neither Secure nor the prefix, which not every browser accepts there.
    same_site: of the access token's cookie. `lax` lets it come along when somebody follows a link from another site;
    `strict` does not. The refresh token's is always strict. name: what the cookies' names begin with.

    Raises ConfigurationError for what is no origin, and for https and http together. RFC 6265bis.
    """

    __slots__ = ("_attributes", "access", "origins", "refresh", "secure")

    def __init__(self, origins: str | Sequence[str], *, same_site: SameSite = "lax", name: str = "admit") -> None:
        self.origins: Final = parse_origins(origins, "the origins of Cookies")
        secure = {origin.startswith("https:") for origin in self.origins}
        if len(secure) > 1:
            raise ConfigurationError("the origins of Cookies are all https, or all http on loopback")
        if same_site not in ("lax", "strict"):
            raise ConfigurationError("same_site is lax or strict: with None every site's pages would send the cookies")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError("a name of cookies has small letters, digits and hyphens, at most 32")
        self.secure: Final = secure.pop()
        prefix = "__Host-" if self.secure else ""
        self.access: Final = f"{prefix}{name}-access"
        self.refresh: Final = f"{prefix}{name}-refresh"
        fixed = "; Path=/; Secure; HttpOnly" if self.secure else "; Path=/; HttpOnly"
        sites = {self.access: same_site.capitalize(), self.refresh: "Strict"}
        self._attributes = {cookie: f"{fixed}; SameSite={site}" for cookie, site in sites.items()}

    def read(self, request: Presented, name: str) -> str | None:
        """The token in the cookie of this name, or None. Raises UnreadableToken where it comes twice or is no token."""
        pairs = (pair.partition("=") for line in request.values(COOKIE) for pair in line.decode("latin-1").split(";"))
        values = [value.strip(" \t") for key, _, value in pairs if key.strip(" \t") == name]
        if not values or values == [""]:
            return None
        if len(values) > 1 or not _VALUE.fullmatch(values[0]):
            raise UnreadableToken(f"the cookie {name} comes {len(values)} times, or holds no token")
        return values[0]

    def set(self, name: str, token: str, max_age: int) -> str:
        """The value of a Set-Cookie header. max_age: seconds. Raises ConfigurationError for a token that does not fit."""
        if len(name) + len(token) > MAX_COOKIE:
            raise ConfigurationError(
                f"a token of {len(token)} bytes does not fit into a cookie, which browsers cap at {MAX_COOKIE}: put fewer"
                " claims into it, or sign with another algorithm"
            )
        return f"{name}={token}; Max-Age={max_age}{self._attributes[name]}"

    def cleared(self) -> list[str]:
        """The Set-Cookie headers after which the browser holds neither."""
        return [f"{name}=; Max-Age=0{attributes}" for name, attributes in self._attributes.items()]

    def must_be_own_page(self, request: Presented) -> None:
        """Raise ForeignOrigin unless a page of ours sent this; what a request does not say is never taken for yes.

        `Origin` decides where it is there. Else the browser's own word that the page is of the same origin; else, for
        browsers without Fetch Metadata, the Referer. A WebSocket's handshake always has an Origin (RFC 6455 4.1).
        """
        came = [value.decode("latin-1") for value in request.values(ORIGIN)]
        if came:
            if len(came) > 1 or came[0] not in self.origins:
                raise ForeignOrigin(self._advice("the origin " + ", ".join(shown(one, 200) for one in came)))
            return
        if request.is_websocket:
            raise ForeignOrigin(
                self._advice("no Origin at all, which no browser leaves out of a WebSocket's handshake")
            )
        sites = list(request.values(FETCH_SITE))
        if sites:
            if sites != [b"same-origin"]:
                raise ForeignOrigin(self._advice(f"no Origin, and Sec-Fetch-Site {shown(sites[0])}"))
            return
        referers = [origin_of(value.decode("latin-1")) for value in request.values(REFERER)]
        if len(referers) != 1 or referers[0] not in self.origins:
            raise ForeignOrigin(self._advice("neither an Origin nor a Referer of ours"))

    def _advice(self, came: str) -> str:
        return (
            f"a request with, or for, this application's cookies came with {came}; if the page is yours, name its origin in"
            f" Cookies(...) or cookie_origins, where {', '.join(sorted(self.origins))} is; a program sends its token in the"
            " Authorization header"
        )

    def __repr__(self) -> str:
        return f"<Cookies {self.access} for {', '.join(sorted(self.origins))}>"
