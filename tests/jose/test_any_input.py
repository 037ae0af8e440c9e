"""Whatever comes in, a value or an AdmitError comes out, and no error says what must stay secret."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import AdmitError, Key, KeySet, Verifier, peek
from admit.jose import jwe, jwe_json, jws
from admit.jose.encoding import b64url_decode
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, b64, claims, forge, key, said

EXAMPLES = pytest.mark.parametrize("examples", [200, pytest.param(3_000, marks=pytest.mark.soak)])
VERIFIERS: list[Verifier[Any]] = [
    Verifier(KeySet([key(alg)]), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, cache=size)
    for alg, size in (("HS256", 0), ("ES256", 4), ("RS256", 0), ("Ed25519", 0))
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4),
)
# Members a JWK has, with values that are right, nearly right, and anything.
GOOD = [key(alg).to_jwk(private=True) for alg in ("HS256", "RS256", "ES256", "Ed25519", "Ed448", "ML-DSA-44")]
MEMBERS = sorted({name for members in GOOD for name in members} | {"oth", "key_ops", "x5c", "x5t", "keys"})
NEAR = st.sampled_from([value for members in GOOD for value in members.values()])
JWKS = st.builds(
    lambda base, changes, gone: {name: value for name, value in (base | changes).items() if name not in gone},
    st.sampled_from(GOOD),
    st.dictionaries(
        st.sampled_from(MEMBERS), NEAR | OBJECTS | st.lists(st.sampled_from(["sign", "verify", "x"])), max_size=3
    ),
    st.sets(st.sampled_from(MEMBERS), max_size=2),
)


def survives(call: Callable[[], object]) -> None:
    try:
        call()
    except AdmitError as error:
        text = str(error)
    else:
        return
    assert 0 < len(text) < 2000


@EXAMPLES
def test_any_object_given_as_a_token(examples: int) -> None:
    parts = st.binary(max_size=30).map(b64) | st.builds(
        lambda value: b64(json.dumps(value).encode()), st.dictionaries(st.text(max_size=5), st.integers())
    )
    near = st.lists(parts | st.text(max_size=5), max_size=6).map(".".join)
    mangled = st.builds(
        lambda token, at, piece: token[:at] + piece + token[at + len(piece) :],
        st.just(forge()),
        st.integers(0, 300),
        st.text(max_size=4),
    )

    @settings(max_examples=examples)
    @given(token=OBJECTS | near | near.map(str.encode) | mangled)
    def holds(token: Any) -> None:
        for verifier in VERIFIERS:
            survives(partial(verifier.verify, token))
        survives(lambda: peek(token))
        survives(lambda: jws.verify(token, key("HS256")))

    holds()


SEALED = [Key.generate(alg) for alg in ("A256GCM", "A128KW", "A128GCMKW", "ECDH-ES", "RSA-OAEP-256")]
SEALED.append(Key.generate("ECDH-ES+A128KW", curve="X25519"))


@EXAMPLES
def test_any_object_given_as_an_encrypted_token(examples: int) -> None:
    names = ["alg", "enc", "epk", "apu", "apv", "iv", "tag", "zip", "crit", "kid", "typ", "p2c", "p2s", "recipients"]
    changes = st.dictionaries(
        st.sampled_from([*names, "ciphertext", "aad", "header", "protected", "encrypted_key"]), OBJECTS, max_size=3
    )
    tokens = [jwe.encrypt(one, b"secret").split(".", 1) for one in SEALED]
    documents = [json.loads(jwe_json.encrypt_general([one], b"secret", aad=b"x")) for one in SEALED]

    @settings(max_examples=examples)
    @given(
        number=st.integers(0, len(SEALED) - 1),
        change=changes,
        odd=OBJECTS,
        at=st.integers(0, 400),
        piece=st.text(max_size=3),
    )
    def holds(number: int, change: dict[str, Any], odd: Any, at: int, piece: str) -> None:
        own, (head, rest) = SEALED[number], tokens[number]
        members = json.loads(b64url_decode(head.encode())) | change
        survives(lambda: jwe.decrypt(odd, own))
        survives(
            lambda: jwe.decrypt(
                b64(json.dumps(members, default=str, skipkeys=True).encode()) + "." + rest, own, inflate=True
            )
        )
        whole = f"{head}.{rest}"
        survives(lambda: jwe.decrypt(whole[:at] + piece + whole[at:], own))
        survives(lambda: jwe_json.decrypt(odd, own))
        document = json.dumps(documents[number] | change, default=str, skipkeys=True)
        survives(lambda: jwe_json.decrypt(document, own, inflate=True))
        survives(lambda: jwe_json.decrypt(document[:at] + piece + document[at:], own))

    holds()


@EXAMPLES
def test_any_signed_bytes(examples: int) -> None:
    header = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), OBJECTS, max_size=4)

    @settings(max_examples=examples)
    @given(
        payload=st.binary(max_size=60) | OBJECTS.map(lambda v: json.dumps(v, default=str, skipkeys=True).encode()),
        head=header | st.none(),
    )
    def holds(payload: bytes, head: dict[str, Any] | None) -> None:
        encoded = (
            None
            if head is None
            else json.dumps({"alg": "HS256", "typ": "at+jwt"} | head, default=str, skipkeys=True).encode()
        )
        survives(lambda: VERIFIERS[0].verify(forge(payload, header=encoded)))

    holds()


@EXAMPLES
def test_any_claims(examples: int) -> None:
    names = st.sampled_from([*claims(), "nbf", "scope", "sid", "epoch", "auth_time", "x"])
    odd = OBJECTS | st.sampled_from(
        [NOW, NOW + 0.5, -1, 2**53, 2**63, 2**64, 1e308, [AUDIENCE], [AUDIENCE, 5], [[AUDIENCE]], "", [], {}]
    )

    @settings(max_examples=examples)
    @given(changes=st.dictionaries(names, odd, max_size=4))
    def holds(changes: dict[str, Any]) -> None:
        payload = json.dumps({**claims(), **changes}, default=str, skipkeys=True).encode()
        try:
            read = VERIFIERS[0].verify(forge(payload))
        except AdmitError:
            return
        assert read.sub
        assert [
            read.iss,
            read.aud,
            read.exp,
            read.nbf,
            read.iat,
            read.jti,
            read.client_id,
            read.scopes,
            read.sid,
            read.epoch,
            read.auth_time,
        ]
        assert [read.raw, read.expires_at, read.issued_at, read.valid_from, read.authenticated_at]

    holds()


@EXAMPLES
def test_any_object_given_as_a_jwk(examples: int) -> None:
    @settings(max_examples=examples)
    @given(jwk=JWKS | OBJECTS | JWKS.map(lambda members: json.dumps(members, default=str, skipkeys=True)))
    def holds(jwk: Any) -> None:
        survives(lambda: Key.from_jwk(jwk))
        survives(lambda: Key.from_jwk(jwk, algorithms=["RS256", "ES256", "EdDSA"]))
        survives(lambda: KeySet.from_jwks(jwk))

    holds()


@EXAMPLES
def test_any_object_given_as_a_jwk_set(examples: int) -> None:
    @settings(max_examples=examples)
    @given(keys=st.lists(JWKS | OBJECTS, max_size=4) | OBJECTS)
    def holds(keys: Any) -> None:
        survives(lambda: KeySet.from_jwks({"keys": keys}))
        survives(lambda: KeySet.from_jwks({"keys": keys}, algorithms=["PS256", "ES256"]))

    holds()


@EXAMPLES
def test_any_object_given_as_pem_der_or_secret(examples: int) -> None:
    documents = [key(alg).to_der(private=private) for alg in ("RS256", "ES256", "Ed25519") for private in (False, True)]
    documents += [
        key(alg).to_pem(private=private) for alg in ("RS256", "ES256", "Ed25519") for private in (False, True)
    ]
    documents += [
        key("ES256").to_pem(private=True, password=b"pw"),
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ]
    mangled = st.builds(
        lambda data, at, piece: data[: at % len(data)] + piece + data[at % len(data) + len(piece) :],
        st.sampled_from(documents),
        st.integers(0, 2000),
        st.binary(max_size=4),
    )
    near = mangled | st.binary(max_size=100) | st.binary(max_size=80).map(lambda body: b"\x30" + body)

    @settings(max_examples=examples)
    @given(
        data=near | OBJECTS,
        alg=st.sampled_from(["RS256", "ES256", "Ed25519", "HS256", "none"]),
        password=st.none() | st.just(b"pw") | OBJECTS,
    )
    def holds(data: Any, alg: str, password: Any) -> None:
        survives(lambda: Key.from_pem(data, alg, password=password))
        survives(lambda: Key.from_der(data, alg, password=password))
        survives(lambda: Key.from_secret(data, alg))

    holds()


@EXAMPLES
def test_any_object_given_as_an_algorithm_a_kid_or_bits(examples: int) -> None:
    @settings(max_examples=examples)
    @given(odd=OBJECTS)
    def holds(odd: Any) -> None:
        survives(lambda: Key.generate(odd))
        survives(lambda: Key.generate("HS256", kid=odd))
        survives(lambda: Key.generate("RS256", bits=odd) if odd not in range(2048, 8193) else None)
        survives(lambda: Key.from_secret(bytes(32), "HS256", kid=odd))
        survives(lambda: Key.from_secret(bytes(32), odd))
        survives(lambda: Key.from_pem(key("ES256").to_pem(), odd))
        survives(lambda: Key.from_jwk(key("ES256").to_jwk(), alg=odd))

    holds()


def test_values_that_break_a_naive_message() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    odd: Any
    for odd in (nested, 10**5000, "\ud800", float("nan"), b"\xff", object()):
        for name in ("kty", "crv", "alg", "use", "kid", "key_ops", "n", "k"):
            survives(partial(Key.from_jwk, key("RS256").to_jwk() | {name: odd}))
        survives(partial(jws.verify, odd, key("HS256")))
    for version in range(256):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
        private = key("ES256")._material[0]
        built = x509.CertificateBuilder(
            subject, subject, private.public_key(), 1, datetime(2020, 1, 1), datetime(2040, 1, 1)
        )
        der = built.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)
        at = der.index(bytes.fromhex("a003020102")) + 4
        odd_version = der[:at] + bytes((version,)) + der[at + 1 :]
        survives(partial(Key.from_der, odd_version, "ES256"))
        survives(partial(Key.from_secret, odd_version, "HS256"))


# --- nothing secret in an error


def leaks(secrets: list[str], call: Callable[[], object]) -> None:
    """The call fails, and nothing that could be logged of its error holds 12 characters of a secret in a row."""
    with pytest.raises(AdmitError) as caught:
        call()
    text = said(caught.value)
    for secret in secrets:
        for at in range(0, max(1, len(secret) - 11), 4):
            assert secret[at : at + 12] not in text, type(caught.value)


BROKEN_TOKENS: list[Callable[[str], Any]] = [
    lambda token: token + "é",
    lambda token: token + "\ud800",
    lambda token: token.encode() + b"\xff",
    lambda token: token + "=",
    lambda token: token + ".",
    lambda token: token[:-2],
    lambda token: "x" + token,
    lambda token: token.replace(".", "", 1),
    lambda token: token.swapcase(),
    lambda token: token.rpartition(".")[0] + ".",
    lambda token: token * 40,
    lambda token: [token],
    lambda token: {"token": token},
]


@pytest.mark.parametrize("index", range(len(BROKEN_TOKENS)))
@pytest.mark.parametrize("read", ["verify", "peek", "jws"])
def test_no_error_holds_a_piece_of_the_token(index: int, read: str) -> None:
    token = forge()
    broken = BROKEN_TOKENS[index](token)
    readers: dict[str, Callable[[Any], object]] = {
        "verify": VERIFIERS[0].verify,
        "peek": peek,
        "jws": lambda token: jws.verify(token, key("HS256")),
    }
    call = readers[read]
    try:
        call(broken)
    except AdmitError:
        leaks(token.split("."), lambda: call(broken))


SECRET = "hush-hush-do-not-tell"


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps({**claims(), "x": SECRET})[:-1].encode() + b"\xff",
        json.dumps({**claims(), "x": SECRET})[:-2].encode() + b'\xff"}',
        json.dumps({**claims(), "x": SECRET})[:-2].encode() + b'\\ud800"}',
        json.dumps({**claims(), "x": SECRET})[:-1].encode() + b',"x":1}',
        json.dumps({**claims(), "jti": [SECRET]}).encode(),
        json.dumps({**claims(), "scope": {SECRET: SECRET}}).encode(),
        json.dumps({**claims(), "exp": SECRET}).encode(),
        json.dumps({**claims(), "aud": [[SECRET]]}).encode(),
        json.dumps([SECRET]).encode(),
        SECRET.encode(),
        json.dumps({**claims(), "x": {SECRET: 1}})[:-2].encode() + b',"' + SECRET.encode() + b'":2}}',
    ],
)
def test_no_error_quotes_a_payload_that_cannot_be_read(payload: bytes) -> None:
    leaks([SECRET], lambda: VERIFIERS[0].verify(forge(payload)))


class Color(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Mine:
    color: Color


def test_no_error_quotes_a_claim_that_does_not_fit_the_callers_type() -> None:
    subject = Verifier(KeySet([key("HS256")]), issuer=ISSUER, audience=AUDIENCE, extra=Mine, clock=lambda: NOW)
    leaks([SECRET], lambda: subject.verify(forge({**claims(), "color": SECRET})))


def broken_keys() -> list[tuple[str, list[str], Callable[[], object]]]:
    cases: list[tuple[str, list[str], Callable[[], object]]] = []
    for members in GOOD:
        alg = members["alg"]
        secrets = [members[name] for name in ("k", "d", "p", "q", "dp", "dq", "qi", "priv") if name in members]
        for name in [one for one in ("k", "d", "p", "priv", "kty", "use", "x", "n", "pub") if one in members]:
            for what, bad in {
                "accent": "é",
                "surrogate": "\ud800",
                "padding": "=",
                "letter": "A",
                "space": " ",
            }.items():
                if (name, bad) == ("k", "A"):
                    continue  # a longer secret
                changed = members | {name: str(members[name]) + bad}
                text = json.dumps(changed, ensure_ascii=False)
                cases += [
                    (f"{alg} {name} {what}", secrets, partial(Key.from_jwk, changed)),
                    (f"{alg} {name} {what} text", secrets, partial(Key.from_jwk, text)),
                    (f"{alg} {name} {what} set", secrets, partial(KeySet.from_jwks, {"keys": [changed]})),
                ]
        good = json.dumps(members)
        broken = {"cut": good[:-1], "twice": good[:-1] + ',"kty":"x"}', "accent": good + "é", "lone": good + "\ud800"}
        for what, text in broken.items():
            cases.append((f"{alg} text {what}", secrets, partial(Key.from_jwk, text)))
            data = text.encode("utf-8", "replace") + b"\xff"
            cases.append((f"{alg} bytes {what}", secrets, partial(Key.from_jwk, data)))
    for alg in ("RS256", "ES256", "Ed25519"):
        pem = key(alg).to_pem(private=True).decode()
        secrets = pem.splitlines()[1:-1]
        for what, text in {
            "accent": pem.replace("\n", "\né", 2),
            "lone": pem + "\ud800",
            "cut": pem[: len(pem) // 2],
            "headless": "x" + pem[20:],
        }.items():
            cases.append((f"{alg} PEM {what}", secrets, partial(Key.from_pem, text, "ES384")))
        cases += [
            (f"{alg} swapped PEM", secrets, partial(Key.from_pem, alg, pem)),
            (f"{alg} PEM as JWK", secrets, partial(Key.from_jwk, pem)),
            (f"{alg} PEM as a secret", secrets, partial(Key.from_secret, pem.encode(), "HS256")),
        ]
    whisper, locked = SECRET * 2, key("ES256").to_pem(private=True, password=SECRET.encode())
    from_secret: Any = Key.from_secret
    from_pem: Any = Key.from_pem
    cases += [
        ("swapped secret", [SECRET], partial(from_secret, "HS256", whisper)),
        ("swapped bytes", [SECRET], partial(from_secret, "HS256", whisper.encode())),
        ("secret as text", [SECRET], partial(from_secret, whisper, "HS256")),
        ("short secret", [SECRET], partial(from_secret, SECRET.encode(), "HS256")),
        ("secret as JWK", [SECRET], partial(Key.from_jwk, whisper)),
        ("secret as PEM", [SECRET], partial(from_pem, whisper, "RS256")),
        ("wrong password", [SECRET], partial(from_pem, locked, "ES256", password=b"not " + SECRET.encode())),
        ("password as text", [SECRET], partial(from_pem, locked, "ES256", password=SECRET)),
    ]
    return cases


BROKEN_KEYS = broken_keys()


@pytest.mark.parametrize("index", range(len(BROKEN_KEYS)), ids=[case[0] for case in BROKEN_KEYS])
def test_no_error_holds_a_piece_of_a_key_or_password(index: int) -> None:
    _, secrets, call = BROKEN_KEYS[index]
    leaks(secrets, call)
