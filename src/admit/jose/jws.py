"""Compact JWS: sign and verify bytes (RFC 7515 3.1, 5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from admit.errors import ConfigurationError, InvalidKey, MalformedToken, UnknownKey, WrongType, shown
from admit.jose import header as headers
from admit.jose.algorithms import Check
from admit.jose.encoding import MAX_TOKEN, b64url_decode, b64url_encode, must_be_bytes_allowed, octets
from admit.jose.header import Header
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, find

UNENCODED: Final = frozenset(("b64",))
"""The extension of RFC 7797, for `understood`. No JWT has it (RFC 7797 7)."""


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
    key: Key,
    payload: bytes,
    *,
    typ: str | None = None,
    header: Mapping[str, object] | None = None,
    kid: bool = True,
    b64: bool = True,
) -> str:
    """A compact JWS of `payload`. `typ` and further `header` parameters are protected; `kid=False` leaves the kid out.

    `b64=False` writes the payload as it is (RFC 7797 5.2): printable ASCII without a dot, or MalformedToken is raised.
    """
    head = protected(key, typ=typ, header=header, kid=kid, b64=b64)
    content = octets(payload, "what is signed")
    signing_input = head + b"." + (b64url_encode(content) if b64 else _bare(content))
    return (signing_input + b"." + key.sign(signing_input)).decode("ascii")


def protected(key: Key, *, typ: str | None, header: Mapping[str, object] | None, kid: bool, b64: bool) -> bytes:
    """The protected header of what `key` signs, in base64url; what a verifier would refuse is not written either."""
    if not isinstance(key, Key):
        raise ConfigurationError(f"who signs is a Key, not {type(key).__name__}")
    head = headers.encode(key.alg, key.kid if kid else None, typ, header, b64=b64)
    headers.parse(head, understood=frozenset() if b64 else UNENCODED)
    return head


def verify(
    token: str | bytes,
    keys: KeySet | Key,
    *,
    typ: str | None = None,
    limit: int = MAX_TOKEN,
    understood: frozenset[str] = frozenset(),
) -> Jws:
    """The payload of a compact JWS whose signature holds.

    `typ`, where given, must be the header's own. `understood` names the crit extensions that the caller enforces; with
    `UNENCODED` payloads may stand as they are (RFC 7797). Raises MalformedToken, WrongType, UnknownKey or BadSignature.
    What the payload means, and for whom, is for the caller to judge: use Verifier for tokens.
    """
    must_be_bytes_allowed(limit, "limit")
    signing_input, head, body, signature = split(token, limit)
    header = headers.parse(head, understood=understood)
    check_type(header, typ)
    key = find(keys, header.alg, header.kid)
    checker(key)(signing_input, signature)
    del signing_input, token  # of a page of revocations these are its own size, twice
    return Jws(header, b64url_decode(body) if header.b64 else _bare(body), key)


def check_type(header: Header, typ: str | None) -> None:
    """Raise WrongType where `typ` is expected and the header's own is another, or is not protected."""
    if typ is not None and not isinstance(typ, str):
        raise ConfigurationError(f"typ is a string, not {type(typ).__name__}")
    if typ is not None and ("typ" in header.unprotected or header.typ != headers.normal_type(typ)):
        raise WrongType(f"typ is {shown(header.typ)}, expected {shown(typ)} in the protected header")


def checker(key: Key) -> Check:
    """The key's checker. Raises UnknownKey where it may not verify: it was the token that chose it."""
    try:
        return key.check
    except InvalidKey as error:
        raise UnknownKey(str(error)) from None


def _bare(payload: bytes) -> bytes:
    if b"." in payload or not all(0x20 <= byte < 0x7F for byte in payload):
        raise MalformedToken("an unencoded payload in a compact JWS is printable ASCII without dots (RFC 7797 5.2)")
    return payload
