"""What bench/verify.py measures: for each library its fastest documented use, with what Admit checks checked too.

That is the issuer, the audience, the times and the claims of RFC 9068. A peer signs a ready payload; only Admit also reads
the clock and draws a jti.
"""

from __future__ import annotations

import hmac
import warnings
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from admit import Key, KeySet, Signer, Verifier
from admit.jose.encoding import b64url_decode
from admit.tokens.revocation import Entry
from admit.tokens.revocation_set import RevocationSet

Call = Callable[[], object]

ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
SUB, CLIENT, SCOPE = "2f1c6a52-8d0e-4b1f-9a75-6c1e6f0a3d11", "web-frontend", "orders:read orders:write"
FURTHER = {"sid": "Zr3c0N1mQvWq8sXk", "auth_time": 1_790_000_000, "epoch": 3, "tenant": "acme", "roles": ["editor"]}
REQUIRED = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]

Peer = Callable[[Key, str, dict[str, Any]], tuple[Call, Call]]
"""(key, token, payload) -> (verify, sign). Raises where it lacks the algorithm."""


def primitive(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """The bare call of `cryptography` on ready bytes and ready objects."""
    data, _, encoded = token.encode().rpartition(b".")
    signature = b64url_decode(encoded)
    private, public = key._material
    digest = SHA256()
    if key.algorithm.kty == "oct":
        keyed = HMAC(public, digest)

        def mac() -> bytes:
            copy = keyed.copy()
            copy.update(data)
            return copy.finalize()

        return lambda: hmac.compare_digest(mac(), signature), mac
    if key.algorithm.kty == "RSA":
        pss = padding.PSS(padding.MGF1(digest), 32)
        scheme = pss if key.alg == "PS256" else padding.PKCS1v15()
        return lambda: public.verify(signature, data, scheme, digest), lambda: private.sign(data, scheme, digest)
    if key.algorithm.kty == "EC":
        ecdsa = ec.ECDSA(digest)
        der = private.sign(data, ecdsa)
        return lambda: public.verify(der, data, ecdsa), lambda: private.sign(data, ecdsa)
    return lambda: public.verify(signature, data), lambda: private.sign(data)


def libsodium(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """What Ed25519 would cost there, on ready bytes; why it is not used: docs/decisions/0006."""
    if key.alg != "Ed25519":
        _absent()
    from nacl.bindings import crypto_sign, crypto_sign_open

    data, _, encoded = token.encode().rpartition(b".")
    private, public = key._material
    signed, raw = b64url_decode(encoded) + data, public.public_bytes_raw()
    secret = private.private_bytes_raw() + raw
    return lambda: crypto_sign_open(signed, raw), lambda: crypto_sign(data, secret)


def admit(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    door, signer = verifier(key), Signer(key, issuer=ISSUER, audience=AUDIENCE)
    return (
        lambda: door.verify(token),
        lambda: signer.sign(sub=SUB, client_id=CLIENT, scope=SCOPE, claims=FURTHER),
    )


def admit_cached(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """A hit, revocation check included; the string is fresh each time, as from a socket, so that its hash is not known."""
    entries = [Entry.of("jti", "another", seq=1, exp=None), Entry.of("sid", "another", seq=2, exp=None)]
    door, raw = verifier(key, cache=1000, revocations=RevocationSet(entries)), token.encode()
    return lambda: door.verify(raw.decode("ascii")), _absent


def pyjwt(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """A key object of `cryptography` skips the parsing of PEM, and is faster than a PyJWK; RFC 9864's names it lacks."""
    import jwt

    private, public = key._material
    alg, headers = {"Ed25519": "EdDSA"}.get(key.alg, key.alg), {"kid": key.kid, "typ": "at+jwt"}
    if alg == "EdDSA":
        token = jwt.encode(payload, private, alg, headers)
    algorithms, options = [alg], {"require": REQUIRED}
    return (
        lambda: jwt.decode(token, public, algorithms, options, audience=AUDIENCE, issuer=ISSUER),  # type: ignore[arg-type]
        lambda: jwt.encode(payload, private, alg, headers),
    )


def joserfc(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """An imported key, and a claims registry made once."""
    from joserfc import jwk, jwt

    imported, algorithms = jwk.import_key(_plain_jwk(key)), [key.alg]
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
        client_id={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    )
    header = {"alg": key.alg, "kid": key.kid, "typ": "at+jwt"}
    return (
        lambda: registry.validate(jwt.decode(token, imported, algorithms).claims),
        lambda: jwt.encode(header, payload, imported, algorithms),
    )


def authlib(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """An imported key, and a JsonWebToken that knows one algorithm."""
    from authlib.deprecate import AuthlibDeprecationWarning

    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.jose import JsonWebKey, JsonWebToken

    alg = {"Ed25519": "EdDSA"}.get(key.alg, key.alg)
    imported, jwt = JsonWebKey.import_key(_plain_jwk(key)), JsonWebToken([alg])
    header = {"alg": alg, "kid": key.kid, "typ": "at+jwt"}
    expected: dict[str, Any] = {name: {"essential": True} for name in REQUIRED}
    expected["iss"]["value"], expected["aud"]["value"] = ISSUER, AUDIENCE
    signed = jwt.encode(header, payload, imported)
    return (
        lambda: jwt.decode(signed, imported, claims_options=expected).validate(),
        lambda: jwt.encode(header, payload, imported),
    )


def jwcrypto(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """A JWK made once; the claims are checked as they are read."""
    from jwcrypto import jwk, jwt

    alg = {"Ed25519": "EdDSA"}.get(key.alg, key.alg)
    made, header = jwk.JWK(**_plain_jwk(key)), {"alg": alg, "kid": key.kid, "typ": "at+jwt"}
    expected: dict[str, Any] = dict.fromkeys(REQUIRED) | {"iss": ISSUER, "aud": AUDIENCE}

    def sign() -> object:
        signed = jwt.JWT(header=header, claims=payload)
        signed.make_signed_token(made)
        return signed.serialize()

    own = str(sign())
    return lambda: jwt.JWT(jwt=own, key=made, algs=[alg], check_claims=expected, expected_type="JWS"), sign


def python_jose(key: Key, token: str, payload: dict[str, Any]) -> tuple[Call, Call]:
    """A constructed key, which skips the guessing of what it is."""
    from jose import jwk, jwt

    if key.alg == "HS256":
        signing = verifying = jwk.construct(key._material[1], key.alg)
    else:
        signing = jwk.construct(key.to_pem(private=True).decode(), key.alg)
        verifying = jwk.construct(key.to_pem().decode(), key.alg)
    options = {f"require_{name}": True for name in ("iss", "exp", "aud", "sub", "iat", "jti")}
    headers = {"kid": key.kid, "typ": "at+jwt"}
    return (
        lambda: jwt.decode(token, verifying, key.alg, options, audience=AUDIENCE, issuer=ISSUER),
        lambda: jwt.encode(payload, signing, key.alg, headers),
    )


PEERS: dict[str, tuple[Peer, str]] = {  # name -> (how to prepare it, the distribution whose version is shown)
    "the primitive alone": (primitive, "cryptography"),
    "libsodium alone": (libsodium, "PyNaCl"),
    "Admit": (admit, "admit"),
    "Admit, cache hit": (admit_cached, "admit"),
    "PyJWT": (pyjwt, "PyJWT"),
    "joserfc": (joserfc, "joserfc"),
    "authlib.jose": (authlib, "Authlib"),
    "python-jose": (python_jose, "python-jose"),
    "jwcrypto": (jwcrypto, "jwcrypto"),
}


def verifier(key: Key, **settings: Any) -> Verifier[None]:
    keys = KeySet([key if key.algorithm.symmetric else key.public()])
    return Verifier(keys, issuer=ISSUER, audience=AUDIENCE, **settings)


def _absent() -> object:
    raise NotImplementedError


def _plain_jwk(key: Key) -> dict[str, Any]:
    unwanted = {"use", "kid"} if key.algorithm.kty == "AKP" else {"alg", "use", "kid"}
    return {name: value for name, value in key.to_jwk(private=True).items() if name not in unwanted}
