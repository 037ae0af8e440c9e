"""The signer: what it writes its verifier accepts, and what should not be in a token it refuses."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit import ACCESS, PLAIN, ConfigurationError, Key, KeySet, Kind, Signer, Verifier, peek
from admit.errors import AdmitError, ImmatureToken, InvalidClaim, InvalidKey, MalformedToken, RefusedClaims
from admit.jose.encoding import MAX_DEPTH
from admit.service import clients, refresh_token
from tests.helpers.forge import ALL, AUDIENCE, ISSUER, NOW, claims, forge, key, said


def signer(**changes: Any) -> Signer:
    arguments: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": lambda: NOW} | changes
    return Signer(arguments.pop("key", key("HS256")), **arguments)


def verifier(kind: Any = ACCESS, alg: str = "HS256") -> Verifier[None]:
    return Verifier(KeySet([key(alg)]), issuer=ISSUER, audience=AUDIENCE, kind=kind, clock=lambda: NOW)


@pytest.mark.parametrize("alg", ALL)
def test_what_is_signed_is_verified_with_every_algorithm(alg: str) -> None:
    token = signer(key=key(alg)).sign(sub="alice", client_id="web", scope=["b", "a"], claims={"tenant": "acme"})
    read = verifier(alg=alg).verify(token)
    assert (read.sub, read.client_id, read.scopes, read.raw["tenant"]) == ("alice", "web", frozenset("ab"), "acme")
    assert (read.iat, read.exp, read.iss, read.aud) == (NOW, NOW + 600, ISSUER, (AUDIENCE,))
    assert peek(token).header == {"alg": alg, "typ": "at+jwt", "kid": key(alg).kid}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(["nbf", "sid", "epoch", "auth_time", "iss", "aud", "exp", "crit", "tenant", "password", ""])


@pytest.mark.parametrize("examples", [300, pytest.param(3_000, marks=pytest.mark.soak)])
def test_whatever_the_signer_signs_strict_eyes_can_read(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        further=st.dictionaries(NAMES | st.text(max_size=10), JSON, max_size=4),
        sub=st.none() | st.text() | st.integers(),
        jti=st.none() | st.text() | st.booleans(),
    )
    def property_holds(further: dict[str, Any], sub: Any, jti: Any) -> None:
        try:
            token = signer(kind=PLAIN).sign(sub=sub, jti=jti, claims=further)
        except RefusedClaims:
            return
        try:
            read = verifier(PLAIN).verify(token).raw
        except ImmatureToken:
            return  # an honest nbf
        assert {name: read[name] for name in further} == json.loads(json.dumps(further))

    property_holds()


@pytest.mark.parametrize(
    "arguments",
    [
        {"sub": 5},
        {"sub": b"alice"},
        {"jti": 5},
        {"jti": ""},
        {"client_id": 5},
        {"scope": 5},
        {"scope": ""},
        {"scope": "a  b"},
        {"scope": ["a b"]},
        {"scope": ['a"']},
        {"scope": ["é"]},
        {"audience": 5},
        {"audience": []},
        {"expires_at": NOW},
        {"expires_at": NOW - 100},
        {"expires_at": float("nan")},
        {"expires_at": float("-inf")},
        {"expires_at": "tomorrow"},
        {"expires_at": 10**400},
        {"expires_at": True},
        {"claims": 5},
        {"claims": [("a", 1)]},
        {"claims": {5: 1}},
        {"claims": {"a": {5: 1}}},
        {"claims": {"sid": 5}},
        {"claims": {"nbf": "now"}},
        {"claims": {"epoch": "1"}},
        {"claims": {"a": float("nan")}},
        {"claims": {"a": [float("inf")]}},
        {"claims": {"a": 2**64}},
        {"claims": {"a": "\ud800"}},
        {"claims": {"\ud800": 1}},
        {"claims": {"a": object()}},
        {"claims": {"pad": "x" * 17_000}},
        *({"claims": {name: "x"}} for name in ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope")),
    ],
    ids=lambda arguments: ascii(arguments)[:50].split(" at 0x")[0].replace("\\", "/"),
)
def test_what_no_verifier_would_read_is_not_signed(arguments: dict[str, Any]) -> None:
    with pytest.raises((RefusedClaims, ConfigurationError)):
        signer().sign(**({"sub": "alice", "client_id": "web"} | arguments))


@pytest.mark.parametrize("missing", ["sub", "client_id"])
def test_what_the_kind_requires_is_required_at_issue(missing: str) -> None:
    arguments: dict[str, Any] = {"sub": "alice", "client_id": "web"}
    del arguments[missing]
    with pytest.raises(RefusedClaims, match=missing):
        signer().sign(**arguments)
    with pytest.raises(RefusedClaims, match="aud"):
        signer(audience=None).sign(sub="alice", client_id="web")


def test_what_a_kind_lacks_is_named_with_its_argument() -> None:
    with pytest.raises(RefusedClaims, match=r"kind 'access' needs aud \(audience=\), client_id \(client_id=\)$"):
        Signer(key("HS256"), issuer=ISSUER).sign(sub="alice")
    kind = Kind(name="mine", typ="mine+jwt", required=frozenset(("tenant",)), forbidden=frozenset(("nonce", "sid")))
    with pytest.raises(RefusedClaims, match=r"kind 'mine' needs tenant$"):
        signer(kind=kind).sign(claims={"nonce": "n"})
    with pytest.raises(RefusedClaims, match=r"kind 'mine' must not have nonce$"):
        signer(kind=kind).sign(claims={"tenant": "acme", "nonce": "n"})


def test_a_longer_life_is_a_kind_of_ones_own() -> None:
    with pytest.raises(ConfigurationError, match=r"at most 1 day.*a Kind of your own: Kind\(.*max_lifetime"):
        signer(kind=PLAIN, lifetime=timedelta(days=60))
    invite = Kind(name="invite", typ="invite+jwt", max_lifetime=timedelta(days=60))
    token = signer(kind=invite, lifetime=timedelta(days=60)).sign(sub="alice")
    assert verifier(invite).verify(token).sub == "alice"


def test_what_a_kind_forbids_is_not_signed() -> None:
    one = signer(kind=Kind(name="own", typ="own+jwt", forbidden=frozenset({"nonce"})))
    assert peek(one.sign(claims={"tenant": "acme"})).claims["tenant"] == "acme"
    with pytest.raises(RefusedClaims, match="must not have nonce"):
        one.sign(claims={"nonce": "n"})


@pytest.mark.parametrize("audience", ["billing", ["orders", "billing"], ("billing",)])
def test_the_audience_is_one_or_several(audience: Any) -> None:
    several = [audience] if isinstance(audience, str) else list(audience)
    for token in (signer(kind=PLAIN).sign(audience=audience), signer(kind=PLAIN, audience=audience).sign()):
        claimed = peek(token).claims["aud"]
        assert ([claimed] if isinstance(claimed, str) else claimed) == several


@pytest.mark.parametrize("name", ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"])
def test_a_claim_with_an_argument_of_its_own_is_named_where_it_comes_by_another_way(name: str) -> None:
    with pytest.raises(RefusedClaims, match=f"the claim '{name}' is set by"):
        signer(kind=PLAIN).sign(claims={name: "x", "a": 1})


@pytest.mark.parametrize("scope", [5, "", "a  b", ["a b"], ['a"'], "é", "a\\b", [5]])
def test_a_scope_is_printable_ascii(scope: Any) -> None:
    with pytest.raises(RefusedClaims, match="printable ASCII"):
        signer(kind=PLAIN).sign(scope=scope)


def test_a_backend_whose_header_nobody_would_read_makes_no_signer() -> None:
    backend: Any = SimpleNamespace(alg="HS256", kid=5, sign=key("HS256").sign)
    with pytest.raises(AdmitError):
        signer(key=backend)


def test_a_token_may_end_sooner_and_never_later() -> None:
    one = signer(kind=PLAIN)
    assert verifier(PLAIN).verify(one.sign(expires_at=NOW + 5)).exp == NOW + 5
    assert verifier(PLAIN).verify(one.sign(expires_at=NOW + 10**6)).exp == NOW + 600


def test_a_token_is_as_long_as_verifiers_read_and_lives_a_second_at_least() -> None:
    one = signer(kind=PLAIN)
    size = len(one.sign(jti="j"))
    assert len(signer(kind=PLAIN, max_token=size).sign(jti="j")) == size
    with pytest.raises(RefusedClaims, match=f"would have {size} bytes"):
        signer(kind=PLAIN, max_token=size - 1).sign(jti="j")
    assert verifier(PLAIN).verify(one.sign(expires_at=NOW + 1)).exp == NOW + 1
    for end in (NOW, NOW + 0.9):
        with pytest.raises(RefusedClaims, match="born expired"):
            one.sign(expires_at=end)


def test_claims_nest_as_deep_as_verifiers_read_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for number in range(levels):
            value = [value] if number % 2 else {"a": value}
        return {"x": value}

    assert verifier(PLAIN).verify(signer(kind=PLAIN).sign(claims=nested(MAX_DEPTH - 2)))
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 100):
        with pytest.raises(RefusedClaims, match="deeper"):
            signer(kind=PLAIN).sign(claims=nested(levels))
    for number in (2**64 - 1, -(2**64) + 1):
        assert verifier(PLAIN).verify(signer(kind=PLAIN).sign(claims={"x": [number]})).raw["x"] == [number]
    for number in (2**64, -(2**64)):
        with pytest.raises(RefusedClaims, match="64 bits"):
            signer(kind=PLAIN).sign(claims={"x": [number]})


def test_jitter_only_shortens() -> None:
    one = signer(kind=PLAIN, jitter=0.5)
    ends = {verifier(PLAIN).verify(one.sign()).exp - NOW for _ in range(200)}
    assert all(300 <= end <= 600 for end in ends)
    assert len(ends) > 20


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"issuer": None},
        {"audience": ""},
        {"audience": []},
        {"lifetime": timedelta()},
        {"lifetime": timedelta(seconds=-1)},
        {"lifetime": timedelta(milliseconds=5)},
        {"lifetime": timedelta(days=2)},
        {"jitter": -0.1},
        {"jitter": 0.6},
        {"jitter": float("nan")},
        {"key": key("ES256").public()},
    ],
    ids=str,
)
def test_a_signer_that_could_only_do_wrong_is_not_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        signer(**changes)


@pytest.mark.parametrize("alg", ["none", "None", "HS257", "", "RSA1_5", None])
def test_a_backend_with_an_algorithm_that_does_not_exist_is_refused(alg: Any) -> None:
    class Backend:
        kid = "kms"

        def __init__(self) -> None:
            self.alg = alg

        def sign(self, data: bytes, /) -> bytes:
            return b""

    with pytest.raises(ConfigurationError):
        signer(key=Backend())


def test_a_key_elsewhere_signs_as_a_key_here() -> None:
    class Backend:
        alg, kid = "ES256", key("ES256").kid

        def sign(self, data: bytes, /) -> bytes:
            return key("ES256").sign(data)

    token = signer(key=Backend()).sign(sub="alice", client_id="web")
    assert verifier(alg="ES256").verify(token).sub == "alice"


def test_a_key_that_may_not_sign_does_not() -> None:
    for ops in (["verify"],):
        limited = Key.from_jwk(key("ES256").to_jwk(private=True) | {"key_ops": ops})
        with pytest.raises(InvalidKey):
            signer(key=limited)


# --- secrets in claims: what everybody who holds the token can read

PEM = key("ES256").to_pem(private=True)
REFRESH = refresh_token.issue("A" * 24, 0, 1, bytes(32)).text
SECRET = clients._fresh_secret()


@dataclasses.dataclass
class WithPassword:
    password: str = "hunter2"


class StructWithSecret(msgspec.Struct):
    client_secret: str = "hunter2"


class Renamed(msgspec.Struct, rename={"pw": "password"}):
    pw: str = "hunter2"


@dataclasses.dataclass
class WithNumber:
    x: float = float("nan")


@pytest.mark.parametrize(
    "further",
    [
        {"password": "hunter2"},
        {"Password": "hunter2"},
        {"pass_word": "hunter2"},
        {"PASS-WORD": "hunter2"},
        {"clientSecret": "hunter2"},
        {"client_secret": "hunter2"},
        {"api.key": "hunter2"},
        {"refresh_token": "hunter2"},
        {"pin": 1234},
        {"user": {"password": "hunter2"}},
        {"users": [{"name": "a"}, {"password": "hunter2"}]},
        {"deep": {"er": [[{"still": {"secret": "hunter2"}}]]}},
        {"tuple": ({"secret": "hunter2"},)},
        {"note": PEM.decode()},
        {"note": "see: " + PEM.decode()},
        {"note": ["-----BEGIN RSA PRIVATE KEY-----\nMII"]},
        {"note": PEM},
        {PEM.decode(): True},
        {"keys": {"-----BEGIN PRIVATE KEY-----": "hunter2"}},
        *({"note": note} for note in (REFRESH, "see: " + REFRESH, ["a", SECRET])),
        *({name: 1} for name in (REFRESH, SECRET)),
        {"jwk": key("ES256").to_jwk(private=True)},
        {"keys": [key("RS256").to_jwk(private=True)]},
        {"k": key("HS256").to_jwk(private=True)},
        {"cnf": {"jwk": key("Ed25519").to_jwk(private=True)}},
        {"user": WithPassword()},
        {"users": [WithPassword()]},
        {"user": StructWithSecret()},
        {"user": Renamed()},
        {"number": WithNumber()},
        {"raw": msgspec.Raw(b'{"password":"hunter2"}')},
        {"raw": msgspec.Raw(b'1,"sub":"mallory"')},
    ],
)
def test_a_secret_is_not_put_where_anyone_can_read_it(further: Mapping[str, object]) -> None:
    with pytest.raises(RefusedClaims) as caught:
        signer(kind=PLAIN).sign(claims=further)
    assert "hunter2" not in said(caught.value)
    for secret in (PEM.decode().splitlines()[1], REFRESH, SECRET):
        assert secret[20:40] not in said(caught.value)


def test_what_only_looks_like_a_secret_passes() -> None:
    honest = {
        "password_changed_at": 5,
        "amr": ["pwd", "otp"],
        "has_password": True,
        "secretary": "bob",
        "cnf": {"jwk": key("ES256").public().to_jwk()},
        "cert": "-----BEGIN PUBLIC KEY-----",
        "admit_to_": "admit_to_conference_room_number_24_and_to_the_roof_garden_too",
        "known_by": ["admit_rt_", "admit_cs_" + "A" * 42],
    }
    assert verifier(PLAIN).verify(signer(kind=PLAIN).sign(claims=honest)).raw["amr"] == ["pwd", "otp"]


class Widest(enum.IntEnum):
    ONE = 2**64 - 1


def test_all_that_json_can_say_is_signed() -> None:
    further: dict[str, Any] = {
        "none": None,
        "yes": True,
        "number": Widest.ONE,
        "list": [None, False, 1.5, "x", (1,), {}],
        "set": {1},
    }
    read = verifier(PLAIN).verify(signer(kind=PLAIN).sign(claims=further)).raw
    assert {name: read[name] for name in further} == {
        "none": None,
        "yes": True,
        "number": 2**64 - 1,
        "set": [1],
        "list": [None, False, 1.5, "x", [1], {}],
    }


def test_an_exception_is_named_exactly() -> None:
    one = signer(kind=PLAIN, allow_claims=["pin"])
    assert verifier(PLAIN).verify(one.sign(claims={"pin": "the PIN of a map"}))
    for further in ({"PIN": 1}, {"otp": 1}):
        with pytest.raises(RefusedClaims):
            one.sign(claims=further)


class Nested(TypedDict):
    users: dict[str, list[WithPassword]]


@pytest.mark.parametrize(
    "extra", [WithPassword, StructWithSecret, Renamed, Nested, list[WithPassword], WithPassword | None]
)
def test_a_claims_type_with_a_secret_is_refused_when_the_signer_is_built(extra: Any) -> None:
    with pytest.raises((RefusedClaims, ConfigurationError)):
        signer(extra=extra)


class Team(msgspec.Struct):
    lead: str = "bob"
    teams: list[Team] = []


def test_a_claims_type_may_hold_itself() -> None:
    token = signer(kind=PLAIN, extra=Team).sign(claims=Team(teams=[Team("carol")]))
    assert verifier(PLAIN).verify(token).raw["teams"] == [{"lead": "carol", "teams": []}]


def test_claims_may_come_as_the_type_the_signer_knows_and_no_other() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine:
        tenant: str

    one = signer(kind=PLAIN, extra=Mine)
    assert verifier(PLAIN).verify(one.sign(claims=Mine("acme"))).raw["tenant"] == "acme"
    with pytest.raises(RefusedClaims):
        one.sign(claims=WithNumber())
    with pytest.raises(RefusedClaims):
        signer(kind=PLAIN).sign(claims=Mine("acme"))


def test_the_callers_mapping_is_left_as_it_was() -> None:
    mine = {"tenant": "acme", "deep": {"list": [1]}}
    signer(kind=PLAIN).sign(claims=mine)
    assert mine == {"tenant": "acme", "deep": {"list": [1]}}


# --- peek


def test_peek_reads_and_proves_nothing() -> None:
    token = forge(signer=key("HS256", 1))
    read = peek(token)
    assert (read.claims["sub"], read.header["kid"]) == ("alice", "k1")
    assert not hasattr(read, "sub"), "it cannot pass for Claims"


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 17_000, forge(b"[]"), forge(b'{"a":1,"a":2}'), forge() + "."])
def test_peek_refuses_what_is_not_a_token(token: str) -> None:
    with pytest.raises(MalformedToken):
        peek(token)


# --- claims


def test_claims_answer_with_their_types() -> None:
    read = verifier().verify(
        forge(claims(aud=["a", AUDIENCE], scope=" b  a ", sid="s", epoch=3, auth_time=NOW - 5, nbf=NOW - 1.5))
    )
    assert (read.aud, read.scopes, read.sid, read.epoch) == (("a", AUDIENCE), frozenset("ab"), "s", 3)
    assert (read.nbf, read.auth_time, read.jti, read.client_id) == (NOW - 1.5, NOW - 5, "j1", "web")
    assert read.expires_at.timestamp() == NOW + 600
    assert read.expires_at.tzinfo is not None
    assert read.valid_from is not None
    assert read.authenticated_at is not None
    assert read.issued_at is not None


def test_what_is_not_there_is_none_and_a_missing_subject_raises() -> None:
    subject = Verifier(KeySet([key("HS256")]), issuer=ISSUER, audience=AUDIENCE, kind=PLAIN, clock=lambda: NOW)
    read = subject.verify(forge({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 5}, typ="JWT"))
    assert [read.jti, read.client_id, read.sid, read.epoch, read.iat, read.nbf, read.auth_time] == [None] * 7
    assert read.scopes == frozenset()
    with pytest.raises(InvalidClaim):
        _ = read.sub


class Tenant(msgspec.Struct, frozen=True):
    tenant: str
    level: int = 0

    def __post_init__(self) -> None:
        if self.level == 13:
            raise KeyError(self.tenant)


@pytest.mark.parametrize(
    "bad", [{}, {"tenant": 5}, {"tenant": None}, {"tenant": "a", "level": "1"}, {"tenant": "a", "level": True}]
)
def test_claims_that_do_not_fit_the_callers_type_are_refused_without_coercion(bad: dict[str, object]) -> None:
    subject = Verifier(KeySet([key("HS256")]), issuer=ISSUER, audience=AUDIENCE, extra=Tenant, clock=lambda: NOW)
    with pytest.raises(InvalidClaim):
        subject.verify(forge({**claims(), **bad}))
    assert subject.verify(forge({**claims(), "tenant": "acme"})).extra == Tenant("acme")


def test_what_a_callers_type_raises_becomes_a_refusal_that_quotes_nothing() -> None:
    subject = Verifier(KeySet([key("HS256")]), issuer=ISSUER, audience=AUDIENCE, extra=Tenant, clock=lambda: NOW)
    with pytest.raises(InvalidClaim) as caught:
        subject.verify(forge({**claims(), "tenant": "hush-hush", "level": 13}))
    assert "hush-hush" not in str(caught.value)
