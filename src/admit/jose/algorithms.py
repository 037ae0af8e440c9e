"""The table of signature algorithms, one row each, one pair of functions a family (RFC 7518 3, 8037, 8812, 9864, 9964).

A row says everything that differs; `make_signer` and `make_checker` prepare a key once, so that a token costs only the
primitive. A checker takes (signing input, signature in base64url) and raises BadSignature.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from admit.errors import BadSignature, MalformedToken, UnsupportedAlgorithm, shown
from admit.jose.encoding import b64url_decode, b64url_encode

Sign = Callable[[bytes], bytes]
"""Signing input -> signature, in base64url."""
Check = Callable[[bytes, bytes], None]
"""(signing input, signature in base64url) -> nothing, or BadSignature."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One signature algorithm: its JOSE name, key type and curve, hash, sizes, and how a key is prepared for it."""

    name: str
    kty: str
    crv: str | None
    hash: type[HashAlgorithm] | None
    minimum_bits: int
    make_signer: Callable[[Algorithm, Any], Sign]
    make_checker: Callable[[Algorithm, Any], Check]
    private_type: type[Any] | None = None
    public_type: type[Any] | None = None
    signature_size: int = 0
    aliases: tuple[str, ...] = ()

    use: ClassVar[str] = "sig"
    public_ops: ClassVar[frozenset[str]] = frozenset(("verify",))
    private_ops: ClassVar[frozenset[str]] = frozenset(("sign",))

    @property
    def symmetric(self) -> bool:
        """Whether whoever verifies can also sign."""
        return self.kty == "oct"

    def answers_to(self, alg: str) -> bool:
        """Whether a header's `alg` is this one or its alias; case matters."""
        return alg == self.name or alg in self.aliases

    def takes(self, kty: object, crv: object) -> bool:
        """Whether a key of that type, on that curve, is for this algorithm."""
        return self.kty == kty and self.crv in (None, crv)


def _refused(spelled: bytes = b"") -> BadSignature:
    if spelled != spelled.strip():
        return BadSignature("the signature does not match: there is white space around it, pass the token alone")
    return BadSignature(
        "the signature does not match: the token was altered, or signed with another key under this kid"
    )


# --- HMAC (RFC 7518 3.2): a pre-keyed context is copied; compared in base64url, which is canonical by construction


def _hmac_signer(row: Algorithm, secret: bytes) -> Sign:
    assert row.hash is not None  # noqa: S101 - narrows the type; the table gives every HMAC row a hash
    keyed = HMAC(secret, row.hash()).copy

    def sign(data: bytes) -> bytes:
        mac = keyed()
        mac.update(data)
        return b64url_encode(mac.finalize())

    return sign


def _hmac_checker(row: Algorithm, secret: bytes) -> Check:
    assert row.hash is not None  # noqa: S101
    keyed, equal, to_base64 = HMAC(secret, row.hash()).copy, hmac.compare_digest, b64url_encode

    def check(data: bytes, signature: bytes) -> None:
        mac = keyed()
        mac.update(data)
        # A MAC is the one signature that can be made anew: in base64url, so that only the canonical spelling passes.
        if not equal(to_base64(mac.finalize()), signature):
            raise _refused(signature)

    return check


# --- RSA (RFC 7518 3.3, 3.5)


def _rsa_padding(row: Algorithm) -> padding.AsymmetricPadding:
    assert row.hash is not None  # noqa: S101
    if row.name.startswith("PS"):
        return padding.PSS(padding.MGF1(row.hash()), row.hash().digest_size)
    return padding.PKCS1v15()


def _rsa_signer(row: Algorithm, key: Any) -> Sign:
    assert row.hash is not None  # noqa: S101
    scheme, digest, sign = _rsa_padding(row), row.hash(), key.sign
    return lambda data: b64url_encode(sign(data, scheme, digest))


def _rsa_checker(row: Algorithm, key: Any) -> Check:
    assert row.hash is not None  # noqa: S101
    scheme, digest, verify, size = _rsa_padding(row), row.hash(), key.verify, (key.key_size + 7) // 8

    def check(data: bytes, signature: bytes) -> None:
        raw = _decoded(signature, size)
        try:
            verify(raw, data, scheme, digest)
        except InvalidSignature:
            raise _refused() from None

    return check


# --- ECDSA (RFC 7518 3.4): fixed-width r || s on the wire, DER for the primitive


def _ecdsa_signer(row: Algorithm, key: Any) -> Sign:
    assert row.hash is not None  # noqa: S101
    scheme, sign, width = ec.ECDSA(row.hash()), key.sign, row.signature_size // 2

    def sign_ecdsa(data: bytes) -> bytes:
        r, s = decode_dss_signature(sign(data, scheme))
        return b64url_encode(r.to_bytes(width) + s.to_bytes(width))

    return sign_ecdsa


def _der_integer(fixed: bytes) -> bytes:
    short = fixed.lstrip(b"\0")
    if short[0] & 0x80:
        short = b"\0" + short
    return b"\x02" + bytes((len(short),)) + short


