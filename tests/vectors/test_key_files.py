"""Wycheproof's JSON Web Key cases, and nine keys in every format."""

from __future__ import annotations

from typing import Any

import pytest

from admit import Key, KeySet
from admit.errors import AdmitError, InvalidKey
from admit.jose import jws
from tests.helpers.vectors import load, needed

pytestmark = needed

WYCHEPROOF = [
    (group, test)
    for group in (load("json_web_key_test.json") or {"testGroups": []})["testGroups"]
    for test in group["tests"]
]
FORMATS: dict[str, Any] = load("keys_all_formats.json") or {}
ALGS = {"Ed25519": "Ed25519", "P256": "ES256", "P384": "ES384", "P521": "ES512", "RSA": "RS256"}
ALGS |= {alg: alg for alg in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")}


@pytest.mark.parametrize(
    ("group", "test"), WYCHEPROOF, ids=[f"{test['tcId']} {test['comment']}" for _, test in WYCHEPROOF]
)
@pytest.mark.parametrize("half", ["private", "public"])
def test_a_key_set_of_wycheproof_is_judged_as_it_says(half: str, group: dict[str, Any], test: dict[str, Any]) -> None:
    jwks = group.get(half) or group["private"]
    if test["result"] == "valid":
        assert jws.verify(test["jws"], KeySet.from_jwks(jwks)).payload == b"foo"
        return
    with pytest.raises(AdmitError):
        jws.verify(test["jws"], KeySet.from_jwks(jwks))


def test_all_of_wycheproof_is_there() -> None:
    assert [test["tcId"] for _, test in WYCHEPROOF] == list(range(1, 27))


@pytest.mark.parametrize("tc", [1, 4, 7, 8, 9, 10, 11, 12, 16, 22])
def test_a_bad_set_of_wycheproof_is_refused_before_any_token_comes(tc: int) -> None:
    group = next(group for group, test in WYCHEPROOF if test["tcId"] == tc)
    with pytest.raises(InvalidKey):
        KeySet.from_jwks(group["private"])


@pytest.mark.parametrize("name", list(FORMATS))
def test_one_key_is_the_same_in_every_format(name: str) -> None:
    forms = FORMATS[name]
    if name == "X25519":  # a key for agreement: it signs nothing
        for alg in ("Ed25519", "EdDSA"):
            with pytest.raises(InvalidKey):
                Key.from_pem(forms["pkcs8"], alg)
            with pytest.raises(InvalidKey):
                Key.from_jwk(forms["jwk"], alg=alg)
        return
    alg = ALGS[name]
    from_jwk = Key.from_jwk(forms["jwk"], alg=None if "alg" in forms["jwk"] else alg)
    from_pem = Key.from_pem(forms["pkcs8"], alg)
    assert from_jwk.private
    assert from_jwk == from_pem
    for public in ("spki", "x509"):
        if public in forms:
            assert Key.from_pem(forms[public], alg) == from_jwk.public()
    assert from_pem.to_pem().decode().split() == forms["spki"].split()
    assert Key.from_pem(from_pem.to_pem(private=True), alg) == from_pem
    from_jwk.public().check(b"data", from_pem.sign(b"data"))


def test_all_formats_are_there() -> None:
    assert set(FORMATS) == {*ALGS, "X25519"}
