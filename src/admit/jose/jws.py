"""Compact JWS: sign and verify bytes (RFC 7515 3.1, 5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from admit.errors import MalformedToken, WrongType, shown
from admit.jose import header as headers
from admit.jose.encoding import MAX_TOKEN, b64url_decode, b64url_encode
from admit.jose.header import Header
from admit.jose.keys import Key, KeySet


class Jws(msgspec.Struct, frozen=True):
    """A verified JWS."""

    header: Header
    payload: bytes
    key: Key


def split(token: str | bytes, limit: int = MAX_TOKEN) -> tuple[bytes, bytes, bytes, bytes]:
    """(signing input, header, payload, signature) of a compact JWS, still encoded. Raises MalformedToken.

    The length is looked at before anything else, so that a huge token costs nothing (CVE-2025-30204).
    """
    if type(token) is not str and type(token) is not bytes:
        raise MalformedToken(f"a token is text, not {type(token).__name__}")
    if len(token) > limit:
        raise MalformedToken(
            f"the token has {len(token)} bytes, at most {limit} are read; raise max_token if that is honest"
        )
    if not token.isascii():
        raise MalformedToken("the token holds characters outside ASCII")
    data = token.encode() if isinstance(token, str) else token
    signing_input, _, signature = data.rpartition(b".")
    header, dot, payload = signing_input.partition(b".")
    if not dot or b"." in payload:
        dots = data.count(b".")
        what = (
            "an encrypted token (JWE) where a signed one is expected"
            if dots == 4
            else f"its parts are {dots + 1}, not 3"
        )
        raise MalformedToken(f"not a compact JWS: {what}")
    return signing_input, header, payload, signature


def sign(
    key: Key, payload: bytes, *, typ: str | None = None, header: Mapping[str, object] | None = None, kid: bool = True
) -> str:
    """A compact JWS of `payload`. `typ` and further `header` parameters are protected; `kid=False` leaves the kid out."""
    head = headers.encode(key.alg, key.kid if kid else None, typ, header)
    headers.parse(head)  # what a verifier would refuse is not written either
    signing_input = head + b"." + b64url_encode(payload)
    return (signing_input + b"." + key.sign(signing_input)).decode("ascii")


def verify(token: str | bytes, keys: KeySet | Key, *, typ: str | None = None, limit: int = MAX_TOKEN) -> Jws:
    """The payload of a compact JWS whose signature holds.

    `typ`, where given, must be the header's own. Raises MalformedToken, WrongType, UnknownKey or BadSignature. What the
    payload means, and for whom, is for the caller to judge: use Verifier for tokens.
    """
    signing_input, head, body, signature = split(token, limit)
    header = headers.parse(head)
    if typ is not None and header.typ != headers.normal_type(typ):
        raise WrongType(f"typ is {shown(header.typ)}, expected {shown(typ)}")
    key = (KeySet([keys]) if isinstance(keys, Key) else keys).find(header.alg, header.kid)
    key.check(signing_input, signature)
    return Jws(header, b64url_decode(body), key)
