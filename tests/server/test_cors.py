"""CORS: for what is public alone unless origins are named; exact origins; credentials for the pages with cookies alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from admit import ConfigurationError, Cookies, TokenService
from admit.server import logs
from admit.server.app import ENDPOINTS, create_app

ISSUER = "https://auth.shop.example"
PAGE, COOKIE_PAGE, EVIL = "https://app.example", "https://shop.example", "https://evil.example"
PUBLIC = ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/status-lists", "/status-lists/0")


@pytest.fixture(scope="module")
def auth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    service = TokenService(f"sqlite:///{tmp_path_factory.mktemp('auth')}/auth.db", issuer=ISSUER, audience="orders")
    yield service
    service.close()


@pytest.fixture
def client(auth: TokenService) -> TestClient:
    return TestClient(create_app(auth, cookies=Cookies(COOKIE_PAGE), cors_origins=[PAGE]), base_url=ISSUER)


def preflight(client: TestClient, path: str, origin: str) -> Any:
    return client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})


def allowed(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-allow")}


def test_a_named_page_may_read_answers_and_refusals(client: TestClient) -> None:
    refused = client.post("/token", data={}, headers={"Origin": PAGE})
    assert refused.status_code == 415
    assert allowed(refused) == {"access-control-allow-origin": PAGE}
    assert refused.headers["access-control-expose-headers"] == "WWW-Authenticate, Retry-After"
    assert refused.headers["vary"] == "Origin"


def test_a_page_with_cookies_may_send_them(client: TestClient) -> None:
    answer = preflight(client, "/token", COOKIE_PAGE)
    assert answer.status_code == 204
    assert allowed(answer) == {
        "access-control-allow-origin": COOKIE_PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "Authorization, Content-Type",
    }
    assert "access-control-allow-credentials" not in allowed(preflight(client, "/token", PAGE))
    assert allowed(preflight(client, "/sessions", PAGE))["access-control-allow-methods"] == "GET, DELETE"
    assert preflight(client, "/sessions/x", PAGE).status_code == 204


@pytest.mark.parametrize("origin", [EVIL, "null", "*", PAGE + ".evil.example", PAGE.upper(), PAGE + ":8443", ""])
def test_no_other_page_may(client: TestClient, origin: str) -> None:
    refused = preflight(client, "/token", origin)
    assert (refused.status_code, allowed(refused), refused.headers["vary"]) == (403, {}, "Origin")
    answer = client.get("/sessions", headers={"Origin": origin})
    assert (allowed(answer), answer.headers["vary"]) == ({}, "Origin")


def test_an_answer_without_an_origin_varies_too_or_a_cache_would_mix_them(client: TestClient) -> None:
    answer = client.post("/token", data={})
    assert (allowed(answer), answer.headers["vary"]) == ({}, "Origin")


def test_pages_that_nobody_named_are_warned_of_once_a_minute(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("admit.server"), "filters", [logs.Seldom()])
    caplog.set_level(logging.INFO)
    for number in range(20):
        preflight(client, "/token", f"https://{number}.evil.example")
        client.post("/login", data={"username": "a"}, headers={"Origin": f"https://{number}.evil.example"})
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.partition(":")[0] for each in warnings] == ["cors", "refused"]
    assert "https://19.evil.example" in caplog.text  # for whoever asks for more


@pytest.mark.parametrize("origin", [PAGE, EVIL])
def test_keys_and_metadata_are_for_everybody_without_credentials(client: TestClient, origin: str) -> None:
    for path in PUBLIC:
        assert allowed(client.get(path, headers={"Origin": origin})) == {"access-control-allow-origin": "*"}
        assert preflight(client, path, origin).status_code == 204


def test_what_is_for_programs_no_page_may_read(client: TestClient) -> None:
    closed = {row.path for row in ENDPOINTS if row.readers == "nobody"}
    assert {"/introspect", "/metrics", "/revocations", "/readyz"} <= closed
    for path in closed:
        answer = preflight(client, path, PAGE)
        assert (answer.status_code, allowed(answer)) == (405, {})


def test_a_page_that_cors_allows_logs_in_with_json_and_gets_no_cookie(client: TestClient, auth: TokenService) -> None:
    auth.users.add("alice", "correct horse battery staple")
    form = {"username": "alice", "password": "correct horse battery staple"}
    answer = client.post("/login", data=form, headers={"Origin": PAGE})
    assert ("access_token" in answer.json(), "set-cookie" in answer.headers) == (True, False)
    assert "set-cookie" in client.post("/login", data=form, headers={"Origin": COOKIE_PAGE}).headers


def test_by_default_everybody_reads_what_is_public_and_no_page_the_rest(auth: TokenService) -> None:
    client = TestClient(create_app(auth), base_url=ISSUER)
    for path in PUBLIC:
        answer = client.get(path, headers={"Origin": EVIL, "Cookie": "a=b"})
        assert allowed(answer) == {"access-control-allow-origin": "*"}
        assert preflight(client, path, EVIL).status_code == 204
    for row in ENDPOINTS:
        if row.path not in PUBLIC and row.readers != "everybody":
            answer = client.request(row.method, row.path, headers={"Origin": PAGE})
            assert (allowed(answer), "vary" in answer.headers) == ({}, False)
            assert preflight(client, row.path, PAGE).status_code == 405


@pytest.mark.parametrize("origins", [["*"], ["null"], ["http://app.example"], ["https://app.example/"], [""]])
def test_only_exact_origins_can_be_named(auth: TokenService, origins: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="cors_origins"):
        create_app(auth, cors_origins=origins)
