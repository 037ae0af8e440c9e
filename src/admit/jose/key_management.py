"""The table of key management (`alg` of a JWE), one row each: how a content key reaches the recipient (RFC 7518 4).

`seal` takes (row, recipient's material, enc row, content key or None, header so far) and answers (content key, encrypted key,
further header members); `open` takes (row, own material, enc row, encrypted key, header) and answers the content key. A key
that does not unwrap gives a random one, so that the tag is what fails, as with any other error (RFC 7516 11.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from admit import clock
from admit.errors import MalformedToken, UnsupportedAlgorithm, shown
from admit.jose import agreement
from admit.jose.content_encryption import CONTENT_ENCRYPTION, ContentEncryption
from admit.jose.encoding import b64url_decode, b64url_encode

MIN_P2C: Final = 1000  # RFC 7518 4.8.1.2
MAX_P2C: Final = 1_200_000  # twice what is written; the header's count would else buy minutes of work
P2C: Final = 600_000
_WRAPPED: Final = 8  # bytes that AES Key Wrap adds (RFC 3394 2.2.1)
Sealed = tuple[bytes, bytes, dict[str, object]]


@dataclass(frozen=True, slots=True)
class KeyManagement:
    """One key management algorithm: the key it takes, and how it hands over a content key. Sizes in bytes."""

    name: str
    kty: str
    seal: Callable[[KeyManagement, Any, ContentEncryption, bytes | None, Mapping[str, Any]], Sealed]
    open: Callable[[KeyManagement, Any, ContentEncryption, bytes, Mapping[str, Any]], bytes]
    size: int = 0
    """Of the secret, or of the key that an agreement wraps with; 0: none."""
    hash: type[HashAlgorithm] | None = None
    header_alg: str = ""
    """What a header says in place of the name: `dir` for a key that is the content key itself."""
    direct: bool = False
    """Whether the content key is not free to choose: then there is one recipient only (RFC 7516 4.1)."""
    crvs: frozenset[str] = frozenset()
    public_ops: frozenset[str] = frozenset(("encrypt", "wrapKey"))
    """What a key for it is allowed by its key_ops, one of them at least (RFC 7517 4.3): to encrypt, and to decrypt."""
    private_ops: frozenset[str] = frozenset(("decrypt", "unwrapKey"))
    from_password: bool = False

    use: ClassVar[str] = "enc"

    @property
    def symmetric(self) -> bool:
        """Whether whoever encrypts can also decrypt."""
        return self.kty == "oct"

    @property
    def alg(self) -> str:
        """The header's alg."""
        return self.header_alg or self.name

    def answers_to(self, alg: str) -> bool:
        """Whether a header's `alg` is this one; case matters."""
        return alg == self.alg

    def takes(self, kty: object, crv: object) -> bool:
        """Whether a key of that type, on that curve, is for this algorithm."""
        if self.crvs:
            return kty == ("OKP" if crv in ("X25519", "X448") else "EC") and crv in self.crvs
        return self.kty == kty


def _chosen(enc: ContentEncryption, cek: bytes | None) -> bytes:
    return clock.random_bytes(enc.key_size) if cek is None else cek


def _sized(cek: bytes, enc: ContentEncryption) -> bytes:
    return cek if len(cek) == enc.key_size else clock.random_bytes(enc.key_size)


def _no_encrypted_key(encrypted: bytes) -> None:
    if encrypted:
        raise MalformedToken("the encrypted key must be empty with this alg (RFC 7516 5.2)")


def _oaep(row: KeyManagement) -> padding.OAEP:
    assert row.hash is not None  # noqa: S101 - narrows the type; the table gives every OAEP row a hash
    return padding.OAEP(padding.MGF1(row.hash()), row.hash(), None)


def _rsa_seal(
    row: KeyManagement, key: Any, enc: ContentEncryption, cek: bytes | None, _header: Mapping[str, Any]
) -> Sealed:
    chosen = _chosen(enc, cek)
    return chosen, key.encrypt(chosen, _oaep(row)), {}


