"""Key material <-> PEM and DER: PKCS#8, PKCS#1, SEC1, SPKI and X.509 certificates (RFC 7468, 5958, 5280)."""

from __future__ import annotations

import re
from binascii import a2b_base64
from contextlib import suppress
from typing import Any, Final

from cryptography.exceptions import InternalError
from cryptography.exceptions import UnsupportedAlgorithm as NotBuiltIn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from admit.errors import InvalidKey, shown
from admit.jose.jwk import Material

MAX_PEM: Final = 64 * 1024  # an ML-DSA-87 certificate is about 10 kB
MAX_PASSWORD: Final = 1023  # bytes: OpenSSL's own limit
MAX_WORK: Final = 2_000_000
"""Rounds of PBKDF2, or N r p of scrypt, that a file may ask for; OWASP's password cheat sheet recommends 1,300,000 at most."""
_ENCODINGS: Final = {"PEM": Encoding.PEM, "DER": Encoding.DER}
_JSON_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")
# ssh-, ecdsa-sh, sk-ssh- and sk-ecdsa in base64, behind their length.
_SSH_BLOB: Final = re.compile(rb"AAAA..(?:NzaC1|VjZHNhLXNo|NrLXNzaC1|NrLWVjZHNh)")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
# The last arcs of rsaEncryption and id-RSASSA-PSS (RFC 8017 C), and of SHA-256, SHA-384 and SHA-512 (RFC 5754 2).
_RSA_OID: Final = re.compile(rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01([\x01\x0a])")
_SHA2_OID: Final = re.compile(rb"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02(.)", re.DOTALL)
_PSS_HASHES: Final = {"PS256": b"\x01", "PS384": b"\x02", "PS512": b"\x03"}
_PBE: Final = (b"\x2a\x86\x48\x86\xf7\x0d\x01\x05", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01")  # PKCS #5, PKCS #12
# Encrypted PKCS#8 up to its salt: PBES1, or PBES2 with PBKDF2 or scrypt (RFC 5958 3, RFC 8018 A, RFC 7914 7, RFC 7292 C).
# A salt so long that what encloses it needs another form of length does not match.
_UP_TO_SALT: Final = re.compile(
    rb"\x30(?:.|\x81.|\x82..)\x30."
    rb"(?:\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d\x30.\x30.)?"
    rb"\x06.(?:\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05|\x0c\x01).|(?P<scrypt>\x2b\x06\x01\x04\x01\xda\x47\x04\x0b))"
    rb"\x30.\x04(?P<size>.)",
    re.DOTALL,
)


def read(data: bytes, alg: str, password: bytes | None = None) -> Material:
    """The key in PEM text: a private key (encrypted with `password`, or not), a public key, or a certificate's key.

    Raises InvalidKey, also where the key says itself that it is not for `alg`. A certificate's signatures and dates are not
    looked at: whoever names it trusts it.
    """
    _check(data, password)
    documents = _blocks(data)
    for document in documents:
        _refuse_slow(document)
    material = _read_pem(data, password)
    _refuse_another_scheme(documents, material[1], alg)
    return material


def _read_pem(data: bytes, password: bytes | None) -> Material:
    if b"-----BEGIN CERTIFICATE-----" in data:
        return None, _load(lambda: _certificate_key(data, "PEM"))
    for half in (b"PRIVATE", b"PUBLIC"):
        if len(re.findall(rb"-----BEGIN [A-Z ]*" + half + b" KEY-----", data)) > 1:
            raise InvalidKey(f"the PEM holds more than one {half.decode().lower()} key: give one, or a JWK Set of them")
    if b"PRIVATE KEY-----" in data:
        private = _load(lambda: serialization.load_pem_private_key(data, password))
        return private, private.public_key()
    if b"PUBLIC KEY-----" in data:
        return None, _load(lambda: serialization.load_pem_public_key(data))
    raise InvalidKey("no PEM block of a key or certificate (-----BEGIN ... KEY-----) was found")


def read_der(data: bytes, alg: str, password: bytes | None = None) -> Material:
    """The key in DER bytes: a private key, a public key or a certificate, each tried in turn. Raises as `read` does."""
    _check(data, password)
    _refuse_slow(data)
    material = _read_der(data, password)
    _refuse_another_scheme([data], material[1], alg)
    return material


def _read_der(data: bytes, password: bytes | None) -> Material:
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
    if b"---- BEGIN" in text or b"-----BEGIN" in text or _SSH_BLOB.search(text):
        return True
    unescaped = _JSON_ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text)
    if text[:1] in (b"{", b"[") and (b'"kty"' in unescaped or b'"keys"' in unescaped):
        return True
    data = data.lstrip()
    candidates = [data] if data[:1] == b"\x30" else []
    with suppress(ValueError):
        if text[:1] == b"M":  # DER as base64 without its PEM lines, as some consoles show a realm's key
            candidates.append(a2b_base64(text.translate(_FROM_URL) + b"=="))
        if text[:2] == b"30":  # and as hex
            candidates.append(bytes.fromhex(text.decode().replace(":", " ")))
    for candidate in candidates:
        with suppress(InvalidKey):
            _read_der(_first_value(candidate), None)
            return True
    return False


def _first_value(data: bytes) -> bytes:
    """DER without what follows it, such as the end of a line."""
    size = int.from_bytes(data[1:2])
    more = max(size - 0x80, 0)  # that many bytes hold the length instead
    return data[: 2 + more + (int.from_bytes(data[2 : 2 + more]) if more else size)]


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


def _blocks(data: bytes) -> list[bytes]:
    """The DER of every PEM block, found as the library finds it; the headers of RFC 1421 have colons."""
    found: list[bytes] = []
    while True:
        _, _, data = data.partition(b"-----BEGIN ")
        body, end, data = data.partition(b"-----")[2].partition(b"-----END ")
        if not end:
            return found
        with suppress(ValueError):
            found.append(a2b_base64(b"".join(line for line in body.split(b"\n") if b":" not in line)))


def _refuse_slow(document: bytes) -> None:
    """An encrypted key says itself how long its password is hashed, which may be hours."""
    if not any(oid in document[:32] for oid in _PBE):
        return
    found = _UP_TO_SALT.match(document)
    work = 1 if found else MAX_WORK + 1
    if found:
        at = found.end() + found["size"][0]
        for _ in range(3 if found["scrypt"] else 1):
            size = int.from_bytes(document[at + 1 : at + 2])
            work *= int.from_bytes(document[at + 2 : at + 2 + size])
            at += 2 + size
    if work > MAX_WORK:
        raise InvalidKey(
            f"this encrypted key asks for over {MAX_WORK} rounds of its password, or for a function that is not known;"
            " if you trust it: openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in old.pem -out new.pem"
        )


def _refuse_another_scheme(documents: list[bytes], public: Any, alg: str) -> None:
    """An RSASSA-PSS key is for PSS alone, and for the hash in its parameters if it has some (RFC 4055 1.2).

    The library does not tell such a key from others. Its AlgorithmIdentifier is the last one before its numbers in SPKI,
    PKCS#8 and certificates; an encrypted one cannot be seen.
    """
    if not isinstance(public, rsa.RSAPublicKey):
        return
    numbers = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)[4:]  # a private key holds them, too
    for document in documents:
        before, found, _ = document.partition(numbers)
        *_, kind, parameters = (b"", *_RSA_OID.split(before))
        if not found or kind != b"\x0a":
            continue
        hashes = _SHA2_OID.findall(parameters)  # that of the content and that of MGF1
        own = [name for name, each in _PSS_HASHES.items() if parameters[:1] != b"\x30" or hashes == [each, each]]
        if alg not in own:
            raise InvalidKey(
                f"this is an RSASSA-PSS key for {', '.join(own) or 'a hash that JOSE does not have'}, not for {shown(alg)}"
            )


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
