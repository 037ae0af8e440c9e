"""All that is wrong with a token at once: in order, after the signature only, never more lenient than the Verifier."""

from __future__ import annotations

import pytest

from admit import ACCESS, PLAIN, Key, KeySet, Verifier
from admit.errors import InvalidToken
from admit.jose import jws
from admit.jose.encoding import json_bytes
from admit.tokens.verdict import failures

NOW = 1_800_000_000
KEY = Key.generate("Ed25519")
KEYS = KeySet([KEY.public()])
GOOD: dict[str, object] = {"iss": "me", "aud": "orders", "exp": NOW + 60, "iat": NOW}


def codes(
    payload: bytes | dict[str, object], verifier: Verifier[None] | None = None, typ: str = "JWT", key: Key = KEY
) -> list[str]:
    token = jws.sign(key, payload if isinstance(payload, bytes) else json_bytes(payload), typ=typ)
    return [error.code for error in failures(verifier or PLAIN_ONE, token, KEYS, NOW)]


PLAIN_ONE = Verifier(KEYS, issuer="me", audience="orders", kind=PLAIN, clock=lambda: NOW)
ACCESS_ONE = Verifier(KEYS, issuer="me", audience="orders", kind=ACCESS, clock=lambda: NOW)


def test_a_good_token_has_no_failures() -> None:
    assert codes(GOOD) == []


def test_every_rule_is_heard_in_the_order_of_verification() -> None:
    wrong = codes({"iss": "you", "aud": ["billing"], "exp": NOW - 1}, typ="at+jwt")
    assert wrong == ["wrong_type", "wrong_issuer", "wrong_audience", "expired_token"]


def test_every_missing_claim_is_named() -> None:
    token = jws.sign(KEY, json_bytes({"iss": "me", "aud": "orders", "exp": NOW + 60}), typ="at+jwt")
    found = [str(error) for error in failures(ACCESS_ONE, token, KEYS, NOW)]
    assert [name for name in ("client_id", "iat", "jti", "sub") if any(name in text for text in found)] == [
        "client_id",
        "iat",
        "jti",
        "sub",
    ]


def test_an_unreadable_claim_does_not_hide_the_others_and_is_named_once() -> None:
    assert codes({"iss": 5, "aud": "billing", "exp": "soon"}) == ["invalid_claim", "invalid_claim", "wrong_audience"]


@pytest.mark.parametrize("typ", ["JWT", "at+jwt"])
def test_where_the_signature_fails_nothing_else_is_said(typ: str) -> None:
    impostor = Key.from_jwk(Key.generate("Ed25519").to_jwk(private=True) | {"kid": KEY.kid})
    assert codes({"iss": "you", "exp": 1}, typ=typ, key=impostor) == ["bad_signature"]
    assert codes({"iss": "you", "exp": 1}, typ=typ, key=Key.generate("Ed25519")) == ["unknown_key"]


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"a":1,"a":1}', b"\xff"])
def test_a_payload_that_is_no_claims_set_is_malformed_and_nothing_more(payload: bytes) -> None:
    assert codes(payload) == ["malformed_token"]


def test_a_key_that_may_not_verify_is_no_key() -> None:
    members = KEY.to_jwk(private=True)
    del members["use"]
    barred = Key.from_jwk(members | {"key_ops": ["sign"]})
    other = Key.generate("Ed25519")
    keys = KeySet([barred, other])
    verifier = Verifier(keys, issuer="me", audience="orders", kind=PLAIN, clock=lambda: NOW)
    token = jws.sign(KEY, json_bytes(GOOD), typ="JWT")
    assert [error.code for error in failures(verifier, token, keys, NOW)] == ["unknown_key"]


@pytest.mark.parametrize(
    "change", [{}, {"exp": NOW}, {"exp": True}, {"aud": []}, {"iss": None}, {"iat": NOW + 11}, {"nbf": -1}]
)
def test_it_finds_something_exactly_where_the_verifier_refuses(change: dict[str, object]) -> None:
    token = jws.sign(KEY, json_bytes(GOOD | change), typ="JWT")
    found = failures(PLAIN_ONE, token, KEYS, NOW)
    if not change:
        assert PLAIN_ONE.verify(token).iss == "me"
        assert found == ()
        return
    with pytest.raises(InvalidToken) as refusal:
        PLAIN_ONE.verify(token)
    assert refusal.type in {type(failure) for failure in found}
