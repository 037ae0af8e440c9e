"""Presets: tokens and key sets of the shape their issuers document, and no kind that passes for another."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from admit import (
    ACCESS,
    PLAIN,
    ConfigurationError,
    InvalidToken,
    Key,
    KeySet,
    Kind,
    Signer,
    Unchecked,
    Verifier,
    presets,
)
from admit.errors import InvalidClaim, MalformedToken, WrongAudience, WrongIssuer, WrongType
from admit.remote.jwks import ALGORITHMS, read_jwks
from admit.tokens.verdict import failures
from tests.helpers.forge import NOW, claims, forge, key

TENANT = "11111111-2222-3333-4444-555555555555"
TIMES = {"iat": NOW, "exp": NOW + 3600}
SPAN = TIMES | {"nbf": NOW}


@dataclass(frozen=True)
class Sample:
    """A token of one kind: what its issuer's documentation shows, with names changed."""

    kind: Kind
    issuer: str
    audience: str
    claims: dict[str, Any]
    header: dict[str, Any] = field(default_factory=lambda: {"typ": "JWT"})
    client_id: str | None = None
    scopes: frozenset[str] = frozenset()

    def token(self, *, signer: Key | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        signer = signer or key("RS256")
        payload = {"iss": self.issuer, **self.claims} | changes
        members = {"alg": signer.alg, "kid": signer.kid, **(self.header if header is None else header)}
        return forge(
            {name: value for name, value in payload.items() if value is not None}, signer=signer, header=members
        )


AUTH0, COGNITO = "https://acme.eu.auth0.com/", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1Cd2Ef3"
ENTRA, ENTRA_V1 = f"https://login.microsoftonline.com/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"
OKTA, KEYCLOAK = "https://acme.okta.com/oauth2/default", "https://id.acme.example/realms/shop"
FIREBASE, GOOGLE = "https://securetoken.google.com/acme-shop", "https://accounts.google.com"

# In each the audience of both kinds is the same where the issuer lets it be, so that aud is not what tells them apart.
SAMPLES = {
    sample.kind.name: sample
    for sample in [
        Sample(
            presets.AUTH0_ACCESS, AUTH0, "app",
            {"sub": "auth0|1", "aud": ["app", AUTH0 + "userinfo"], **TIMES, "azp": "app", "scope": "openid read:all"},
            client_id="app", scopes=frozenset({"openid", "read:all"}),
        ),
        Sample(presets.AUTH0_ID, AUTH0, "app", {"sub": "auth0|1", "aud": "app", **TIMES, "sid": "s1", "name": "Alice"}),
        Sample(
            presets.COGNITO_ACCESS, COGNITO, "app",
            {"sub": "u1", "client_id": "app", "origin_jti": "o1", "event_id": "e1", "token_use": "access",
             "scope": "openid", "auth_time": NOW, **TIMES, "jti": "j1", "username": "alice"},
            header={}, client_id="app", scopes=frozenset({"openid"}),
        ),
        Sample(
            presets.COGNITO_ID, COGNITO, "app",
            {"sub": "u1", "aud": "app", "origin_jti": "o1", "event_id": "e1", "token_use": "id", "auth_time": NOW, **TIMES,
             "jti": "j1", "cognito:username": "alice", "email": "a@acme.example"},
            header={},
        ),
        Sample(
            presets.ENTRA_ACCESS, ENTRA, "app",
            {"aud": "app", **SPAN, "aio": "x", "azp": "spa", "azpacr": "0", "oid": "o1", "scp": "read write", "sub": "s1",
             "tid": TENANT, "uti": "u1", "ver": "2.0"},
            client_id="spa", scopes=frozenset({"read", "write"}),
        ),
        Sample(
            presets.ENTRA_ACCESS_V1, ENTRA_V1, "app",
            {"aud": "app", **SPAN, "acr": "1", "amr": ["pwd"], "appid": "spa", "appidacr": "0", "oid": "o1",
             "scp": "read", "sub": "s1", "tid": TENANT, "uti": "u1", "ver": "1.0"},
            header={"typ": "JWT", "x5t": "abc"}, client_id="spa", scopes=frozenset({"read"}),
        ),
        Sample(
            presets.ENTRA_ID, ENTRA, "app",
            {"aud": "app", **SPAN, "aio": "x", "name": "Alice", "oid": "o1", "sub": "s1", "tid": TENANT, "uti": "u1",
             "ver": "2.0"},
        ),
        Sample(
            presets.GOOGLE_ID, GOOGLE, "app",
            {"azp": "app", "aud": "app", "sub": "1", "at_hash": "h", "hd": "acme.example", "email_verified": True, **TIMES},
        ),
        Sample(
            presets.FIREBASE_ID, FIREBASE, "acme-shop",
            {"aud": "acme-shop", "auth_time": NOW, "user_id": "u1", "sub": "u1", **TIMES,
             "firebase": {"identities": {}, "sign_in_provider": "password"}},
        ),
        Sample(
            presets.OKTA_ACCESS, OKTA, "app",
            {"ver": 1, "jti": "AT.abc", "aud": "app", **TIMES, "cid": "spa", "uid": "u1", "scp": ["openid", "read"],
             "auth_time": NOW, "sub": "alice@acme.example"},
            header={}, client_id="spa", scopes=frozenset({"openid", "read"}),
        ),
        Sample(
            presets.OKTA_ID, OKTA, "app",
            {"sub": "u1", "ver": 1, "aud": "app", **TIMES, "jti": "ID.abc", "amr": ["pwd"], "idp": "i1", "auth_time": NOW},
            header={},
        ),
        Sample(
            presets.KEYCLOAK_ACCESS, KEYCLOAK, "app",
            {**TIMES, "jti": "j1", "aud": ["app", "account"], "sub": "u1", "typ": "Bearer", "azp": "spa", "sid": "s1",
             "acr": "1", "realm_access": {"roles": ["admin"]}, "scope": "openid email"},
            client_id="spa", scopes=frozenset({"openid", "email"}),
        ),
        Sample(
            presets.KEYCLOAK_ID, KEYCLOAK, "app",
            {**TIMES, "jti": "j1", "aud": "app", "sub": "u1", "typ": "ID", "azp": "app", "sid": "s1", "acr": "1"},
        ),
    ]
}  # fmt: skip


def jwks(*members: str, **further: Any) -> bytes:
    """A published set: the members of an RSA key, and what else the issuer says of it."""
    public = key("RS256").public().to_jwk()
    return json.dumps({"keys": [{name: public[name] for name in members} | further]}).encode()


# The members that each issuer's key set has. Entra's and no other's is without alg.
PUBLISHED = {
    "auth0": jwks("kty", "n", "e", "kid", "alg", use="sig", x5t="abc", x5c=["MIIC"]),
    "cognito": jwks("alg", "e", "kid", "kty", "n", use="sig"),
    "entra": jwks("kty", "kid", "n", "e", use="sig", x5t="abc", x5c=["MIIC"], issuer=ENTRA),
    "google": jwks("kty", "n", "e", "kid", "alg", use="sig"),
    "firebase": jwks("kty", "n", "e", "kid", "alg", use="sig"),
    "okta": jwks("kty", "alg", "kid", "e", "n", use="sig"),
    "keycloak": jwks("kid", "kty", "alg", "n", "e", use="sig", x5c=["MIIC"], x5t="abc"),
}


def verifier(sample: Sample, kind: Kind | None = None, audience: str | None = None) -> Verifier[None]:
    kind = kind or sample.kind
    keys = read_jwks(PUBLISHED[sample.kind.name.split("-")[0]], ALGORITHMS)
    return Verifier(keys, issuer=sample.issuer, audience=audience or sample.audience, kind=kind, clock=lambda: NOW)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_token_as_the_issuer_documents_it_is_accepted_with_its_client_and_scopes(name: str) -> None:
    sample = SAMPLES[name]
    found = verifier(sample).verify(sample.token())
    assert found.sub == sample.claims["sub"]
    assert (found.client_id, found.scopes) == (sample.client_id, sample.scopes)
    assert found.jti == sample.claims.get("jti", sample.claims.get("uti"))


def of_one_issuer() -> list[tuple[str, str]]:
    return [
        (one.kind.name, other.kind.name)
        for one in SAMPLES.values()
        for other in SAMPLES.values()
        if one is not other and one.kind.name.split("-")[0] == other.kind.name.split("-")[0]
    ]


@pytest.mark.parametrize(("expected", "given"), of_one_issuer())
def test_no_kind_accepts_another_kinds_tokens_of_the_same_issuer(expected: str, given: str) -> None:
    sample = SAMPLES[given]
    # The same issuer and audience are expected: only the kind tells the tokens apart.
    kind = replace(SAMPLES[expected].kind, issuer=None)
    with pytest.raises((InvalidClaim, WrongAudience)):  # the latter where one kind has no aud
        verifier(sample, kind).verify(sample.token())


@pytest.mark.parametrize("name", [name for name in SAMPLES if "-id" in name])
def test_an_id_token_is_no_rfc_9068_access_token(name: str) -> None:
    with pytest.raises(WrongType):
        verifier(SAMPLES[name], ACCESS).verify(SAMPLES[name].token())


def test_the_id_token_of_a_login_with_a_nonce_is_no_access_token_whatever_else_it_says() -> None:
    for name in ("auth0-access", "cognito-access", "entra-access", "entra-access-v1", "okta-access"):
        with pytest.raises(InvalidClaim, match="nonce"):
            verifier(SAMPLES[name]).verify(SAMPLES[name].token(nonce="n1"))


@pytest.mark.parametrize(("name", "mark", "value"), [
    ("cognito-access", "token_use", "id"), ("cognito-access", "token_use", None), ("cognito-access", "token_use", "access2"),
    ("cognito-access", "token_use", ["access"]), ("cognito-access", "aud", "https://another.example"),
    ("cognito-id", "token_use", "access"), ("okta-access", "jti", "ID.abc"), ("okta-access", "jti", "AT."),
    ("okta-id", "jti", "AT.abc"), ("entra-access", "ver", "1.0"), ("entra-access", "ver", 2.0), ("entra-access", "ver", None),
    ("entra-access-v1", "ver", "2.0"), ("entra-id", "ver", "2x0"), ("entra-access", "azp", None),
    ("entra-access-v1", "appid", None), ("keycloak-access", "typ", "ID"), ("keycloak-access", "typ", "Refresh"),
    ("keycloak-access", "typ", "DPoP"), ("keycloak-access", "typ", None), ("keycloak-id", "typ", "Bearer"),
    ("keycloak-id", "typ", "Logout"), ("auth0-access", "azp", None), ("auth0-id", "azp", "app"), ("okta-access", "cid", None),
    ("okta-id", "cid", "spa"), ("entra-id", "azp", "app"), ("entra-id", "appid", "app"), ("firebase-id", "firebase", None),
    ("firebase-id", "auth_time", None),
])  # fmt: skip
def test_what_marks_a_kind_has_to_be_there_and_no_other(name: str, mark: str, value: Any) -> None:
    sample = SAMPLES[name]
    with pytest.raises(InvalidClaim):
        verifier(sample).verify(sample.token(**{mark: value}))


def test_the_audience_of_a_cognito_access_token_is_its_client() -> None:
    sample = SAMPLES["cognito-access"]
    for client in ("another", None):
        with pytest.raises(WrongAudience, match=r"client_id is .*, expected 'app'"):
            verifier(sample).verify(sample.token(client_id=client))


def test_a_claim_in_the_place_of_one_that_stands_elsewhere_is_not_believed() -> None:
    kind = replace(presets.OKTA_ACCESS, forbidden=frozenset())
    sample = SAMPLES["okta-access"]
    found = verifier(sample, kind).verify(sample.token(client_id="forged", scope="admin", scp=None))
    assert (found.client_id, found.scopes) == ("spa", frozenset())
    with pytest.raises(InvalidClaim):
        verifier(sample).verify(sample.token(scp=["read", 5]))


@pytest.mark.parametrize("spelling", ["https://accounts.google.com", "accounts.google.com"])
def test_both_spellings_of_googles_issuer_are_one(spelling: str) -> None:
    sample = SAMPLES["google-id"]
    for expected in ("https://accounts.google.com", "accounts.google.com"):
        assert verifier(replace(sample, issuer=expected)).verify(sample.token(iss=spelling)).sub == "1"
    with pytest.raises(WrongIssuer):
        verifier(sample).verify(sample.token(iss="https://accounts.google.com/"))


def test_googles_access_tokens_are_opaque_and_so_no_tokens_here() -> None:
    with pytest.raises(MalformedToken):
        verifier(SAMPLES["google-id"]).verify("ya29.a0AfH6SMBx7kZ")


@pytest.mark.parametrize(
    "issuer", ["https://session.firebase.google.com/acme-shop", "svc@acme-shop.iam.gserviceaccount.com"]
)
def test_session_cookies_and_custom_tokens_of_firebase_are_no_id_tokens(issuer: str) -> None:
    with pytest.raises(WrongIssuer):
        verifier(SAMPLES["firebase-id"]).verify(SAMPLES["firebase-id"].token(iss=issuer))


def test_a_firebase_project_is_its_own_only_audience() -> None:
    with pytest.raises(ConfigurationError, match="'acme-shop' and no other"):
        verifier(SAMPLES["firebase-id"], audience="another-project")


@pytest.mark.parametrize(("name", "issuer"), [
    ("auth0-access", "https://acme.eu.auth0.com"), ("auth0-id", "http://acme.eu.auth0.com/"),
    ("cognito-access", "https://cognito-idp.evil.example/x"), ("cognito-id", COGNITO + "/"),
    ("entra-access", "https://login.microsoftonline.com/common/v2.0"), ("entra-access", ENTRA_V1),
    ("entra-access-v1", ENTRA), ("entra-id", "https://login.microsoftonline.com/{tenantid}/v2.0"),
    ("google-id", "https://google.com"), ("firebase-id", "https://securetoken.google.com/"),
    ("okta-access", "https://acme.okta.com"), ("okta-id", OKTA + "/"),
    ("keycloak-access", "https://id.acme.example/shop"), ("keycloak-id", KEYCLOAK + "/"),
])  # fmt: skip
def test_an_issuer_that_cannot_be_of_that_kind_is_refused_when_the_verifier_is_built(name: str, issuer: str) -> None:
    with pytest.raises(ConfigurationError, match="issuers look like"):
        verifier(replace(SAMPLES[name], issuer=issuer))


def test_that_holds_where_no_audience_is_expected_either() -> None:
    keys = read_jwks(PUBLISHED["okta"], ALGORITHMS)
    with pytest.raises(ConfigurationError, match="issuers look like"):
        Verifier(keys, issuer="https://acme.okta.com", audience=Unchecked(), kind=presets.OKTA_ACCESS)


@pytest.mark.parametrize(
    ("kind", "issuer"),
    [
        (presets.AUTH0_ACCESS, "https://login.acme.example/"),
        (presets.ENTRA_ACCESS, f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"),
        (presets.ENTRA_ID, ENTRA_V1),
        (presets.OKTA_ID, "https://acme.okta.com"),
        (presets.KEYCLOAK_ACCESS, "http://localhost:8080/auth/realms/shop"),
        (replace(presets.COGNITO_ACCESS, issuer=None), "https://login.acme.example/pool"),
    ],
)
def test_domains_of_ones_own_are_issuers_too(kind: Kind, issuer: str) -> None:
    assert kind.issuers(frozenset((issuer,))) == {issuer}


def test_an_algorithm_that_the_issuer_does_not_sign_with_is_refused() -> None:
    other = Key.generate("ES256", kid="k2")
    keys, sample = KeySet([key("RS256").public(), other.public()]), SAMPLES["okta-access"]
    judge = Verifier(keys, issuer=OKTA, audience="app", kind=presets.OKTA_ACCESS, clock=lambda: NOW)
    assert judge.verify(sample.token()).client_id == "spa"
    with pytest.raises(MalformedToken, match="only ever with RS256"):
        judge.verify(sample.token(signer=other))
    with pytest.raises(ConfigurationError, match="no key is for that"):
        Verifier(KeySet([other.public()]), issuer=OKTA, audience="app", kind=presets.OKTA_ACCESS)


def test_keycloaks_switch_for_rfc_9068_and_a_realm_with_elliptic_curves_are_read_too() -> None:
    sample, curve = SAMPLES["keycloak-access"], Key.generate("ES256", kid="k2")
    token = sample.token(signer=curve, header={"typ": "at+jwt"})
    judge = Verifier(KeySet([curve.public()]), issuer=KEYCLOAK, audience="app", kind=sample.kind, clock=lambda: NOW)
    assert judge.verify(token).client_id == "spa"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("auth0-access", ["presets.AUTH0_ACCESS", "presets.ENTRA_ACCESS", "presets.KEYCLOAK_ACCESS", "other_types"]),
        ("cognito-access", ["presets.COGNITO_ACCESS", "presets.OKTA_ACCESS", "other_types holds None"]),
    ],
)
def test_where_typ_fails_the_error_names_the_options_that_would_accept_it(name: str, options: list[str]) -> None:
    with pytest.raises(WrongType) as caught:
        verifier(SAMPLES[name], ACCESS).verify(SAMPLES[name].token())
    assert all(option in str(caught.value) for option in options)
    assert "_ID" not in str(caught.value), "an ID token is not what an API should begin to accept"


