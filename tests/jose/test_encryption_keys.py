"""Keys for encryption: what is refused when they are made, what their key_ops forbid, and sizes that are exact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from admit import Key, KeySet
from admit.errors import (
    ConfigurationError,
    DecryptionFailed,
    InvalidKey,
    MalformedToken,
    UnknownKey,
    UnsupportedAlgorithm,
)
from admit.jose import jwe, jwe_json, jwk
from admit.jose.content_encryption import content_encryption
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes
from admit.jose.key_management import KEY_MANAGEMENT, MAX_P2C, MIN_P2C, _password_key
from tests.helpers.forge import b64, key

AES = Key.generate("A256KW")
P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1


@pytest.mark.parametrize(
    ("crv", "u", "size"),
    [("X25519", u, 32) for u in (0, 1, P25519 - 1, P25519, P25519 + 1)] + [("X448", u, 56) for u in (0, 1, P448 - 1)],
)
def test_a_point_of_small_order_makes_no_key(crv: str, u: int, size: int) -> None:
    with pytest.raises(InvalidKey, match="small order"):
        Key.from_jwk({"kty": "OKP", "crv": crv, "x": b64(u.to_bytes(size, "little")), "alg": "ECDH-ES"})


@pytest.mark.parametrize("alg", ["A128KW", "A256GCMKW", "A256GCM", "A256CBC-HS512"])
@pytest.mark.parametrize("size", [0, 15, 17, 31, 33, 63, 65])
def test_a_secret_has_exactly_its_algorithms_size(alg: str, size: int) -> None:
    with pytest.raises(InvalidKey):
        Key.from_secret(bytes(size), alg)


def test_what_is_no_secret_makes_no_key_for_encryption() -> None:
    assert Key.from_secret(b"eight...", "PBES2-HS256+A128KW").algorithm.symmetric
    with pytest.raises(InvalidKey, match="8"):
        Key.from_secret(b"seven..", "PBES2-HS256+A128KW")
    for document in (key("RS256").to_pem(), json.dumps(key("ES256").to_jwk()).encode()):
        with pytest.raises(InvalidKey, match="key document"):
            Key.from_secret(document, "PBES2-HS256+A128KW")
    with pytest.raises(InvalidKey, match="bits"):
        Key.from_jwk(
            jwk.write((None, rsa.generate_private_key(65537, 1024).public_key()), private=False), alg="RSA-OAEP"
        )
    curve = jwk.write((None, ec.generate_private_key(ec.SECP256K1()).public_key()), private=False)
    with pytest.raises(InvalidKey):
        Key.from_jwk(curve, alg="ECDH-ES")
    pem = Key.from_jwk(curve, alg="ES256K").to_pem()
    with pytest.raises(InvalidKey, match="takes a key on"):
        Key.from_pem(pem, "ECDH-ES")


def test_what_a_jwk_for_dir_or_for_a_password_is_for_is_said_by_the_caller() -> None:
    direct: dict[str, Any] = {"kty": "oct", "k": b64(bytes(range(32))), "alg": "dir"}
    for alg in (None, "A256KW", "HS256", "dir", ""):
        with pytest.raises(InvalidKey, match="bound to one enc"):
            Key.from_jwk(direct, alg=alg)
    assert Key.from_jwk(direct, alg="A256GCM").algorithm.name == "A256GCM"
    name = "PBES2-HS256+A128KW"
    for members in (direct | {"alg": name}, {"kty": "oct", "k": direct["k"]}):
        with pytest.raises(InvalidKey, match="asks for it"):
            Key.from_jwk(members, algorithms=[name])
        assert Key.from_jwk(members, alg=name).alg == name


def test_an_agreement_takes_keys_on_its_curves_alone() -> None:
    row, own = KEY_MANAGEMENT["ECDH-ES"], [("EC", "P-256"), ("EC", "P-521"), ("OKP", "X25519"), ("OKP", "X448")]
    kinds = [
        (kty, crv) for kty in ("EC", "OKP", "RSA", None) for crv in ("P-256", "P-521", "X25519", "X448", "Ed25519")
    ]
    for crv in row.crvs:
        assert Key.generate("ECDH-ES", curve=crv).public().to_jwk()["crv"] == crv
    assert [kind for kind in [*kinds, ("EC", "secp256k1"), ("EC", None)] if row.takes(*kind)] == own


def test_arguments_of_the_wrong_sort_are_refused() -> None:
    odd: list[Any] = [None, 5, [], {}, "P-224", "secp256k1"]
    for value in odd:
        with pytest.raises(InvalidKey):
            Key.generate("ECDH-ES", curve=value)
        with pytest.raises(ConfigurationError):
            Key.from_jwk({"kty": "oct", "k": b64(bytes(16)), "alg": "dir"}, alg=value)
        with pytest.raises(ConfigurationError):
            jwe.decrypt("a.b.c.d.e", AES, enc=value)
        with pytest.raises(ConfigurationError):
            jwe.decrypt("a.b.c.d.e", AES, enc=[value])
    assert Key.from_jwk({"kty": "oct", "k": b64(bytes(16)), "alg": "dir"}, alg="A128GCM").alg == "A128GCM"


def test_a_key_for_encryption_signs_and_checks_nothing_and_one_for_signatures_opens_nothing() -> None:
    for name in ("sign", "check"):
        with pytest.raises(InvalidKey):
            getattr(AES, name)
    for use in (key("HS256").sealing, key("HS256").opening, key("ES256").sealing, key("ES256").opening):
        with pytest.raises(InvalidKey, match="for signatures"):
            use()
    with pytest.raises(InvalidKey, match="public"):
        Key.generate("ECDH-ES").public().opening()


@pytest.mark.parametrize(
    ("alg", "seals", "opens"),
    [
        ("A256KW", "wrapKey", "unwrapKey"),
        ("RSA-OAEP-256", "encrypt", "decrypt"),
        ("A256GCM", "encrypt", "decrypt"),
    ],
)
def test_key_ops_forbid_what_they_do_not_name(alg: str, seals: str, opens: str) -> None:
    members = Key.generate(alg).to_jwk(private=True)
    del members["use"]
    sealing, opening = (Key.from_jwk(members | {"key_ops": [op]}) for op in (seals, opens))
    token = jwe.encrypt(sealing, b"secret")
    assert jwe.decrypt(token, opening).plaintext == b"secret"
    with pytest.raises(InvalidKey, match="key_ops"):
        jwe.encrypt(opening, b"secret")
    with pytest.raises(UnknownKey, match="key_ops"):
        jwe.decrypt(token, sealing)
    for op in ("sign", "verify", "deriveKey"):
        with pytest.raises(InvalidKey, match="key_ops"):
            Key.from_jwk(members | {"key_ops": [op]})


def test_each_algorithm_says_what_it_takes_and_takes_nothing_else() -> None:
    cases: list[tuple[str, str, str]] = [
        ("RS256", "A256KW", "A256KW takes a secret, not a key pair"),
        ("ES256", "PBES2-HS256+A128KW", "takes a secret, not a key pair"),
        ("Ed25519", "ECDH-ES", "ECDH-ES takes a key on one of P-256, P-384, P-521, X25519, X448"),
        ("ML-DSA-44", "ECDH-ES+A128KW", "takes a key on one of"),
        ("RS256", "ECDH-ES", "takes a key on one of"),
        ("ES256", "RSA-OAEP", "RSA-OAEP takes an RSA key"),
        ("ES256", "Ed25519", "takes a key made for Ed25519"),
        ("ES256", "ML-DSA-44", "takes a key made for ML-DSA-44"),
    ]
    for made, alg, words in cases:
        with pytest.raises(InvalidKey, match=words):
            Key.from_pem(key(made).to_pem(), alg)
    for alg, words in (("A256KW", "has 32 bytes, this one 5"), ("HS256", "at least 32 bytes, this one 5")):
        with pytest.raises(InvalidKey, match=words):
            Key.from_secret(b"short", alg)
    with pytest.raises(InvalidKey, match="at least 8 bytes, this one 5"):
        Key.from_secret(b"short", "PBES2-HS256+A128KW")


def test_a_set_is_for_one_use() -> None:
    for keys in ([key("ES256"), Key.generate("ECDH-ES")], [key("HS256"), AES]):
        with pytest.raises(InvalidKey, match="not for both"):
            KeySet(keys)


def test_a_set_to_encrypt_with_is_told_what_is_accepted() -> None:
    members = Key.generate("RSA-OAEP-256").public().to_jwk()
    bare = {name: value for name, value in members.items() if name != "alg"}
    assert [one.alg for one in KeySet.from_jwks({"keys": [bare]}, use="enc", algorithms=["RSA-OAEP-256"])] == [
        "RSA-OAEP-256"
    ]
    with pytest.raises(InvalidKey):
        KeySet.from_jwks({"keys": [members]}, use="enc", algorithms=["RSA-OAEP"])
    odd: list[Any] = [["RSA-OAEP", "RSA-OAEP-256"], ["RS256"], ["ECDH-ES", "ECDH-ES+A128KW"], ["A128KW", "A128GCMKW"]]
    for names in [*odd, [["A128KW"]], [{}], [None], [5]]:
        with pytest.raises(UnsupportedAlgorithm):
            KeySet.from_jwks({"keys": [members]}, use="enc", algorithms=names)
    secret = Key.generate("A256KW").to_jwk(private=True)
    both = KeySet.from_jwks(
        {"keys": [secret]}, use="enc", algorithms=["A128KW", "A256KW"]
    )  # two sizes, two kinds of key
    assert [one.alg for one in both] == ["A256KW"]


@pytest.mark.parametrize("size", [16, 24, 33])
def test_a_content_key_of_another_size_opens_nothing(size: int) -> None:
    """Whoever wraps 16 bytes for A256GCM would have AES-128 pass under its name."""
    row, material = AES.sealing()
    content, head = content_encryption("A256GCM"), b64url_encode(json_bytes({"alg": "A256KW", "enc": "A256GCM"}))
    cek = bytes(size + -size % 8)
    _, encrypted, _ = row.seal(row, material, content, cek, {})
    sealed = content.seal(content, cek[:16], bytes(12), b"secret", head)
    token = b".".join((head, *map(b64url_encode, (encrypted, bytes(12), *sealed)))).decode()
    with pytest.raises(DecryptionFailed):
        jwe.decrypt(token, AES)


@pytest.mark.parametrize(
    ("alg", "name", "size"),
    [
        ("A256GCMKW", "iv", 11),
        ("A256GCMKW", "iv", 13),
        ("A256GCMKW", "tag", 12),
        ("A256GCMKW", "tag", 17),
        ("PBES2-HS256+A128KW", "p2s", 7),
    ],
)
def test_what_a_header_carries_for_its_algorithm_has_its_size(alg: str, name: str, size: int) -> None:
    own = Key.from_secret(b"correct horse", alg) if alg.startswith("PBES2") else Key.generate(alg)
    head, _, rest = jwe.encrypt(own, b"secret").partition(".")
    members = json.loads(b64url_decode(head.encode())) | {name: b64(bytes(size))}
    with pytest.raises(MalformedToken, match=f"{name} has {size} bytes"):
        jwe.decrypt(b64(json_bytes(members)) + "." + rest, own)


def test_a_password_is_read_with_the_least_and_the_most_of_salt_and_rounds() -> None:
    own = Key.from_secret(b"correct horse", "PBES2-HS256+A128KW", kid="k")
    row, password = own.sealing()
    content, cek = content_encryption("A128GCM"), bytes(range(16))
    for count, size in ((MIN_P2C, 8), (MAX_P2C, 8), (MIN_P2C, 256)):
        derived = _password_key(row, password, bytes(size), count)
        members = {"alg": row.alg, "enc": "A128GCM", "p2s": b64(bytes(size)), "p2c": count}
        head = b64url_encode(json_bytes(members))
        sealed = content.seal(content, cek, bytes(12), b"secret", head)
        parts = (aes_key_wrap(derived, cek), bytes(12), *sealed)
        assert jwe.decrypt(b".".join((head, *map(b64url_encode, parts))), own).plaintext == b"secret"


@pytest.mark.parametrize("name", ["alg", "enc", "kid", "typ", "zip", "epk", "iv", "tag", "p2c", "p2s", "crit", "b64"])
def test_what_is_not_the_callers_is_not_set_by_header(name: str) -> None:
    for call in (jwe.encrypt, jwe_json.encrypt_flattened):
        with pytest.raises(MalformedToken, match="not set by header"):
            call(AES, b"secret", header={name: "x"})


def test_zip_is_protected_or_refused() -> None:
    made = json.loads(jwe_json.encrypt_flattened(AES, b"secret"))
    with pytest.raises(MalformedToken, match="protected header"):
        jwe_json.decrypt(json.dumps(made | {"unprotected": {"zip": "DEF"}}), AES, inflate=True)


def test_key_ops_that_are_for_signatures_are_refused() -> None:
    for alg, ops in (("RSA-OAEP-256", ["wrapKey", "verify"]), ("A256KW", ["sign", "unwrapKey"])):
        with pytest.raises(InvalidKey, match="key_ops allow"):
            Key.from_jwk(Key.generate(alg).to_jwk(private=True) | {"key_ops": ops})
    both = Key.generate("A256GCM").to_jwk(private=True) | {"key_ops": ["encrypt", "decrypt", "wrapKey", "unwrapKey"]}
    assert Key.from_jwk(both)  # as Web Cryptography exports it


def test_an_agreements_public_half_may_name_no_operations_as_web_cryptography_writes_it() -> None:
    own = Key.generate("ECDH-ES")
    public = Key.from_jwk(own.public().to_jwk() | {"key_ops": []})
    assert jwe.decrypt(jwe.encrypt(public, b"x"), own).plaintext == b"x"
    for other in (own.to_jwk(private=True), Key.generate("RSA-OAEP-256").public().to_jwk()):
        with pytest.raises(InvalidKey, match="key_ops"):
            Key.from_jwk(other | {"key_ops": []})
