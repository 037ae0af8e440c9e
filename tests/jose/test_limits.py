"""What is refused before it costs anything, and what is large and honest and passes."""

from __future__ import annotations

import base64
import json
import tracemalloc
from datetime import datetime
from pathlib import Path
from runpy import run_path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from admit import Key, Verifier
from admit.errors import MalformedToken
from admit.jose import jwe, jwe_json, jws, jws_json
from admit.jose.keyset import KeySet
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, b64, claims, forge, key

BENCH = Path(__file__).parents[2] / "bench" / "jose.py"
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig")


def test_hostile_tokens_are_refused_with_less_than_a_megabyte() -> None:
    bench = run_path(str(BENCH))  # the same tokens as in its table, which has the milliseconds
    refused, peaks = bench["refused"], {}
    for name, call in bench["hostile"]().items():
        refused(call)  # what is loaded on first use is not its doing
        tracemalloc.start()
        try:
            refused(call)
            peaks[name] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(peaks) >= 10
    assert max(peaks.values()) < 1_000_000, peaks


@pytest.mark.parametrize("encoding", WIDE)
def test_json_in_another_encoding_is_refused(encoding: str) -> None:
    verifier = Verifier(KeySet([key("HS256")]), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    head = {"alg": "HS256", "typ": "at+jwt", "kid": key("HS256").kid}
    verifier.verify(forge(json.dumps(claims()).encode(), header=json.dumps(head).encode()))
    with pytest.raises(MalformedToken):
        verifier.verify(forge(json.dumps(claims()).encode(encoding)))
    with pytest.raises(MalformedToken):
        verifier.verify(forge(header=json.dumps(head).encode(encoding)))
    with pytest.raises(MalformedToken):
        jws_json.verify(json.dumps({"payload": "", "signatures": []}).encode(encoding), key("HS256"))
    sealed = Key.generate("A128GCM", kid="k")
    first, _, rest = jwe.encrypt(sealed, b"x").partition(".")
    again = b64(base64.urlsafe_b64decode(first + "==").decode().encode(encoding))
    with pytest.raises(MalformedToken):
        jwe.decrypt(f"{again}.{rest}", sealed)
    with pytest.raises(MalformedToken):
        jwe_json.decrypt(jwe_json.encrypt_flattened(sealed, b"x").encode(encoding), sealed)


def certificate(owner: Key) -> x509.Certificate:
    """One that the key made for itself."""
    private = owner._material[0]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "auth.example")])
    began, ends = datetime(2020, 1, 1), datetime(2040, 1, 1)
    return x509.CertificateBuilder(name, name, private.public_key(), 1, began, ends).sign(private, hashes.SHA256())


def test_a_chain_of_certificates_in_the_header_passes() -> None:
    big = Key.generate("RS256", bits=4096)
    chain = [base64.b64encode(certificate(big).public_bytes(Encoding.DER)).decode()] * 4
    token = jws.sign(big, b"{}", header={"x5c": chain})
    assert len(token) > 6_000
    assert jws.verify(token, big.public()).header.members["x5c"] == chain


@pytest.mark.parametrize("bits", [2048, 4096, 8192])
def test_an_rsa_key_in_the_header_of_a_proof_passes(bits: int) -> None:
    wide = int.from_bytes(b"\xff" * (bits // 8))
    embedded = {"kty": "RSA", "e": "AQAB", "n": b64(wide.to_bytes(bits // 8))}
    token = jws.sign(key("ES256"), b"{}", typ="dpop+jwt", header={"jwk": embedded})
    assert jws.verify(token, key("ES256"), typ="dpop+jwt").header.members["jwk"] == embedded


@pytest.mark.parametrize(
    ("alg", "pair"), [("RSA-OAEP-256", "RS256"), ("ECDH-ES+A128KW", "ES256"), ("ECDH-ES", "ES512")]
)
def test_keys_for_encryption_come_in_every_form(alg: str, pair: str) -> None:
    own = key(pair)
    sealed = jwe.encrypt(Key.from_pem(certificate(own).public_bytes(Encoding.PEM), alg, kid="k"), b"secret")
    again = jwe.encrypt(Key.from_der(certificate(own).public_bytes(Encoding.DER), alg, kid="k"), b"secret")
    plain = jwe.encrypt(Key.from_pem(own.to_pem(), alg, kid="k"), b"secret")
    for private in (
        Key.from_pem(own.to_pem(private=True), alg, kid="k"),
        Key.from_pem(own.to_pem(private=True, password=b"pw"), alg, password=b"pw", kid="k"),
        Key.from_der(own.to_der(private=True), alg, kid="k"),
    ):
        assert {jwe.decrypt(each, private).plaintext for each in (sealed, again, plain)} == {b"secret"}