def _rsa_open(
    row: KeyManagement, key: Any, enc: ContentEncryption, encrypted: bytes, _header: Mapping[str, Any]
) -> bytes:
    try:
        return _sized(key.decrypt(encrypted, _oaep(row)), enc)
    except ValueError:
        return clock.random_bytes(enc.key_size)


def _wrap_seal(
    _row: KeyManagement, key: Any, enc: ContentEncryption, cek: bytes | None, _header: Mapping[str, Any]
) -> Sealed:
    chosen = _chosen(enc, cek)
    return chosen, aes_key_wrap(key, chosen), {}


def _wrap_open(
    _row: KeyManagement, key: Any, enc: ContentEncryption, encrypted: bytes, _header: Mapping[str, Any]
) -> bytes:
    try:
        return _sized(aes_key_unwrap(key, encrypted), enc)
    except (InvalidUnwrap, ValueError):
        return clock.random_bytes(enc.key_size)


def _gcm_seal(
    _row: KeyManagement, key: Any, enc: ContentEncryption, cek: bytes | None, _header: Mapping[str, Any]
) -> Sealed:
    chosen, iv = _chosen(enc, cek), clock.random_bytes(12)
    sealed = AESGCM(key).encrypt(iv, chosen, None)
    return chosen, sealed[:-16], {"iv": _text(iv), "tag": _text(sealed[-16:])}


def _gcm_open(
    _row: KeyManagement, key: Any, enc: ContentEncryption, encrypted: bytes, header: Mapping[str, Any]
) -> bytes:
    iv, tag = _member(header, "iv", 12, 12), _member(header, "tag", 16, 16)
    try:
        return _sized(AESGCM(key).decrypt(iv, encrypted + tag, None), enc)
    except InvalidTag:
        return clock.random_bytes(enc.key_size)


def _direct_seal(
    _row: KeyManagement, key: Any, _enc: ContentEncryption, _cek: bytes | None, _header: Mapping[str, Any]
) -> Sealed:
    return key, b"", {}


def _direct_open(
    _row: KeyManagement, key: Any, _enc: ContentEncryption, encrypted: bytes, _header: Mapping[str, Any]
) -> bytes:
    _no_encrypted_key(encrypted)
    return bytes(key)


def _agree_seal(
    row: KeyManagement, key: Any, enc: ContentEncryption, cek: bytes | None, header: Mapping[str, Any]
) -> Sealed:
    private, epk = agreement.ephemeral(key)
    z = agreement.shared_secret(private, key)
    if row.direct:
        return agreement.derive(z, enc.name, enc.key_size, header), b"", {"epk": epk}
    chosen, encrypted, _ = _wrap_seal(row, agreement.derive(z, row.name, row.size, header), enc, cek, header)
    return chosen, encrypted, {"epk": epk}


def _agree_open(
    row: KeyManagement, key: Any, enc: ContentEncryption, encrypted: bytes, header: Mapping[str, Any]
) -> bytes:
    if row.direct:
        _no_encrypted_key(encrypted)
    elif len(encrypted) != enc.key_size + _WRAPPED:
        return clock.random_bytes(enc.key_size)
    z = agreement.shared_secret(key, agreement.read_epk(header.get("epk"), key.public_key()))
    if row.direct:
        return agreement.derive(z, enc.name, enc.key_size, header)
    return _wrap_open(row, agreement.derive(z, row.name, row.size, header), enc, encrypted, header)


def _password_key(row: KeyManagement, password: bytes, salt: bytes, count: int) -> bytes:
    assert row.hash is not None  # noqa: S101
    return PBKDF2HMAC(row.hash(), row.size, row.name.encode() + b"\0" + salt, count).derive(password)


def _password_seal(
    row: KeyManagement, key: Any, enc: ContentEncryption, cek: bytes | None, _header: Mapping[str, Any]
) -> Sealed:
    salt = clock.random_bytes(16)
    chosen, encrypted, _ = _wrap_seal(row, _password_key(row, key, salt, P2C), enc, cek, _header)
    return chosen, encrypted, {"p2s": _text(salt), "p2c": P2C}


