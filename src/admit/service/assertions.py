"""Client assertions as the service takes them: verified with the client's registered keys, and each used once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert

from admit.errors import ConfigurationError, InvalidClient, InvalidRequest, InvalidToken
from admit.jose import jwk
from admit.jose.encoding import json_bytes
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.service.schema import assertions
from admit.tokens.client_assertion import CLIENT_ASSERTION
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admit.service.core import Core
    from admit.service.results import Client
    from admit.service.storage import Tx

_IMPLIED: Final = ("ES256", "RS256", "Ed25519", "ES384", "ES512")  # for a key that does not say its alg
MAX_KEYS: Final = 8
"""Keys of one client: the one in use, the next, and some to spare."""


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A client assertion as it came, in the place of a secret; not yet believed (RFC 7523 2.2)."""

    jwt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proven:
    """That the client of this id has shown its key, in this request."""

    client_id: str


def read_keys(jwks: Mapping[str, Any] | str | bytes) -> str:
    """A client's public keys as they are stored: a JWK Set in which each says its one algorithm (RFC 7591 2, jwks).

    Raises InvalidRequest where any of them cannot be used: a key that is passed over would lock its client out later.
    """
    try:
        members = jwk.members(jwks).get("keys")
        if not isinstance(members, list) or not 1 <= len(members) <= MAX_KEYS:
            raise InvalidRequest(f"a client's keys are a JWK Set with 1 to {MAX_KEYS} of them")
        found = [Key.from_jwk(each, algorithms=() if "alg" in each else _IMPLIED) for each in members]
        if any(key.private for key in found):
            raise InvalidRequest(
                "that is a private key or a secret, which only the client may hold; give the public half"
            )
        keys = KeySet(found)
    except (ConfigurationError, TypeError) as error:
        raise InvalidRequest(f"the client's keys cannot be used: {error}") from None
    if any(key.algorithm.use != "sig" or (key.key_ops is not None and "verify" not in key.key_ops) for key in keys):
        raise InvalidRequest("a client authenticates with keys for signatures")
    return json_bytes(keys.to_jwks()).decode()


def proof(core: Core, client: Client | None, now: int, given: ClientAssertion) -> Proven:
    """What an assertion proves, once its jti is used up. now: milliseconds of the database's clock.

    The signature comes first: a stranger uses up nothing. Raises InvalidClient (RFC 7523 3, 3.2).
    """
    if client is None or client.jwks is None or client.disabled:  # who was removed writes no more rows
        raise InvalidClient("unknown or disabled client, or one that has no keys")
    # iss and sub are the client, aud is this issuer and nobody else beside it: RFC 7523 3, as rfc7523bis has it.
    verifier = Verifier(
        KeySet.from_jwks(client.jwks),
        issuer=client.id,
        audience=core.issuer,
        kind=CLIENT_ASSERTION,
        clock=lambda: now / 1000,
    )
    try:
        claims = verifier.verify(given.jwt)
    except InvalidToken as error:
        raise InvalidClient(f"the client assertion is refused: {error.code}: {error}") from None
    if claims.sub != client.id or claims.aud != (core.issuer,):
        raise InvalidClient("the client assertion is about another client, or for another server too")
    row = {"digest": _digest(client.id, claims.jti or ""), "exp": math.ceil(claims.exp * 1000)}
    core.write(
        lambda tx: use(tx, row), taken=InvalidClient("the client assertion was used before (its jti)"), single=True
    )
    return Proven(client.id)


def use(tx: Tx, row: dict[str, object]) -> None:
    """Insert a jti, where it is new; the primary key says so, whichever process was first."""
    tx.execute(insert(assertions), [row])


def _digest(client_id: str, jti: str) -> bytes:
    return sha256(f"{client_id}\0{jti}".encode("utf-8", "surrogatepass")).digest()
