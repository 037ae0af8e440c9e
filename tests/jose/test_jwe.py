"""Compact JWE: what opens, and everything that does not."""

from __future__ import annotations

import zlib
from functools import cache

import pytest

from admit import Key, KeySet
from admit.clock import random_bytes
from admit.errors import (
    AdmitError,
    ConfigurationError,
    DecryptionFailed,
    InvalidKey,
    MalformedToken,
    UnknownKey,
    WrongType,
)
from admit.jose import agreement, jwe, jws
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.encoding import b64url_encode, json_bytes
from admit.jose.header import parse
from admit.jose.key_management import KEY_MANAGEMENT, MAX_P2C

CURVES = ("P-256", "P-384", "P-521", "X25519", "X448")
PASSWORDS = [name for name in KEY_MANAGEMENT if name.startswith("PBES2")]
PLAIN = [name for name in KEY_MANAGEMENT if name not in PASSWORDS]
CASES = [(name, crv) for name in PLAIN for crv in (CURVES if name.startswith("ECDH") else CURVES[:1])]


@cache
def key(alg: str, crv: str = "P-256") -> Key:
    return Key.from_secret(b"correct horse", alg) if alg in PASSWORDS else Key.generate(alg, curve=crv)


def changed(token: str, **members: object) -> str:
    head, _, rest = token.partition(".")
    return b64url_encode(json_bytes(parse(head.encode()).members | members)).decode() + "." + rest


@pytest.mark.parametrize(("alg", "crv"), CASES)
@pytest.mark.parametrize("enc", list(CONTENT_ENCRYPTION))
def test_what_is_encrypted_to_a_key_opens_with_it(alg: str, crv: str, enc: str) -> None:
    own = key(alg, crv)
    if alg in CONTENT_ENCRYPTION and alg != enc:
        with pytest.raises(InvalidKey):
            jwe.encrypt(own, b"secret", enc=enc)
        return
    token = jwe.encrypt(own if own.algorithm.symmetric else own.public(), b"secret", enc=enc)
    assert jwe.decrypt(token, own).plaintext == b"secret"
    assert jwe.decrypt(token, KeySet([own]), enc=[enc]).key == own


@pytest.mark.parametrize("alg", PASSWORDS)
def test_a_password_opens_what_it_closed(alg: str) -> None:
    token = jwe.encrypt(key(alg), b"secret")
    assert jwe.decrypt(token, key(alg)).plaintext == b"secret"
    for count in (999, MAX_P2C + 1, 2**31 - 1, True, "1000", 1000.0):
        with pytest.raises(MalformedToken, match="p2c"):
            jwe.decrypt(changed(token, p2c=count), key(alg))
    with pytest.raises(InvalidKey, match="asks for it"):
        Key.from_jwk(key(alg).to_jwk(private=True))


