"""What every door shares: how the header is read, and what a refusal says and does not say."""

from __future__ import annotations

import pytest

from admit import ConfigurationError, Key, KeySet, Signer, Verifier
from admit.errors import (
    AdmitError,
    ExpiredToken,
    InsufficientScope,
    InvalidRequest,
    KeysUnavailable,
    MalformedToken,
    StaleAuthentication,
    StorageUnavailable,
)
from admit.tokens.bearer import headers_of, read_token
from admit.web.bearer import Door, MissingToken, allowed, checked_scopes

KEY = Key.generate("ES256")
VERIFIER = Verifier(KeySet([KEY.public()]), issuer="https://auth.example", audience="orders")
SECRET = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2ln"


@pytest.mark.parametrize("value", [b"Bearer abc", b"bearer abc", b"BEARER abc", b"Bearer  abc"])
def test_the_scheme_is_read_in_any_case(value: bytes) -> None:
    assert read_token([value]) == "abc"


def test_every_authorization_header_is_looked_at_and_no_other() -> None:
    scope = [(b"authorization", b"a"), (b"x-authorization", b"b"), (b"cookie", b"c"), (b"authorization", b"d")]
    assert headers_of(scope) == [b"a", b"d"]


@pytest.mark.parametrize("values", [[], [b"Basic abc"], [b""], [b"Bearerabc"], [b"DPoP abc"]])
def test_a_request_without_a_bearer_token_is_told_so_without_an_error_code(values: list[bytes]) -> None:
    with pytest.raises(MissingToken) as caught:
        read_token(values)
    refusal = Door(VERIFIER).refuse(caught.value, ["a"])
    assert (refusal.status, refusal.headers["WWW-Authenticate"]) == (401, 'Bearer scope="a"')
    assert b'"error"' not in refusal.body


@pytest.mark.parametrize(
    "values",
    [
        [b"Bearer a", b"Bearer a"], [b"Bearer a", b"Basic b"], [b"Bearer"], [b"Bearer "], [b"Bearer a b"],
        [b"Bearer a,Bearer b"], [b"Bearer \xff"],
    ],
)  # fmt: skip
def test_a_header_that_two_readers_could_read_differently_is_a_bad_request(values: list[bytes]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_token(values)
    refusal = Door(VERIFIER).refuse(caught.value)
    assert refusal.status == 400
    assert 'error="invalid_request"' in refusal.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("error", "status", "challenge"),
    [
        (MissingToken("x"), 401, 'Bearer realm="api", scope="a b"'),
        (
            ExpiredToken(f"the token {SECRET} expired"), 401,
            'Bearer realm="api", error="invalid_token", error_description="the token expired"',
        ),
        (
            MalformedToken("x"), 401,
            'Bearer realm="api", error="invalid_token", error_description="the token is malformed"',
        ),
        (
            InsufficientScope("x"), 403,
            'Bearer realm="api", error="insufficient_scope",'
            ' error_description="the token does not carry the scope this needs", scope="a b"',
        ),
        (
            StaleAuthentication("x", 300), 401,
            'Bearer realm="api", error="insufficient_user_authentication",'
            ' error_description="this needs a more recent login", max_age="300", scope="a b"',
        ),
        (KeysUnavailable("x", 7), 503, None),
        (StorageUnavailable("x", 7), 503, None),
    ],
)  # fmt: skip
def test_each_refusal_has_the_status_and_challenge_of_rfc_6750(
    error: AdmitError, status: int, challenge: str | None
) -> None:
    refusal = Door(VERIFIER, realm="api").refuse(error, ["a", "b"])
    assert refusal.status == status
    assert refusal.headers.get("WWW-Authenticate") == challenge
    assert refusal.headers.get("Retry-After") == ("7" if status == 503 else None)
    assert SECRET.encode() not in refusal.body
    assert refusal.headers["Cache-Control"] == "no-store"


def test_without_a_realm_the_bare_challenge_is_the_scheme_alone() -> None:
    assert Door(VERIFIER).refuse(MissingToken("x")).headers["WWW-Authenticate"] == "Bearer"


def test_a_mistake_of_the_program_is_not_dressed_up_as_a_refusal() -> None:
    with pytest.raises(ConfigurationError):
        Door(VERIFIER).refuse(ConfigurationError("x"))


def test_every_scope_asked_for_is_needed() -> None:
    claims = VERIFIER.verify(
        Signer(KEY, issuer="https://auth.example", audience="orders").sign(sub="s", client_id="c", scope="a b")
    )
    assert allowed(claims, ["a", "b"]) is claims
    for scopes in (["a", "c"], ["A"], ["a b"]):
        with pytest.raises(InsufficientScope):
            allowed(claims, scopes)


@pytest.mark.parametrize("scopes", ["orders:read", ["a b"], [""], ['a"'], ["ä"], [5]])
def test_a_scope_that_no_token_could_carry_is_refused_when_the_door_is_built(scopes: object) -> None:
    with pytest.raises(ConfigurationError):
        checked_scopes(scopes)  # type: ignore[arg-type]


def test_a_door_needs_a_verifier_and_a_harmless_realm() -> None:
    with pytest.raises(ConfigurationError):
        Door(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Door(VERIFIER, realm='x", error="none')
