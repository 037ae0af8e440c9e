"""Who asks: a client by Basic or by post, never both (RFC 6749 2.3.1), or a user by bearer token (RFC 6750 2.1)."""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, NamedTuple

from admit.errors import InsufficientScope, InvalidClient
from admit.server.parsing import Parameters, RefusedRequest, header, read_form
from admit.service.clients import FIRST_PARTY
from admit.tokens.bearer import headers_of, read_token

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.tokens.claims import Claims
    from admit.tokens.verifier import Verifier


class Credentials(NamedTuple):
    """A client's id and secret as they came, not yet believed. Without a secret it claims to be a public client."""

    client_id: str
    client_secret: str | None

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, ...)"


def credentials(request: Request, parameters: Parameters) -> Credentials | None:
    """The client's credentials, or None where the request names no client.

    Raises RefusedRequest where it authenticates in two ways: one of the two would go unchecked. InvalidClient for a
    header that is not Basic or cannot be read.
    """
    posted, secret = parameters.optional("client_id"), parameters.optional("client_secret")
    authorization = header(request, "authorization")
    if authorization is None:
        if posted is None:
            if secret is not None:
                raise RefusedRequest("client_secret came without client_id")
            return None
        return Credentials(posted, secret)
    basic = _basic(authorization)
    if secret is not None or posted not in (None, basic.client_id):
        raise RefusedRequest("the client authenticates in the header and in the body; one of them is enough")
    return basic


def required_credentials(request: Request, parameters: Parameters) -> tuple[str, str]:
    """A confidential client's id and secret. Raises InvalidClient where either is missing."""
    found = credentials(request, parameters)
    if found is None or found.client_secret is None:
        raise InvalidClient("the client did not authenticate")
    return found.client_id, found.client_secret


def bearer(request: Request, verifier: Verifier[Any]) -> Claims[Any]:
    """The verified claims of the request's access token, which must belong to a user's own first-party session.

    verifier: one that expects the issuer itself as the audience. A token for another audience is shown to resource
    servers every day, and one of them could replay it here. Raises MissingToken, UnreadableToken, InvalidToken,
    InsufficientScope, Unavailable.
    """
    claims = verifier.verify(read_token(headers_of(request.scope["headers"])))
    # A token issued to another client, or to a client itself, lets nobody list or end a user's sessions.
    if claims.client_id != FIRST_PARTY:
        raise InsufficientScope("sessions are managed with a first-party token only")
    return claims


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("the Authorization header is not Basic")
    try:
        client_id, colon, secret = a2b_base64(encoded.strip(" ").encode("ascii"), strict_mode=True).partition(b":")
        # RFC 6749 2.3.1: both are form-encoded first, so that a colon or another alphabet survives
        named, spoken = read_form(b"x=" + client_id)["x"], read_form(b"x=" + secret)["x"]
    except (BinasciiError, UnicodeEncodeError, RefusedRequest, KeyError):
        raise InvalidClient("the Basic credentials cannot be read") from None
    if not colon or not named or "\0" in named + spoken:
        raise InvalidClient("the Basic credentials cannot be read")
    return Credentials(named, spoken or None)
