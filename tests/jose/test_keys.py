"""Key and KeySet: what a JWK says is enforced, sets are never ambiguous, and forms read back as they were written."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec

from admit import Key, KeySet
from admit.errors import ConfigurationError, InvalidKey, MalformedToken, UnknownKey, UnsupportedAlgorithm
from admit.jose import jwk
from admit.jose.jwk import MAX_KEYS, MAX_TEXT
from admit.jose.keyset import find, sources
from admit.jose.pem import MAX_PASSWORD
from admit.jose.strength import _SMALL_PRIMES
from admit.remote.jwks import read_jwks
from tests.helpers.forge import ALL, KID, b64, key, said

SECRETS = [alg for alg in ALL if alg.startswith("HS")]
PAIRS = [alg for alg in ALL if alg not in SECRETS]


@pytest.mark.parametrize("alg", ALL)
def test_a_key_reads_back_from_its_jwk(alg: str) -> None:
    made = Key.generate(alg)
    members = made.to_jwk(private=True)
    for form in (members, json.dumps(members), json.dumps(members, indent=1).encode()):
        read = Key.from_jwk(form)
        assert (read, read.kid, read.private) == (made, made.kid, True)
        assert read.to_jwk(private=True) == members
        made.check(b"data", read.sign(b"data"))


@pytest.mark.parametrize("alg", PAIRS)
@pytest.mark.parametrize("password", [None, b"hush"])
def test_a_key_reads_back_from_pem_and_der(alg: str, password: bytes | None) -> None:
    made = key(alg)
    for read in (
        Key.from_pem(made.to_pem(private=True, password=password), alg, password=password, kid=KID),
        Key.from_pem(made.to_pem(private=True, password=password).decode(), alg, password=password, kid=KID),
        Key.from_der(made.to_der(private=True, password=password), alg, password=password, kid=KID),
    ):
        assert read == made
    for public in (Key.from_pem(made.to_pem(), alg, kid=KID), Key.from_der(made.to_der(), alg, kid=KID)):
        assert public == made.public() == Key.from_jwk(made.public().to_jwk())
        public.check(b"data", made.sign(b"data"))
    if password:
        for wrong in (None, b"wrong", b""):
            with pytest.raises(InvalidKey):
                Key.from_pem(made.to_pem(private=True, password=password), alg, password=wrong)


@pytest.mark.parametrize("private", [False, True])
def test_a_password_is_bytes_that_are_not_empty_and_never_means_in_the_clear(private: bool) -> None:
    made = key("ES256")
    odd: list[Any] = [b"", "", "secret", 0, False, 5, bytearray(b"secret"), [b"secret"], b"x" * (MAX_PASSWORD + 1)]
    for password in odd:
        for call in (
            partial(made.to_pem, private=private),
            partial(made.to_der, private=private),
            partial(Key.from_pem, made.to_pem(private=private), "ES256"),
            partial(Key.from_der, made.to_der(private=private), "ES256"),
        ):
            with pytest.raises(InvalidKey, match="a password is 1 to 1023 bytes") as caught:
                call(password=password)
            assert "secret" not in said(caught.value)
    for right in (b"x", b"x" * MAX_PASSWORD):
        assert Key.from_pem(made.to_pem(private=True, password=right), "ES256", password=right, kid=KID) == made
    assert b"BEGIN PRIVATE KEY" in made.to_pem(private=True, password=None)


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448"])
def test_the_alias_of_an_edwards_key_is_read_by_its_curve(alg: str) -> None:
    for private in (False, True):
        read = Key.from_pem(key(alg).to_pem(private=private), "EdDSA")
        assert (read.alg, read.algorithm.name, read.private) == ("EdDSA", alg, private)


@pytest.mark.parametrize("alg", PAIRS)
def test_the_public_half_holds_nothing_private(alg: str) -> None:
    public = key(alg).public()
    private_members = key(alg).to_jwk(private=True).keys() - {
        "kty",
        "crv",
        "x",
        "y",
        "n",
        "e",
        "alg",
        "kid",
        "use",
        "pub",
    }
    assert private_members
    assert not private_members & public.to_jwk().keys()
    assert not private_members & key(alg).to_jwk().keys()
    assert KeySet([key(alg)]).to_jwks() == {"keys": [public.to_jwk()]}
    assert b"PRIVATE" not in key(alg).to_pem()
    assert (public.private, public.kid) == (False, KID)
    for export in (public.to_jwk, public.to_pem, public.to_der):
        with pytest.raises(InvalidKey):
            export(private=True)


@pytest.mark.parametrize("alg", SECRETS)
def test_a_secret_has_no_public_half(alg: str) -> None:
    secret = key(alg)
    for export in (
        secret.public,
        secret.to_jwk,
        secret.to_pem,
        secret.to_der,
        KeySet([secret]).to_jwks,
        KeySet([secret]).public,
    ):
        with pytest.raises(InvalidKey):
            export()


def test_the_kid_is_the_thumbprint_and_that_of_a_secret_is_random() -> None:
    for alg in ("ES256", "RS256", "Ed25519", "ML-DSA-44"):
        made = Key.generate(alg)
        assert alg != "RS256" or made._material[1].key_size == 2048
        assert made.kid == made.thumbprint() == made.public().kid == Key.from_pem(made.to_pem(), alg).kid
        assert made.thumbprint_uri() == f"urn:ietf:params:oauth:jwk-thumbprint:sha-256:{made.kid}"
    one, two = (Key.from_secret(bytes(range(32)), "HS256") for _ in range(2))
    assert one.kid != two.kid
    assert one.thumbprint() not in (one.kid, two.kid)


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
@pytest.mark.parametrize(
    "kid", ["", "x" * 257, 5, True, ["x"], b"x", "a\nb", "\0", "\ud800"], ids=lambda kid: ascii(kid).replace("\\", "/")
)
def test_a_kid_is_a_bounded_printable_string(alg: str, kid: Any) -> None:
    with pytest.raises(InvalidKey):
        Key.generate(alg, kid=kid)
    with pytest.raises(InvalidKey):
        Key.from_jwk(key(alg).to_jwk(private=True) | {"kid": kid})
    assert len(Key.generate(alg, kid="x" * 256).kid) == 256


def test_a_key_does_not_change() -> None:
    made = Key.generate("ES256")
    for name in ("kid", "alg", "algorithm", "key_ops", "_material", "sign", "other"):
        with pytest.raises(AttributeError):
            setattr(made, name, None)
        with pytest.raises(AttributeError):
            delattr(made, name)
    assert made.alg in repr(made)


@pytest.mark.parametrize("alg", ALL)
def test_a_key_is_not_copied_by_accident_and_shows_no_secret(alg: str) -> None:
    made = key(alg)
    with pytest.raises(TypeError):
        pickle.dumps(made)
    with pytest.raises(TypeError):
        copy.deepcopy(made)
    hidden = [
        value
        for name, value in made.to_jwk(private=True).items()
        if name not in ("kty", "crv", "alg", "kid", "use", "e")
    ]
    half = "secret" if made.algorithm.symmetric else "private"
    assert repr(made) == f"<Key {made.alg} {half} kid='{made.kid}'>"
    assert made.algorithm.symmetric or repr(made.public()) == f"<Key {made.alg} public kid='{made.kid}'>"
    shown = repr(made) + str(made) + f"{made}" + repr(KeySet([made])) + repr([made])
    assert not any(value[:8] in shown for value in hidden)


# --- what a JWK says of itself is enforced


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "Ed25519", "ML-DSA-44"])
@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": "SIG"},
        {"use": ""},
        {"use": None},
        {"use": ["sig"]},
        {"use": 5},
        {"key_ops": []},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["deriveKey", "wrapKey"]},
        {"key_ops": ["sign", "sign"]},
        {"key_ops": ["verify", "wrapKey"]},
        {"key_ops": ["sign", "verify", "deriveBits"], "use": "sig"},
        {"key_ops": "verify"},
        {"key_ops": [5]},
        {"key_ops": ["sign", "verify", 5]},
        {"key_ops": [["verify"]]},
        {"key_ops": None},
        {"key_ops": {"verify": 1}},
        {"kty": "oct2"},
        {"kty": None},
        {"kty": 5},
        {"kty": ["RSA"]},
        {"alg": None},
        {"alg": 5},
        {"alg": ["HS256"]},
        {"alg": ""},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"kid": None},
        {"kid": 5},
    ],
    ids=str,
)
def test_a_jwk_that_is_for_something_else_is_refused(alg: str, members: dict[str, Any]) -> None:
    with pytest.raises((InvalidKey, UnsupportedAlgorithm)):
        Key.from_jwk(key(alg).to_jwk(private=True) | members)


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "Ed448"])
@pytest.mark.parametrize("crv", ["P-384", "p-256", "X25519", "Ed25519x", "", None, 5, ["P-256"]])
def test_a_jwk_of_another_curve_is_refused(alg: str, crv: Any) -> None:
    for members in (key(alg).public().to_jwk() | {"crv": crv}, {**key(alg).public().to_jwk(), "crv": crv, "alg": alg}):
        members = {name: value for name, value in members.items() if name != "alg"} if crv == "" else members
        with pytest.raises(InvalidKey):
            Key.from_jwk(members)


def test_a_jwk_of_another_kind_is_told_which_kind_it_should_be() -> None:
    for alg, other, kinds in (
        ("ES256", "RS256", "RSA, this JWK's is 'P-256'"),
        ("RS256", "ES256", "P-256, .* 'RSA'"),
        ("RS256", "ECDH-ES", "P-256 or P-384 or P-521 or X25519 or X448, .* 'RSA'"),
    ):
        with pytest.raises(InvalidKey, match=f"{other} takes a key of type {kinds}"):
            Key.from_jwk(key(alg).public().to_jwk() | {"alg": other})


def test_the_public_half_of_a_limited_key_is_limited_to_what_it_is_for() -> None:
    members = key("ES256").to_jwk(private=True)
    del members["use"]
    public = Key.from_jwk(members | {"key_ops": ["sign"]}).public()
    assert public.key_ops == frozenset({"verify"})
    assert (public.to_jwk()["key_ops"], "use" in public.to_jwk()) == (["verify"], False)
    assert key("ES256").public().key_ops is None


def test_a_jwk_without_alg_gets_it_from_its_curve_or_from_the_caller() -> None:
    def bare(alg: str) -> dict[str, Any]:
        return {name: value for name, value in key(alg).public().to_jwk().items() if name != "alg"}

    for alg in ("ES256", "ES384", "ES512", "ES256K", "Ed25519", "Ed448"):
        assert Key.from_jwk(bare(alg)).alg == alg
    with pytest.raises(InvalidKey, match="which one a 'RSA' key is for"):
        Key.from_jwk(bare("RS256"))
    with pytest.raises(InvalidKey):
        Key.from_jwk(bare("RS256"), algorithms=["RS256", "PS256"])
    assert Key.from_jwk(bare("RS256"), alg="PS384").alg == "PS384"
    assert Key.from_jwk(bare("RS256"), algorithms=["ES256", "RS512"]).alg == "RS512"
    with pytest.raises(InvalidKey):
        Key.from_jwk(bare("ES256"), algorithms=["ES384"])
    with pytest.raises(InvalidKey):
        Key.from_jwk(bare("ES256"), alg="ES384")
    with pytest.raises(InvalidKey):
        Key.from_jwk(key("RS256").public().to_jwk(), alg="PS256")
    with pytest.raises(InvalidKey):
        Key.from_jwk(bare("ML-DSA-44"), alg="ML-DSA-44")


def test_a_jwk_text_is_strict_json() -> None:
    text = json.dumps(key("ES256").public().to_jwk())
    for bad in (
        text[:-1] + ',"x":1,"x":2}',
        text + "x",
        "[" + text + "]",
        "\ufeff" + text,
        text[:-1] + ',"x":NaN}',
        "",
        "5",
        "\ud800",
    ):
        with pytest.raises(InvalidKey):
            Key.from_jwk(bad)


def test_a_jwk_is_a_mapping_or_text_of_a_bounded_size() -> None:
    text = json.dumps(key("ES256").public().to_jwk())
    assert Key.from_jwk(text.ljust(MAX_TEXT)) == Key.from_jwk(text.encode())
    for read in (Key.from_jwk, KeySet.from_jwks):
        with pytest.raises(InvalidKey, match="at most"):
            read(text.ljust(MAX_TEXT + 1))
        odd: list[Any] = [None, 5, [text], bytearray(text.encode()), object()]
        for document in odd:
            with pytest.raises(InvalidKey, match="is a JSON object, not"):
                read(document)


def test_numbers_of_an_rsa_key_have_a_bounded_size_and_a_key_without_a_name_in_jose_no_jwk() -> None:
    largest = next(n for n in range(2**8192 - 1, 0, -2) if all(n % prime for prime in _SMALL_PRIMES))
    widest = b64(largest.to_bytes(1024))
    members = {"kty": "RSA", "alg": "RS256", "n": widest, "e": b64(b"\xff" * 8)}
    assert len(Key.from_jwk(members).to_jwk()["n"]) == len(widest)
    for change in ({"n": b64(b"\xff" * 1025)}, {"e": b64(b"\x01" + bytes(7) + b"\x01")}):
        with pytest.raises(InvalidKey, match="at most"):
            Key.from_jwk(members | change)
    for private in (ec.generate_private_key(ec.SECP224R1()), dsa.generate_private_key(1024)):
        with pytest.raises(InvalidKey, match="has no"):
            jwk.write((None, private.public_key()), private=False)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519", "HS256", "ML-DSA-44"])
def test_numbers_of_a_jwk_are_canonical_base64url(alg: str) -> None:
    good = key(alg).to_jwk(private=True)
    for name in set(good) & {"n", "e", "x", "y", "d", "k", "pub", "priv", "p"}:
        for bad in (
            good[name] + "=",
            good[name] + "\n",
            " " + good[name],
            good[name] + "é",
            "",
            None,
            5,
            [good[name]],
            good[name] + "!!",
        ):
            with pytest.raises(InvalidKey):
                Key.from_jwk(good | {name: bad})
        if alg == "RS256":
            with pytest.raises(InvalidKey):
                Key.from_jwk(good | {name: "AAAA" + good[name]})


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448", "ML-DSA-44"])
def test_halves_that_do_not_belong_together_are_refused(alg: str) -> None:
    private = "priv" if alg.startswith("ML") else "d"
    good, other = key(alg).to_jwk(private=True), key(alg, 1).to_jwk(private=True)
    for value in (other[private], good[private][:-4], good[private] + "AAAA"):
        with pytest.raises(InvalidKey):
            Key.from_jwk(good | {private: value})


# --- sets


def test_secrets_and_key_pairs_never_share_a_set() -> None:
    mixed = [Key.generate("HS256", kid="a"), Key.generate("ES256", kid="b")]
    with pytest.raises(InvalidKey):
        KeySet(mixed)
    with pytest.raises(InvalidKey):
        KeySet.from_jwks({"keys": [one.to_jwk(private=True) for one in mixed]})
    only = KeySet.from_jwks({"keys": [one.to_jwk(private=True) for one in mixed]}, algorithms=["ES256"])
    assert [one.kid for one in only] == ["b"]
    assert len(only.problems) == 1


def test_an_empty_set_is_refused() -> None:
    empty: list[Key] = []
    for keys in (empty, iter(empty)):
        with pytest.raises(InvalidKey):
            KeySet(keys)
    sets: list[Any] = [
        {"keys": []},
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": [{}]},
        {"keys": [None, 5, "x", []]},
        "[]",
        "{}",
    ]
    for jwks in sets:
        with pytest.raises(InvalidKey):
            KeySet.from_jwks(jwks)


def test_a_set_without_a_usable_key_says_why() -> None:
    with pytest.raises(InvalidKey, match="no usable key: it is empty"):
        KeySet.from_jwks({"keys": []})
    with pytest.raises(InvalidKey, match="no usable key: key 0: ES256 takes"):
        KeySet.from_jwks({"keys": [{"alg": "ES256", "kty": None}]})


def test_identical_keys_collapse() -> None:
    member = key("ES256").public().to_jwk()
    both = KeySet.from_jwks({"keys": [member, dict(member)]})
    assert (len(both), both.problems) == (1, ())
    assert len(KeySet([key("ES256"), key("ES256")])) == 1


def test_keys_that_conflict_over_a_kid_are_all_dropped_and_reported() -> None:
    one, two, three = key("ES256").public(), key("ES256", 1).public(), Key.generate("ES256", kid="good").public()
    for order in ([one, two, three], [two, three, one], [one, two, one, three]):
        found = KeySet.from_jwks({"keys": [member.to_jwk() for member in order]})
        assert [member.kid for member in found] == ["good"]
        assert any(KID in problem for problem in found.problems)
    with pytest.raises(InvalidKey):
        KeySet.from_jwks({"keys": [one.to_jwk(), two.to_jwk()]})
    with pytest.raises(InvalidKey):
        KeySet([one, two])
    with pytest.raises(InvalidKey):
        KeySet([one, key("ES384").public()])


@pytest.mark.parametrize("change", [{"x": "AAAA"}, {"key_ops": ["sign"]}, {"y": None}])
def test_a_kid_that_a_broken_key_claims_too_means_nothing(change: dict[str, Any]) -> None:
    good = key("ES256").public().to_jwk()
    for members in ([good, good | change], [good | change, good]):
        with pytest.raises(InvalidKey):
            KeySet.from_jwks({"keys": members})


def test_a_key_for_encryption_may_share_the_kid() -> None:
    good = key("RS256").public().to_jwk()
    for other in (good | {"use": "enc"}, good | {"use": "enc", "alg": "RSA-OAEP"}, good | {"alg": "RSA-OAEP"}):
        found = KeySet.from_jwks({"keys": [other, good]})
        assert (len(found), len(found.problems)) == (1, 1)


def test_one_bad_key_leaves_the_good_ones_and_is_reported() -> None:
    good = Key.generate("ES256", kid="good").public().to_jwk()
    bad: list[object] = [
        None,
        5,
        "text",
        [],
        {},
        {"kty": "RSA"},
        {"kty": "oct", "alg": "HS256", "k": "AA"},
        {"kty": "EC", "crv": "P-256"},
    ]
    bad.append(json.dumps(Key.generate("ES256", kid="text").public().to_jwk()))
    found = KeySet.from_jwks({"keys": [*bad, good]})
    assert [one.kid for one in found] == ["good"]
    assert len(found.problems) == len(bad)


def test_only_the_algorithms_asked_for_are_taken_and_one_for_each_kind_of_key() -> None:
    jwks = {"keys": [Key.generate(alg, kid=alg).public().to_jwk() for alg in ("RS256", "PS256", "ES256", "Ed25519")]}
    assert [one.kid for one in KeySet.from_jwks(jwks, algorithms=["PS256", "EdDSA"])] == ["PS256", "Ed25519"]
    for both in (
        ["RS256", "PS256"],
        ["HS256", "HS512"],
        ["EdDSA", "Ed25519"],
        ["EdDSA", "Ed448"],
        ["ES256", "ES256"],
        "RS256",
        ["none"],
    ):
        with pytest.raises(UnsupportedAlgorithm):
            KeySet.from_jwks(jwks, algorithms=both)
    with pytest.raises(UnsupportedAlgorithm, match="'PS256' repeats RSA"):
        KeySet.from_jwks(jwks, algorithms=["RS256", "PS256"])
    assert KeySet.from_jwks(jwks, algorithms=["ES256", "ES384", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "RS256"])


def test_a_set_is_read_up_to_a_number_of_keys() -> None:
    jwks = {"keys": [key("ES256").public().to_jwk(), *[{}] * (MAX_KEYS - 1)]}
    assert len(KeySet.from_jwks(jwks).problems) == MAX_KEYS - 1
    jwks["keys"].append({})
    with pytest.raises(InvalidKey, match="at most 256"):
        KeySet.from_jwks(json.dumps(jwks))
    with pytest.raises(InvalidKey, match="at most 256"):
        read_jwks(json.dumps(jwks).encode(), ())


def test_algorithms_are_a_collection() -> None:
    jwks = {"keys": [key("ES256").public().to_jwk()]}
    others: list[Any] = [None, 5]
    for algorithms in others:
        with pytest.raises(ConfigurationError, match="algorithms"):
            KeySet.from_jwks(jwks, algorithms=algorithms)


def test_a_set_holds_keys_only() -> None:
    nothing: list[Any] = [None, 5, key("ES256")]
    for other in nothing:
        with pytest.raises(InvalidKey):
            KeySet(other)
    for other in ("key", None, 5, key("ES256").to_jwk()):
        with pytest.raises(ConfigurationError):
            KeySet([other])  # type: ignore[list-item]


def test_a_key_is_found_by_kid_and_must_have_the_headers_algorithm() -> None:
    keys = KeySet([key("ES256"), Key.generate("RS256", kid="r")])
    assert keys.find("ES256", KID) == key("ES256")
    assert (KID in keys, "x" in keys, keys.get("x"), len(keys)) == (True, False, None, 2)
    for alg in ("RS256", "es256", "none", "HS256", "ES256 "):
        with pytest.raises(MalformedToken):
            keys.find(alg, KID)
    for kid in ("x", "", KID + " "):
        with pytest.raises(UnknownKey):
            keys.find("ES256", kid)
    assert keys.find("RS256", None).kid == "r"
    with pytest.raises(UnknownKey):
        keys.find("PS256", None)


def test_keys_under_one_kid_are_equal_only_where_their_material_is() -> None:
    for alg in ("HS256", "ES256"):
        one, other = Key.generate(alg, kid="k"), Key.generate(alg, kid="k")
        assert one == Key.from_jwk(one.to_jwk(private=True))
        assert one != other
        assert one != one.kid


def test_an_unknown_kid_is_answered_with_four_known_ones_at_most() -> None:
    some = [Key.generate("HS256", kid=f"k{number}") for number in range(5)]
    for count, ending in ((4, "'k3'"), (5, "'k3', ...")):
        with pytest.raises(UnknownKey) as caught:
            KeySet(some[:count]).find("HS256", "x")
        assert str(caught.value) == f"no key of this issuer has the kid 'x' (it has 'k0', 'k1', 'k2', {ending})"


def test_one_key_is_found_as_a_set_of_one_finds_it() -> None:
    one = key("ES256")
    for keys in (one, KeySet([one])):
        assert find(keys, "ES256", KID) == find(keys, "ES256", None) == one
        for alg, kid in (("ES256", "x"), ("HS256", None), ("HS256", "x")):
            with pytest.raises(UnknownKey):
                find(keys, alg, kid)
        with pytest.raises(MalformedToken):
            find(keys, "HS256", KID)


def test_a_source_of_keys_is_one_or_several() -> None:
    one, several = key("ES256"), KeySet([key("ES256")])
    assert (sources(one), sources(several), sources([one, several]), sources(())) == (
        (one,),
        (several,),
        (one, several),
        (),
    )
    odd: list[Any] = [None, 5, "k", b"k", [None], [[one]], {"k": one}]
    for given in odd:
        with pytest.raises(InvalidKey, match="keys come as"):
            sources(given)
        with pytest.raises(InvalidKey, match="keys come as"):
            find(given, "ES256", None)


def test_a_pem_with_several_keys_is_refused_and_not_read_in_part() -> None:
    one, other = Key.generate("ES256"), Key.generate("ES256")
    secret, public = one.to_pem(private=True), one.public().to_pem()
    assert Key.from_pem(secret + public, "ES256") == one
    with pytest.raises(InvalidKey, match="more than one private key"):
        Key.from_pem(secret + other.to_pem(private=True), "ES256")
    with pytest.raises(InvalidKey, match="more than one public key"):
        Key.from_pem(public + other.public().to_pem(), "ES256")
    with pytest.raises(InvalidKey, match="more than one public key"):
        Key.from_pem(secret + public + other.public().to_pem(), "ES256")
