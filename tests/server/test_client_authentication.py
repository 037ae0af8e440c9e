"""How clients authenticate at /token, /revoke and /introspect: in one of three ways, never in two (RFC 6749 2.3, 7523)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from admit import Key, KeySet
from admit.tokens.client_assertion import ASSERTION_TYPE, client_assertion
from tests.server.conftest import Served

KEY = Key.generate("Ed25519")
ENDPOINTS = ("/token", "/revoke", "/introspect")


@pytest.fixture(scope="module")
def service(serve: Callable[..., Served], tmp_path_factory: pytest.TempPathFactory) -> Served:
    served = serve()
    served.add_user()
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.write_text(json.dumps(KeySet([KEY.public()]).to_jwks()))
    asked = ("--grant", "client_credentials", "--audience", "orders", "--scope", "orders:read")
    assert json.loads(served.admin("clients", "add", "batch", *asked, "--jwks", str(keys)))["client_secret"] is None
    return served


@pytest.fixture(scope="module")
def secret(service: Served) -> str:
    added = json.loads(service.admin("clients", "add", "web", "--grant", "client_credentials", "--audience", "orders"))
    return str(added["client_secret"])


def assertion(service: Served, **more: Any) -> dict[str, str]:
    return client_assertion(KEY, client_id="client.batch", issuer=service.url, **more)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()}


def ask(service: Served, path: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    body = {"grant_type": "client_credentials", "token": "unknown", **form}
    return service.http.post(service.url + path, data=body, headers=headers)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_each_endpoint_takes_each_way(service: Served, secret: str, path: str) -> None:
    posted = {"client_id": "client.web", "client_secret": secret}
    assert ask(service, path, assertion(service)).status_code == 200
    assert ask(service, path, posted).status_code == 200
    assert ask(service, path, {}, basic("client.web", secret)).status_code == 200


def test_basic_credentials_are_all_of_what_was_sent(service: Served, secret: str) -> None:
    for client_id, spoken in (("client.web&y=1", secret), ("client.web", secret + "&y=1")):
        answer = ask(service, "/introspect", {}, basic(client_id, spoken))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_assertion_is_used_up_by_one_endpoint_for_all(service: Served, path: str) -> None:
    form = assertion(service)
    assert ask(service, "/introspect", form).status_code == 200
    answer = ask(service, path, form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_the_client_id_may_be_left_out_beside_an_assertion_but_not_be_anothers(service: Served) -> None:
    form = assertion(service)
    del form["client_id"]
    assert ask(service, "/introspect", form).status_code == 200
    for client_id in ("client.web", "client.first-party", "nobody"):
        answer = ask(service, "/introspect", {**assertion(service), "client_id": client_id})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_two_ways_at_once_are_refused(service: Served, secret: str, path: str) -> None:
    posted = {"client_id": "client.web", "client_secret": secret}
    two: list[tuple[dict[str, str], dict[str, str]]] = [
        ({**assertion(service), "client_secret": secret}, {}),
        (assertion(service), basic("client.web", secret)),
        (assertion(service), {"Authorization": "Bearer x"}),
        (posted, basic("client.web", secret)),
    ]
    for form, headers in two:
        answer = ask(service, path, form, headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_assertion_type": ""}, 400, "invalid_request"),
        ({"client_assertion": ""}, 400, "invalid_request"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, 401, "invalid_client"),
        ({"client_assertion": "a.b.c", "client_id": ""}, 401, "invalid_client"),
        ({"client_assertion": "a.b.c"}, 401, "invalid_client"),
    ],
)
def test_half_an_assertion_is_none(service: Served, change: dict[str, str], status: int, error: str) -> None:
    answer = ask(service, "/introspect", {**assertion(service), **change})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert "a.b.c" not in answer.text


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 7}, {"sub": ["client.batch"]}, {"sub": "a\0b"}])
def test_an_assertion_that_names_no_client_is_refused(service: Served, claims: dict[str, Any]) -> None:
    from admit.jose import jws

    jwt = jws.sign(KEY, json.dumps(claims).encode(), typ="client-authentication+jwt")
    answer = ask(service, "/introspect", {"client_assertion_type": ASSERTION_TYPE, "client_assertion": jwt})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_the_metadata_says_how_clients_authenticate(service: Served) -> None:
    metadata = service.http.get(service.url + "/.well-known/oauth-authorization-server").json()
    for endpoint in ("token", "revocation", "introspection"):
        methods = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert {"client_secret_basic", "client_secret_post", "private_key_jwt"} <= set(methods)
        assert ("none" in methods) == (endpoint != "introspection")
        algorithms = metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert {"ES256", "RS256", "PS256", "Ed25519"} <= set(algorithms)
        assert not {name for name in algorithms if name.startswith("HS") or name == "none"}


def test_the_log_says_why_a_client_was_refused_and_quotes_nothing(serve: Callable[..., Served]) -> None:
    service = serve("--log-level", "info")
    late = client_assertion(KEY, client_id="client.batch", issuer="https://another.example")
    forms = (late, {"client_id": "client.batch", "client_secret": "no-secret-of-anybody"})
    for form in forms:
        assert ask(service, "/introspect", form).status_code == 401
    assert service.post("/token", grant_type="refresh_token", refresh_token="no-token-at-all").status_code == 400
    _, log = service.stop()
    assert log.count("refused: invalid_client: unknown or disabled client") == 2
    assert "refused: invalid_grant: not a refresh token of this service" in log
    assert not any(spoken in log for spoken in (late["client_assertion"], "no-secret-of-anybody", "no-token-at-all"))
