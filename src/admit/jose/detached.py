"""Detached compact JWS: the payload travels by another way (RFC 7515 appendix F, RFC 7797)."""

from __future__ import annotations

from collections.abc import Mapping

from admit.errors import MalformedToken
from admit.jose import header as headers
from admit.jose.encoding import MAX_TOKEN, b64url_encode, must_be_bytes_allowed, octets
from admit.jose.jws import UNENCODED, Jws, check_type, checker, protected, split
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, find


def sign(
    key: Key,
    payload: bytes,
    *,
    typ: str | None = None,
    header: Mapping[str, object] | None = None,
    kid: bool = True,
    b64: bool = True,
) -> str:
    """`header..signature` over a payload that is not in it. `b64=False` signs the payload as it is (RFC 7797)."""
    head = protected(key, typ=typ, header=header, kid=kid, b64=b64)
    return (head + b".." + key.sign(signing_input(head, payload, b64=b64))).decode("ascii")


def verify(
    token: str | bytes, payload: bytes, keys: KeySet | Key, *, typ: str | None = None, limit: int = MAX_TOKEN
) -> Jws:
    """The JWS, where its signature holds for that payload; b64 is understood. `limit` bounds the token, not the payload.

    Raises MalformedToken (also where the token brings a payload of its own), WrongType, UnknownKey or BadSignature.
    """
    must_be_bytes_allowed(limit, "limit")
    _, head, body, signature = split(token, limit)
    if body:  # or the caller would act on one payload while another was signed
        raise MalformedToken("the token carries a payload where a detached one is expected (RFC 7515 appendix F)")
    header = headers.parse(head, understood=UNENCODED)
    check_type(header, typ)
    key = find(keys, header.alg, header.kid)
    checker(key)(signing_input(head, payload, b64=header.b64), signature)
    return Jws(header, payload, key)


def signing_input(head: bytes, payload: bytes, *, b64: bool) -> bytes:
    """What is signed: the protected header and the payload, encoded unless b64 is false (RFC 7797 3)."""
    content = octets(payload, "what is signed")
    return head + b"." + (b64url_encode(content) if b64 else content)
