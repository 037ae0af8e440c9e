"""What the inspection of a token finds: for each rule a token that breaks it, and one that breaks none."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit.cli.reading import read
from admit.jose.encoding import b64url_encode
from admit.tokens.finding import SEVERITIES
from admit.tokens.guessing import candidates, guess
from admit.tokens.inspect import GUESSABLE, RULES, inspect

HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "Zm9v"}
CLAIMS = {
    "iss": "https://auth.example",
    "aud": "orders",
    "sub": "u1",
    "client_id": "web",
    "scope": "read",
    "jti": "j",
    "iat": 1_700_000_000,
    "exp": 1_700_000_600,
}


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return b64url_encode(data).decode()


def token(header: object = HEADER, claims: object = CLAIMS, signature: bytes = bytes(64)) -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def found(text: str) -> set[str]:
    return {finding.rule.id for finding in inspect(read(text))}


def header(**changed: object) -> str:
    return token({name: value for name, value in (HEADER | changed).items() if value is not None})


def claims(**changed: object) -> str:
    return token(claims={name: value for name, value in (CLAIMS | changed).items() if value is not None})


JWE = f"{part({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'k', 'typ': 'JWT'})}.AA.AA.AA.AA"
NESTED = f"{part({'alg': 'ECDH-ES+A256KW', 'enc': 'A256GCM', 'kid': 'k', 'cty': 'JWT'})}.AA.AA.AA.AA"
PLAIN_TYPE = {**HEADER, "typ": "JWT"}
BREAKING = {
    "malformed": [
        token()[:-20],
        token(claims=b'{"a": '),
        header(crit=[]),
        token(signature=bytes(63)),
        token(HEADER, []),
        "hello",
        token(signature=b"\xff" * 64)[:-3],
        *(token()[:-cut] for cut in (1, 5, 90)),
        JWE[:-2],
        JWE[:-3],
        f"{JWE.rpartition('.')[0]}.A",
        "....:",
    ],
    "not-canonical": [
        token() + "=",
        token()[:-1] + "B",
        token(claims=CLAIMS).replace(".", "=.", 1),
        f"{JWE[:-2]}!!!",
    ],
    "duplicate-member": [token(claims=b'{"sub":"a","sub":"b"}'), token(b'{"alg":"ES256","alg":"none"}')],
    "alg-none": [header(alg="none"), header(alg="nOnE"), token(signature=b"")],
    "alg-unknown": [header(alg="HS1"), header(alg="RSA1_5"), JWE.replace(part({}), ""), header(alg="es256")],
    "rsa-small": [token({**HEADER, "alg": "RS256"}, signature=bytes(128))],
    "key-in-header": [header(**{name: "https://evil.example/"}) for name in ("jku", "jwk", "x5u", "x5c")],
    "kid-path": [
        header(kid=kid) for kid in ("../../dev/null", "/etc/key", "x' OR 1=1", "http://a/b", "a|b", "k.pem", "%00")
    ],
    "kid-missing": [header(kid=None)],
    "typ-missing": [header(typ=None)],
    "typ-wrong": [header(typ="JWS"), header(typ=7), header(typ="JWT"), claims(client_id=None)],
    "shared-secret": [token({**HEADER, "alg": "HS256"}, signature=bytes(32))],
    "compressed": [f"{part({'alg': 'dir', 'enc': 'A256GCM', 'zip': 'DEF'})}..AA.AA.AA"],
    "token-size": [claims(roles=["x" * 100] * 40)],
    "exp-missing": [claims(exp=None)],
    "time-type": [claims(exp="1700000600"), claims(iat=True), claims(nbf=[1])],
    "claim-type": [
        claims(iss=5),
        claims(sub=["x"]),
        claims(aud=[1]),
        claims(aud={}),
        token(claims=CLAIMS | {"jti": None}),
    ],
    "time-milliseconds": [claims(exp=1_700_000_600_000)],
    "never-valid": [claims(exp=1_700_000_000), claims(nbf=1_800_000_000)],
    "long-life": [claims(exp=1_700_000_000 + 90_000), claims(iat=None, nbf=0)],
    "iss-missing": [claims(iss=None)],
    "aud-missing": [claims(aud=None), claims(aud=[]), claims(aud="")],
    "iat-missing": [claims(iat=None)],
    "jti-missing": [claims(jti=None)],
    "secret-claim": [claims(password="x"), claims(a={"b": [{"api_key": "x"}]}), claims(k={"kty": "EC", "d": "x"})],
    "credential-value": [
        claims(x=token()),
        claims(x=["AKIA" + "A" * 16]),
        claims(x="ghp_" + "a" * 36),
        claims(x={"y": "-----BEGIN RSA PRIVATE KEY-----"}),
    ],
    "personal-data": [
        claims(email="x"),
        claims(Given_Name="x"),
        claims(login="a@b.example"),
        claims(n="4111 1111 1111 1111"),
    ],
}
BREAKING["alg-unknown"][2] = JWE.replace(JWE.partition(".")[0], part({"alg": "RSA1_5", "enc": "A256GCM"}))


def test_every_rule_has_an_example_an_id_and_words() -> None:
    assert [rule.id for rule in RULES if rule is not GUESSABLE] == [
        name for name in (r.id for r in RULES) if name in BREAKING
    ]
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.severity in SEVERITIES
        assert rule.reason.endswith((".", ")."))
        assert rule.mending.endswith(".")


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in BREAKING.items() for text in texts])
def test_each_rule_finds_what_breaks_it(rule: str, text: str) -> None:
    assert rule in found(text)


def test_a_good_access_token_breaks_no_rule() -> None:
    assert found(token()) == set()
    assert (
        found(claims(iat=1_700_000_000, exp=1_700_086_400, amr=["pwd"], password_changed_at=1, version="1234567"))
        == set()
    )


def test_a_good_encrypted_token_breaks_no_rule() -> None:
    assert found(JWE) == set()
    assert found(NESTED) == set()


def test_a_part_that_is_only_written_otherwise_is_not_called_broken() -> None:
    assert found(token() + "==") == {"not-canonical"}
    assert found(f"{JWE[:-2]}!!!") == {"not-canonical"}


@pytest.mark.parametrize("dots", [1, 2, 3])
def test_an_encrypted_token_that_is_cut_is_said_to_be_that_alone(dots: int) -> None:
    assert found(".".join(NESTED.split(".")[: dots + 1])) == {"malformed"}
    assert found(".".join(NESTED.split(".")[:dots]) + ".") == {"malformed"}


@pytest.mark.parametrize("rule", [name for name in BREAKING if name not in ("malformed", "duplicate-member")])
def test_a_rule_that_is_ignored_finds_nothing(rule: str) -> None:
    subject = read(BREAKING[rule][0])
    assert rule not in {finding.rule.id for finding in inspect(subject, frozenset((rule,)))}


@settings(max_examples=200)
@given(
    st.one_of(st.text(), st.binary().map(lambda junk: b64url_encode(junk).decode())),
    st.dictionaries(st.text(), st.text()),
)
def test_anything_at_all_can_be_inspected(junk: str, members: dict[str, Any]) -> None:
    for text in (
        junk,
        f"{junk}.{junk}.{junk}",
        token(members, members),
        token(members, junk.encode("utf-8", "replace")),
    ):
        inspect(read(text))


def test_no_message_quotes_the_value_of_a_claim() -> None:
    for text in (claims(password="hunter2", email="me@hunter2.example", x=token(), pin="hunter2"),):
        for finding in inspect(read(text)):
            assert "hunter2" not in finding.message


@pytest.mark.parametrize(("alg", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
@pytest.mark.parametrize("secret", [b"secret", b"Secret123", b"", b"your-256-bit-secret", b"orders!", b"keyboard cat"])
def test_a_common_secret_or_a_word_of_the_token_is_guessed(alg: str, digest: str, secret: bytes) -> None:
    signing_input = f"{part(HEADER | {'alg': alg})}.{part(CLAIMS)}"
    subject = read(f"{signing_input}.{part(hmac.digest(secret, signing_input.encode(), digest))}")
    assert guess(subject, candidates(subject)) is not None


def test_a_random_secret_is_not_guessed_and_a_word_list_is_counted() -> None:
    signing_input = f"{part(HEADER | {'alg': 'HS256'})}.{part(CLAIMS)}"
    secret = b"3NDzEzoMrzLWFsjPjTzGCKGzTNqQ"
    subject = read(f"{signing_input}.{part(hmac.digest(secret, signing_input.encode(), 'sha256'))}")
    assert guess(subject, candidates(subject)) is None
    assert guess(subject, [b"one", b"two", secret]) == 3
    assert guess(read(token()), [b"one"]) is None
    assert guess(read("not a token"), [b"one"]) is None
