"""Key material <-> JWK members (RFC 7517, RFC 7518 6, RFC 8037 2, RFC 9964 3). What a key may do is for keys.py."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InternalError
from cryptography.exceptions import UnsupportedAlgorithm as NotBuiltIn
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from admit.errors import InvalidKey, MalformedToken, shown
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes, json_object

Material = tuple[Any, Any]
"""(private half or None, public half): `cryptography` objects; a secret is (bytes, bytes)."""

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}
_CURVE_NAMES: Final = {curve.name: name for name, curve in _CURVES.items()}
_OKP: Final[Mapping[str, tuple[Any, Any]]] = {
    "Ed25519": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
    "Ed448": (ed448.Ed448PrivateKey, ed448.Ed448PublicKey),
    "X25519": (x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "X448": (x448.X448PrivateKey, x448.X448PublicKey),
}
_AKP: Final[Mapping[str, tuple[Any, Any]]] = {
    "ML-DSA-44": (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
    "ML-DSA-65": (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
    "ML-DSA-87": (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
}
_THUMBPRINT: Final = {
    "oct": ("k", "kty"),
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
}
_RSA_BYTES: Final = 1024  # 8192 bits
_RSA_BITS_WITHOUT_PRIMES: Final = 4096  # measured: 0.8 s to find the primes of such a key
MAX_TEXT: Final = 1024 * 1024  # characters of a JWK or JWK Set: the largest published ones have under 20,000
MAX_KEYS: Final = 256
"""Members of a JWK Set: the largest published ones have a few dozen, and each costs what a key costs."""
PRIVATE_MEMBERS: Final = frozenset(("k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"))


def read(jwk: Mapping[str, Any]) -> Material:
    """The key material of a JWK.

    Raises InvalidKey where a member is missing, has the wrong type or size, or the halves do not belong together.
    """
    kty = jwk.get("kty")
    reader = _READERS.get(kty) if isinstance(kty, str) else None
    if reader is None:
        raise InvalidKey(f"kty is {shown(kty)}; it must be one of {', '.join(_READERS)}")
    try:
        return reader(jwk)
    except NotBuiltIn:
        raise InvalidKey("the cryptographic library on this machine was built without this kind of key") from None
    except InvalidKey:
        raise
    except (ValueError, OverflowError, TypeError, InternalError):
        # The library's message may quote numbers of the key.
        raise InvalidKey(f"the {kty} key's numbers are not a valid key") from None


def members(document: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    """The members of a JWK or JWK Set, given as text or read already. Raises InvalidKey for what is no strict JSON."""
    if isinstance(document, Mapping):
        return document
    if not isinstance(document, str | bytes):
        raise InvalidKey(f"a JWK is a JSON object, not {type(document).__name__}")
    if len(document) > MAX_TEXT:
        raise InvalidKey(f"a JWK or JWK Set of {len(document)} characters is not read: at most {MAX_TEXT} are")
    try:
        return json_object(document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document)
    except MalformedToken:
        raise InvalidKey("the JWK or JWK Set is not strict JSON (UTF-8, one object, no duplicate members)") from None


def members_of_set(document: Mapping[str, Any]) -> list[Any]:
    """The `keys` of a JWK Set (RFC 7517 5). Raises InvalidKey where it is no list, or one of more than MAX_KEYS."""
    found = document.get("keys")
    if not isinstance(found, list):
        raise InvalidKey("a JWK Set is an object whose member keys is a list")
    if len(found) > MAX_KEYS:
        raise InvalidKey(f"a JWK Set of {len(found)} keys is not read: at most {MAX_KEYS} are")
    return found


def write(material: Material, *, private: bool) -> dict[str, str]:
    """The JWK members of key material: `kty` and numbers. Raises InvalidKey when asked for a private half not held."""
    secret, public = material
    if private and secret is None:
        raise InvalidKey("this key has no private half to export")
    if isinstance(public, bytes):
        if not private:
            raise InvalidKey("a shared secret has no public half; ask for private=True to export it")
        return {"kty": "oct", "k": _text(public)}
    if isinstance(public, rsa.RSAPublicKey):
        return _write_rsa(secret if private else None, public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _write_ec(secret if private else None, public)
    for crv, (_, public_type) in _OKP.items():
        if isinstance(public, public_type):
            members = {"kty": "OKP", "crv": crv, "x": _text(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
            return members | ({"d": _text(_raw_private(secret))} if private else {})
    for alg, (_, public_type) in _AKP.items():
        if isinstance(public, public_type):
            members = {"kty": "AKP", "alg": alg, "pub": _text(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
            return members | ({"priv": _text(_raw_private(secret))} if private else {})
    raise InvalidKey(f"JWK has no form for a {type(public).__name__}")


def curve(crv: str) -> ec.EllipticCurve:
    """The curve of a JOSE name. Raises KeyError for names outside the table of algorithms."""
    return _CURVES[crv]


def curve_name(curve: ec.EllipticCurve) -> str | None:
    """The JOSE name of a curve, or None where JOSE has none."""
    return _CURVE_NAMES.get(curve.name)


def thumbprint(material: Material) -> str:
    """The SHA-256 thumbprint of RFC 7638, in base64url. That of a secret identifies it and must stay private."""
    members = write(material, private=isinstance(material[1], bytes))
    required = {name: members[name] for name in _THUMBPRINT[members["kty"]]}  # in lexicographic order already
    return b64url_encode(hashlib.sha256(json_bytes(required)).digest()).decode()


def _text(data: bytes) -> str:
    return b64url_encode(data).decode()


def _raw_private(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def _bytes(jwk: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidKey(f"the JWK's {name} is missing or is not a string")
    try:
        data = b64url_decode(value.encode("ascii", "replace"))
    except MalformedToken:
        raise InvalidKey(f"the JWK's {name} is not canonical base64url") from None
    if size is not None and len(data) != size:
        raise InvalidKey(f"the JWK's {name} has {len(data)} bytes instead of {size}")
    return data


def _number(jwk: Mapping[str, Any], name: str, limit: int) -> int:
    data = _bytes(jwk, name)
    if len(data) > limit:  # before any arithmetic, which would cost seconds
        raise InvalidKey(f"the JWK's {name} has {len(data)} bytes, at most {limit} are read")
    if data[0] == 0:
        raise InvalidKey(f"the JWK's {name} begins with a zero byte (RFC 7518 2: Base64urlUInt is minimal)")
    return int.from_bytes(data)


def _read_oct(jwk: Mapping[str, Any]) -> Material:
    secret = _bytes(jwk, "k")
    return secret, secret


def _read_rsa(jwk: Mapping[str, Any]) -> Material:
    if "oth" in jwk:
        raise InvalidKey("RSA keys with more than two primes are not supported")
    numbers = rsa.RSAPublicNumbers(_number(jwk, "e", 8), _number(jwk, "n", _RSA_BYTES))
    if "d" not in jwk:
        if PRIVATE_MEMBERS & jwk.keys():
            raise InvalidKey("the JWK has private members but no d")
        return None, numbers.public_key()
    d = _number(jwk, "d", _RSA_BYTES)
    if {"p", "q", "dp", "dq", "qi"}.isdisjoint(jwk):
        if numbers.n.bit_length() > _RSA_BITS_WITHOUT_PRIMES:
            raise InvalidKey(f"a private RSA key over {_RSA_BITS_WITHOUT_PRIMES} bits comes with its primes")
        p, q = sorted(rsa.rsa_recover_prime_factors(numbers.n, numbers.e, d), reverse=True)
        dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    else:
        p, q, dp, dq, qi = (_number(jwk, name, _RSA_BYTES) for name in ("p", "q", "dp", "dq", "qi"))
    private = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, numbers).private_key()
    return private, private.public_key()


def _write_rsa(secret: Any, public: rsa.RSAPublicKey) -> dict[str, str]:
    def number(value: int) -> str:
        return _text(value.to_bytes((value.bit_length() + 7) // 8))

    numbers = public.public_numbers()
    members = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if secret is not None:
        own = secret.private_numbers()
        values = {"d": own.d, "p": own.p, "q": own.q, "dp": own.dmp1, "dq": own.dmq1, "qi": own.iqmp}
        members |= {name: number(value) for name, value in values.items()}
    return members


def _read_ec(jwk: Mapping[str, Any]) -> Material:
    crv = jwk.get("crv")
    curve = _CURVES.get(crv) if isinstance(crv, str) else None
    if curve is None:
        raise InvalidKey(f"crv is {shown(crv)}; an EC key's is one of {', '.join(_CURVES)}")
    width = (curve.key_size + 7) // 8
    x, y = (int.from_bytes(_bytes(jwk, name, width)) for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()  # refuses points off the curve
    if "d" not in jwk:
        return None, public
    private = ec.derive_private_key(int.from_bytes(_bytes(jwk, "d", width)), curve)
    if private.public_key().public_numbers() != public.public_numbers():
        raise InvalidKey("the JWK's d does not belong to its x and y")
    return private, public


def _write_ec(secret: Any, public: ec.EllipticCurvePublicKey) -> dict[str, str]:
    crv = curve_name(public.curve)
    if crv is None:
        raise InvalidKey(f"JOSE has no name for the curve {shown(public.curve.name)}")
    width = (public.curve.key_size + 7) // 8
    numbers = public.public_numbers()
    x, y = (_text(value.to_bytes(width)) for value in (numbers.x, numbers.y))
    members = {"kty": "EC", "crv": crv, "x": x, "y": y}
    if secret is not None:
        members["d"] = _text(secret.private_numbers().private_value.to_bytes(width))
    return members


def _read_raw_pair(jwk: Mapping[str, Any], types: tuple[Any, Any], public_name: str, private_name: str) -> Material:
    """Both halves are plain byte strings: OKP and AKP."""
    private_type, public_type = types
    data = _bytes(jwk, public_name)
    public = public_type.from_public_bytes(data)
    if private_name not in jwk:
        return None, public
    secret = _bytes(jwk, private_name)
    load = getattr(private_type, "from_private_bytes", None) or private_type.from_seed_bytes
    private = load(secret)
    if private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != data:
        raise InvalidKey(f"the JWK's {private_name} does not belong to its {public_name}")
    return private, public


def _read_okp(jwk: Mapping[str, Any]) -> Material:
    crv = jwk.get("crv")
    if not isinstance(crv, str) or crv not in _OKP:
        raise InvalidKey(f"crv is {shown(crv)}; an OKP key's is one of {', '.join(_OKP)}")
    return _read_raw_pair(jwk, _OKP[crv], "x", "d")


def _read_akp(jwk: Mapping[str, Any]) -> Material:
    alg = jwk.get("alg")
    if not isinstance(alg, str) or alg not in _AKP:
        raise InvalidKey(f"alg is {shown(alg)}; an AKP key's is required and one of {', '.join(_AKP)}")
    return _read_raw_pair(jwk, _AKP[alg], "pub", "priv")


_READERS: Final = {"oct": _read_oct, "RSA": _read_rsa, "EC": _read_ec, "OKP": _read_okp, "AKP": _read_akp}
