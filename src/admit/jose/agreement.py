"""ECDH-ES: an ephemeral key agrees with the recipient's, and Concat KDF makes the key of it (RFC 7518 4.6, RFC 8037 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from admit.errors import InvalidKey, MalformedToken
from admit.jose import jwk
from admit.jose.encoding import b64url_decode

MAX_PARTY = 512
"""Bytes of apu or apv: names or nonces of the parties, rarely over 64."""


def ephemeral(public: Any) -> tuple[Any, dict[str, str]]:
    """A fresh private key on the curve of `public`, and the epk member that tells its public half."""
    private: Any
    if isinstance(public, ec.EllipticCurvePublicKey):
        private = ec.generate_private_key(public.curve)
    elif isinstance(public, x25519.X25519PublicKey):
        private = x25519.X25519PrivateKey.generate()
    else:
        private = x448.X448PrivateKey.generate()
    return private, jwk.write((None, private.public_key()), private=False)


def read_epk(members: object, own: Any) -> Any:
    """The ephemeral public key of a header. Raises MalformedToken unless it is public, on its curve, and that curve is ours."""
    if not isinstance(members, Mapping) or not jwk.PRIVATE_MEMBERS.isdisjoint(members):
        raise MalformedToken("epk is missing, is no JWK, or holds a private key (RFC 7518 4.6.1.1)")
    expected = jwk.write((None, own), private=False)
    if members.get("kty") != expected["kty"] or members.get("crv") != expected["crv"]:
        raise MalformedToken("epk is not on the curve of the recipient's key")
    try:
        return jwk.read(members)[1]  # refuses points off their curve (invalid-curve attack)
    except InvalidKey:
        raise MalformedToken("epk is not a valid public key") from None


def shared_secret(private: Any, public: Any) -> bytes:
    """Z. Raises MalformedToken where it would be all zero: the other side sent a point of small order (RFC 8037 3.2)."""
    curve = (ec.ECDH(),) if isinstance(public, ec.EllipticCurvePublicKey) else ()
    try:
        return bytes(private.exchange(*curve, public))  # which raises ValueError for a result of zeros
    except ValueError:
        raise MalformedToken("epk agrees on no secret: a point of small order") from None


def derive(z: bytes, algorithm: str, size: int, header: Mapping[str, object]) -> bytes:
    """`size` bytes by Concat KDF with SHA-256; `algorithm` is enc for direct agreement, else alg (RFC 7518 4.6.2)."""
    parties = b"".join(_counted(_party(header, name)) for name in ("apu", "apv"))
    info = _counted(algorithm.encode()) + parties + (size * 8).to_bytes(4)
    return ConcatKDFHash(SHA256(), size, info).derive(z)


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _party(header: Mapping[str, object], name: str) -> bytes:
    if name not in header:
        return b""
    value = header[name]
    if not isinstance(value, str) or len(value) > MAX_PARTY * 4 // 3 + 1 or not value.isascii():
        raise MalformedToken(f"{name} is not a string of base64url, or spells more than {MAX_PARTY} bytes")
    return b64url_decode(value.encode())
