"""Who asks: a client in exactly one of three ways, or a user by bearer token (RFC 6750 2.1).

A client authenticates by Basic, by post (RFC 6749 2.3.1) or by an assertion (RFC 7523 2.2), and by one of them only: of
two, one would go unchecked.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, NamedTuple

from admit.errors import InsufficientScope, InvalidClient, InvalidToken
from admit.server.parsing import Parameters, RefusedRequest, header, read_form
from admit.service.assertions import ClientAssertion
from admit.service.clients import FIRST_PARTY
from admit.tokens.bearer import headers_of, read_token
from admit.tokens.client_assertion import ASSERTION_TYPE
from admit.tokens.peek import peek

if TYPE_CHECKING:
    from starlette.requests import Request

    from admit.tokens.claims import Claims
    from admit.tokens.verifier import Verifier


class Credentials(NamedTuple):
    """A client's id and secret as they came, not yet believed. Without a secret it claims to be a public client."""

    client_id: str
    client_secret: str | ClientAssertion | None

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, ...)"


def credentials(request: Request, parameters: Parameters) -> Credentials | None:
    """The client's credentials, or None where the request names no client.

    Raises RefusedRequest where it authenticates in two ways: one of the two would go unchecked. InvalidClient for a
    header that is not Basic or cannot be read.
    """
    posted, secret = parameters.optional("client_id"), parameters.optional("client_secret")
    authorization = header(request, "authorization")
    asserted = _assertion(parameters)
    if asserted is not None:
        if authorization is not None or secret is not None:
            raise RefusedRequest("the client authenticates by an assertion and by a secret; one of them is enough")
        return Credentials(posted or _subject(asserted), asserted)
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


def required_credentials(request: Request, parameters: Parameters) -> tuple[str, str | ClientAssertion]:
    """A confidential client's id, and its secret or assertion. Raises InvalidClient where either is missing."""
    found = credentials(request, parameters)
    if found is None or found.client_secret is None:
        raise InvalidClient("the client did not authenticate")
    return found.client_id, found.client_secret


def basic_credentials(request: Request) -> Credentials:
    """A confidential client's id and secret from the Authorization header, for GET, whose parameters all stand in the URL.

    Raises InvalidClient where either is missing.
    """
    authorization = header(request, "authorization")
    if authorization is None:
        raise InvalidClient("the client did not authenticate")
    found = _basic(authorization)
    if found.client_secret is None:  # a public client names itself, and so can anybody
        raise InvalidClient("the client did not authenticate")
    return found


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


def _assertion(parameters: Parameters) -> ClientAssertion | None:
    kind, jwt = parameters.optional("client_assertion_type"), parameters.optional("client_assertion")
    if kind is None and jwt is None:
        return None
    if kind is None or jwt is None:
        raise RefusedRequest("client_assertion and client_assertion_type come together")
    if kind != ASSERTION_TYPE:
        raise InvalidClient("no such client_assertion_type is supported (RFC 7521 4.2.1)")
    return ClientAssertion(jwt)


def _subject(assertion: ClientAssertion) -> str:
    """Whom an assertion speaks of, unverified: it says whose keys to verify it with (RFC 7521 4.2, client_id)."""
    try:
        subject = peek(assertion.jwt).claims.get("sub")
    except InvalidToken:
        raise InvalidClient("the client assertion cannot be read") from None
    if not isinstance(subject, str) or not subject or "\0" in subject:
        raise InvalidClient("the client assertion names no client")
    return subject


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
    if not colon or not named or "\0" in named + spoken or b"&" in client_id + secret:
        raise InvalidClient("the Basic credentials cannot be read")
    return Credentials(named, spoken or None)
