"""Tokens and keys go both ways between Admit and its peers."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from admit import PLAIN, Key, KeySet, Signer, Verifier
from admit.errors import InvalidToken
from admit.jose import jws
from tests.helpers.forge import ALL, AUDIENCE, ISSUER, NOW, b64, key

PYJWT = [alg for alg in ALL if alg in pyjwt.algorithms.get_default_algorithms()] + ["EdDSA"]
JOSERFC = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
JOSERFC += ["ES256", "ES384", "ES512", "ES256K", "Ed25519", "Ed448", "EdDSA"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
NAMES = TEXT.map(lambda name: "x-" + name)  # the lint knows names of secrets
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
FURTHER = st.dictionaries(NAMES, VALUES, max_size=3)


def of(alg: str, number: int) -> Key:
    return (
        Key.from_jwk(key("Ed25519", number).to_jwk(private=True) | {"alg": "EdDSA"})
        if alg == "EdDSA"
        else key(alg, number)
    )


def pair(one: Key) -> tuple[Signer, Verifier[None]]:
    signer = Signer(one, issuer=ISSUER, audience=AUDIENCE, kind=PLAIN, clock=lambda: NOW)
    return signer, Verifier(KeySet([one]), issuer=ISSUER, audience=AUDIENCE, kind=PLAIN, clock=lambda: NOW)


def pyjwt_keys(one: Key) -> tuple[Any, Any]:
    if one.algorithm.symmetric:
        secret = pyjwt.PyJWK(one.to_jwk(private=True)).key
        return secret, secret
    return one.to_pem(private=True), one.to_pem()


@pytest.mark.parametrize("alg", PYJWT)
@given(number=st.integers(0, 2), further=FURTHER)
@settings(max_examples=8, deadline=None)
def test_pyjwt_and_admit_read_each_other(alg: str, number: int, further: dict[str, Any]) -> None:
    one = of(alg, number)
    private, public = pyjwt_keys(one)
    signer, verifier = pair(one)
    options: Any = {"verify_exp": False, "verify_iat": False}
    token = signer.sign(sub="alice", claims=further)
    read = pyjwt.decode(token, public, algorithms=[one.alg], issuer=ISSUER, audience=AUDIENCE, options=options)
    assert {name: read[name] for name in further} == further
    assert read == verifier.verify(token).raw
    theirs = pyjwt.encode(read, private, algorithm=one.alg, headers={"kid": one.kid})
    assert verifier.verify(theirs).raw == read
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.decode(
            token, pyjwt_keys(of(alg, number + 3))[1], algorithms=[one.alg], audience=AUDIENCE, options=options
        )
    with pytest.raises(InvalidToken):
        pair(of(alg, number + 3))[1].verify(theirs)


@pytest.mark.parametrize("alg", JOSERFC)
@given(number=st.integers(0, 2), further=FURTHER)
@settings(max_examples=8, deadline=None)
def test_joserfc_and_admit_read_each_other(alg: str, number: int, further: dict[str, Any]) -> None:
    one = of(alg, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it deprecates EdDSA
        theirs = joserfc.jwk.import_key(one.to_jwk(private=True))
        signer, verifier = pair(one)
        token = signer.sign(sub="alice", claims=further)
        read = joserfc.jwt.decode(token, theirs, algorithms=[one.alg]).claims
        assert read == verifier.verify(token).raw
        made = joserfc.jwt.encode({"alg": one.alg, "kid": one.kid, "typ": "JWT"}, read, theirs, algorithms=[one.alg])
        assert verifier.verify(made).raw == read
        assert Key.from_jwk(theirs.as_dict(private=True)) == one


@pytest.mark.parametrize(
    "alg", [alg for alg in ALL if not alg.startswith("ML-DSA") and alg not in ("Ed25519", "Ed448")] + ["EdDSA"]
)
def test_jwcrypto_and_admit_read_each_other(alg: str) -> None:
    one = of(alg, 0)
    theirs = jwcrypto_jwk.JWK(**one.to_jwk(private=True))
    read = jwcrypto_jws.JWS()
    read.allowed_algs = [one.alg]
    read.deserialize(jws.sign(one, b"payload"), theirs)
    assert read.payload == b"payload"
    made = jwcrypto_jws.JWS(b"payload")
    made.allowed_algs = [one.alg]
    made.add_signature(theirs, None, json.dumps({"alg": one.alg, "kid": one.kid}), None)
    assert jws.verify(made.serialize(compact=True), one).payload == b"payload"
    assert theirs.thumbprint() == one.thumbprint()


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
