"""Cors: which pages' scripts may read the service's answers (Fetch standard, 3.2).

What is public, everybody's may, by default too: keys, metadata, status lists, which others' pages need to judge a token, and
which any program reads without asking. The rest nobody's, unless their origins are named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from starlette.responses import Response

from admit.errors import shown
from admit.server.errors import NO_STORE, log, refusal
from admit.server.logs import seldom
from admit.server.parsing import header

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request

Readers = Literal["nobody", "pages", "everybody"]
"""Whose scripts may read an endpoint's answers: of no other origin; of the named ones; of all, without credentials."""

_ALLOWED: Final = "Authorization, Content-Type"
_EXPOSED: Final = "WWW-Authenticate, Retry-After"
_SECONDS: Final = "600"
"""How long a browser may remember a preflight; Chromium caps it at two hours, Firefox at a day."""


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may read answers, and those among them that may send cookies along."""

    origins: frozenset[str]
    with_cookies: frozenset[str] = frozenset()

    @property
    def readers(self) -> frozenset[Readers]:
        """Whose endpoints answer preflights."""
        return frozenset(("pages", "everybody") if self.origins else ("everybody",))

    def mark(self, response: Response, readers: Readers, request: Request) -> None:
        """Say in an answer who may read it. Never `*` where credentials count, and never an origin that was not named."""
        if readers == "everybody":
            response.headers["Access-Control-Allow-Origin"] = "*"
        elif readers == "pages" and self.origins:
            response.headers.add_vary_header("Origin")  # also where none is allowed: a cache must not mix the two
            origin = self._named(request)
            if origin is not None:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED
                if origin in self.with_cookies:
                    response.headers["Access-Control-Allow-Credentials"] = "true"

    def preflight(self, readers: Readers, methods: Sequence[str]) -> Callable[[Request], Awaitable[Response]]:
        """What answers OPTIONS for a path with these methods."""

        async def endpoint(request: Request) -> Response:
            if readers == "pages" and self._named(request) is None:
                origin = header(request, "origin") or "no origin"
                ask = "cors: a page of %s asks; if it is yours, name it in cors_origins"
                log.warning(ask, shown(origin, 200), extra=seldom("cors"))
                response: Response = refusal(403, "foreign_origin", "pages of this origin may not read the answers")
            else:
                response = Response(None, 204, NO_STORE)
                response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
                response.headers["Access-Control-Allow-Headers"] = _ALLOWED
                response.headers["Access-Control-Max-Age"] = _SECONDS
            self.mark(response, readers, request)
            return response

        return endpoint

    def _named(self, request: Request) -> str | None:
        origins = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"origin"]
        return origins[0] if len(origins) == 1 and origins[0] in self.origins else None
