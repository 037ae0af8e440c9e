"""Encrypted tokens that an attacker makes: sizes, points, counts and headers that no honest writer writes."""

from __future__ import annotations

import json
import zlib
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import Key
from admit.errors import AdmitError, DecryptionFailed, InvalidToken, MalformedToken
from admit.jose import jwe, jwe_json
from admit.jose.content_encryption import CONTENT_ENCRYPTION, _cbc_tag, content_encryption
from admit.jose.encoding import b64url_decode, b64url_encode
from admit.jose.key_management import KEY_MANAGEMENT
from tests.helpers.forge import b64

CURVES = ("P-256", "P-384", "P-521", "X25519", "X448")
PASSWORD = "PBES2-HS256+A128KW"
QUICK = [name for name, row in KEY_MANAGEMENT.items() if not row.from_password]


@cache
def key(alg: str, curve: str = "P-256") -> Key:
    if KEY_MANAGEMENT[alg].from_password:
        return Key.from_secret(b"correct horse battery", alg, kid="k")
    return Key.generate(alg, kid="k", curve=curve)


@cache
def sealed(alg: str, curve: str = "P-256") -> str:
    return jwe.encrypt(key(alg, curve), b"secret")


def changed(token: str, **members: Any) -> str:
    """The token with other header parameters; an ellipsis leaves one out."""
    head, _, rest = token.partition(".")
    merged = json.loads(b64url_decode(head.encode())) | members
    kept = {name: value for name, value in merged.items() if value is not ...}
    return f"{b64(json.dumps(kept).encode())}.{rest}"


def forged(enc: str, cek: bytes, plaintext: bytes, **members: Any) -> str:
    """A token under a content key that the attacker knows, or that the writer of the test does."""
    head = b64url_encode(json.dumps({"alg": "dir", "enc": enc, **members}).encode())
    content = content_encryption(enc)
    iv = bytes(content.iv_size)
    ciphertext, tag = content.seal(content, cek, iv, plaintext, head)
    return b".".join((head, b"", *map(b64url_encode, (iv, ciphertext, tag)))).decode()


# --- any single bit