def _password_open(
    row: KeyManagement, key: Any, enc: ContentEncryption, encrypted: bytes, header: Mapping[str, Any]
) -> bytes:
    count, salt = header.get("p2c"), _member(header, "p2s", 8, 256)
    if type(count) is not int or not MIN_P2C <= count <= MAX_P2C:
        raise MalformedToken(f"p2c is not a number from {MIN_P2C} to {MAX_P2C}")
    if len(encrypted) != enc.key_size + _WRAPPED:  # anybody can see that; no reason to count to p2c
        return clock.random_bytes(enc.key_size)
    return _wrap_open(row, _password_key(row, key, salt, count), enc, encrypted, header)


def _text(data: bytes) -> str:
    return b64url_encode(data).decode()


def _member(header: Mapping[str, Any], name: str, least: int, most: int) -> bytes:
    value = header.get(name)
    if not isinstance(value, str) or len(value) > most * 2 or not value.isascii():
        raise MalformedToken(f"the header's {name} is missing or is not {least} to {most} bytes in base64url")
    data = b64url_decode(value.encode())
    if not least <= len(data) <= most:
        raise MalformedToken(f"the header's {name} has {len(data)} bytes, not {least} to {most}")
    return data


_DERIVES: Final = frozenset(("deriveKey", "deriveBits"))
_CURVES: Final = frozenset(("P-256", "P-384", "P-521", "X25519", "X448"))
_RSA: Final = (("RSA-OAEP", SHA1), ("RSA-OAEP-256", SHA256), ("RSA-OAEP-384", SHA384), ("RSA-OAEP-512", SHA512))
_PBES2: Final = (("HS256+A128KW", 16, SHA256), ("HS384+A192KW", 24, SHA384), ("HS512+A256KW", 32, SHA512))
KEY_MANAGEMENT: Final = {
    row.name: row
    for row in (
        *(KeyManagement(name, "RSA", _rsa_seal, _rsa_open, hash=digest) for name, digest in _RSA),
        *(KeyManagement(f"A{size * 8}KW", "oct", _wrap_seal, _wrap_open, size) for size in (16, 24, 32)),
        *(KeyManagement(f"A{size * 8}GCMKW", "oct", _gcm_seal, _gcm_open, size) for size in (16, 24, 32)),
        *(
            KeyManagement(
                *(enc.name, "oct", _direct_seal, _direct_open, enc.key_size),
                header_alg="dir",
                direct=True,
                public_ops=frozenset(("encrypt",)),
                private_ops=frozenset(("decrypt",)),
            )
            for enc in CONTENT_ENCRYPTION.values()
        ),
        *(
            KeyManagement(
                *(f"ECDH-ES+A{size * 8}KW" if size else "ECDH-ES", "EC", _agree_seal, _agree_open, size),
                direct=not size,
                crvs=_CURVES,
                public_ops=_DERIVES,
                private_ops=_DERIVES,
            )
            for size in (0, 16, 24, 32)
        ),
        *(
            KeyManagement(
                *(f"PBES2-{name}", "oct", _password_seal, _password_open, size, digest),
                public_ops=_DERIVES,
                private_ops=_DERIVES,
                from_password=True,
            )
            for name, size, digest in _PBES2
        ),
    )
}
"""Every key management algorithm by its name; a key for `dir` goes by its enc. RSA1_5 is not there (RFC 8725 3.2)."""


def key_management(name: object) -> KeyManagement:
    """The row of that exact name. Raises UnsupportedAlgorithm."""
    row = KEY_MANAGEMENT.get(name) if isinstance(name, str) else None
    if row is None:
        raise UnsupportedAlgorithm(
            f"no key management is called {shown(name, 20)}; there are {', '.join(KEY_MANAGEMENT)}"
        )
    return row