def test_an_issuer_switched_to_rfc_9068_is_answered_with_the_kind_for_that() -> None:
    sample = SAMPLES["auth0-access"]
    with pytest.raises(WrongType, match=r"pass kind=ACCESS, presets\.KEYCLOAK_ACCESS"):
        verifier(sample).verify(sample.token(header={"typ": "at+jwt"}))
    token = sample.token(header={"typ": "at+jwt"}, azp=None, client_id="app", jti="j1")
    assert verifier(sample, ACCESS).verify(token).client_id == "app"


def test_a_token_of_ones_own_is_answered_with_the_kind_for_that() -> None:
    judge = Verifier(KeySet([key("HS256")]), issuer="https://auth.example", audience="orders")
    with pytest.raises(WrongType, match=r"pass kind=PLAIN for tokens of your own, kind=presets\.AUTH0_ACCESS"):
        judge.verify(forge(claims(), typ="JWT"))
    with pytest.raises(WrongType) as caught:
        judge.verify(forge(claims(), typ=None))
    assert "PLAIN" not in str(caught.value)


def test_a_typ_that_no_preset_knows_is_answered_with_the_option_alone() -> None:
    token = forge(claims(), typ="secevent+jwt")
    with pytest.raises(WrongType, match="pass a Kind whose other_types holds 'secevent") as caught:
        Verifier(KeySet([key("HS256")]), issuer="https://auth.example", audience="orders").verify(token)
    assert "presets" not in str(caught.value)


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/jwt", ""])
def test_a_kind_without_typ_accepts_no_header_that_has_one(typ: str) -> None:
    with pytest.raises(WrongType):
        verifier(SAMPLES["okta-access"]).verify(SAMPLES["okta-access"].token(header={"typ": typ}))


