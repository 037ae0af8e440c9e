"""RFC 7009 and RFC 7662, requirement by requirement: each test is named by what the RFC asks, and says where."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from admit import peek
from tests.server.conftest import PASSWORD, Served


@pytest.fixture(scope="module")
def service(serve: Callable[..., Served]) -> Served:
    served = serve()
    served.add_user()
    return served


@pytest.fixture(scope="module")
def clients(service: Served) -> dict[str, dict[str, str]]:
    """Forms by which three clients authenticate: an API that tokens are for, another one, and one that has tokens."""
    asked = {
        "orders": ("--audience", "orders"),
        "payroll": ("--audience", "payroll"),
        "batch": ("--audience", "orders", "--grant", "client_credentials", "--scope", "orders:read"),
    }
    forms = {}
    for name, options in asked.items():
        added = json.loads(service.admin("clients", "add", name, *options))
        forms[name] = {"client_id": added["client_id"], "client_secret": added["client_secret"]}
    return forms


@pytest.fixture
def batch_token(service: Served, clients: dict[str, dict[str, str]]) -> str:
    answer = service.post("/token", grant_type="client_credentials", **clients["batch"])
    return str(answer.json()["access_token"])


def told(service: Served, token: str, client: dict[str, str], **more: str) -> dict[str, Any]:
    answer = service.post("/introspect", token=token, **client, **more)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


# RFC 7009 2.1


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_answered_so_that_no_token_stands_in_a_url(service: Served, path: str, method: str) -> None:
    answer = service.http.request(method, service.url + path + "?token=x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert service.http.post(service.url + path + "?token=x").status_code == 400  # nor in the URL of a POST


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
def test_a_request_without_a_token_or_with_two_is_invalid(
    service: Served, clients: dict[str, dict[str, str]], path: str
) -> None:
    assert service.post(path, **clients["orders"]).json()["error"] == "invalid_request"
    twice = service.http.post(
        service.url + path, content="token=a&token=b", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "nonsense", ""])
def test_a_hint_is_only_a_hint_right_wrong_or_unknown(
    service: Served, clients: dict[str, dict[str, str]], hint: str
) -> None:
    tokens = service.login()
    assert told(service, tokens["access_token"], clients["orders"], token_type_hint=hint)["active"]
    for name in ("access_token", "refresh_token"):
        assert service.post("/revoke", token=tokens[name], token_type_hint=hint).status_code == 200
    assert service.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert told(service, tokens["access_token"], clients["orders"], token_type_hint=hint) == {"active": False}


def test_a_client_that_does_not_authenticate_is_refused_before_its_token_is_looked_at(
    service: Served, clients: dict[str, dict[str, str]]
) -> None:
    token = service.login()["refresh_token"]
    for wrong in ({**clients["orders"], "client_secret": "wrong"}, {"client_id": "client.orders"}):
        answer = service.post("/revoke", token=token, **wrong)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert service.refresh(token).status_code == 200


def test_a_client_cannot_revoke_anothers_token_and_is_told_so(
    service: Served, clients: dict[str, dict[str, str]], batch_token: str
) -> None:
    tokens = service.login()
    for token in (tokens["access_token"], tokens["refresh_token"]):
        answer = service.post("/revoke", token=token, **clients["batch"])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    answer = service.post("/revoke", token=batch_token)  # a request that names no client speaks for the first-party one
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert service.refresh(tokens["refresh_token"]).status_code == 200
    assert told(service, batch_token, clients["batch"])["active"]


def test_revoking_a_refresh_token_ends_the_access_tokens_of_its_grant_too(
    service: Served, clients: dict[str, dict[str, str]]
) -> None:
    tokens = service.login()
    assert service.post("/revoke", token=tokens["refresh_token"]).status_code == 200
    assert told(service, tokens["access_token"], clients["orders"]) == {"active": False}


def test_revoking_an_access_token_leaves_the_rest_of_its_grant(
    service: Served, clients: dict[str, dict[str, str]]
) -> None:
    tokens = service.login()
    assert service.post("/revoke", token=tokens["access_token"]).status_code == 200
    assert told(service, tokens["access_token"], clients["orders"]) == {"active": False}
    assert service.refresh(tokens["refresh_token"]).status_code == 200


def test_a_confidential_client_revokes_its_own_access_token(
    service: Served, clients: dict[str, dict[str, str]], batch_token: str
) -> None:
    assert service.post("/revoke", token=batch_token, **clients["batch"]).status_code == 200
    assert told(service, batch_token, clients["batch"]) == {"active": False}


# RFC 7009 2.2


def test_what_is_no_token_any_more_or_never_was_is_200_with_an_empty_body(service: Served) -> None:
    tokens = service.login()
    for token in (tokens["refresh_token"], tokens["refresh_token"], "nonsense", "a.b.c", tokens["access_token"] + "A"):
        answer = service.post("/revoke", token=token)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"


# RFC 7009 2.2.1


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
def test_a_service_that_cannot_answer_says_503_and_when_to_come_again(serve: Callable[..., Served], path: str) -> None:
    served = serve()
    added = json.loads(served.admin("clients", "add", "orders", "--audience", "orders"))
    with sqlite3.connect(served.data / "admit.db") as connection:
        connection.execute("ALTER TABLE admit_clients RENAME TO away")
    form = {"client_id": added["client_id"], "client_secret": added["client_secret"]}
    answer = served.post(path, token="x", **form)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


# RFC 7662 2.1


def test_introspection_wants_an_authenticated_client_and_a_public_one_is_none(
    service: Served, clients: dict[str, dict[str, str]]
) -> None:
    service.admin("clients", "add", "spa", "--audience", "orders", "--public")
    token = service.login()["access_token"]
    wrong: list[dict[str, str]] = [
        {},
        {"client_id": "client.spa"},
        {"client_id": "client.first-party"},
        {"client_id": "client.orders"},
        {**clients["orders"], "client_secret": "wrong"},
    ]
    for form in wrong:
        answer = service.post("/introspect", token=token, **form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")


# RFC 7662 2.2


def test_the_answer_holds_the_members_of_the_rfc(service: Served, clients: dict[str, dict[str, str]]) -> None:
    tokens = service.login(scope="orders:read")
    claims = peek(tokens["access_token"]).claims
    answer = service.post("/introspect", token=tokens["access_token"], **clients["orders"])
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert (body["active"], body["token_type"], body["scope"]) == (True, "Bearer", "orders:read")
    for name in ("client_id", "exp", "iat", "sub", "aud", "iss", "jti"):
        assert body[name] == claims[name]
    assert isinstance(body["exp"], int)
    assert body["iat"] <= time.time() < body["exp"]


def test_an_inactive_token_is_described_by_nothing_else(service: Served, clients: dict[str, dict[str, str]]) -> None:
    tokens = service.login()
    service.post("/logout", refresh_token=tokens["refresh_token"])
    for token in (*(tokens[name] for name in ("access_token", "refresh_token")), "nonsense", "a.b.c", "x" * 30_000):
        assert told(service, token, clients["orders"]) == {"active": False}


def test_a_caller_sees_tokens_meant_for_it_or_issued_to_it_and_no_others(
    service: Served, clients: dict[str, dict[str, str]], batch_token: str
) -> None:
    tokens = service.login()
    assert told(service, tokens["access_token"], clients["orders"])["active"]
    assert told(service, tokens["access_token"], clients["payroll"]) == {"active": False}
    assert told(service, batch_token, clients["batch"])["active"]
    assert told(service, batch_token, clients["payroll"]) == {"active": False}
    for client in clients.values():  # a refresh token is its own client's alone, whoever its access tokens are for
        assert told(service, tokens["refresh_token"], client) == {"active": False}


def test_a_disabled_client_neither_introspects_nor_revokes_nor_has_live_tokens(
    service: Served, clients: dict[str, dict[str, str]]
) -> None:
    added = json.loads(service.admin("clients", "add", "late", "--audience", "orders", "--grant", "client_credentials"))
    form = {"client_id": added["client_id"], "client_secret": added["client_secret"]}
    token = service.post("/token", grant_type="client_credentials", **form).json()["access_token"]
    service.admin("clients", "remove", "late")
    for path in ("/revoke", "/introspect"):
        assert service.post(path, token=token, **form).json()["error"] == "invalid_client"
    deadline = time.monotonic() + 10
    while told(service, token, clients["orders"])["active"] and time.monotonic() < deadline:
        time.sleep(0.05)  # another process cut it off; this one hears of it within its poll
    assert told(service, token, clients["orders"]) == {"active": False}


def test_a_users_own_claims_cannot_speak_for_the_service() -> None:
    """RFC 7662 2.2: `active` and `token_type` are the service's word, whatever the application puts into its tokens."""
    from tempfile import TemporaryDirectory

    from admit import TokenService

    forged = {"active": False, "token_type": "forged", "tenant": "acme"}
    with TemporaryDirectory() as folder:
        service = TokenService(
            f"sqlite:///{folder}/auth.db",
            issuer="https://auth.example",
            audience="orders",
            master_key=bytes(32),
            claims=lambda _: forged,
        )
        try:
            service.users.add("alice", PASSWORD)
            secret = service.clients.add("orders", grants=[], audiences=["orders"]).secret or ""
            token = service.login("alice", PASSWORD).access_token
            seen = service.introspect(token, client_id="client.orders", client_secret=secret)
            assert (seen["active"], seen["token_type"], seen["tenant"]) == (True, "Bearer", "acme")
        finally:
            service.close()
