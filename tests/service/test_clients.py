"""Clients: who may ask, for what; revocation and introspection for them."""

from __future__ import annotations

from typing import Any

import pytest

from admit import Key
from admit.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    RevokedToken,
    UnauthorizedClient,
)
from admit.service.clients import FIRST_PARTY
from admit.service.facade import TokenService
from admit.service.results import NewClient
from tests.service.conftest import PASSWORD, MovableClock, Opener


@pytest.fixture
def batch(service: TokenService) -> NewClient:
    return service.clients.add("batch", grants=["client_credentials"], audiences=["orders"], scopes=["orders:read"])


def _secret(new: NewClient) -> str:
    assert new.secret is not None
    return new.secret


def test_client_credentials_give_an_access_token_for_the_client_itself(service: TokenService, batch: NewClient) -> None:
    token = service.client_credentials("client.batch", _secret(batch))
    claims = service.verifier().verify(token.access_token)
    assert (claims.sub, claims.client_id) == ("client.batch", "client.batch")
    assert claims.scopes == {"orders:read"}
    assert claims.sid is None


def test_a_client_gets_no_scope_audience_or_grant_that_is_not_its_own(service: TokenService, batch: NewClient) -> None:
    secret = _secret(batch)
    with pytest.raises(InvalidScope):
        service.client_credentials("client.batch", secret, scope="orders:write")
    with pytest.raises(InvalidTarget):
        service.client_credentials("client.batch", secret, audience="billing")
    with pytest.raises(UnauthorizedClient):
        service.login("alice", PASSWORD, client_id="client.batch", client_secret=secret)
    with pytest.raises(UnauthorizedClient):
        service.refresh(_pair(service), client_id="client.batch", client_secret=secret)


def _pair(service: TokenService) -> str:
    service.users.add("carol", PASSWORD)
    return service.login("carol", PASSWORD).refresh_token


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("client.batch", "wrong"),
        ("client.batch", ""),
        ("client.batch", None),
        ("client.nobody", "x"),
        ("nobody\0", "x"),
        (FIRST_PARTY, "x"),
    ],
)
def test_who_does_not_authenticate_is_nobody(
    service: TokenService, batch: NewClient, client_id: str, secret: str | None
) -> None:
    with pytest.raises(InvalidClient):
        service.clients.authenticate(client_id, secret)


@pytest.mark.parametrize("secret", [b"secret", 1, ["secret"]], ids=type)
def test_a_secret_of_another_type_is_a_wrong_one(service: TokenService, batch: NewClient, secret: Any) -> None:
    keys = {"keys": [Key.generate("ES256").public().to_jwk()]}
    service.clients.add("keyed", grants=("client_credentials",), audiences=("orders",), jwks=keys)
    for client_id in ("client.batch", "client.keyed"):
        with pytest.raises(InvalidClient):
            service.clients.authenticate(client_id, secret)


def test_the_secret_is_stored_only_as_a_hash_and_never_shown_again(service: TokenService, batch: NewClient) -> None:
    stored = service.clients.get("client.batch")
    assert stored is not None
    assert stored.secret_hash is not None
    assert _secret(batch).encode() not in stored.secret_hash
    assert _secret(batch) not in repr(batch)


def test_the_built_in_client_is_not_taken_for_an_unknown_one(service: TokenService) -> None:
    with pytest.raises(InvalidRequest, match="disable its users"):
        service.clients.disable("client.first-party")


def test_a_disabled_client_is_refused_and_its_tokens_are_cut_off(service: TokenService, batch: NewClient) -> None:
    token = service.client_credentials("client.batch", _secret(batch)).access_token
    service.clients.disable("client.batch")
    with pytest.raises(InvalidClient):
        service.client_credentials("client.batch", _secret(batch))
    with pytest.raises(RevokedToken):
        service.verifier().verify(token)
    with pytest.raises(InvalidRequest):
        service.clients.disable("client.nobody")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "first-party"},
        {"name": "batch"},
        {"name": "a b"},
        {"name": ""},
        {"grants": ["implicit"]},
        {"audiences": []},
        {"scopes": ["a b"]},
        {"confidential": False},
    ],
)
def test_a_client_that_cannot_be_is_not_added(
    service: TokenService, batch: NewClient, wrong: dict[str, object]
) -> None:
    settings = {"name": "fresh", "grants": ["client_credentials"], "audiences": ["orders"], **wrong}
    with pytest.raises(InvalidRequest):
        service.clients.add(**settings)  # type: ignore[arg-type]


