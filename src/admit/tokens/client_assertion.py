"""Client assertions: how a client shows that it holds its key (RFC 7523 2.2, "private_key_jwt" of OpenID Connect Core 1.0 9).

The audience is the issuer itself and nothing else, and the typ is the assertion's own, as draft-ietf-oauth-rfc7523bis
asks: one made for another server, or another kind of token under the same key, opens nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from admit.clock import Clock, system_clock
from admit.tokens.kinds import Kind
from admit.tokens.signer import Signer

if TYPE_CHECKING:
    from admit.jose.keys import Key
    from admit.tokens.signer import SigningBackend

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The client_assertion_type (RFC 7523 2.2)."""

CLIENT_ASSERTION: Final = Kind(
    name="client-assertion",
    typ="client-authentication+jwt",
    other_types=frozenset(("JWT",)),  # what clients wrote before there was a typ of its own
    required=frozenset(("iss", "sub", "aud", "exp", "jti")),
    max_lifetime=timedelta(minutes=10),
)
"""A client's statement that it is itself, used once (RFC 7523 3)."""


def client_assertion(
    key: Key | SigningBackend,
    *,
    client_id: str,
    issuer: str,
    lifetime: timedelta = timedelta(minutes=1),
    clock: Clock = system_clock,
) -> dict[str, str]:
    """The form parameters by which a client authenticates once at /token, /revoke or /introspect of `issuer`.

    key: the client's own private key. lifetime: at most 10 minutes; the assertion is used up by one request. Make one for
    each request, a retried one too. Raises ConfigurationError. RFC 7521 4.2, RFC 7523 2.2.
    """
    signer = Signer(key, issuer=client_id, audience=issuer, lifetime=lifetime, kind=CLIENT_ASSERTION, clock=clock)
    return {
        "client_id": client_id,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signer.sign(sub=client_id),
    }
