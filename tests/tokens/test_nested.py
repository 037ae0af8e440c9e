"""Nested JWTs: only the recipient reads them, and only the issuer's signature makes them count."""

from __future__ import annotations

from typing import Any

import pytest

from admit import ConfigurationError, Key, KeySet, Signer, Verifier
from admit.errors import (
    BadSignature,
    DecryptionFailed,
    InvalidClaim,
    InvalidKey,
    MalformedToken,
    UnknownKey,
    WrongAudience,
)
from admit.jose import jwe
from admit.tokens.nested import NestedSigner, NestedVerifier
from tests.helpers.forge import AUDIENCE, ISSUER, NOW, key

OWN = Key.generate("ECDH-ES+A256KW", curve="X25519")


def signer(**settings: Any) -> Signer:
    return Signer(key("ES256"), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, **settings)


def verifier(audience: str = AUDIENCE) -> Verifier[None]:
    return Verifier(KeySet([key("ES256").public()]), issuer=ISSUER, audience=audience, clock=lambda: NOW)


def token() -> str:
    return NestedSigner(signer(), OWN.public()).sign(sub="alice", client_id="web", claims={"diagnosis": "flu"})


def test_a_nested_token_is_read_by_its_recipient_alone() -> None:
    made = token()
    claims = NestedVerifier(verifier(), OWN).verify(made)
    assert NestedVerifier(verifier(), KeySet([OWN])).verify(made) == claims
    assert (claims.sub, claims.raw["diagnosis"]) == ("alice", "flu")
    assert made.count(".") == 4
    with pytest.raises(MalformedToken, match="JWE"):
        verifier().verify(made)
    with pytest.raises(UnknownKey):
        NestedVerifier(verifier(), Key.generate("ECDH-ES+A256KW", curve="X25519")).verify(made)


def test_the_signature_inside_is_what_counts() -> None:
    for inner, error in (
        (signer().sign(sub="alice", client_id="web")[:-4] + "AAAA", BadSignature),
        (
            Signer(key("HS256"), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW).sign(sub="a", client_id="b"),
            MalformedToken,
        ),
    ):
        with pytest.raises(error):
            NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, inner.encode(), header={"cty": "JWT"}))
    with pytest.raises(WrongAudience):
        NestedVerifier(verifier("billing"), OWN).verify(token())


@pytest.mark.parametrize("content", [b'{"sub":"alice"}', b"", b"a.b.c", b"\xff"])
def test_claims_that_nobody_signed_are_refused(content: bytes) -> None:
    """Anybody can encrypt to a public key: RFC 7519 allows such tokens, and they say nothing about who wrote them."""
    for cty in ({"cty": "JWT"}, {"cty": "jwt"}):
        with pytest.raises(MalformedToken):
            NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, content, header=cty))


@pytest.mark.parametrize("header", [{}, {"cty": "text/plain"}, {"cty": "JWT "}])
def test_the_outer_header_says_that_a_jwt_is_inside(header: dict[str, str]) -> None:
    inner = signer().sign(sub="alice", client_id="web").encode()
    with pytest.raises(MalformedToken, match="cty"):
        NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, inner, header=header))
    assert NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, inner, header={"cty": "application/JWT"})).sub


@pytest.mark.parametrize("header", [{"iss": "https://evil.example"}, {"sub": "root"}, {"aud": "other"}, {"sub": None}])
def test_a_claim_that_the_outer_header_repeats_is_the_one_that_was_signed(header: dict[str, str]) -> None:
    inner = signer().sign(sub="alice", client_id="web").encode()
    same: dict[str, object] = {"cty": "JWT", "iss": ISSUER, "sub": "alice", "aud": AUDIENCE}
    for right in (same, same | {"aud": [AUDIENCE]}):
        assert NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, inner, header=right)).sub == "alice"
        with pytest.raises(InvalidClaim, match=r"RFC 7519 5\.3"):
            NestedVerifier(verifier(), OWN).verify(jwe.encrypt(OWN, inner, header=right | header))


def test_a_token_encrypted_twice_is_not_opened_twice() -> None:
    again = jwe.encrypt(OWN, token().encode(), header={"cty": "JWT"})
    with pytest.raises(MalformedToken, match="JWE"):
        NestedVerifier(verifier(), OWN).verify(again)


def test_it_is_refused_where_it_was_changed() -> None:
    head, _, rest = token().rpartition(".")
    with pytest.raises(DecryptionFailed):
        NestedVerifier(verifier(), OWN).verify(f"{head}.{'A' if rest[0] != 'A' else 'Q'}{rest[1:]}")


def test_the_outer_token_is_twice_as_long_as_the_inner_one_at_most() -> None:
    subject = NestedVerifier(verifier(), OWN)
    with pytest.raises(MalformedToken, match="at most 32768"):
        subject.verify("A" * 32769)
    with pytest.raises(MalformedToken, match="its parts are 1"):
        subject.verify("A" * 32768)
    size = len(made := token())
    assert NestedVerifier(verifier(), OWN, max_token=size).verify(made).sub == "alice"
    with pytest.raises(MalformedToken, match="at most"):
        NestedVerifier(verifier(), OWN, max_token=size - 1).verify(made)


def test_wrong_keys_are_told_when_it_is_built() -> None:
    with pytest.raises(InvalidKey):
        NestedVerifier(verifier(), OWN.public())
    with pytest.raises(InvalidKey):
        NestedVerifier(verifier(), key("ES256"))
    with pytest.raises(InvalidKey):
        NestedSigner(signer(), key("ES256"))
    with pytest.raises(ConfigurationError):
        NestedSigner(signer(), OWN, enc="A512GCM")
    with pytest.raises(ConfigurationError):
        NestedVerifier(verifier(), OWN, enc=())
    with pytest.raises(ConfigurationError):
        NestedVerifier(verifier(), OWN, max_token=-1)
    with pytest.raises(ConfigurationError):
        NestedVerifier(verifier, OWN)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        NestedSigner(key("ES256"), OWN)  # type: ignore[arg-type]


def test_keys_for_encryption_make_no_verifier_and_no_signer() -> None:
    with pytest.raises(ConfigurationError, match="encryption"):
        Verifier(KeySet([OWN]), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(ConfigurationError):
        Signer(OWN, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(ConfigurationError):
        KeySet.from_jwks({"keys": [key("RS256").to_jwk()]}, algorithms=["RSA-OAEP-256"])
