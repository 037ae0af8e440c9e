"""Compact JWS with every algorithm: round trips, changed bits, sizes and ranges of signatures."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key, KeySet
from admit.errors import (
    BadSignature,
    InvalidKey,
    MalformedToken,
    UnknownKey,
    UnsupportedAlgorithm,
    WrongType,
)
from admit.jose import jws
from admit.jose.algorithms import ALGORITHMS, algorithm
from admit.jose.encoding import b64url_decode
from tests.helpers.forge import ALL, KID, b64, claims, forge, key

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": int("01FF" + "F" * 62 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
SIZES = {"ES256": 64, "ES384": 96, "ES512": 132, "ES256K": 64, "Ed25519": 64, "Ed448": 114}


@pytest.mark.parametrize("alg", ALL)
@given(payload=st.binary(min_size=1, max_size=100))
@settings(max_examples=15)
def test_what_is_signed_is_verified(alg: str, payload: bytes) -> None:
    token = jws.sign(key(alg), payload, typ="x+y", header={"n": 1})
    read = jws.verify(token, KeySet([key(alg)]), typ="application/X+Y")
    assert (read.payload, read.key, read.header.alg, read.header.members["n"]) == (payload, key(alg), alg, 1)


def test_an_empty_payload_is_a_payload() -> None:
    assert jws.verify(jws.sign(key("HS256"), b""), key("HS256")).payload == b""


@pytest.mark.parametrize("alg", ALL)
@pytest.mark.parametrize("examples", [40, pytest.param(1_000, marks=pytest.mark.soak)])
def test_any_single_changed_bit_is_refused(alg: str, examples: int) -> None:
    token = forge(alg=alg).encode()
    assert jws.verify(token, key(alg))

    @settings(max_examples=examples)
    @given(position=st.integers(0, len(token) * 8 - 1))
    def refused(position: int) -> None:
        changed = bytearray(token)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises((MalformedToken, BadSignature, UnknownKey)):
            jws.verify(bytes(changed), key(alg))

    refused()


@pytest.mark.parametrize("alg", ["HS256", "ES256", "Ed25519"])
def test_every_single_changed_bit_is_refused(alg: str) -> None:
    token = jws.sign(key(alg), json.dumps(claims()).encode()).encode()
    for position in range(len(token) * 8):
        changed = bytearray(token)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises((MalformedToken, BadSignature, UnknownKey)):
            jws.verify(bytes(changed), key(alg))


@pytest.mark.parametrize("alg", ["HS256", "RS256", "PS256", "ES256", "Ed25519", "ML-DSA-44"])
def test_every_changed_bit_of_a_signature_is_refused(alg: str) -> None:
    data = b"signing input"
    whole = b64url_decode(key(alg).sign(data))
    for position in range(0, len(whole) * 8, 1 if len(whole) < 300 else 61):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(BadSignature):
            key(alg).check(data, b64(bytes(changed)).encode())


@pytest.mark.parametrize("alg", ALL)
def test_a_signature_has_its_exact_size(alg: str) -> None:
    data = b"signing input"
    whole = b64url_decode(key(alg).sign(data))
    assert len(whole) == SIZES.get(alg, len(whole))
    for wrong in (
        b"",
        whole[:-1],
        whole + b"\0",
        b"\0" + whole,
        whole[1:],
        whole + whole,
        whole[: len(whole) // 2],
        b"\0" * len(whole),
    ):
        with pytest.raises(BadSignature):
            key(alg).check(data, b64(wrong).encode())


@pytest.mark.parametrize("alg", ORDERS)
def test_r_and_s_lie_in_their_range(alg: str) -> None:
    # CVE-2022-21449: zeros passed for any message
    order, width, data = ORDERS[alg], SIZES[alg] // 2, b"signing input"
    whole = b64url_decode(key(alg).sign(data))
    r, s = int.from_bytes(whole[:width]), int.from_bytes(whole[width:])
    top = (1 << width * 8) - 1
    for first in (0, 1, order - 1, order, order + 1, r, top, *([r + order] if r + order <= top else [])):
        for second in (0, 1, order - 1, order, order + 1, s, top, *([s + order] if s + order <= top else [])):
            if (first, second) == (r, s):
                key(alg).check(data, b64(whole).encode())
                continue
            with pytest.raises(BadSignature):
                key(alg).check(data, b64(first.to_bytes(width) + second.to_bytes(width)).encode())


@pytest.mark.parametrize("alg", ORDERS)
def test_a_der_signature_is_not_a_jose_signature(alg: str) -> None:
    row = ALGORITHMS[alg]
    assert row.hash is not None
    der = key(alg)._material[0].sign(b"data", ec.ECDSA(row.hash()))
    with pytest.raises(BadSignature):
        key(alg).check(b"data", b64(der).encode())


@pytest.mark.parametrize("alg", ORDERS)
def test_short_r_and_s_are_padded_and_read_back(alg: str) -> None:
    # among 1500 signatures some r or s begins with a zero byte, and with a high bit after it
    for number in range(700 if alg == "ES256" else 200):
        data = number.to_bytes(4)
        key(alg).check(data, key(alg).sign(data))


def test_r_and_s_of_any_length_reach_the_primitive_in_strict_der() -> None:
    class Recorder:
        curve = ec.SECP521R1()

        def verify(self, signature: bytes, data: bytes, scheme: object) -> None:
            assert decode_dss_signature(signature) == numbers

    check = ALGORITHMS["ES512"].make_checker(ALGORITHMS["ES512"], Recorder())
    for r in range(1, 66):
        for top in (0x01, 0x7F, 0x80):
            numbers = (int.from_bytes(b"\x01" + bytes(65)), top << 8 * (r - 1))
            check(b"data", b64(b"".join(number.to_bytes(66) for number in numbers)).encode())


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "Ed25519", "ML-DSA-44"])
def test_a_signature_that_is_no_canonical_base64url_is_refused(alg: str) -> None:
    whole = key(alg).sign(b"data")
    for bad in (whole + b"=", whole[:-1] + b"!", b"A", b"\xff" * 8, b"+" + whole[1:]):
        with pytest.raises((MalformedToken, BadSignature)):
            key(alg).check(b"data", bad)


def test_a_name_of_no_algorithm_is_shown_only_where_it_is_too_short_for_a_secret() -> None:
    for name, is_shown in (("x" * 20, True), ("x" * 21, False), (["x"], False), (b"x", False)):
        with pytest.raises(UnsupportedAlgorithm) as caught:
            algorithm(name)  # type: ignore[arg-type]
        assert ("xx" in str(caught.value), "called that" in str(caught.value)) == (is_shown, not is_shown)


@pytest.mark.parametrize("alg", ["PS256", "PS384", "PS512"])
def test_the_salt_of_pss_is_as_long_as_the_hash(alg: str) -> None:
    private, hashed = key(alg)._material[0], ALGORITHMS[alg].hash
    assert hashed is not None
    for salt in (0, 8, hashed().digest_size - 1, hashed().digest_size + 1, padding.PSS.MAX_LENGTH):
        made = private.sign(b"data", padding.PSS(padding.MGF1(hashed()), salt), hashed())
        with pytest.raises(BadSignature):
            key(alg).check(b"data", b64(made).encode())
    other = private.sign(b"data", padding.PSS(padding.MGF1(hashes.SHA1()), hashed().digest_size), hashed())
    with pytest.raises(BadSignature):
        key(alg).check(b"data", b64(other).encode())


def test_rsa_signatures_of_one_scheme_or_hash_are_not_those_of_another() -> None:
    algs = [alg for alg in ALL if ALGORITHMS[alg].kty == "RSA"]
    pem = key("RS256").to_pem(private=True)
    keys = {alg: Key.from_pem(pem, alg) for alg in algs}
    for made in algs:
        signature = keys[made].sign(b"data")
        for checked in algs:
            if made == checked:
                keys[checked].check(b"data", signature)
            else:
                with pytest.raises(BadSignature):
                    keys[checked].check(b"data", signature)


def test_macs_of_one_hash_are_not_those_of_another_even_cut_or_padded() -> None:
    secret = bytes(range(64))
    keys = {alg: Key.from_secret(secret, alg) for alg in ("HS256", "HS384", "HS512")}
    for made, one in keys.items():
        raw = b64url_decode(one.sign(b"data"))
        for checked, other in keys.items():
            for size in (32, 48, 64):
                if made != checked or size != len(raw):
                    with pytest.raises(BadSignature):
                        other.check(b"data", b64(raw[:size].ljust(size, b"\0")).encode())


def test_each_algorithm_refuses_the_headers_of_all_others() -> None:
    for mine in ALL:
        for theirs in [*ALL, "none", "EdDSA"]:
            header = {"alg": theirs, "kid": KID, "typ": "at+jwt"}
            if key(mine).answers_to(theirs):
                jws.verify(forge(alg=mine, header=header), key(mine))
                continue
            with pytest.raises(MalformedToken):
                jws.verify(forge(alg=mine, header=header), key(mine))
            del header["kid"]
            with pytest.raises(UnknownKey):
                jws.verify(forge(alg=mine, header=header), key(mine))


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448"])
def test_eddsa_is_an_alias_and_stays_within_its_curve(alg: str) -> None:
    alias = Key.from_jwk(key(alg).to_jwk(private=True) | {"alg": "EdDSA"})
    token = jws.sign(alias, b"x")
    assert json.loads(b64url_decode(token.split(".")[0].encode()))["alg"] == "EdDSA"
    assert jws.verify(token, key(alg).public()).payload == b"x"
    assert jws.verify(jws.sign(key(alg), b"x"), alias.public()).payload == b"x"
    other = {"Ed25519": "Ed448", "Ed448": "Ed25519"}[alg]
    with pytest.raises((BadSignature, MalformedToken)):
        jws.verify(token, key(other))


def test_a_header_that_no_verifier_reads_is_not_written() -> None:
    bad: list[dict[str, object]] = [
        {"alg": "none"},
        {"kid": "x"},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"b64": False},
        {"b64": True, "crit": ["b64"]},
    ]
    bad += [{"cty": 5}, {"typ": "x"}]
    for header in bad:
        with pytest.raises(MalformedToken):
            jws.sign(key("HS256"), b"x", typ="JWT", header=header)


def test_the_type_is_the_one_asked_for() -> None:
    for typ in (None, "other"):
        with pytest.raises(WrongType):
            jws.verify(jws.sign(key("HS256"), b"x", typ=typ), key("HS256"), typ="mine")


@pytest.mark.parametrize("alg", [alg for alg in ALL if not alg.startswith("HS")])
def test_a_public_key_signs_nothing(alg: str) -> None:
    with pytest.raises(InvalidKey):
        jws.sign(key(alg).public(), b"x")


def test_key_ops_are_enforced_both_ways() -> None:
    full = key("ES256").to_jwk(private=True)
    signing, checking = (Key.from_jwk({**full, "key_ops": [op]}) for op in ("sign", "verify"))
    token = jws.sign(signing, b"x")
    assert jws.verify(token, checking).payload == b"x"
    with pytest.raises(InvalidKey):
        jws.sign(checking, b"x")
    with pytest.raises(UnknownKey, match="key_ops"):
        jws.verify(token, signing)


def test_a_compact_token_is_ascii_text_of_three_parts_within_its_limit() -> None:
    token = jws.sign(key("HS256"), b"payload")
    assert jws.verify(token, key("HS256"), limit=len(token)) == jws.verify(token.encode(), key("HS256"))
    with pytest.raises(MalformedToken, match="at most"):
        jws.verify(token, key("HS256"), limit=len(token) - 1)
    for kind in (bytearray, memoryview):
        with pytest.raises(MalformedToken, match="a token is text"):
            jws.verify(kind(token.encode()), key("HS256"))  # type: ignore[arg-type]
    with pytest.raises(MalformedToken, match="ASCII"):
        jws.verify(token + "é", key("HS256"))
    for parts in (1, 2, 4, 6):
        with pytest.raises(MalformedToken, match=f"its parts are {parts}, not 3"):
            jws.verify(".".join(["AA"] * parts), key("HS256"))
    with pytest.raises(MalformedToken, match="JWE"):
        jws.verify("AA.AA.AA.AA.AA", key("HS256"))
