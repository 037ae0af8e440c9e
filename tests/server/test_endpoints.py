"""The endpoints as RFC 6749, 6750, 7009, 7662 and 8414 describe them, over a real connection."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from admit import ConfigurationError, KeySet, TokenService, Verifier, peek
from admit.server.app import create_app
from admit.tokens.revocation import Page
from admit.web.auth_router import auth_router

PASSWORD = "correct horse battery staple"


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_a_login_answers_tokens_that_no_cache_keeps(service: Any) -> None:
    answer = service.post("/login", username="alice", password=PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert answer.json()["token_type"] == "Bearer"


def test_a_login_as_json_is_the_same_as_a_form(service: Any) -> None:
    answer = service.http.post(service.url + "/login", json={"username": "alice", "password": PASSWORD, "more": [1]})
    assert answer.status_code == 200


def test_the_access_token_verifies_with_the_published_keys(service: Any) -> None:
    metadata = service.http.get(service.url + "/.well-known/oauth-authorization-server").json()
    keys = service.http.get(metadata["jwks_uri"])
    assert keys.headers["cache-control"] == "public, max-age=300"
    verifier = Verifier(KeySet.from_jwks(keys.json()), issuer=metadata["issuer"], audience="orders")
    claims = verifier.verify(service.login(scope="orders:read")["access_token"])
    assert claims.scopes == {"orders:read"}
    assert claims.sid


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(service: Any) -> None:
    wrong = service.post("/login", username="alice", password="wrong")
    unknown = service.post("/login", username="nobody", password="wrong")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    assert wrong.json()["error"] == "invalid_grant"
    assert wrong.headers["www-authenticate"] == unknown.headers["www-authenticate"]


def test_a_disabled_user_gets_the_answer_of_a_wrong_password(service: Any) -> None:
    service.add_user("mallory")
    service.login("mallory")
    service.admin("users", "disable", "mallory")
    answer = service.post("/login", username="mallory", password=PASSWORD)
    assert answer.status_code == 401
    assert answer.content == service.post("/login", username="nobody", password="wrong").content


def test_a_refresh_answers_a_new_access_token(service: Any) -> None:
    tokens = service.login()
    answer = service.refresh(tokens["refresh_token"])
    assert answer.status_code == 200
    assert answer.json()["access_token"] != tokens["access_token"]


def test_a_refresh_never_widens_the_scope(service: Any) -> None:
    tokens = service.login(scope="orders:read")
    answer = service.refresh(tokens["refresh_token"], scope="orders:read orders:write")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_secret": "y"}, 400, "invalid_request"),
    ],
)
def test_the_token_endpoint_refuses_with_the_code_of_the_rfc(
    service: Any, form: dict[str, str], status: int, error: str
) -> None:
    answer = service.post("/token", **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert status != 401 or answer.headers["www-authenticate"].startswith("Basic")


def test_a_logout_ends_the_session_and_is_silent_about_unknown_tokens(service: Any) -> None:
    tokens = service.login()
    assert service.post("/logout", refresh_token=tokens["refresh_token"]).status_code == 204
    assert service.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert service.post("/logout", refresh_token="nonsense").status_code == 204


def test_a_logout_by_the_access_token_is_refused_rather_than_believed_to_have_happened(service: Any) -> None:
    tokens = service.login()
    answer = service.post("/logout", refresh_token=tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "refresh token" in answer.json()["error_description"]
    assert service.refresh(tokens["refresh_token"]).status_code == 200


def test_revoking_is_200_for_every_token(service: Any) -> None:
    tokens = service.login()
    for token in (tokens["refresh_token"], tokens["access_token"], "nonsense"):
        assert service.post("/revoke", token=token, token_type_hint="anything").status_code == 200
    assert service.refresh(tokens["refresh_token"]).status_code == 400


def test_a_user_lists_and_ends_only_its_own_sessions(service: Any) -> None:
    service.add_user("bob")
    mine, others = service.login("bob", device="phone"), service.login("alice")
    mine = service.refresh(mine["refresh_token"], audience=service.url).json()
    sessions = service.http.get(service.url + "/sessions", headers=bearer(mine)).json()["sessions"]
    assert [(each["device"], each["current"]) for each in sessions] == [("phone", True)]
    foreign = peek(others["access_token"]).claims["sid"]
    assert service.http.delete(f"{service.url}/sessions/{foreign}", headers=bearer(mine)).status_code == 404
    assert service.refresh(others["refresh_token"]).status_code == 200
    assert service.http.delete(f"{service.url}/sessions/{sessions[0]['id']}", headers=bearer(mine)).status_code == 204
    assert service.refresh(mine["refresh_token"]).status_code == 400


def test_logging_out_everywhere_ends_every_session_and_cuts_off_the_access_token(service: Any) -> None:
    service.add_user("carol")
    one, three = (service.login("carol", audience=service.url) for _ in range(2))
    others = service.url + "/sessions?keep=current"
    assert service.http.delete(service.url + "/sessions?keep=all", headers=bearer(one)).status_code == 400
    assert service.http.delete(others, headers=bearer(one)).status_code == 204
    (left,) = service.http.get(service.url + "/sessions", headers=bearer(one)).json()["sessions"]
    assert (left["current"], left["auth_method"], left["auth_time"]) == (True, "pwd", left["created_at"])
    assert service.refresh(three["refresh_token"]).status_code == 400
    two = service.login("carol", audience=service.url)
    assert service.http.delete(service.url + "/sessions", headers=bearer(one)).status_code == 204
    assert {service.refresh(each["refresh_token"]).status_code for each in (one, two)} == {400}
    answer = service.http.get(service.url + "/sessions", headers=bearer(two))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_for_an_api_manages_no_sessions_whoever_replays_it(service: Any) -> None:
    service.add_user("dora")
    tokens = service.login("dora")
    assert peek(tokens["access_token"]).claims["aud"] == "orders"
    for method, path in (("GET", "/sessions"), ("DELETE", "/sessions"), ("DELETE", "/sessions/x")):
        answer = service.http.request(method, service.url + path, headers=bearer(tokens))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    own = service.refresh(tokens["refresh_token"], audience=service.url).json()
    assert peek(own["access_token"]).claims["aud"] == service.url
    assert service.http.get(service.url + "/sessions", headers=bearer(own)).status_code == 200
    again = service.refresh(own["refresh_token"]).json()
    assert peek(again["access_token"]).claims["aud"] == "orders", "the issuer never becomes the default audience"


@pytest.mark.parametrize(
    ("values", "status", "challenge"),
    [
        (["Basic YTpi"], 401, 'Bearer realm="admit"'),
        (["Bearer"], 400, 'Bearer realm="admit", error="invalid_request"'),
        (["Bearer a b"], 400, 'Bearer realm="admit", error="invalid_request"'),
        (["Bearer a,b"], 400, 'Bearer realm="admit", error="invalid_request"'),
        (["Bearer a", "Bearer a"], 400, 'Bearer realm="admit", error="invalid_request"'),
        (["bearer  a.b.c"], 401, 'Bearer realm="admit", error="invalid_token"'),
    ],
)
def test_the_header_is_read_and_answered_as_every_door_does(
    service: Any, values: list[str], status: int, challenge: str
) -> None:
    headers = [("Authorization", value) for value in values]
    answer = service.http.get(service.url + "/sessions", headers=headers)
    assert answer.status_code == status
    assert answer.headers["www-authenticate"].startswith(challenge)


def test_without_a_token_the_challenge_has_no_error_code(service: Any) -> None:
    answer = service.http.get(service.url + "/sessions")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="admit"')


def test_probes_and_metrics_answer(service: Any) -> None:
    assert service.http.get(service.url + "/healthz").json() == {"status": "ok"}
    assert service.http.get(service.url + "/readyz").json()["status"] == "ready"
    text = service.http.get(service.url + "/metrics").text
    assert 'admit_http_requests_total{endpoint="GET /healthz",status="200"}' in text
    assert "alice" not in text


def test_the_feed_is_signed_by_a_key_that_signs_nothing_else(service: Any) -> None:
    metadata = service.http.get(service.url + "/.well-known/oauth-authorization-server").json()
    feed_keys = service.http.get(metadata["revocations_jwks_uri"]).json()
    answer = service.http.get(metadata["revocations_uri"])
    page = Page.read(answer.content, KeySet.from_jwks(feed_keys), metadata["issuer"])
    assert page.full
    assert answer.headers["content-type"] == "application/jwt"
    access_keys = service.http.get(metadata["jwks_uri"]).json()
    assert not {key["kid"] for key in access_keys["keys"]} & {key["kid"] for key in feed_keys["keys"]}
    assert not {"d", "k", "p", "q"} & {name for key in [*access_keys["keys"], *feed_keys["keys"]] for name in key}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/sessions", {"GET", "HEAD", "DELETE"}),
        ("PUT", "/sessions/x", {"DELETE"}),
        ("DELETE", "/second-factor", {"GET", "HEAD", "POST"}),
        ("GET", "/token", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_a_path_does_not_take_is_answered_with_all_that_it_takes(
    service: Any, method: str, path: str, allowed: set[str]
) -> None:
    answer = service.http.request(method, service.url + path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "issuer", ["http://auth.example", "auth.example", "https://auth.example?x=1", "https://a.example/{x}"]
)
def test_a_service_that_nobody_could_trust_by_its_url_is_not_put_on_the_web(tmp_path: Path, issuer: str) -> None:
    service = TokenService(f"sqlite:///{tmp_path / 'auth.db'}", issuer=issuer, audience="orders")
    with closing(service):
        assert service.issuer == issuer  # in process it would do
        for publish in (create_app, auth_router):
            with pytest.raises(ConfigurationError, match="issuer"):
                publish(service)
