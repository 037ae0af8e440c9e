"""Refresh tokens: opaque, found by secret scanners, and refused without a database where they are forged.

    admit_rt_ base64url( version 1 | session 18 | generation 4 | random 32 | MAC key 2 | MAC 18 )

Only SHA-256 of it is stored. A slow hash would protect guessable secrets; 256 random bits cannot be guessed.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admit import clock
from admit.errors import InvalidGrant, MalformedToken
from admit.jose.encoding import b64url_decode, b64url_encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "admit_rt_"
_VERSION: Final = b"\x01"
_SIZE: Final = 75
_MAC: Final = 18  # bytes: 144 bits, which also leaves base64url no spare bits
_LENGTH: Final = len(PREFIX) + 100
_NONCE: Final = 12


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token whose MAC was good."""

    text: str = field(repr=False)
    session_id: str
    generation: int

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return sha256(self.text.encode()).digest()


def issue(session_id: str, generation: int, key_id: int, key: bytes) -> RefreshToken:
    """A fresh token for a generation of a session."""
    body = (
        _VERSION
        + b64url_decode(session_id.encode())
        + generation.to_bytes(4)
        + clock.random_bytes(32)
        + key_id.to_bytes(2)
    )
    text = PREFIX + b64url_encode(body + _mac(key, body)).decode("ascii")
    return RefreshToken(text, session_id, generation)


def like(text: str) -> bool:
    """Whether it claims to be a refresh token, by its prefix."""
    return isinstance(text, str) and text.startswith(PREFIX)


def parse(text: str, keys: Mapping[int, bytes]) -> RefreshToken:
    """The token, if its MAC is good. Raises InvalidGrant, with no word on why; no database is asked."""
    if not isinstance(text, str) or len(text) != _LENGTH or not text.startswith(PREFIX):
        raise InvalidGrant("not a refresh token of this service")
    try:
        data = b64url_decode(text[len(PREFIX) :].encode("ascii"))
    except (MalformedToken, UnicodeEncodeError):
        raise InvalidGrant("not a refresh token of this service") from None
    body, mac = data[:-_MAC], data[-_MAC:]
    key = keys.get(int.from_bytes(body[-2:]))
    if len(data) != _SIZE or data[:1] != _VERSION or key is None or not hmac.compare_digest(mac, _mac(key, body)):
        raise InvalidGrant("not a refresh token of this service")
    return RefreshToken(text, b64url_encode(body[1:19]).decode("ascii"), int.from_bytes(body[19:23]))


def seal(successor: RefreshToken, old: RefreshToken, secret: bytes, client_id: str) -> bytes:
    """The successor, for nobody but who shows the old token: a database dump, or a logged token, is no use alone."""
    nonce = clock.random_bytes(_NONCE)
    return nonce + _sealer(old, secret).encrypt(nonce, successor.text.encode(), _context(old, client_id))


def unseal(sealed: bytes, old: RefreshToken, secrets: Iterable[bytes], client_id: str) -> str:
    """The sealed successor, under whichever secret. Raises InvalidGrant where the old token is not the one it was sealed under."""
    for secret in secrets:
        try:
            return _sealer(old, secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], _context(old, client_id)).decode()
        except (InvalidTag, ValueError):
            continue
    raise InvalidGrant("the stored successor of this refresh token does not open")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"admit refresh token" + body, "sha256")[:_MAC]


def _sealer(old: RefreshToken, secret: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=secret, info=b"admit sealed successor").derive(old.text.encode()))


def _context(old: RefreshToken, client_id: str) -> bytes:
    return f"{old.session_id}\0{old.generation}\0{client_id}".encode()
