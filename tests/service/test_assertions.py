"""Clients with keys of their own: what an assertion must say, that it is used once, and how keys and secrets change."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey
from sqlalchemy import select

from admit import Key, KeySet
from admit.errors import ConfigurationError, InvalidClient, InvalidRequest
from admit.jose import jws
from admit.jose.encoding import json_bytes
from admit.service.assertions import MAX_KEYS, ClientAssertion, Proven
from admit.service.clients import authenticated, proven
from admit.service.facade import TokenService
from admit.service.schema import assertions, clients
from admit.tokens.client_assertion import CLIENT_ASSERTION, client_assertion
from tests.service.conftest import PASSWORD, START, MovableClock, Opener

ISSUER = "https://auth.example"
ID = "client.batch"
KEY, OTHER = Key.generate("ES256"), Key.generate("ES256")
TYP = "client-authentication+jwt"
GOOD = {"iss": ID, "sub": ID, "aud": ISSUER, "exp": START + 60, "iat": START, "jti": "one"}


@pytest.fixture
def batch(service: TokenService) -> TokenService:
    service.clients.add(
        "batch", grants=["client_credentials"], audiences=["orders"], jwks=KeySet([KEY.public()]).to_jwks()
    )
    return service


def made(key: Key = KEY, *, typ: str | None = TYP, leave: str = "", **changed: Any) -> ClientAssertion:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if name != leave}
    return ClientAssertion(jws.sign(key, json_bytes(claims), typ=typ))


def test_a_client_with_a_key_gets_a_token_by_an_assertion(batch: TokenService, clock: MovableClock) -> None:
    form = client_assertion(KEY, client_id=ID, issuer=ISSUER, clock=clock)
    token = batch.client_credentials(ID, ClientAssertion(form["client_assertion"])).access_token
    assert batch.verifier().verify(token).sub == ID


@pytest.mark.parametrize(
    "assertion",
    [
        made(OTHER),
        made(Key.generate("ES256", kid=KEY.kid)),
        made(typ=None),
        made(typ="at+jwt"),
        made(typ="statuslist+jwt"),
        made(iss="client.other"),
        made(sub="client.other"),
        made(sub="client.first-party", iss="client.first-party"),
        made(aud="https://other.example"),
        made(aud=ISSUER + "/token"),
        made(aud=ISSUER + "/"),
        made(aud=[ISSUER, "https://other.example"]),
        made(aud=[]),
        made(exp=START),
        made(exp=START - 1),
        made(exp=START + 601),
        made(exp=START + 700, iat=START + 101),
        made(nbf=START + 30),
        *(made(leave=name) for name in ("iss", "sub", "aud", "exp", "jti")),
        made(leave="iat", exp=START + 601),
        made(jti=""),
        made(jti=7),
        ClientAssertion(""),
        ClientAssertion("a.b.c"),
        ClientAssertion("x" * 20_000),
        ClientAssertion("\0"),
    ],
)
def test_an_assertion_that_breaks_one_rule_authenticates_nobody(
    batch: TokenService, assertion: ClientAssertion
) -> None:
    with pytest.raises(InvalidClient):
        batch.clients.authenticate(ID, assertion)


@pytest.mark.parametrize("assertion", [made(), made(typ="JWT"), made(aud=[ISSUER]), made(leave="iat", exp=START + 599)])
def test_an_assertion_as_the_rfc_has_it_authenticates(batch: TokenService, assertion: ClientAssertion) -> None:
    assert batch.clients.authenticate(ID, assertion).id == ID


def test_the_algorithm_is_the_registered_keys_and_no_header_chooses_another(service: TokenService) -> None:
    key = Key.generate("PS256")
    service.clients.add("rsa", grants=[], audiences=["orders"], jwks={"keys": [key.to_jwk()]})
    same = Key.from_pem(key.to_pem(private=True), "RS256", kid=key.kid)
    mac = Key.from_secret(b"s" * 32, "HS256", kid=key.kid)
    claims = {"iss": "client.rsa", "sub": "client.rsa"}
    for wrong in (same, mac):
        with pytest.raises(InvalidClient):
            service.clients.authenticate("client.rsa", made(wrong, **claims))
    assert service.clients.authenticate("client.rsa", made(key, **claims)).id == "client.rsa"


def test_an_assertion_is_used_once_whoever_is_first(opened: Opener, batch: TokenService, clock: MovableClock) -> None:
    others = [batch, opened(clock=clock)]

    def once(number: int) -> bool:
        try:
            others[number % 2].clients.authenticate(ID, made())
        except InvalidClient:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(once, range(16))) == 1
    assert batch.clients.authenticate(ID, made(jti="two")).id == ID


def test_one_clients_jti_is_not_anothers(batch: TokenService) -> None:
    batch.clients.add("twin", grants=[], audiences=["orders"], jwks=KeySet([OTHER.public()]).to_jwks())
    batch.clients.authenticate(ID, made())
    batch.clients.authenticate("client.twin", made(OTHER, iss="client.twin", sub="client.twin"))


def test_a_stranger_uses_up_no_jti(batch: TokenService) -> None:
    with pytest.raises(InvalidClient):
        batch.clients.authenticate(ID, made(OTHER))
    assert batch.clients.authenticate(ID, made()).id == ID


def test_used_assertions_are_cleaned_up_only_once_they_are_over(batch: TokenService, clock: MovableClock) -> None:
    batch.clients.authenticate(ID, made())
    clock.forward(59_999)
    assert batch.cleanup() == 0
    with pytest.raises(InvalidClient, match="used before"):
        batch.clients.authenticate(ID, made())
    clock.forward(2)
    assert batch.cleanup() == 0
    with pytest.raises(InvalidClient, match="expired"):
        batch.clients.authenticate(ID, made())
    clock.forward(-20)  # the database's clock is set back
    with pytest.raises(InvalidClient, match="used before"):
        batch.clients.authenticate(ID, made())
    clock.forward(600_020)
    assert batch.cleanup() == 1


def test_a_refresh_uses_its_assertion_once_and_a_second_one_needs_another(batch: TokenService) -> None:
    batch.users.add("alice", PASSWORD)
    web = {"grants": ["password", "refresh_token"], "audiences": ["orders"]}
    batch.clients.add("web", **web, jwks=KeySet([KEY.public()]).to_jwks())  # type: ignore[arg-type]
    mine: dict[str, Any] = {"iss": "client.web", "sub": "client.web"}
    pair = batch.login("alice", PASSWORD, client_id="client.web", client_secret=made(**mine))
    next_ = batch.refresh(pair.refresh_token, client_id="client.web", client_secret=made(**mine, jti="two"))
    assert next_.session_id == pair.session_id
    for proof in (made(**mine, jti="two"), "secret", None):
        with pytest.raises(InvalidClient):
            batch.refresh(next_.refresh_token, client_id="client.web", client_secret=proof)


def test_a_client_authenticates_in_its_own_way_and_in_no_other(batch: TokenService) -> None:
    new = batch.clients.add("web", grants=[], audiences=["orders"])
    for client_id in ("client.web", "client.first-party", "client.nobody"):
        with pytest.raises(InvalidClient):
            batch.clients.authenticate(client_id, made(iss=client_id, sub=client_id))
    for secret in (None, "", new.secret, KEY.kid):
        with pytest.raises(InvalidClient):
            batch.clients.authenticate(ID, secret)


def test_a_disabled_client_has_no_key_any_more(batch: TokenService) -> None:
    batch.clients.disable(ID)
    with pytest.raises(InvalidClient):
        batch.clients.authenticate(ID, made())
    with pytest.raises(InvalidRequest):
        batch.clients.set_keys(ID, {"keys": [OTHER.to_jwk()]})
    assert not batch._core.read(lambda tx: tx.execute(select(assertions)).all())  # nor does it write anything


def test_keys_are_replaced_and_those_that_are_gone_open_nothing(batch: TokenService) -> None:
    both = batch.clients.set_keys(ID, KeySet([KEY.public(), OTHER.public()]).to_jwks())
    assert both.auth_method == "private_key_jwt"
    batch.clients.authenticate(ID, made())
    batch.clients.authenticate(ID, made(OTHER, jti="two"))
    batch.clients.set_keys(ID, json.dumps({"keys": [OTHER.to_jwk()]}))
    with pytest.raises(InvalidClient):
        batch.clients.authenticate(ID, made(jti="three"))
    new = batch.clients.add("web", grants=[], audiences=["orders"])
    with pytest.raises(InvalidRequest, match="has no keys"):
        batch.clients.set_keys(new.client.id, {"keys": [OTHER.to_jwk()]})


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": ["x"]},
        {"keys": [KEY.to_jwk(private=True)]},
        {"keys": [Key.generate("HS256").to_jwk(private=True)]},
        {"keys": [Key.generate("ECDH-ES+A128KW").to_jwk()]},
        {"keys": [{**KEY.to_jwk(), "key_ops": ["encrypt"]}]},
        {"keys": [{**KEY.to_jwk(), "x": "AAAA"}]},
        {"keys": [KEY.to_jwk(), {"kty": "none"}]},
        {"keys": [KEY.to_jwk(), {**OTHER.to_jwk(), "kid": KEY.kid}]},
        {"keys": [Key.generate("Ed25519").to_jwk() for _ in range(MAX_KEYS + 1)]},
        "not JSON",
    ],
)
def test_keys_that_cannot_be_a_clients_are_refused_when_it_is_added(service: TokenService, jwks: Any) -> None:
    with pytest.raises(InvalidRequest):
        service.clients.add("fresh", grants=[], audiences=["orders"], jwks=jwks)
    assert service.clients.get("client.fresh") is None


def test_a_key_without_alg_is_bound_to_one_when_it_is_registered(service: TokenService) -> None:
    bare = {name: value for name, value in KEY.to_jwk().items() if name != "alg"}
    added = service.clients.add("web", grants=[], audiences=["orders"], jwks={"keys": [bare]}).client
    assert json.loads(added.jwks or "")["keys"][0]["alg"] == "ES256"
    with pytest.raises(InvalidRequest, match="confidential"):
        service.clients.add("spa", grants=[], audiences=["orders"], jwks={"keys": [bare]}, confidential=False)


def test_the_old_secret_is_accepted_for_the_time_that_was_stated(service: TokenService, clock: MovableClock) -> None:
    first = service.clients.add("web", grants=[], audiences=["orders"])
    second = service.clients.rotate_secret("client.web", overlap=timedelta(hours=1))
    assert second.client.previous_until == START + 3600
    for new in (first, second):
        assert service.clients.authenticate("client.web", new.secret).id == "client.web"
    clock.forward(3_599_999)
    service.clients.authenticate("client.web", first.secret)
    clock.forward(1)
    service.clients.authenticate("client.web", second.secret)
    with pytest.raises(InvalidClient):
        service.clients.authenticate("client.web", first.secret)


def test_two_secrets_are_accepted_and_never_three(service: TokenService) -> None:
    first, second, third = (
        service.clients.add("web", grants=[], audiences=["orders"]),
        service.clients.rotate_secret("client.web"),
        service.clients.rotate_secret("client.web"),
    )
    for new in (second, third):
        service.clients.authenticate("client.web", new.secret)
    with pytest.raises(InvalidClient):
        service.clients.authenticate("client.web", first.secret)


def test_without_an_overlap_the_old_secret_is_refused_at_once(service: TokenService) -> None:
    first = service.clients.add("web", grants=[], audiences=["orders"])
    service.clients.rotate_secret("client.web")
    second = service.clients.rotate_secret("client.web", overlap=timedelta())
    assert second.client.previous_until is None
    kept = service._core.read(lambda tx: tx.execute(select(clients.c.previous_hash)).scalar())
    assert kept is None
    with pytest.raises(InvalidClient):
        service.clients.authenticate("client.web", first.secret)
    service.clients.authenticate("client.web", second.secret)


def test_who_has_no_secret_gets_none_by_rotation(batch: TokenService) -> None:
    batch.clients.add("spa", grants=[], audiences=["orders"], confidential=False)
    batch.clients.add("gone", grants=[], audiences=["orders"])
    batch.clients.disable("client.gone")
    for client_id in (ID, "client.spa", "client.gone", "client.nobody", "client.first-party"):
        with pytest.raises(InvalidRequest):
            batch.clients.rotate_secret(client_id)
    with pytest.raises(ConfigurationError):
        batch.clients.rotate_secret("client.gone", overlap=timedelta(-1))


def test_what_one_client_has_proven_is_no_proof_for_another(batch: TokenService) -> None:
    other = batch.clients.add("web", grants=[], audiences=["orders"]).client
    proof = proven(batch._core, ID, made())
    assert proof == Proven(ID)
    with pytest.raises(InvalidClient, match="another client"):
        authenticated(other, proof)


def test_no_repr_shows_a_secret_or_an_assertion(batch: TokenService) -> None:
    new = batch.clients.rotate_secret(batch.clients.add("web", grants=[], audiences=["orders"]).client.id)
    assert new.secret
    assert new.secret not in repr(new)
    assert made().jwt not in repr(made())
    stored = batch.clients.get("client.web")
    assert "hash" not in repr(stored)


def test_an_assertion_that_another_library_made_authenticates(batch: TokenService) -> None:
    key = ECKey.import_key(KEY.to_jwk(private=True))
    header = {"alg": "ES256", "kid": KEY.kid, "typ": TYP}
    made_elsewhere = joserfc_jwt.encode(header, {**GOOD, "exp": int(START) + 60, "iat": int(START)}, key)
    assert batch.clients.authenticate(ID, ClientAssertion(made_elsewhere)).id == ID


def test_the_helper_refuses_a_life_that_the_service_would() -> None:
    with pytest.raises(ConfigurationError):
        client_assertion(KEY, client_id=ID, issuer=ISSUER, lifetime=timedelta(minutes=11))
    assert CLIENT_ASSERTION.max_lifetime == timedelta(minutes=10)