@pytest.mark.parametrize("alg", ["A256GCM", "A256KW", "A256GCMKW", "RSA-OAEP-256", "ECDH-ES"])
def test_any_changed_character_is_refused(alg: str) -> None:
    token = jwe.encrypt(key(alg), b"secret")
    for at in range(0, len(token), 1 + len(token) // 200):
        with pytest.raises(AdmitError):
            jwe.decrypt(token[:at] + ("A" if token[at] != "A" else "Q") + token[at + 1 :], key(alg))


@pytest.mark.parametrize("alg", ["A256KW", "A256GCMKW", "RSA-OAEP-256", "ECDH-ES+A256KW"])
def test_a_bad_key_a_bad_padding_and_a_bad_tag_look_the_same(alg: str) -> None:
    token = jwe.encrypt(key(alg), b"secret", enc="A128CBC-HS256")
    parts = token.split(".")
    texts = set()
    for at in (1, 3, 4):
        spoiled = list(parts)
        spoiled[at] = ("A" if parts[at][0] != "A" else "Q") + parts[at][1:]
        with pytest.raises(DecryptionFailed) as caught:
            jwe.decrypt(".".join(spoiled), key(alg))
        texts.add((type(caught.value), caught.value.code, str(caught.value), caught.value.__cause__))
    assert len(texts) == 1


@pytest.mark.parametrize("alg", ["A256GCM", "ECDH-ES"])
def test_an_encrypted_key_is_empty_where_the_algorithm_says_so(alg: str) -> None:
    head, _, rest = jwe.encrypt(key(alg), b"secret").partition("..")
    with pytest.raises(MalformedToken, match="empty"):
        jwe.decrypt(f"{head}.AAAA.{rest}", key(alg))


@pytest.mark.parametrize(("part", "size"), [(2, 11), (2, 13), (2, 16), (4, 15), (4, 12), (4, 17)])
def test_an_iv_or_tag_of_another_size_is_refused(part: int, size: int) -> None:
    parts = jwe.encrypt(key("A256GCM"), b"secret").split(".")
    parts[part] = b64url_encode(bytes(size)).decode()
    with pytest.raises(MalformedToken):
        jwe.decrypt(".".join(parts), key("A256GCM"))


def test_an_epk_that_is_private_of_another_curve_or_of_small_order_is_refused() -> None:
    own = key("ECDH-ES", "X25519")
    token = jwe.encrypt(own, b"secret")
    epks: tuple[object, ...] = (
        None,
        [],
        key("ECDH-ES", "P-384").to_jwk(),
        key("ECDH-ES", "X25519").to_jwk(private=True),
        *({"kty": "OKP", "crv": "X25519", "x": b64url_encode(bytes([low]) + bytes(31)).decode()} for low in (0, 1)),
    )
    for epk in epks:
        with pytest.raises(MalformedToken):
            jwe.decrypt(changed(token, epk=epk), own)


def test_a_party_that_is_no_string_or_too_long_is_refused() -> None:
    token = jwe.encrypt(key("ECDH-ES"), b"secret")
    for party in (None, 5, "A" * (agreement.MAX_PARTY * 2), "=="):
        with pytest.raises(MalformedToken):
            jwe.decrypt(changed(token, apu=party), key("ECDH-ES"))


def test_the_example_of_an_agreement_gives_its_key() -> None:
    """RFC 7518 appendix C."""
    z = bytes.fromhex("9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4")
    derived = agreement.derive(z, "A128GCM", 16, {"apu": "QWxpY2U", "apv": "Qm9i"})
    assert b64url_encode(derived) == b"VqqN6vgjbSBcIijNcacQGg"


@pytest.mark.parametrize(
    ("enc", "tag"),
    [
        ("A128CBC-HS256", "652c3fa36b0a7c5b3219fab3a30bc1c4"),
        ("A192CBC-HS384", "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7"),
        ("A256CBC-HS512", "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5"),
    ],
)
def test_the_examples_of_content_encryption_give_their_tags(enc: str, tag: str) -> None:
    """RFC 7518 appendix B."""
    content = CONTENT_ENCRYPTION[enc]
    plaintext = (
        b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy"
        b" without inconvenience"
    )
    iv, aad = bytes.fromhex("1af38c2dc2b96ffdd86694092341bc04"), b"The second principle of Auguste Kerckhoffs"
    ciphertext, made = content.seal(content, bytes(range(content.key_size)), iv, plaintext, aad)
    assert made.hex() == tag
    assert content.open(content, bytes(range(content.key_size)), iv, ciphertext, made, aad) == plaintext


def test_the_kid_is_left_out_on_request_and_what_no_reader_reads_is_not_written() -> None:
    own = key("A256KW")
    token = jwe.encrypt(own, b"secret", kid=False)
    assert (parse(token.partition(".")[0].encode()).kid, jwe.decrypt(token, own).plaintext) == (None, b"secret")
    assert parse(jwe.encrypt(own, b"secret").partition(".")[0].encode()).kid == own.kid
    with pytest.raises(MalformedToken, match="cty"):
        jwe.encrypt(own, b"secret", header={"cty": 5})


def test_the_type_is_the_one_asked_for() -> None:
    own = key("A256KW")
    assert jwe.decrypt(jwe.encrypt(own, b"secret", typ="application/X"), own, typ="x").header.typ == "x"
    for typ in (None, "y"):
        with pytest.raises(WrongType):
            jwe.decrypt(jwe.encrypt(own, b"secret", typ=typ), own, typ="x")


def test_a_compact_token_is_ascii_text_of_five_parts_within_its_limit() -> None:
    own = key("A256KW")
    token = jwe.encrypt(own, b"secret")
    assert jwe.decrypt(token, own, limit=len(token)) == jwe.decrypt(token.encode(), own)
    with pytest.raises(MalformedToken, match="at most"):
        jwe.decrypt(token, own, limit=len(token) - 1)
    for kind in (bytearray, memoryview):
        with pytest.raises(MalformedToken, match="a token is text"):
            jwe.decrypt(kind(token.encode()), own)  # type: ignore[arg-type]
    with pytest.raises(MalformedToken, match="ASCII"):
        jwe.decrypt(token + "é", own)
    for parts in (1, 2, 3, 4, 6, 7):
        with pytest.raises(MalformedToken, match=f"its parts are {parts}, not 5"):
            jwe.decrypt(".".join(["AA"] * parts), own)


def test_the_header_cannot_widen_what_the_recipient_accepts() -> None:
    token = jwe.encrypt(key("A256KW"), b"secret", enc="A128GCM")
    with pytest.raises(MalformedToken):
        jwe.decrypt(token, key("A256KW"), enc=["A256GCM"])
    with pytest.raises(ConfigurationError):
        jwe.decrypt(token, key("A256KW"), enc=[])


def test_compression_is_read_on_request_only_and_a_bomb_stops_at_its_limit() -> None:
    own = key("A256KW")
    token = jwe.encrypt(own, bytes(jwe.MAX_INFLATED), compress=True)
    assert jwe.decrypt(token, own, inflate=True).plaintext == bytes(jwe.MAX_INFLATED)
    with pytest.raises(MalformedToken, match="nobody asked"):
        jwe.decrypt(token, own)
    with pytest.raises(MalformedToken, match="no reader"):
        jwe.encrypt(own, bytes(jwe.MAX_INFLATED + 1), compress=True)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(jwe.MAX_INFLATED + 1)) + packer.flush()
    with pytest.raises(MalformedToken, match="inflates"):
        jwe._inflate(bomb)
    for broken in (b"", bomb[:20], random_bytes(40), packed(b"x") + b"more"):
        with pytest.raises(MalformedToken):
            jwe._inflate(broken)


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def test_keys_for_signatures_and_for_encryption_never_pass_for_each_other() -> None:
    signing, sealing = Key.generate("HS256", kid="k"), Key.generate("A256KW", kid="k")
    with pytest.raises(InvalidKey):
        jwe.encrypt(signing, b"secret")
    with pytest.raises(InvalidKey):
        jws.sign(sealing, b"payload")
    with pytest.raises(AdmitError):
        jwe.decrypt(jwe.encrypt(sealing, b"secret"), signing)
    with pytest.raises(MalformedToken, match="JWE"):
        jws.verify(jwe.encrypt(sealing, b"secret"), signing)
    with pytest.raises(MalformedToken, match="not a compact JWE"):
        jwe.decrypt(jws.sign(signing, b"payload"), sealing)
    with pytest.raises(InvalidKey):
        Key.from_jwk(sealing.to_jwk(private=True) | {"use": "sig"})
    with pytest.raises(InvalidKey):
        KeySet([sealing, Key.generate("RSA-OAEP-256")])
    with pytest.raises(UnknownKey):
        jwe.decrypt(jwe.encrypt(key("ECDH-ES"), b"secret"), key("ECDH-ES").public())


def test_a_set_is_for_signatures_or_for_encryption() -> None:
    signing, sealing = Key.generate("ES256"), key("RSA-OAEP-256").public()
    with pytest.raises(InvalidKey):
        KeySet([signing, sealing])
    document = {"keys": [signing.to_jwk(), sealing.to_jwk()]}
    assert list(KeySet.from_jwks(document)) == [signing.public()]
    assert list(KeySet.from_jwks(document, use="enc")) == [sealing]


def test_a_huge_token_or_a_million_dots_is_refused_unread() -> None:
    for token in ("A" * 5_000_000, "." * 1_000_000):
        with pytest.raises(MalformedToken, match="at most"):
            jwe.decrypt(token, key("A256KW"))


@pytest.mark.parametrize("alg", ["RSA1_5", "none", "dir", "A512KW"])
def test_an_algorithm_that_is_not_there_makes_no_key(alg: str) -> None:
    with pytest.raises(ConfigurationError):
        Key.generate(alg)
