"""The Authorization header in, a challenge out (RFC 6750 2.1, 3): the one reading that every door and server shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from admit.errors import AdmitError, InsufficientScope, InvalidRequest, InvalidToken, StaleAuthentication


class MissingToken(AdmitError):
    """The request brought no bearer token. Answer 401 with a bare challenge, without an error code (RFC 6750 3.1)."""

    code = "missing_token"
    public = "this needs an access token in the Authorization header"


class UnreadableToken(InvalidRequest):
    """The Authorization header can be read in two ways, or in none."""


_ANSWERS: Final[tuple[tuple[type[AdmitError], int, str | None, bool], ...]] = (
    (MissingToken, 401, None, True),
    (StaleAuthentication, 401, StaleAuthentication.code, True),
    (InvalidToken, 401, "invalid_token", False),
    (InsufficientScope, 403, "insufficient_scope", True),
    (InvalidRequest, 400, "invalid_request", False),
)
"""Error, status, error code, and whether the challenge says which scope is needed (RFC 6750 3, 3.1)."""


class Challenge(NamedTuple):
    """Status, error code and WWW-Authenticate of a refusal."""

    status: int
    code: str | None
    authenticate: str


def challenge(error: AdmitError, *, realm: str | None = None, scopes: Sequence[str] = ()) -> Challenge | None:
    """How an error is answered (RFC 6750 3), by its `public` text alone; None where it is no refusal of a request."""
    row = next((row for row in _ANSWERS if isinstance(error, row[0])), None)
    if row is None:
        return None
    _, status, code, names_scope = row
    parameters = [] if realm is None else [f'realm="{realm}"']
    if code is not None:
        parameters += [f'error="{code}"', f'error_description="{error.public}"']
    if isinstance(error, StaleAuthentication):
        parameters.append(f'max_age="{error.max_age}"')  # RFC 9470 3
    if names_scope and scopes:
        parameters.append(f'scope="{" ".join(scopes)}"')
    return Challenge(status, code, " ".join(("Bearer", ", ".join(parameters))).rstrip())


def read_token(authorization: Sequence[bytes]) -> str:
    """The token in the values of all Authorization headers of a request (RFC 6750 2.1).

    Raises MissingToken where there is none of scheme Bearer, and UnreadableToken where there are several headers,
    tokens or none after the scheme: which of two would a proxy in between have looked at?
    """
    if not authorization:
        raise MissingToken("no Authorization header")
    if len(authorization) > 1:
        raise UnreadableToken(f"{len(authorization)} Authorization headers instead of one")
    scheme, _, token = authorization[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise MissingToken("the Authorization header is of another scheme than Bearer")
    token = token.lstrip(b" ")
    if not token or b" " in token or b"," in token or not token.isascii():
        raise UnreadableToken("the Authorization header is not 'Bearer' and one token")
    return token.decode("ascii")


def headers_of(scope: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """The values of every Authorization header in an ASGI scope's headers, whose names are lower case there."""
    return [value for name, value in scope if name == b"authorization"]
