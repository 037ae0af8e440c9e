"""Tokens and keys go both ways between Admit and its peers."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jws
import joserfc.jwt
import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws
from jwcrypto.jwa import JWA

from admit import PLAIN, Key, KeySet, Signer, Verifier
from admit.errors import InvalidToken
from admit.jose import jws
from tests.helpers.forge import ALL, AUDIENCE, ISSUER, NOW, b64, key

pytestmark = pytest.mark.once

PEERS = {
    "PyJWT": set(pyjwt.algorithms.get_default_algorithms()),
    "joserfc": set(joserfc.jws.JWSRegistry.algorithms),
    "jwcrypto": {name for name, each in JWA.algorithms_registry.items() if each.algorithm_use == "sig"},
}
OURS = (*ALL, "EdDSA", "EdDSA on Ed448")
COMMON = {peer: [alg for alg in OURS if alg.split(" ")[0] in theirs] for peer, theirs in PEERS.items()}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
NAMES = TEXT.map(lambda name: "x-" + name)  # the lint knows names of secrets
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
FURTHER = st.dictionaries(NAMES, VALUES, max_size=3)


def test_what_only_a_peer_has_is_known() -> None:
    assert PEERS["PyJWT"] - set(OURS) == {"none", "ES521"}  # a misspelling of ES512
    assert PEERS["joserfc"] - set(OURS) == {"none"}
    assert PEERS["jwcrypto"] - set(OURS) == {"none", "BP256R1", "BP384R1", "BP512R1"}  # Brainpool: not in RFC 7518
    assert set().union(*COMMON.values()) == set(OURS)


@cache
def of(alg: str, number: int) -> Key:
    if alg.startswith("EdDSA"):
        pair = key("Ed448" if "448" in alg else "Ed25519", number)
        return Key.from_jwk(pair.to_jwk(private=True) | {"alg": "EdDSA"})
    return key(alg, number)


def pair(one: Key) -> tuple[Signer, Verifier[None]]:
    signer = Signer(one, issuer=ISSUER, audience=AUDIENCE, kind=PLAIN, clock=lambda: NOW)
    return signer, Verifier(KeySet([one]), issuer=ISSUER, audience=AUDIENCE, kind=PLAIN, clock=lambda: NOW)


@cache
def pyjwt_keys(alg: str, number: int) -> tuple[Any, Any]:
    one = of(alg, number)
    if one.algorithm.symmetric:
        secret = pyjwt.PyJWK(one.to_jwk(private=True)).key
        return secret, secret
    algorithm: Any = pyjwt.algorithms.get_default_algorithms()[one.alg]
    return algorithm.prepare_key(one.to_pem(private=True)), algorithm.prepare_key(one.to_pem())


@cache
def joserfc_key(alg: str, number: int) -> Any:
    return joserfc.jwk.import_key(of(alg, number).to_jwk(private=True))


@cache
def jwcrypto_key(alg: str, number: int) -> Any:
    return jwcrypto_jwk.JWK(**of(alg, number).to_jwk(private=True))


@pytest.mark.parametrize("alg", COMMON["PyJWT"])
@given(number=st.integers(0, 1), further=FURTHER)
@settings(max_examples=8)
def test_pyjwt_and_admit_read_each_other(alg: str, number: int, further: dict[str, Any]) -> None:
    one = of(alg, number)
    private, public = pyjwt_keys(alg, number)
    signer, verifier = pair(one)
    options: Any = {"verify_exp": False, "verify_iat": False}
    token = signer.sign(sub="alice", claims=further)
    read = pyjwt.decode(token, public, algorithms=[one.alg], issuer=ISSUER, audience=AUDIENCE, options=options)
    assert {name: read[name] for name in further} == further
    assert read == verifier.verify(token).raw
    theirs = pyjwt.encode(read, private, algorithm=one.alg, headers={"kid": one.kid})
    assert verifier.verify(theirs).raw == read
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.decode(token, pyjwt_keys(alg, 1 - number)[1], algorithms=[one.alg], audience=AUDIENCE, options=options)
    with pytest.raises(InvalidToken):
        pair(of(alg, 1 - number))[1].verify(theirs)


@pytest.mark.parametrize("alg", COMMON["joserfc"])
@given(number=st.integers(0, 1), further=FURTHER)
@settings(max_examples=8)
def test_joserfc_and_admit_read_each_other(alg: str, number: int, further: dict[str, Any]) -> None:
    one = of(alg, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it deprecates EdDSA
        theirs = joserfc_key(alg, number)
        signer, verifier = pair(one)
        token = signer.sign(sub="alice", claims=further)
        read = joserfc.jwt.decode(token, theirs, algorithms=[one.alg]).claims
        assert read == verifier.verify(token).raw
        made = joserfc.jwt.encode({"alg": one.alg, "kid": one.kid, "typ": "JWT"}, read, theirs, algorithms=[one.alg])
        assert verifier.verify(made).raw == read
        assert Key.from_jwk(theirs.as_dict(private=True)) == one


@pytest.mark.parametrize("alg", COMMON["jwcrypto"])
@given(number=st.integers(0, 1), payload=st.binary(min_size=1, max_size=100))
@settings(max_examples=4)
def test_jwcrypto_and_admit_read_each_other(alg: str, number: int, payload: bytes) -> None:
    one = of(alg, number)
    theirs = jwcrypto_key(alg, number)
    read = jwcrypto_jws.JWS()
    read.allowed_algs = [one.alg]
    read.deserialize(jws.sign(one, payload), theirs)
    assert read.payload == payload
    made = jwcrypto_jws.JWS(payload)
    made.allowed_algs = [one.alg]
    made.add_signature(theirs, None, json.dumps({"alg": one.alg, "kid": one.kid}), None)
    assert jws.verify(made.serialize(compact=True), one).payload == payload
    assert theirs.thumbprint() == one.thumbprint()
    assert Key.from_jwk(theirs.export()) == one


@pytest.mark.parametrize("alg", [alg for alg in ALL if not alg.startswith(("HS", "ML-DSA"))])
def test_thumbprints_are_those_of_joserfc(alg: str) -> None:
    assert joserfc.jwk.import_key(key(alg).to_jwk()).thumbprint() == key(alg).thumbprint()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
@pytest.mark.parametrize("alg", ["RS256", "ES256", "ES384", "ES512", "Ed25519"])
def test_openssl_reads_our_pem_and_we_read_its(alg: str, tmp_path: Path) -> None:
    one = key(alg)
    (tmp_path / "ours.pem").write_bytes(one.to_pem(private=True))
    command = ["openssl", "pkey", "-in", "ours.pem", "-pubout", "-out", "public.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert Key.from_pem((tmp_path / "public.pem").read_bytes(), alg, kid=one.kid) == one.public()
    if alg == "RS256":
        (tmp_path / "data").write_bytes(b"data")
        command = ["openssl", "dgst", "-sha256", "-sign", "ours.pem", "-out", "signature", "data"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True)
        one.check(b"data", b64((tmp_path / "signature").read_bytes()).encode())