@pytest.mark.parametrize("alg", QUICK)
@given(data=st.data())
@settings(max_examples=25)
def test_any_single_changed_bit_of_a_compact_token_is_refused(alg: str, data: st.DataObject) -> None:
    token = bytearray(sealed(alg).encode())
    position = data.draw(st.integers(0, len(token) * 8 - 1))
    token[position // 8] ^= 1 << position % 8
    with pytest.raises(InvalidToken):
        jwe.decrypt(bytes(token), key(alg))


@cache
def documents() -> list[tuple[bytes, Key]]:
    several = [key("A256KW"), key("RSA-OAEP-256"), key("ECDH-ES+A128KW", "X25519")]
    general = jwe_json.encrypt_general(several, b"secret", aad=b"readable", typ="x").encode()
    flattened = [jwe_json.encrypt_flattened(one, b"secret", aad=b"a").encode() for one in (key("A256GCM"), several[0])]
    return [(general, several[0]), (flattened[0], key("A256GCM")), (flattened[1], several[0])]


@given(which=st.integers(0, 2), position=st.integers(0, 50_000))
@settings(max_examples=150)
def test_any_single_changed_bit_of_a_document_is_refused_or_nothing_that_is_protected(
    which: int, position: int
) -> None:
    document, own = documents()[which]
    spoiled = bytearray(document)
    spoiled[position // 8 % len(document)] ^= 1 << position % 8
    try:
        read = jwe_json.decrypt(bytes(spoiled), own)
    except AdmitError:
        return
    # Nothing authenticates the headers of several recipients, nor what belongs to the others (RFC 7516 7.2.1).
    before, after = json.loads(document), json.loads(spoiled)
    assert read.plaintext == b"secret"
    assert which == 0
    assert all(before[name] == after[name] for name in ("protected", "iv", "ciphertext", "tag", "aad"))
    ours = [each["recipients"][read.index] for each in (before, after)]
    assert ours[0]["encrypted_key"] == ours[1]["encrypted_key"]
    assert ours[0]["header"]["alg"] == ours[1]["header"]["alg"]


# --- ephemeral keys


@pytest.mark.parametrize("crv", ["P-256", "P-384", "P-521"])
def test_an_ephemeral_point_off_its_curve_is_refused(crv: str) -> None:
    own = key("ECDH-ES", crv)
    epk = own.public().to_jwk()
    size = len(b64url_decode(epk["x"].encode()))
    one, zero = b64(b"\1".rjust(size, b"\0")), b64(bytes(size))
    points = [(zero, zero), (one, one), (epk["x"], epk["x"]), (epk["y"], epk["x"]), (b64(b"\xff" * size), epk["y"])]
    points += [(b64(b"\1"), b64(b"\1")), (epk["x"], ""), (epk["x"] + "A", epk["y"]), (b64(bytes(size + 1)), epk["y"])]
    for x, y in points:
        spoiled = {"kty": "EC", "crv": crv, "x": x, "y": y}
        with pytest.raises(MalformedToken, match="epk"):
            jwe.decrypt(changed(sealed("ECDH-ES", crv), epk=spoiled), own)


@pytest.mark.parametrize("crv", CURVES)
def test_an_ephemeral_key_of_any_other_kind_is_refused(crv: str) -> None:
    own = key("ECDH-ES", crv)
    others: list[Any] = [key("ECDH-ES", other).public().to_jwk() for other in CURVES if other != crv]
    others += [
        Key.generate("RSA-OAEP-256").public().to_jwk(),
        Key.generate("Ed25519").public().to_jwk(),
        Key.generate("ML-DSA-44").public().to_jwk(),
        key("A256KW").to_jwk(private=True),
        own.public().to_jwk() | {"d": None},
        *({"kty": kty, "crv": crv} for kty in (None, 5, ["EC"], {"EC": 1}, "ec")),
    ]
    for epk in [*others, ..., "x", 5, [own.public().to_jwk()]]:
        with pytest.raises(
            MalformedToken, match=r"epk is (missing|not on the curve|not an object)"
        ):  # before its numbers are read
            jwe.decrypt(changed(sealed("ECDH-ES", crv), epk=epk), own)


@pytest.mark.parametrize(("crv", "size"), [("X25519", 32), ("X448", 56)])
@pytest.mark.parametrize("u", [0, 1])
def test_an_ephemeral_point_of_small_order_agrees_on_nothing(crv: str, size: int, u: int) -> None:
    for alg in ("ECDH-ES", "ECDH-ES+A128KW"):
        epk = {"kty": "OKP", "crv": crv, "x": b64(u.to_bytes(size, "little"))}
        with pytest.raises(MalformedToken, match="small order"):
            jwe.decrypt(changed(sealed(alg, crv), epk=epk), key(alg, crv))


# --- wrapped keys


@pytest.mark.parametrize("alg", ["A128KW", "A256KW", "A256GCMKW", "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A256KW"])
def test_a_wrapped_key_of_any_size_says_nothing(alg: str) -> None:
    parts = sealed(alg).split(".")
    refusals = set()
    for size in (0, 1, 8, 15, 16, 24, 39, 40, 41, 48, 255, 256, 257, 512, 4096):
        parts[1] = b64(bytes(size))
        with pytest.raises(DecryptionFailed) as caught:
            jwe.decrypt(".".join(parts), key(alg))
        refusals.add(str(caught.value))
    assert len(refusals) == 1


def test_a_key_wrapped_with_another_hash_or_padding_says_nothing() -> None:
    material = key("RSA-OAEP-256").to_jwk(private=True)
    for alg in ("RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512"):
        other = Key.from_jwk(material | {"alg": alg})
        with pytest.raises(MalformedToken):
            jwe.decrypt(sealed("RSA-OAEP-256"), other)
        with pytest.raises(DecryptionFailed):
            jwe.decrypt(changed(sealed("RSA-OAEP-256"), alg=alg), other)


@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_a_header_never_chooses_another_algorithm_for_a_key(alg: str) -> None:
    own = key(alg)
    others = {row.alg for row in KEY_MANAGEMENT.values()} - {KEY_MANAGEMENT[alg].alg}
    token = sealed("A256KW") if KEY_MANAGEMENT[alg].from_password else sealed(alg)
    for other in [*others, KEY_MANAGEMENT[alg].alg.lower() + "x", "RSA1_5", "none", "", alg + " ", alg.lower()]:
        if other != KEY_MANAGEMENT[alg].alg:
            with pytest.raises(MalformedToken):
                jwe.decrypt(changed(token, alg=other), own)
    odd: list[Any] = [None, 5, [alg], {"alg": alg}, ...]
    for value in odd:
        with pytest.raises(MalformedToken):
            jwe.decrypt(changed(token, alg=value), own)


@pytest.mark.parametrize("enc", CONTENT_ENCRYPTION)
def test_a_header_never_chooses_another_encryption_for_a_content_key(enc: str) -> None:
    own = key(enc)
    for other in CONTENT_ENCRYPTION:
        if other != enc:
            with pytest.raises(MalformedToken):
                jwe.decrypt(changed(sealed(enc), enc=other), own)
            # Keys of 32 bytes serve A256GCM and A128CBC-HS256: bound to one, a key never opens the other.
            if CONTENT_ENCRYPTION[other].key_size == CONTENT_ENCRYPTION[enc].key_size:
                with pytest.raises(MalformedToken):
                    jwe.decrypt(forged(other, own.opening()[1], b"secret", kid="k"), own)


# --- content


@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"])
def test_bad_padding_under_a_good_tag_is_refused_as_a_bad_tag_is(enc: str) -> None:
    content = content_encryption(enc)
    cek = bytes(range(content.key_size))  # a random key makes a padding of one byte good, once in 256
    own = Key.from_secret(cek, enc, kid="k")
    head = b64url_encode(json.dumps({"alg": "dir", "enc": enc, "kid": "k"}).encode())
    refusals = set()
    for ciphertext in (b"", bytes(15), bytes(16), bytes(17), bytes(32)):
        tag = _cbc_tag(content, cek, bytes(16), ciphertext, head)
        with pytest.raises(DecryptionFailed) as caught:
            jwe.decrypt(b".".join((head, b"", *map(b64url_encode, (bytes(16), ciphertext, tag)))), own)
        refusals.add((str(caught.value), caught.value.__cause__))
    assert len(refusals) == 1


@pytest.mark.parametrize("enc", CONTENT_ENCRYPTION)
def test_an_empty_plaintext_is_one_and_an_empty_ciphertext_is_refused_with_any_other_tag(enc: str) -> None:
    own = key(enc)
    assert jwe.decrypt(jwe.encrypt(own, b""), own).plaintext == b""
    head, none, iv, _, tag = sealed(enc).split(".")
    with pytest.raises(DecryptionFailed):
        jwe.decrypt(".".join((head, none, iv, "", tag)), own)


@pytest.mark.parametrize("value", [None, "def", "GZIP", "", 5, True, ["DEF"], {}])
def test_zip_is_def_or_nothing(value: Any) -> None:
    with pytest.raises(MalformedToken, match="zip"):
        jwe.decrypt(changed(sealed("A256GCM"), zip=value), key("A256GCM"), inflate=True)


def test_what_follows_the_compressed_content_or_is_no_raw_deflate_is_refused() -> None:
    own = key("A256GCM")
    cek, raw = own.opening()[1], zlib.compress(b"secret", wbits=-15)
    assert jwe.decrypt(forged("A256GCM", cek, raw, zip="DEF", kid="k"), own, inflate=True).plaintext == b"secret"
    for bad in (raw + b"\0", raw[:-1], b"", zlib.compress(b"secret"), zlib.compress(b"secret", wbits=31), raw + raw):
        with pytest.raises(MalformedToken):
            jwe.decrypt(forged("A256GCM", cek, bad, zip="DEF", kid="k"), own, inflate=True)


# --- what a header orders


@pytest.mark.parametrize(
    "count", [..., None, 0, -1, 1, 999, 1_200_001, 2**31 - 1, 2**63, 1000.0, 1e9, True, "1000", [1000]]
)
def test_a_count_of_rounds_is_a_whole_number_within_bounds(count: Any) -> None:
    token = changed(sealed(PASSWORD), p2c=count)
    with pytest.raises(MalformedToken, match="p2c"):
        jwe.decrypt(token, key(PASSWORD))


@pytest.mark.parametrize(
    "salt", [..., None, 5, "", b64(bytes(7)), b64(bytes(257)), "A" * 12_000, "AB", "é", [b64(bytes(8))]]
)
def test_a_salt_is_8_to_256_bytes(salt: Any) -> None:
    with pytest.raises(MalformedToken):
        jwe.decrypt(changed(sealed(PASSWORD), p2s=salt), key(PASSWORD))


@pytest.mark.parametrize("party", ["apu", "apv"])
def test_the_parties_of_an_agreement_are_bound_to_it(party: str) -> None:
    own = key("ECDH-ES+A128KW", "X25519")
    token = jwe.encrypt(own, b"secret", header={"apu": b64(b"alice"), "apv": b64(b"bob")})
    assert jwe.decrypt(token, own).plaintext == b"secret"
    for value in (b64(b"mallory"), ...):
        with pytest.raises(DecryptionFailed):
            jwe.decrypt(changed(token, **{party: value}), own)
    at_most = jwe.encrypt(own, b"secret", header={party: b64(bytes(512))})
    assert jwe.decrypt(at_most, own).plaintext == b"secret"
    with pytest.raises(MalformedToken, match=party):
        jwe.decrypt(changed(token, **{party: b64(bytes(513))}), own)


@pytest.mark.parametrize(
    "members",
    [
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["enc"]},
        {"crit": ["x"]},
        {"crit": "x", "x": 1},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
        {"b64": True, "crit": ["b64"]},
        {"kid": 5},
        {"typ": None},
        {"cty": ["JWT"]},
        {"enc": None},
        {"enc": "a256gcm"},
        {"enc": "A256GCM "},
        {"enc": ["A256GCM"]},
    ],
    ids=str,
)
def test_a_header_that_breaks_a_rule_is_refused_though_it_is_authenticated(members: dict[str, Any]) -> None:
    own = key("A256GCM")
    head = {"alg": "dir", "enc": "A256GCM", "kid": "k"} | members
    segment = b64url_encode(json.dumps(head).encode())
    content = content_encryption("A256GCM")
    ciphertext, tag = content.seal(content, own.opening()[1], bytes(12), b"secret", segment)
    with pytest.raises(MalformedToken):
        jwe.decrypt(b".".join((segment, b"", *map(b64url_encode, (bytes(12), ciphertext, tag)))), own)


@pytest.mark.parametrize("kid", ["k\0", "K", " k", "k" * 9_000, "", "../k", "k' OR 1=1"])
def test_a_kid_is_matched_exactly_and_an_error_shows_a_bounded_piece(kid: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        jwe.decrypt(changed(sealed("A256KW"), kid=kid), key("A256KW"))
    assert caught.value.code == "unknown_key"
    assert len(str(caught.value)) < 250
    assert "\0" not in str(caught.value)
