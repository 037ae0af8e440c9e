"""Key material <-> PEM and DER: PKCS#8, PKCS#1, SEC1, SPKI and X.509 certificates (RFC 7468, 5958, 5280)."""

from __future__ import annotations

from binascii import a2b_base64
from contextlib import suppress
from typing import Any, Final

from cryptography.exceptions import InternalError
from cryptography.exceptions import UnsupportedAlgorithm as NotBuiltIn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from admit.errors import InvalidKey
from admit.jose.jwk import Material

MAX_PEM: Final = 64 * 1024  # an ML-DSA-87 certificate is about 10 kB
MAX_PASSWORD: Final = 1023  # bytes: OpenSSL's own limit
_ENCODINGS: Final = {"PEM": Encoding.PEM, "DER": Encoding.DER}


def read(data: bytes, password: bytes | None = None) -> Material:
    """The key in PEM text: a private key (encrypted with `password`, or not), a public key, or a certificate's key.

    Raises InvalidKey. A certificate's signatures and dates are not looked at: whoever names it trusts it.
    """
    _check(data, password)
    if b"-----BEGIN CERTIFICATE-----" in data:
        return None, _load(lambda: _certificate_key(data, "PEM"))
    if b"PRIVATE KEY-----" in data:
        private = _load(lambda: serialization.load_pem_private_key(data, password))
        return private, private.public_key()
    if b"PUBLIC KEY-----" in data:
        return None, _load(lambda: serialization.load_pem_public_key(data))
    raise InvalidKey("no PEM block of a key or certificate (-----BEGIN ... KEY-----) was found")


def read_der(data: bytes, password: bytes | None = None) -> Material:
    """The key in DER bytes: a private key, a public key or a certificate, each tried in turn. Raises InvalidKey."""
    _check(data, password)
    for load in (
        lambda: serialization.load_der_private_key(data, password),
        lambda: serialization.load_der_public_key(data),
        lambda: _certificate_key(data, "DER"),
    ):
        try:
            key: Any = _load(load)
        except InvalidKey:
            continue
        return (key, key.public_key()) if hasattr(key, "public_key") else (None, key)
    raise InvalidKey("the DER data is not a key or certificate that can be read, or its password is missing or wrong")


def write(material: Material, *, private: bool, password: bytes | None = None, encoding: str = "PEM") -> bytes:
    """PKCS#8 (encrypted under `password`, if given) or SPKI. Raises InvalidKey for secrets and missing halves."""
    _check_password(password)
    secret, public = material
    form = _ENCODINGS.get(encoding)
    if form is None:
        raise InvalidKey("encoding must be 'PEM' or 'DER'")
    if isinstance(public, bytes):
        raise InvalidKey("a shared secret has no PEM form; export it as a JWK")
    if not private:
        return bytes(public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo))
    if secret is None:
        raise InvalidKey("this key has no private half to export")
    lock = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return bytes(secret.private_bytes(form, PrivateFormat.PKCS8, lock))


def looks_like_key_material(data: bytes) -> bool:
    """Whether bytes are a PEM, DER, SSH or JWK document: no secret, but a public key in disguise (CVE-2022-29217)."""
    text = data.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").strip()  # UTF-16 and byte order marks hide nothing
    if b"---- BEGIN" in text or b"-----BEGIN" in text or b"ssh-" in text[:64] or b"ecdsa-sha2-" in text[:64]:
        return True
    if text[:1] in (b"{", b"[") and (b'"kty"' in text or b'"keys"' in text):
        return True
    candidates = [data] if data[:1] == b"\x30" else []
    if text[:1] == b"M":  # DER as base64 without its PEM lines, as some consoles show a realm's key
        with suppress(ValueError):
            candidates.append(a2b_base64(text))
    for candidate in candidates:
        with suppress(InvalidKey):
            read_der(candidate)
            return True
    return False


def _check(data: bytes, password: bytes | None) -> None:
    if not isinstance(data, bytes):
        raise InvalidKey(f"a key document is bytes, not {type(data).__name__}")
    if len(data) > MAX_PEM:
        raise InvalidKey(f"the key document has {len(data)} bytes, at most {MAX_PEM} are read")
    _check_password(password)


def _check_password(password: bytes | None) -> None:
    """An empty one would be no encryption at all, and is what a setting that was forgotten looks like."""
    if password is not None and not (isinstance(password, bytes) and 0 < len(password) <= MAX_PASSWORD):
        raise InvalidKey(f"a password is 1 to {MAX_PASSWORD} bytes; None means that the key is not encrypted")


def _certificate_key(data: bytes, encoding: str) -> Any:
    from cryptography import x509  # only here: most programs never read a certificate

    load = x509.load_pem_x509_certificate if encoding == "PEM" else x509.load_der_x509_certificate
    try:
        return load(data).public_key()
    except x509.InvalidVersion:
        raise ValueError("a certificate of an unknown version") from None


def _load(load: Any) -> Any:
    try:
        return load()
    except (ValueError, TypeError, NotBuiltIn, OverflowError, InternalError):
        # The library's message may describe the password or quote the input. InternalError: a raw key of the wrong size.
        raise InvalidKey(
            "the key cannot be read: damaged, of an unknown kind, or its password is missing or wrong"
        ) from None