def test_another_clients_session_is_neither_refreshed_nor_revoked(service: TokenService, alice: str) -> None:
    spa = service.clients.add("spa", grants=["refresh_token"], audiences=["orders"], confidential=False).client
    pair = service.login("alice", PASSWORD)
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token, client_id=spa.id)
    for token in (pair.refresh_token, pair.access_token):
        with pytest.raises(InvalidGrant, match="issued to another client"):
            service.revoke(token, client_id=spa.id)
    service.verifier().verify(pair.access_token)
    assert service.refresh(pair.refresh_token).session_id == pair.session_id


def test_revoking_a_refresh_token_of_any_generation_ends_its_session(service: TokenService, alice: str) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    service.revoke(first.refresh_token)
    with pytest.raises(InvalidGrant):
        service.refresh(second.refresh_token)
    with pytest.raises(RevokedToken):
        service.verifier().verify(second.access_token)


def test_revoking_an_access_token_cuts_off_that_one_alone(service: TokenService, alice: str) -> None:
    first = service.login("alice", PASSWORD)
    second = service.refresh(first.refresh_token)
    service.revoke(first.access_token)
    with pytest.raises(RevokedToken):
        service.verifier().verify(first.access_token)
    service.verifier().verify(second.access_token)


def test_revoking_nonsense_is_silent(service: TokenService) -> None:
    for nonsense in ("", "x", "a.b.c", "admit_rt_", "admit_rt_" + "A" * 100, "é"):
        service.revoke(nonsense)
        service.logout(nonsense)
    assert service.feed_head()[1] == 0


def test_introspection_shows_a_token_to_its_audience_and_to_nobody_else(service: TokenService, alice: str) -> None:
    orders = service.clients.add("orders-api", grants=[], audiences=["orders"])
    payroll = service.clients.add("payroll-api", grants=[], audiences=["payroll"])
    pair = service.login("alice", PASSWORD)
    seen = service.introspect(pair.access_token, client_id="client.orders-api", client_secret=_secret(orders))
    assert (seen["active"], seen["sub"], seen["aud"]) == (True, alice, "orders")
    other = service.introspect(pair.access_token, client_id="client.payroll-api", client_secret=_secret(payroll))
    assert other == {"active": False}
    for token in (pair.refresh_token, "x", pair.access_token + "A"):
        answer = service.introspect(token, client_id="client.orders-api", client_secret=_secret(orders))
        assert answer == {"active": False}
    service.logout(pair.refresh_token)
    gone = service.introspect(pair.access_token, client_id="client.orders-api", client_secret=_secret(orders))
    assert gone == {"active": False}


def test_introspection_knows_what_another_process_has_just_revoked(
    opened: Opener, service: TokenService, alice: str, clock: MovableClock
) -> None:
    orders = service.clients.add("orders-api", grants=[], audiences=["orders"])
    asked = {"client_id": "client.orders-api", "client_secret": _secret(orders)}
    other = opened(clock=clock)
    other._core.follower.close()  # it looks no more by itself
    for way in ("revoke", "logout"):
        pair = service.login("alice", PASSWORD)
        assert other.introspect(pair.access_token, **asked)["active"] is True
        service.revoke(pair.access_token) if way == "revoke" else service.logout(pair.refresh_token)
        assert other.introspect(pair.access_token, **asked) == {"active": False}


def test_a_public_client_may_not_introspect(service: TokenService, alice: str) -> None:
    with pytest.raises(InvalidClient):
        service.introspect("x", client_id=FIRST_PARTY, client_secret=None)  # type: ignore[arg-type]


def test_introspection_of_a_refresh_token_is_for_its_own_client(service: TokenService, alice: str) -> None:
    web = service.clients.add("web", grants=["password", "refresh_token"], audiences=["orders"])
    secret = _secret(web)
    pair = service.login("alice", PASSWORD, client_id="client.web", client_secret=secret)
    seen = service.introspect(pair.refresh_token, client_id="client.web", client_secret=secret)
    assert (seen["active"], seen["sid"]) == (True, pair.session_id)
