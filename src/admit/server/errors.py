"""Errors as answers: OAuth error objects (RFC 6749 5.2), WWW-Authenticate (RFC 6750 3), Retry-After."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from admit.errors import (
    AdmitError,
    ForeignOrigin,
    InvalidClient,
    MfaRequired,
    OAuthError,
    TooManyRequests,
    Unavailable,
)
from admit.jose.encoding import json_bytes
from admit.server.logs import seldom
from admit.server.parsing import RefusedRequest
from admit.tokens.bearer import UnreadableToken, challenge

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""No answer of this service belongs in a cache unless it says so itself (RFC 6749 5.1)."""

REALM: Final = "admit"
BEARER: Final = f'Bearer realm="{REALM}"'
"""A challenge that opens no dialog in a browser."""

log = logging.getLogger("admit.server")


class Refusal(Response):
    """An OAuth error object (RFC 6749 5.2). `code` is its `error`, for those who count."""

    def __init__(self, status: int, code: str, description: str, headers: Mapping[str, str]) -> None:
        body = json_bytes({"error": code, "error_description": description})
        super().__init__(body, status, headers, "application/json")
        self.code = code


def answer(body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] = NO_STORE) -> Response:
    """A JSON answer, not to be cached unless `headers` says otherwise."""
    return Response(json_bytes(body), status, headers, "application/json")


def refusal(status: int, code: str, description: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """An OAuth error object, not to be cached."""
    return Refusal(status, code, description, {**NO_STORE, **(headers or {})})


def render(error: AdmitError) -> Response:
    """The answer to an error. Only constants and our own words leave; the cause stays in the log."""
    if isinstance(error, RefusedRequest):
        # Whoever is refused before the body was read may still be sending it: the connection cannot be used again.
        headers = {"Connection": "close"} if error.answer_status in (408, 413) else {}
        return refusal(error.answer_status, error.code, str(error), headers)
    if isinstance(error, ForeignOrigin):
        # A page of one's own that nobody named, or an attack.
        log.warning("refused: %s: %s", error.code, error, extra=seldom(error.code))
        return refusal(403, error.code, error.public)
    if isinstance(error, TooManyRequests):
        return refusal(error.status, error.code, error.public, {"Retry-After": str(error.retry_after)})
    if isinstance(error, MfaRequired):
        return refusal(error.status, error.code, error.public, {"WWW-Authenticate": BEARER})
    if isinstance(error, InvalidClient):
        log.info("refused: %s: %s", error.code, error)
        return refusal(
            error.status, error.code, error.public, {"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}
        )
    refused = (
        None if type(error) is not UnreadableToken and isinstance(error, OAuthError) else challenge(error, realm=REALM)
    )
    if refused is not None:
        log.info("refused: %s: %s", error.code, error)
        code = refused.code or "invalid_token"
        return refusal(refused.status, code, error.public, {"WWW-Authenticate": refused.authenticate})
    if isinstance(error, OAuthError):
        log.info("refused: %s: %s", error.code, error)
        return refusal(error.status, error.code, error.public)
    if isinstance(error, Unavailable):
        log.warning("unavailable: %s: %s", error.code, error, extra=seldom(f"{error.code}: {error}"))
        return refusal(503, "temporarily_unavailable", error.public, {"Retry-After": str(error.retry_after)})
    return unexpected(error)


def unexpected(error: Exception) -> Response:
    """500. The log gets the type and the lines it passed through, never the message: a library's may quote a secret."""
    where = "".join(traceback.format_tb(error.__traceback__))
    line = f"unexpected {type(error).__module__}.{type(error).__qualname__}\n{where}"
    log.error("%s", line, extra=seldom(line))
    return refusal(500, "server_error", "the service met an unexpected condition")
