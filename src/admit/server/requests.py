"""Requests: ASGI middleware that gives each request an id, a line in the log, and a last word while the process ends."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from admit.clock import monotonic, random_id
from admit.server import logs
from admit.server.proxy import plain

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = b"x-request-id"
_SANE: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
"""A UUID, a trace id, our own ids. No dots and no more than 64 characters, so that no token passes for one."""

log = logging.getLogger("admit.access")


class Draining:
    """Whether this process is about to end."""

    def __init__(self) -> None:
        self.on = False


class Requests:
    """An id that came with the request is kept where it is sane; the answer carries it back (X-Request-Id)."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self._app, self._draining = app, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _given(scope) or random_id().encode()
        seen = logs.Seen(identity.decode(), address=plain(scope["client"][0]) if scope.get("client") else "-")
        token, begun, status, draining = logs.request.set(seen), monotonic(), 500, self._draining

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((HEADER, identity))
                if draining.on:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, answered)
        finally:
            if log.isEnabledFor(logging.INFO):
                _line(scope["method"], seen, status, monotonic() - begun)
            logs.request.reset(token)


def _given(scope: Scope) -> bytes | None:
    """The id that came along, where there is one and it is sane."""
    given = [value for name, value in scope["headers"] if name == HEADER]
    return given[0] if len(given) == 1 and _SANE.fullmatch(given[0]) else None


def _line(method: str, seen: logs.Seen, status: int, seconds: float) -> None:
    # The method too is the client's own word: only those we know are repeated.
    shown = method if method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH") else "-"
    milliseconds = round(seconds * 1000, 1)
    fields = {"route": seen.route, "status": status, "milliseconds": milliseconds, "address": seen.address}
    route = seen.route if seen.route != "-" else f"{shown} -"
    log.info("%s %d %.1f ms %s", route, status, milliseconds, seen.address, extra={"fields": fields})
