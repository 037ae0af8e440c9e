"""JSON serializations, detached and unencoded payloads, and compression go both ways between Admit and its peers."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import joserfc.jwe
import joserfc.jwk
import joserfc.jws
import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from admit import Key
from admit.jose import detached, jwe, jwe_json, jws_json
from admit.jose.jws_json import Signatory
from tests.helpers.forge import key

BYTES = st.binary(min_size=1, max_size=60)
WORDS = st.text('abc .{}"é', min_size=1, max_size=20)
SEALING = ("A256KW", "RSA-OAEP-256", "ECDH-ES+A128KW")
NAMES = [*SEALING, "A256GCM"]


@cache
def signing(alg: str) -> Key:
    return Key.from_jwk(key(alg).to_jwk(private=True) | {"kid": alg})


@cache
def sealing(alg: str) -> Key:
    return Key.generate(alg, kid=alg, curve="X25519")


def plain(own: Key) -> dict[str, Any]:
    return {name: value for name, value in own.to_jwk(private=True).items() if name not in ("alg", "use")}


@cache
def joserfc_key(own: Key) -> Any:
    return joserfc.jwk.import_key(plain(own))


@cache
def jwcrypto_key(own: Key) -> Any:
    return jwcrypto_jwk.JWK(**plain(own))


@pytest.mark.parametrize("alg", ["HS256", "ES256", "PS256", "Ed25519"])
@given(payload=BYTES)
@settings(max_examples=4)
def test_a_jws_in_json_is_read_by_joserfc_and_the_reverse(alg: str, payload: bytes) -> None:
    one = signing(alg)
    theirs = joserfc_key(one)
    for text in (
        jws_json.sign_flattened(Signatory(one, unprotected={"n": 1}), payload),
        jws_json.sign_general([one], payload),
    ):
        document: Any = json.loads(text)
        if "header" in document:
            del document["header"]  # it knows registered names only, and nothing protects this one
        assert joserfc.jws.deserialize_json(document, theirs, [alg]).payload == payload
    member: Any = {"protected": {"alg": alg}, "header": {"kid": one.kid}}
    for made in (
        joserfc.jws.serialize_json(member, payload, theirs, [alg]),
        joserfc.jws.serialize_json([member], payload, theirs, [alg]),
    ):
        assert jws_json.verify(json.dumps(made), one).payload == payload


@given(payload=BYTES)
@settings(max_examples=8)
def test_a_jws_with_several_signatures_is_read_by_jwcrypto_and_the_reverse(payload: bytes) -> None:
    everyone = [signing(alg) for alg in ("ES256", "HS256", "Ed25519")]
    text = jws_json.sign_general([Signatory(one, unprotected={"n": 1}) for one in everyone], payload)
    made = jwcrypto_jws.JWS(payload)
    made.allowed_algs = [one.alg for one in everyone]
    for one in everyone:
        read = jwcrypto_jws.JWS()
        read.allowed_algs = made.allowed_algs
        read.deserialize(text, jwcrypto_key(one))
        assert read.payload == payload
        made.add_signature(jwcrypto_key(one), None, json.dumps({"alg": one.alg, "kid": one.kid}), json.dumps({"n": 2}))
    assert len(jws_json.verify(made.serialize(), everyone).signatures) == 3


@given(payload=WORDS)
@settings(max_examples=8)
def test_an_unencoded_payload_that_is_detached_is_read_by_all_and_the_reverse(payload: str) -> None:
    one, data = signing("ES256"), payload.encode()
    token = detached.sign(one, data, b64=False)
    head = {"alg": "ES256", "kid": one.kid, "b64": False, "crit": ["b64"]}

    assert pyjwt.api_jws.decode(token, one.to_pem(), algorithms=["ES256"], detached_payload=data) == data
    made = pyjwt.api_jws.encode(data, one.to_pem(private=True), "ES256", {"kid": one.kid}, is_payload_detached=True)
    assert detached.verify(made, data, one).payload == data

    assert joserfc.jws.deserialize_compact(token, joserfc_key(one), ["ES256"], payload=data).payload == data
    theirs = joserfc.jws.serialize_compact(head, data, joserfc_key(one), ["ES256"])
    assert detached.verify(theirs.split(".")[0] + ".." + theirs.split(".")[-1], data, one).payload == data

    other = jwcrypto_jws.JWS(data)
    other.add_signature(jwcrypto_key(one), None, json.dumps(head), None)
    other.detach_payload()
    assert detached.verify(other.serialize(compact=True), data, one).payload == data


@given(plaintext=BYTES, aad=BYTES)
@settings(max_examples=6)
def test_a_document_for_several_recipients_is_read_by_jwcrypto_and_the_reverse(plaintext: bytes, aad: bytes) -> None:
    everyone = [sealing(alg) for alg in SEALING]
    text = jwe_json.encrypt_general(everyone, plaintext, aad=aad, unprotected={"jku": "u"})
    made = jwcrypto_jwe.JWE(plaintext, json.dumps({"enc": "A256GCM"}), aad=aad)
    for one in everyone:
        read = jwcrypto_jwe.JWE()
        read.deserialize(text, jwcrypto_key(one))
        assert read.payload == plaintext
        made.add_recipient(jwcrypto_key(one), json.dumps({"alg": one.alg, "kid": one.kid}))
    for one in everyone:
        opened = jwe_json.decrypt(made.serialize(), one)
        assert (opened.plaintext, opened.aad) == (plaintext, aad)


@given(plaintext=BYTES, aad=BYTES)
@settings(max_examples=6)
def test_a_document_for_several_recipients_is_read_by_joserfc_and_the_reverse(plaintext: bytes, aad: bytes) -> None:
    everyone = [sealing(alg) for alg in SEALING]
    theirs = joserfc.jwk.KeySet([joserfc_key(one) for one in everyone])
    documents = [jwe_json.encrypt_general(everyone, plaintext, aad=aad)]
    documents += [jwe_json.encrypt_flattened(one, plaintext, aad=aad) for one in everyone]
    for text in documents:
        assert joserfc.jwe.decrypt_json(json.loads(text), theirs, algorithms=NAMES).plaintext == plaintext
    made = joserfc.jwe.GeneralJSONEncryption({"enc": "A256GCM"}, plaintext, aad=aad)
    for one, each in zip(everyone, theirs.keys, strict=True):
        made.add_recipient({"alg": one.alg, "kid": one.kid}, each)
    text = json.dumps(joserfc.jwe.encrypt_json(made, None, algorithms=NAMES))
    assert {jwe_json.decrypt(text, one).plaintext for one in everyone} == {plaintext}


def test_what_is_compressed_is_read_by_jwcrypto_and_the_reverse() -> None:
    own, plaintext = sealing("A256KW"), b"again and " * 50
    read = jwcrypto_jwe.JWE()
    read.deserialize(jwe.encrypt(own, plaintext, compress=True), jwcrypto_key(own))
    assert read.payload == plaintext
    made = jwcrypto_jwe.JWE(plaintext, json.dumps({"alg": "A256KW", "enc": "A256GCM", "zip": "DEF"}))
    made.add_recipient(jwcrypto_key(own))
    assert jwe.decrypt(made.serialize(compact=True), own, inflate=True).plaintext == plaintext
