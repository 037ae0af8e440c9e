"""The verifier's steps: what is refused, and by which of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from admit import ACCESS, PLAIN, Claims, ConfigurationError, Key, KeySet, Kind, Unchecked, Verifier, peek
from admit.errors import (
    BadSignature,
    ExpiredToken,
    ImmatureToken,
    InvalidClaim,
    InvalidToken,
    MalformedToken,
    OverlongToken,
    RevocationsUnavailable,
    RevokedToken,
    UnknownKey,
    WrongAudience,
    WrongIssuer,
    WrongType,
)
from tests.helpers.forge import ALL, AUDIENCE, ISSUER, KID, NOW, b64, claims, forge, key


def verifier(*keys: Key, now: float = NOW, **settings: Any) -> Verifier[Any]:
    expected = {"issuer": ISSUER, "audience": AUDIENCE} | settings
    return Verifier(KeySet(keys or [key("HS256")]), clock=lambda: now, **expected)


class CutOff:
    """Revocations that know one jti."""

    def __init__(self, jti: str | None) -> None:
        self.jti = jti

    def check(self, claims: Claims[Any]) -> None:
        if claims.jti == self.jti:
            raise RevokedToken("cut off")


# Each rule has a token that only it refuses.
RULES: list[tuple[str, dict[str, object], type[InvalidToken]]] = [
    ("another issuer", {"iss": "https://auth.example.evil"}, WrongIssuer),
    ("another audience", {"aud": "billing"}, WrongAudience),
    ("past its expiry", {"exp": NOW, "iat": NOW - 60}, ExpiredToken),
    ("without client_id", {"client_id": None}, InvalidClaim),
    ("of another kind by its claims", {"nonce": "n"}, InvalidClaim),
]
GUARDED = Kind(name="guarded", typ="at+jwt", required=ACCESS.required, forbidden=frozenset({"nonce"}))


@pytest.mark.parametrize(("index", "rule"), list(enumerate(RULES)), ids=[rule[0] for rule in RULES])
def test_without_one_rule_the_token_that_it_refuses_would_pass(
    index: int, rule: tuple[str, dict[str, object], type[InvalidToken]]
) -> None:
    _, changes, refusal = rule
    subject = verifier(kind=GUARDED)
    token = forge(claims(**changes))
    assert len(subject.rules) == len(RULES), "a rule came or went: give it its token"
    with pytest.raises(refusal):
        subject.verify(token)
    whole = subject.rules
    subject.rules = whole[:index] + whole[index + 1 :]
    subject.verify(token)
    for other in range(len(whole)):
        if other != index:
            subject.rules = whole[:other] + whole[other + 1 :]
            with pytest.raises(refusal):
                subject.verify(token)


REFUSED_CLAIMS: list[tuple[str, dict[str, object], type[InvalidToken]]] = [
    # iss, exactly (CVE-2024-53861: a part of the issuer's name was enough)
    ("issuer is a prefix", {"iss": "https://auth.exampl"}, WrongIssuer),
    ("issuer is a longer string", {"iss": ISSUER + "/"}, WrongIssuer),
    ("issuer in another case", {"iss": ISSUER.upper()}, WrongIssuer),
    ("issuer is missing", {"iss": None}, WrongIssuer),
    ("issuer is empty", {"iss": ""}, WrongIssuer),
    ("issuer is a list", {"iss": [ISSUER]}, InvalidClaim),
    # aud
    ("audience is missing", {"aud": None}, WrongAudience),
    ("audience is an empty list", {"aud": []}, WrongAudience),
    ("audience is a part of ours", {"aud": "order"}, WrongAudience),
    ("audience holds ours as a part", {"aud": "orders billing"}, WrongAudience),
    ("audience is a list of others", {"aud": ["billing", "Orders"]}, WrongAudience),
    ("audience is an object", {"aud": {AUDIENCE: True}}, InvalidClaim),
    ("audience has a number among strings", {"aud": [AUDIENCE, 5]}, InvalidClaim),
    ("audience is a nested list", {"aud": [[AUDIENCE]]}, InvalidClaim),
    # exp, nbf, iat: finite numbers (CVE-2026-25537, GHSA-687g-22h4-j4w4)
    ("no expiry", {"exp": None}, InvalidClaim),
    ("expires this very second", {"exp": NOW, "iat": NOW - 1}, ExpiredToken),
    ("expired long ago", {"exp": 0, "iat": 0}, ExpiredToken),
    ("expiry is a string", {"exp": str(NOW + 60)}, InvalidClaim),
    ("expiry is true", {"exp": True}, InvalidClaim),
    ("expiry is a list", {"exp": [NOW + 60]}, InvalidClaim),
    ("expiry is negative", {"exp": -1}, InvalidClaim),
    ("expiry is after the year 9999", {"exp": 10**15}, InvalidClaim),
    ("expiry is a float out of range", {"exp": 1e300}, InvalidClaim),
    ("not yet valid", {"nbf": NOW + 11}, ImmatureToken),
    ("nbf is a string", {"nbf": "0"}, InvalidClaim),
    ("nbf is false", {"nbf": False}, InvalidClaim),
    ("issued in the future", {"iat": NOW + 11}, ImmatureToken),
    ("issued at a string", {"iat": str(NOW)}, InvalidClaim),
    ("issued at true", {"iat": True}, InvalidClaim),
    ("auth_time is a string", {"auth_time": "1"}, InvalidClaim),
    ("lives a second too long", {"exp": NOW + 86_401}, OverlongToken),
    ("lives too long from its issue", {"exp": NOW + 60, "iat": NOW - 86_400}, OverlongToken),
    # required by RFC 9068 2.2
    ("no iat", {"iat": None}, InvalidClaim),
    ("no sub", {"sub": None}, InvalidClaim),
    ("sub is empty", {"sub": ""}, InvalidClaim),
    ("sub is a number", {"sub": 5}, InvalidClaim),
    ("no jti", {"jti": None}, InvalidClaim),
    ("jti is empty", {"jti": ""}, InvalidClaim),
    ("jti is an object", {"jti": {}}, InvalidClaim),
    ("client_id is a list", {"client_id": ["web"]}, InvalidClaim),
    ("scope is a list", {"scope": ["a"]}, InvalidClaim),
    ("sid is a number", {"sid": 1}, InvalidClaim),
    ("epoch is a string", {"epoch": "1"}, InvalidClaim),
    ("epoch is true", {"epoch": True}, InvalidClaim),
]


@pytest.mark.parametrize(
    ("changes", "refusal"), [case[1:] for case in REFUSED_CLAIMS], ids=[case[0] for case in REFUSED_CLAIMS]
)
def test_a_token_with_such_claims_is_refused(changes: dict[str, object], refusal: type[InvalidToken]) -> None:
    with pytest.raises(refusal) as caught:
        verifier().verify(forge(claims(**changes)))
    assert type(caught.value) is refusal


@pytest.mark.parametrize("name", sorted(claims()))
def test_null_is_not_absence_for_a_registered_claim(name: str) -> None:
    with pytest.raises(InvalidClaim):
        verifier(kind=PLAIN).verify(forge({**claims(), name: None}, typ="JWT"))


def test_null_is_not_absence_for_optional_claims_either() -> None:
    for name in ("nbf", "scope", "sid", "epoch", "auth_time"):
        with pytest.raises(InvalidClaim):
            verifier().verify(forge({**claims(), name: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": [AUDIENCE]},
        {"aud": ["billing", AUDIENCE]},
        {"exp": NOW + 0.5, "iat": NOW - 1},
        {"exp": NOW + 1},
        {"nbf": NOW + 10, "iat": NOW + 10},
        {"nbf": NOW - 10**6},
        {"exp": NOW + 86_400},
        {"exp": float(NOW + 60)},
        {"tenant": None},
    ],
)
def test_a_good_token_passes_at_the_edge_of_each_rule(changes: dict[str, object]) -> None:
    assert verifier().verify(forge(claims(**changes))).sub == "alice"


def test_the_end_of_a_token_moves_with_the_leeway_and_not_further() -> None:
    token = forge(claims(exp=NOW, iat=NOW - 10))
    assert verifier(now=NOW + 29.9, leeway=timedelta(seconds=30)).verify(token)
    with pytest.raises(ExpiredToken):
        verifier(now=NOW + 30, leeway=timedelta(seconds=30)).verify(token)


def test_the_skew_is_for_nbf_and_iat_only() -> None:
    early = forge(claims(nbf=NOW + 30))
    assert verifier(skew=timedelta(seconds=30)).verify(early)
    with pytest.raises(ImmatureToken, match=r"in 30 s \(nbf\); a skew of 29 s is accepted"):
        verifier(skew=timedelta(seconds=29)).verify(early)
    with pytest.raises(ExpiredToken):
        verifier(skew=timedelta(seconds=60)).verify(forge(claims(exp=NOW, iat=NOW - 1)))


def test_a_token_without_iat_may_not_live_longer_than_the_cap_from_now() -> None:
    subject = verifier(kind=PLAIN, max_lifetime=timedelta(minutes=5))
    assert subject.verify(forge(claims(iat=None, exp=NOW + 300), typ="JWT"))
    with pytest.raises(OverlongToken):
        subject.verify(forge(claims(iat=None, exp=NOW + 301), typ="JWT"))


def test_a_clock_that_answers_nan_refuses_everything() -> None:
    with pytest.raises(InvalidToken):
        verifier(now=float("nan")).verify(forge())


@pytest.mark.parametrize("value", ["", [], {}, None])
def test_a_claim_required_by_the_caller_is_there_and_not_empty(value: object) -> None:
    subject = verifier(required=["tenant"])
    for payload in (claims(), {**claims(), "tenant": value}):
        with pytest.raises(InvalidClaim) as caught:
            subject.verify(forge(payload))
        assert caught.value.claim == "tenant"
    alone = verifier(kind=PLAIN, required=["tenant"])
    with pytest.raises(InvalidClaim):
        alone.verify(forge({**claims(), "tenant": value}, typ="JWT"))
    for good in (0, False, "acme", ["a"]):
        assert subject.verify(forge({**claims(), "tenant": good}))
        assert alone.verify(forge({**claims(), "tenant": good}, typ="JWT"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": None}, f"iss is missing, expected '{ISSUER}'"),
        ({"iss": "you"}, f"iss is 'you', expected '{ISSUER}'"),
        ({"aud": None}, "aud is missing, expected 'orders'"),
        ({"aud": "you"}, "aud is 'you', expected 'orders'"),
        ({"exp": NOW - 5, "iat": NOW - 9}, "the token expired 5 s ago"),
        ({"iat": NOW + 11}, "the token was issued 11 s in the future (iat); a skew of 10 s"),
        ({"nbf": NOW + 12}, "the token becomes valid in 12 s (nbf); a skew of 10 s"),
        ({"exp": NOW + 90_000}, "the token lives 90000 s, at most 86400 s"),
    ],
)
def test_a_refusal_says_what_was_found_and_what_was_expected(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        verifier().verify(forge(claims(**changes)))
    assert words in str(caught.value)
    assert "leeway" not in str(caught.value)
    with pytest.raises(ExpiredToken, match="expired 31 s ago, and leeway is 30 s"):
        verifier(leeway=timedelta(seconds=30)).verify(forge(claims(exp=NOW - 31, iat=NOW - 60)))


def test_what_is_unchecked_for_the_expectation_is_still_required_by_the_kind() -> None:
    subject = verifier(issuer=Unchecked(), audience=Unchecked())
    assert subject.verify(forge(claims(iss="anyone", aud="anything")))
    for name in ("iss", "aud"):
        with pytest.raises(InvalidClaim):
            subject.verify(forge(claims(**{name: None})))


# --- the header


@pytest.mark.parametrize(
    "typ", [None, "", "JWT", "at+jw", "at+jwt2", "id+jwt", "application/jwt", "text/at+jwt", "at+jwt "]
)
def test_a_token_of_another_type_is_refused(typ: str | None) -> None:
    with pytest.raises(WrongType):
        verifier().verify(forge(typ=typ))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_a_media_type_is_compared_as_such(typ: str) -> None:
    assert verifier().verify(forge(typ=typ))


@pytest.mark.parametrize("typ", [5, True, None, ["at+jwt"], {}])
def test_a_type_that_is_not_a_string_is_malformed(typ: object) -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(header={"alg": "HS256", "kid": KID, "typ": typ}))


def test_kinds_refuse_each_others_tokens() -> None:
    kinds = [ACCESS, PLAIN, Kind(name="invite", typ="invite+jwt")]
    for theirs in kinds:
        for ours in kinds:
            if theirs is not ours:
                with pytest.raises(WrongType):
                    verifier(kind=ours).verify(forge(typ=theirs.typ))


@pytest.mark.parametrize("typ", ["to\u212aen+jwt", "TO\u212aEN+JWT", "token+\u0135wt", "toKen+jwt\u0130"])
def test_a_typ_compares_in_ascii_letters_only(typ: str) -> None:
    kind = Kind(name="own", typ="token+jwt")
    assert verifier(kind=kind).verify(forge(typ="TOKEN+jwt")).sub == "alice"
    with pytest.raises(WrongType):
        verifier(kind=kind).verify(forge(typ=typ))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/JWT"])
def test_further_types_of_a_kind_are_media_types_too(typ: str) -> None:
    odd = Kind(name="odd", typ="at+jwt", other_types=frozenset({typ}))
    assert verifier(kind=odd).verify(forge(typ="JWT"))


def test_a_kind_accepts_a_missing_type_only_where_it_says_so() -> None:
    lenient = Kind(name="old", typ="at+jwt", other_types=frozenset({None}))
    assert verifier(kind=lenient).verify(forge(typ=None))
    with pytest.raises(WrongType):
        verifier(kind=lenient).verify(forge(typ=""))


# authlib CVE-2026-28802: `none` in some casing passed
@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "HS256\0"]
)
def test_only_the_one_algorithm_of_the_key_passes(alg: str) -> None:
    for header in ({"alg": alg, "typ": "at+jwt", "kid": KID}, {"alg": alg, "typ": "at+jwt"}):
        token = forge(header=header)
        for sent in (token, token.rpartition(".")[0] + "."):
            with pytest.raises((MalformedToken, UnknownKey)):
                verifier().verify(sent)


@pytest.mark.parametrize("alg", [None, 5, True, ["HS256"], {"HS256": 1}])
def test_an_algorithm_that_is_not_a_string_is_malformed(alg: object) -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(header={"alg": alg, "typ": "at+jwt", "kid": KID}))
    with pytest.raises(MalformedToken):
        peek(forge(header={"alg": alg}))


# CVE-2022-29217, CVE-2024-33663, CVE-2026-48526: HMAC under the bytes of a public key
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "Ed25519", "ML-DSA-44"])
@pytest.mark.parametrize("form", ["pem", "der", "jwk", "raw"])
def test_a_mac_under_the_bytes_of_the_public_key_opens_nothing(alg: str, form: str) -> None:
    import hashlib
    import hmac

    public = key(alg).public()
    secret = {
        "pem": public.to_pem(),
        "der": public.to_der(),
        "jwk": json.dumps(public.to_jwk()).encode(),
        "raw": public.to_der()[-32:],
    }[form]
    for kid in (KID, None):
        head = {"alg": "HS256", "typ": "at+jwt"} | ({"kid": kid} if kid else {})
        signing_input = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims()).encode())
        mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
        with pytest.raises((MalformedToken, UnknownKey)):
            verifier(public).verify(f"{signing_input}.{b64(mac)}")


@pytest.mark.parametrize("kid", ["", "K1", "k1 ", "k", "k11", "../k1", "k1\0", "\ufeffk1", "é" * 300])
def test_a_kid_is_matched_exactly(kid: str) -> None:
    with pytest.raises(UnknownKey):
        verifier().verify(forge(kid=kid))


@pytest.mark.parametrize("kid", [5, True, [KID], {KID: 1}, None])
def test_a_kid_that_is_not_a_string_is_malformed(kid: object) -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(header={"alg": "HS256", "typ": "at+jwt", "kid": kid}))


def test_without_a_kid_exactly_one_key_must_fit() -> None:
    one, two = Key.generate("HS256"), Key.generate("HS256")
    token = forge(signer=one, kid=None)
    assert verifier(one, Key.generate("HS384")).verify(token).kid == one.kid
    with pytest.raises(UnknownKey):
        verifier(one, two).verify(token)
    with pytest.raises(UnknownKey):
        verifier(Key.generate("HS384")).verify(token)


def test_another_issuers_key_under_the_same_kid_is_a_bad_signature() -> None:
    for alg in ALL:
        with pytest.raises(BadSignature):
            verifier(key(alg)).verify(forge(signer=key(alg, 1)))


# authlib CVE-2026-27962: a key in the header was trusted
@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t#S256"])
def test_a_key_in_the_header_is_never_trusted(name: str) -> None:
    attacker = Key.generate("ES256", kid="evil")
    header: dict[str, Any] = {
        "jwk": attacker.public().to_jwk(),
        "jku": "https://evil.example/jwks.json",
        "x5u": "file:///etc/passwd",
        "x5c": [b64(attacker.public().to_der())],
        "x5t#S256": "abc",
    }
    brought = {name: header[name]}
    for kid, refusal in (("evil", UnknownKey), (KID, BadSignature), (None, BadSignature)):
        with pytest.raises(refusal):
            verifier(key("ES256").public()).verify(forge(signer=attacker, kid=kid, **brought))
    assert verifier().verify(forge(**brought)), "an unknown parameter is ignored, as RFC 7515 4 says"


# PyJWT CVE-2026-32597, authlib CVE-2025-59420, fast-jwt CVE-2026-35042: crit was ignored
@pytest.mark.parametrize(
    "members",
    [
        {"crit": []},
        {"crit": None},
        {"crit": "exp"},
        {"crit": {"x": 1}, "x": 1},
        {"crit": [5]},
        {"crit": ["x"]},
        {"crit": ["x"], "x": 1},
        {"crit": ["x", "x"], "x": 1},
        {"crit": ["alg"]},
        {"crit": ["typ"]},
        {"crit": ["crit"]},
        {"crit": [""], "": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"crit": ["__proto__"]},
    ],
    ids=str,
)
def test_an_extension_that_is_not_understood_is_refused(members: dict[str, object]) -> None:
    header = {"alg": "HS256", "typ": "at+jwt", "kid": KID} | members
    with pytest.raises(MalformedToken):
        verifier().verify(forge(header=header))


# --- size, shape, alphabet


def test_a_token_may_have_16_kib_and_not_one_byte_more() -> None:
    def of_size(size: int) -> str:
        room = size - len(forge(claims(pad="")))
        for length in range(room * 3 // 4 - 6, room * 3 // 4 + 6):
            token = forge(claims(pad="x" * length))
            if len(token) == size:
                return token
        return of_size(size - 1)

    longest = of_size(16 * 1024)
    assert len(longest) > 16 * 1024 - 3
    assert verifier().verify(longest)
    with pytest.raises(MalformedToken):
        verifier(max_token=len(longest) - 1).verify(longest)
    assert verifier(max_token=len(longest)).verify(longest)


# golang-jwt CVE-2025-30204, go-jose CVE-2025-27144, authlib CVE-2025-61920: work before the size was looked at
@pytest.mark.parametrize("flood", ["." * 10_000_000, "a" * 10_000_000, "." * 16_000, ("a." * 8_000), "é" * 1_000_000])
def test_a_flood_costs_nothing(flood: str) -> None:
    subject = verifier()
    began = time.thread_time()
    for _ in range(10):
        with pytest.raises(MalformedToken):
            subject.verify(flood)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "a.b.c.d.e.f",
        " ",
        "\0",
        "null",
        "{}",
        "..."[:2] + "a",
        "é.é.é",
    ],
)
def test_what_does_not_have_three_parts_is_malformed(token: str) -> None:
    for sent in (token, token.encode()):
        with pytest.raises(MalformedToken):
            verifier().verify(sent)


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Bearer ", "", "begins with Bearer: pass the token alone"),
        ("bearer  ", "", "begins with Bearer: pass the token alone"),
        ("", "\n", "white space around it"),
        ("", " ", "white space around it"),
        (" ", "", "white space around it"),
    ],
)
def test_what_a_token_was_copied_with_is_named_and_the_token_is_not(
    alg: str, before: str, after: str, said: str
) -> None:
    token = forge(claims(), alg=alg)
    with pytest.raises(InvalidToken, match=said) as caught:
        verifier(key(alg)).verify(before + token + after)
    assert "pass the token alone" in str(caught.value)
    assert not any(part in str(caught.value) for part in token.split("."))
    verifier(key(alg)).verify(token)


def test_an_encrypted_token_is_never_taken_for_a_signed_one() -> None:
    header = b64(json.dumps({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "kid": KID}).encode())
    with pytest.raises(MalformedToken, match="JWE"):
        verifier().verify(f"{header}..AAAA.AAAA.AAAA")


def test_a_token_inside_a_token_is_refused() -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(forge().encode(), cty="JWT"))


def _spellings(part: str) -> list[str]:
    """Other spellings that loose readers take for the same bytes."""
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {0: 0, 2: 15, 3: 3}[len(part) % 4]
    changed = [part[:-1] + last[last.index(part[-1]) | bits] for bits in range(1, spare + 1)]
    others = [
        part + "=",
        part + "==",
        part + "\n",
        " " + part,
        part[:4] + "\n" + part[4:],
        part + "A",
        part[:4] + "=" + part[4:],
    ]
    others += [part.replace("-", "+"), part.replace("_", "/"), part[:-1], part + "\0", part[:3] + "%41" + part[4:]]
    return [text for text in changed + others if text != part]


# PyJWT GHSA-hxm8-2xgr-2p9m: spare bits; a second spelling of a token is one that a deny list does not know
@pytest.mark.parametrize("alg", ["HS256", "HS384", "RS256", "ES256", "ES512", "Ed25519", "ML-DSA-44"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_token_has_one_spelling_only(alg: str, index: int) -> None:
    subject = verifier(key(alg))
    seen = 0
    for pad in ("", "x", "xx"):
        parts = forge(claims(pad=pad), alg=alg, pad=pad).split(".")
        subject.verify(".".join(parts))
        for spelling in _spellings(parts[index]):
            changed = ".".join([*parts[:index], spelling, *parts[index + 1 :]])
            seen += 1
            with pytest.raises((MalformedToken, BadSignature)):
                subject.verify(changed)
    assert seen > 30


def test_the_payload_is_canonical_even_where_the_signature_covers_another_spelling() -> None:
    signer = key("HS256")
    head = b64(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": KID}).encode())
    body = next(
        b64(json.dumps(claims(pad=pad)).encode())
        for pad in ("", "x", "xx")
        if len(json.dumps(claims(pad=pad))) % 3 == 1
    )
    for changed_head, changed_body in (
        (head, body[:-1] + chr(ord(body[-1]) + 1)),
        (head, body + "=="),
        (head + "=", body),
    ):
        signing_input = f"{changed_head}.{changed_body}".encode()
        with pytest.raises(MalformedToken):
            verifier().verify(signing_input + b"." + signer.sign(signing_input))


# --- strict JSON, in the header and in the claims (no peer refuses duplicates)

_GOOD = json.dumps(claims())[1:-1].encode()
_HEAD = b'"alg":"HS256","typ":"at+jwt","kid":"k1"'
BAD_JSON: dict[str, Callable[[bytes], bytes]] = {
    "a duplicate member": lambda m: b"{" + m + b',"x":1,"x":1}',
    "a duplicate member, escaped": lambda m: b"{" + m + b',"x":1,"\\u0078":1}',
    "a duplicate in an object": lambda m: b"{" + m + b',"x":{"y":1,"y":2}}',
    "a duplicate in a list": lambda m: b"{" + m + b',"x":[1,{"y":1,"y":2}]}',
    "a duplicate beside a nested object": lambda m: b"{" + m + b',"x":{},"x":{"a":1}}',
    "a duplicate five levels down": lambda m: b"{" + m + b',"x":[[{"a":{"b":{"y":1,"y":2}}}]]}',
    "a duplicate hidden by spaces": lambda m: b"{" + m + b',"x" : 1,"x"\n:1}',
    "a duplicate hidden by a string of colons": lambda m: b"{" + m + b',"x":"\\":","x":1}',
    "an integer of 2**64": lambda m: b"{" + m + b',"x":18446744073709551616}',
    "an integer of -2**64": lambda m: b"{" + m + b',"x":-18446744073709551616}',
    "a nested integer of 30 digits": lambda m: b"{" + m + b',"x":[{"y":' + b"1" * 30 + b"}]}",
    "an integer of 5000 digits": lambda m: b"{" + m + b',"x":' + b"1" * 5000 + b"}",
    "depth 33 of lists": lambda m: b"{" + m + b',"x":' + b"[" * 32 + b"]" * 32 + b"}",
    "depth 33 of objects": lambda m: b"{" + m + b',"x":' + b'{"a":' * 32 + b"1" + b"}" * 33,
    "depth 33, an empty object in lists": lambda m: b"{" + m + b',"x":' + b"[" * 31 + b"{}" + b"]" * 31 + b"}",
    "depth 5000": lambda m: b"{" + m + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "an unclosed depth 5000": lambda m: b"{" + m + b',"x":' + b"[" * 5000,
    "NaN": lambda m: b"{" + m + b',"x":NaN}',
    "Infinity": lambda m: b"{" + m + b',"x":Infinity}',
    "-Infinity": lambda m: b"{" + m + b',"x":-Infinity}',
    "a number that overflows": lambda m: b"{" + m + b',"x":1e400}',
    "a lone high surrogate": lambda m: b"{" + m + b',"x":"\\ud800"}',
    "a lone low surrogate": lambda m: b"{" + m + b',"x":"\\udc00"}',
    "a lone surrogate in a name": lambda m: b"{" + m + b',"\\ud800":1}',
    "an encoded surrogate": lambda m: b"{" + m + b',"x":"\xed\xa0\x80"}',
    "bad UTF-8 in a value": lambda m: b"{" + m + b',"x":"\xff"}',
    "bad UTF-8 in a name": lambda m: b"{" + m + b',"\xff":1}',
    "an overlong encoding": lambda m: b"{" + m + b',"x":"\xc0\x80"}',
    "a byte order mark": lambda m: b"\xef\xbb\xbf{" + m + b"}",
    "UTF-16": lambda m: (b"{" + m + b"}").decode().encode("utf-16"),
    "UTF-16 big endian": lambda m: (b"{" + m + b"}").decode().encode("utf-16-be"),
    "UTF-32": lambda m: (b"{" + m + b"}").decode().encode("utf-32"),
    "a control character": lambda m: b"{" + m + b',"x":"\n"}',
    "a trailing comma": lambda m: b"{" + m + b",}",
    "a comment": lambda m: b"{" + m + b"/**/}",
    "a second document": lambda m: b"{" + m + b"}{}",
    "a trailing null byte": lambda m: b"{" + m + b"}\0",
    "a list around it": lambda m: b"[{" + m + b"}]",
    "a string": lambda m: json.dumps((b"{" + m + b"}").decode()).encode(),
    "single quotes": lambda m: (b"{" + m + b"}").replace(b'"', b"'"),
    "an unquoted name": lambda m: b"{" + m + b",x:1}",
    "a leading zero": lambda m: b"{" + m + b',"x":01}',
    "nothing": lambda m: b"",
    "null": lambda m: b"null",
    "a number": lambda m: b"1",
}


@pytest.mark.parametrize("make", list(BAD_JSON.values()), ids=list(BAD_JSON))
def test_claims_that_are_not_strict_json_are_refused(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(make(_GOOD)))


@pytest.mark.parametrize("make", list(BAD_JSON.values()), ids=list(BAD_JSON))
def test_a_header_that_is_not_strict_json_is_refused(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedToken):
        verifier().verify(forge(header=make(_HEAD)))


@pytest.mark.parametrize(
    "members",
    [b'"x":18446744073709551615', b'"x":1e30', b'"x":"\\ud83d\\ude00"', b'"x":' + b"[" * 31 + b"]" * 31, b' "x" :\t1 '],
)
def test_odd_but_strict_json_passes(members: bytes) -> None:
    assert verifier().verify(forge(b"{" + _GOOD + b"," + members + b"}", header=b"{" + _HEAD + b"," + members + b"}"))


# --- what is configured wrongly is told when the verifier is built


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": ""},
        {"issuer": []},
        {"issuer": [""]},
        {"issuer": None},
        {"issuer": Unchecked},
        {"issuer": 5},
        {"issuer": b"https://auth.example"},
        {"audience": ""},
        {"audience": []},
        {"audience": ["orders", ""]},
        {"audience": None},
        {"audience": Unchecked},
        {"leeway": timedelta(seconds=61)},
        {"leeway": timedelta(seconds=-1)},
        {"skew": timedelta(seconds=61)},
        {"skew": timedelta(seconds=-1)},
        {"max_lifetime": timedelta()},
        {"max_lifetime": timedelta(seconds=-5)},
        {"required": "tenant"},
        {"required": [5]},
        {"cache": -1},
        {"max_token": 0},
    ],
    ids=str,
)
def test_a_setting_that_would_leave_something_unchecked_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        verifier(**settings)


@pytest.mark.parametrize(
    "keys",
    [
        *(None, [], {}, "k1", b"k1", 5, key("HS256"), [key("HS256")]),
        *(SimpleNamespace(current=list), SimpleNamespace(missing=list), SimpleNamespace(current=list, missing=5)),
    ],
    ids=lambda keys: type(keys).__name__,
)
def test_what_is_no_source_of_keys_is_refused_when_the_verifier_is_built(keys: Any) -> None:
    with pytest.raises(ConfigurationError):
        Verifier(keys, issuer=ISSUER, audience=AUDIENCE)


def test_keys_that_may_not_verify_make_no_verifier() -> None:
    signing_only = Key.from_jwk(key("ES256").to_jwk(private=True) | {"key_ops": ["sign"]})
    with pytest.raises(ConfigurationError):
        verifier(signing_only)
    with pytest.raises(UnknownKey):
        verifier(signing_only, Key.generate("ES384")).verify(forge(signer=signing_only))


@pytest.mark.parametrize("types", ["JWT", "at+jwt"])
def test_the_further_types_of_a_kind_are_not_one_string(types: Any) -> None:
    with pytest.raises(ConfigurationError):
        Kind(name="odd", typ="at+jwt", other_types=types)


@pytest.mark.parametrize("cty", ["JWT", "jwt", "application/jwt"])
def test_claims_in_place_of_the_token_that_the_header_announces_are_refused(cty: str) -> None:
    with pytest.raises(MalformedToken, match="a JWT is inside"):
        verifier().verify(forge(cty=cty))
    assert verifier().verify(forge(cty="json"))


# --- revocation


def test_a_token_that_was_cut_off_is_refused_and_others_are_not() -> None:
    subject = verifier(revocations=CutOff("j1"))
    with pytest.raises(RevokedToken):
        subject.verify(forge())
    assert subject.verify(forge(claims(jti="j2")))


def test_revocation_is_asked_last_so_that_it_never_sees_a_refused_token() -> None:
    asked: list[str | None] = []

    class Listening:
        def check(self, claims: Claims[Any]) -> None:
            asked.append(claims.jti)

    subject = verifier(revocations=Listening())
    for bad in (forge(signer=key("HS256", 1)), forge(claims(exp=NOW, iat=NOW - 1)), forge(typ="JWT")):
        with pytest.raises(InvalidToken):
            subject.verify(bad)
    assert asked == []
    subject.verify(forge())
    assert asked == ["j1"]


def test_claims_that_passed_are_judged_again_by_their_key_their_times_and_what_was_cut_off_since() -> None:
    revocations, now = CutOff("other"), [float(NOW)]
    expected: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": lambda: now[0]}
    subject = Verifier(KeySet([key("HS256")]), revocations=revocations, **expected)
    passed = subject.verify(forge())
    subject.recheck(passed)
    verifier().recheck(passed)
    revocations.jti = passed.jti
    with pytest.raises(RevokedToken):
        subject.recheck(passed)
    revocations.jti, now[0] = None, NOW + 600
    with pytest.raises(ExpiredToken):
        subject.recheck(passed)
    with pytest.raises(UnknownKey):
        Verifier(KeySet([Key.generate("HS256")]), **expected).recheck(passed)
    now[0] = NOW
    answering: Any = SimpleNamespace(check=lambda claims: False)
    with pytest.raises(RevocationsUnavailable):
        Verifier(KeySet([key("HS256")]), revocations=answering, **expected).recheck(passed)


def test_claims_are_judged_again_by_asking_where_their_token_is_given() -> None:
    class Asked(CutOff):
        def check(self, claims: Claims[Any], /) -> None:
            raise RevocationsUnavailable("too old")

        def ask(self, token: str, claims: Claims[Any], /) -> None:
            assert (token, claims) == (good, passed)
            if self.jti:
                raise RevokedToken("the issuer says so")

    good = forge()
    passed, revocations = verifier().verify(good), Asked(None)
    subject = verifier(revocations=revocations)
    subject.recheck(passed, good)
    subject.recheck(passed, good.encode())
    with pytest.raises(RevocationsUnavailable):
        subject.recheck(passed)
    revocations.jti = passed.jti
    with pytest.raises(RevokedToken):
        subject.recheck(passed, good)


def test_revocations_that_judge_are_told_the_systems_time_and_what_was_kept() -> None:
    told: list[tuple[float, bool]] = []

    class Judging(CutOff):
        def judge(self, claims: Claims[Any], now: float, kept: bool, /) -> None:
            told.append((now, kept))

    subject, token, begun = verifier(revocations=Judging("none"), cache=1), forge(), time.time()
    subject.recheck(subject.verify(token))
    subject.verify(token)
    assert [kept for _, kept in told] == [False, False, True]
    assert all(begun <= now <= time.time() for now, _ in told)  # not the verifier's own clock, which stands still


class Stale:
    """Revocations that know nothing any more, and may be asked about one token."""

    answer: Any = None

    def __init__(self) -> None:
        self.stale = False
        self.asked: list[str] = []

    def check(self, claims: Claims[Any]) -> None:
        if self.stale:
            raise RevocationsUnavailable("stale", 1)

    def ask(self, token: str, claims: Claims[Any]) -> Any:
        self.asked.append(token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("cache", [0, 10])
def test_whoever_can_be_asked_about_one_token_is_where_nothing_is_known(cache: int) -> None:
    revocations = Stale()
    subject, token = verifier(revocations=revocations, cache=cache), forge()
    subject.verify(token)
    revocations.stale = True
    assert subject.verify(token).sub == subject.verify(token.encode()).sub == "alice"
    assert revocations.asked == [token, token]
    for answer, refusal in ((RevokedToken("cut off"), RevokedToken), (True, RevocationsUnavailable)):
        revocations.answer = answer
        with pytest.raises(refusal):
            subject.verify(token)


# --- the memo of headers


def test_only_verified_headers_are_remembered() -> None:
    subject = verifier()
    for number in range(300):
        with pytest.raises(InvalidToken):
            subject.verify(forge(signer=key("HS256", 1), x=number))
    assert subject._snapshot is not None
    assert subject._snapshot.memo == {}
    for number in range(300):
        subject.verify(forge(x=number))
    assert len(subject._snapshot.memo) == 256


def test_a_key_that_left_the_source_verifies_nothing_more_though_its_header_was_remembered() -> None:
    class Source:
        keys = KeySet([key("HS256"), Key.generate("HS256", kid="other")])

        def current(self) -> KeySet:
            return self.keys

        def missing(self, kid: str | None) -> KeySet:
            return self.keys

    source = Source()
    for size in (0, 10):
        source.keys = KeySet([key("HS256"), Key.generate("HS256", kid="other")])
        subject = Verifier(source, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, cache=size)
        token = forge()
        subject.verify(token)
        subject.verify(token)
        source.keys = KeySet([Key.generate("HS256", kid="other")])
        with pytest.raises(UnknownKey):
            subject.verify(token)


def test_a_missing_key_is_looked_for_once_and_then_believed() -> None:
    looked: list[str | None] = []

    class Source:
        keys = KeySet([Key.generate("HS256", kid="old")])

        def current(self) -> KeySet:
            return self.keys

        def missing(self, kid: str | None) -> KeySet:
            looked.append(kid)
            self.keys = KeySet([key("HS256"), *self.keys])
            return self.keys

    subject = Verifier(Source(), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    assert subject.verify(forge()).kid == KID
    assert subject.verify(forge()).kid == KID
    assert looked == [KID]


class Fickle:
    """Finds a key that is not among its own, and later does not."""

    status: Any = None

    def __init__(self) -> None:
        self.keys = KeySet([Key.generate("HS256", kid="old")])
        self.found = KeySet([key("HS256")])

    def current(self) -> KeySet:
        return self.keys

    def missing(self, kid: str | None) -> KeySet:
        return self.found


@pytest.mark.parametrize("cache", [0, 10])
def test_a_key_that_was_found_once_is_not_remembered_among_those_that_lack_it(cache: int) -> None:
    source = Fickle()
    subject = Verifier(source, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, cache=cache)
    token = forge()
    assert subject.verify(token).kid == KID
    source.found = source.keys
    for status, words in ((None, r"\(it has 'old'\)$"), ("5 s old", r"\(it has 'old'\); 5 s old$")):
        source.status = status
        with pytest.raises(UnknownKey, match=words):
            subject.verify(token)


class Particular(msgspec.Struct, frozen=True):
    tenant: str
    level: int = 0

    def __post_init__(self) -> None:
        if self.level == 7:
            raise KeyError(self.tenant)
        if self.level == 8:
            raise WrongAudience("not for this level")


@pytest.mark.parametrize(
    ("further", "error", "words"),
    [
        ({"level": "hush"}, InvalidClaim, "do not fit Particular at '`\\$.level`'$"),
        ({"level": 7}, InvalidClaim, r"do not fit Particular \(KeyError\)$"),
        ({"level": 8}, WrongAudience, "not for this level"),
    ],
)
def test_a_type_of_the_callers_refuses_claims_in_its_own_way(
    further: dict[str, object], error: type[InvalidToken], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        verifier(extra=Particular).verify(forge(claims(tenant="hush", **further)))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("answer", [True, False, 0, "no"])
@pytest.mark.parametrize("cache", [0, 10])
def test_a_revocation_check_that_answers_instead_of_raising_is_not_believed(answer: object, cache: int) -> None:
    class Answering:
        answer: Any = None

        def check(self, claims: Claims[Any], /) -> None:
            return self.answer  # type: ignore[no-any-return]

    revocations = Answering()
    subject = verifier(revocations=revocations, cache=cache)
    token = forge(claims())
    subject.verify(token)
    revocations.answer = answer
    with pytest.raises(RevocationsUnavailable):
        subject.verify(token)
