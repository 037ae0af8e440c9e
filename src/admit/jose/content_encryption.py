"""The table of content encryption (`enc`), one row each: AES-GCM and AES-CBC with HMAC (RFC 7518 5)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from admit.errors import DecryptionFailed, UnsupportedAlgorithm, shown


def failed() -> DecryptionFailed:
    """The one refusal for a bad key, padding or tag, so that no answer is an oracle (RFC 7516 11.5)."""
    return DecryptionFailed("the token does not open with this key")


@dataclass(frozen=True, slots=True)
class ContentEncryption:
    """One content encryption algorithm; sizes in bytes."""

    name: str
    key_size: int
    iv_size: int
    tag_size: int
    seal: Callable[[ContentEncryption, bytes, bytes, bytes, bytes], tuple[bytes, bytes]]
    """(row, key, iv, plaintext, aad) -> (ciphertext, tag)"""
    open: Callable[[ContentEncryption, bytes, bytes, bytes, bytes, bytes], bytes]
    """(row, key, iv, ciphertext, tag, aad) -> plaintext, or DecryptionFailed."""
    hash: str = ""


def _gcm_seal(row: ContentEncryption, key: bytes, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
    sealed = AESGCM(key).encrypt(iv, plaintext, aad)
    return sealed[: -row.tag_size], sealed[-row.tag_size :]


def _gcm_open(row: ContentEncryption, key: bytes, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:  # noqa: ARG001
    try:
        return AESGCM(key).decrypt(iv, ciphertext + tag, aad)
    except InvalidTag:
        raise failed() from None


def _cbc_tag(row: ContentEncryption, key: bytes, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    length = (len(aad) * 8).to_bytes(8)
    mac_key = key[: row.key_size // 2]  # the MAC key comes first (RFC 7518 5.2.2.1)
    return hmac.digest(mac_key, aad + iv + ciphertext + length, row.hash)[: row.tag_size]


def _cbc_seal(row: ContentEncryption, key: bytes, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
    padder = PKCS7(128).padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = Cipher(AES(key[row.key_size // 2 :]), CBC(iv)).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    return ciphertext, _cbc_tag(row, key, iv, ciphertext, aad)


def _cbc_open(row: ContentEncryption, key: bytes, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
    # The tag before the padding, in constant time: else the padding is an oracle (RFC 7518 5.2.2.2).
    if not hmac.compare_digest(_cbc_tag(row, key, iv, ciphertext, aad), tag):
        raise failed()
    decryptor = Cipher(AES(key[row.key_size // 2 :]), CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise failed() from None


_GCM: Final = (12, 16, _gcm_seal, _gcm_open)
CONTENT_ENCRYPTION: Final = {
    row.name: row
    for row in (
        ContentEncryption("A128GCM", 16, *_GCM),
        ContentEncryption("A192GCM", 24, *_GCM),
        ContentEncryption("A256GCM", 32, *_GCM),
        ContentEncryption("A128CBC-HS256", 32, 16, 16, _cbc_seal, _cbc_open, "sha256"),
        ContentEncryption("A192CBC-HS384", 48, 16, 24, _cbc_seal, _cbc_open, "sha384"),
        ContentEncryption("A256CBC-HS512", 64, 16, 32, _cbc_seal, _cbc_open, "sha512"),
    )
}
"""Every content encryption algorithm by its JOSE name."""


def content_encryption(name: object) -> ContentEncryption:
    """The row of that exact name. Raises UnsupportedAlgorithm."""
    row = CONTENT_ENCRYPTION.get(name) if isinstance(name, str) else None
    if row is None:
        raise UnsupportedAlgorithm(
            f"no content encryption is called {shown(name, 20)}; there are {', '.join(CONTENT_ENCRYPTION)}"
        )
    return row