@pytest.mark.parametrize("kind", presets.ALL)
def test_nobody_signs_in_another_issuers_name(kind: Kind) -> None:
    with pytest.raises(ConfigurationError, match="another issuer"):
        Signer(key("RS256"), issuer="https://auth.example", audience="app", kind=kind)


def test_every_preset_has_a_sample() -> None:
    assert {kind.name for kind in presets.ALL} == set(SAMPLES)
    assert {
        name.lower().replace("_", "-") for name in vars(presets) if isinstance(getattr(presets, name), Kind)
    } == set(SAMPLES)
    assert not PLAIN.foreign
    assert not ACCESS.foreign


@pytest.mark.parametrize("members", [{"issuer": "("}, {"marks": (("ver", "["),)}, {"algorithms": "RS256"}, {"typ": ""}])
def test_a_kind_that_cannot_be_read_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Kind(**({"name": "odd", "typ": "JWT"} | members))


def test_all_that_is_wrong_with_a_foreign_token_is_found_by_its_own_names() -> None:
    sample = SAMPLES["cognito-access"]
    judge = verifier(sample)
    keys = read_jwks(PUBLISHED["cognito"], ALGORITHMS)
    found: tuple[InvalidToken, ...] = failures(judge, sample.token(client_id="x", token_use="id"), keys, NOW)
    assert [type(error) for error in found] == [WrongAudience, InvalidClaim]