def _ecdsa_checker(row: Algorithm, key: Any) -> Check:
    assert row.hash is not None  # noqa: S101
    size, width = row.signature_size, row.signature_size // 2
    scheme, verify = ec.ECDSA(row.hash()), key.verify
    zero, order = bytes(width), key.curve.group_order.to_bytes(width)

    def check(data: bytes, signature: bytes) -> None:
        raw = _decoded(signature, size)
        r, s = raw[:width], raw[width:]
        if not (zero < r < order and zero < s < order):  # fixed width: bytes compare as numbers do
            raise _refused()
        body = _der_integer(r) + _der_integer(s)
        prefix = b"\x81" if len(body) > 0x7F else b""  # a DER length over 127 takes a second byte
        try:
            verify(b"\x30" + prefix + bytes((len(body),)) + body, data, scheme)
        except InvalidSignature:
            raise _refused() from None

    return check


# --- Ed25519, Ed448 (RFC 8037, 9864) and ML-DSA (RFC 9964): the primitive takes the message as it is


def _plain_signer(row: Algorithm, key: Any) -> Sign:  # noqa: ARG001
    sign = key.sign
    return lambda data: b64url_encode(sign(data))


def _plain_checker(row: Algorithm, key: Any) -> Check:
    size, verify = row.signature_size, key.verify

    def check(data: bytes, signature: bytes) -> None:
        raw = _decoded(signature, size)
        try:
            verify(raw, data)
        except InvalidSignature:
            raise _refused() from None

    return check


def _decoded(signature: bytes, size: int) -> bytes:
    try:
        raw = b64url_decode(signature)
    except MalformedToken as error:
        raise MalformedToken(f"the signature is malformed: {error}") from None
    if len(raw) != size:
        raise BadSignature(f"the signature has {len(raw)} bytes; this key's signatures have {size}")
    return raw


_EC: Final = (_ecdsa_signer, _ecdsa_checker, ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)
_ROWS: Final = (
    Algorithm("HS256", "oct", None, SHA256, 256, _hmac_signer, _hmac_checker),
    Algorithm("HS384", "oct", None, SHA384, 384, _hmac_signer, _hmac_checker),
    Algorithm("HS512", "oct", None, SHA512, 512, _hmac_signer, _hmac_checker),
    Algorithm("RS256", "RSA", None, SHA256, 2048, _rsa_signer, _rsa_checker),
    Algorithm("RS384", "RSA", None, SHA384, 2048, _rsa_signer, _rsa_checker),
    Algorithm("RS512", "RSA", None, SHA512, 2048, _rsa_signer, _rsa_checker),
    Algorithm("PS256", "RSA", None, SHA256, 2048, _rsa_signer, _rsa_checker),
    Algorithm("PS384", "RSA", None, SHA384, 2048, _rsa_signer, _rsa_checker),
    Algorithm("PS512", "RSA", None, SHA512, 2048, _rsa_signer, _rsa_checker),
    Algorithm("ES256", "EC", "P-256", SHA256, 256, *_EC, 64),
    Algorithm("ES384", "EC", "P-384", SHA384, 384, *_EC, 96),
    Algorithm("ES512", "EC", "P-521", SHA512, 521, *_EC, 132),
    Algorithm("ES256K", "EC", "secp256k1", SHA256, 256, *_EC, 64),
    Algorithm(
        *("Ed25519", "OKP", "Ed25519", None, 256, _plain_signer, _plain_checker),
        *(ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey, 64, ("EdDSA",)),
    ),
    Algorithm(
        *("Ed448", "OKP", "Ed448", None, 456, _plain_signer, _plain_checker),
        *(ed448.Ed448PrivateKey, ed448.Ed448PublicKey, 114, ("EdDSA",)),
    ),
    Algorithm(
        *("ML-DSA-44", "AKP", None, None, 0, _plain_signer, _plain_checker),
        *(mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, 2420),
    ),
    Algorithm(
        *("ML-DSA-65", "AKP", None, None, 0, _plain_signer, _plain_checker),
        *(mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, 3309),
    ),
    Algorithm(
        *("ML-DSA-87", "AKP", None, None, 0, _plain_signer, _plain_checker),
        *(mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, 4627),
    ),
)

ALGORITHMS: Final = {row.name: row for row in _ROWS}
"""Every signature algorithm by its JOSE name. `none` is not there."""


def _named(name: object) -> str:
    # Arguments in the wrong order would put a secret here: only what is short enough for a name is shown.
    return shown(name) if isinstance(name, str) and len(name) <= 20 else "that"


def algorithm(name: str) -> Algorithm:
    """The row of that exact name. Raises UnsupportedAlgorithm."""
    row = ALGORITHMS.get(name) if isinstance(name, str) else None
    if row is None:
        raise UnsupportedAlgorithm(
            f"no signature algorithm is called {_named(name)}; there are {', '.join(ALGORITHMS)}"
            " (EdDSA is written Ed25519 or Ed448, RFC 9864)"
        )
    return row
