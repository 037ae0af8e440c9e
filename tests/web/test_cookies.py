"""Cookies at the doors: header or cookie, never both; CSRF by origin; scopes and recent logins as ever."""

import logging
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from admit import Claims, ConfigurationError, Cookies, Key, KeySet, Signer, Verifier
from admit.web.fastapi import Bearer
from admit.web.starlette import BearerMiddleware, claims_of, requires

KEY = Key.generate("ES256")
NOW = 1_800_000_000
SIGNER = Signer(KEY, issuer="https://auth.example", audience="orders", clock=lambda: NOW)
VERIFIER = Verifier(KeySet([KEY.public()]), issuer="https://auth.example", audience="orders", clock=lambda: NOW)
COOKIES = Cookies("https://shop.example")
OWN = {"Origin": "https://shop.example"}
EVIL = {"Origin": "https://evil.example"}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
UNSAFE = METHODS[3:]
RECENT = timedelta(minutes=5)


async def orders(request: Request) -> Response:
    return PlainTextResponse(claims_of(request).sub)


@requires("pay", max_age=RECENT)
async def pay(request: Request) -> Response:
    return PlainTextResponse("paid")


def starlette_door() -> Any:
    guard = Middleware(BearerMiddleware, verifier=VERIFIER, cookies=COOKIES)
    return Starlette(
        routes=[Route("/", orders, methods=METHODS), Route("/pay", pay, methods=METHODS)], middleware=[guard]
    )


def fastapi_door() -> Any:
    app = FastAPI()
    bearer, recent = Bearer(VERIFIER, cookies=COOKIES), Bearer(VERIFIER, cookies=COOKIES, max_age=RECENT)

    @app.api_route("/", methods=METHODS)
    def orders(who: Annotated[Claims[None], Security(bearer)]) -> str:
        return who.sub

    @app.api_route("/pay", methods=METHODS)
    def pay(who: Annotated[Claims[None], Security(recent, scopes=["pay"])]) -> str:
        return "paid"

    return app


@pytest.fixture(params=[starlette_door, fastapi_door])
def client(request: pytest.FixtureRequest) -> TestClient:
    return TestClient(request.param(), base_url="https://shop.example")


def token(sub: str = "alice", scope: str = "pay", **claims: object) -> str:
    return SIGNER.sign(sub=sub, client_id="web", claims=claims, scope=scope)


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; {COOKIES.access}={value}"}


@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_ours_sends_the_cookie_with_every_method(client: TestClient, method: str) -> None:
    assert client.request(method, "/", headers=cookie(token()) | OWN).status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("foreign", [EVIL, {}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_what_changes_something_is_refused_where_a_foreign_page_may_have_sent_the_cookie(
    client: TestClient, method: str, foreign: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "admit.web")
    answer = client.request(method, "/", headers=cookie(token()) | foreign)
    assert answer.status_code == 403
    assert "evil" not in answer.text
    assert "Cookies(...)" in caplog.text
    assert (foreign == EVIL) == ("https://evil.example" in caplog.text)


@pytest.mark.parametrize("method", METHODS)
def test_a_token_in_the_header_needs_no_origin_for_no_browser_adds_it(client: TestClient, method: str) -> None:
    for headers in ({}, EVIL, {"Sec-Fetch-Site": "cross-site"}):
        assert client.request(method, "/", headers={"Authorization": f"Bearer {token()}"} | headers).status_code == 200


def test_a_header_and_a_cookie_that_differ_are_refused_and_the_same_token_twice_is_not(client: TestClient) -> None:
    one, other = token(), token("mallory")
    both = {"Authorization": f"Bearer {one}"}
    assert client.post("/", headers=both | cookie(other) | OWN).status_code == 400
    assert client.post("/", headers=both | cookie(one)).status_code == 200
    assert (
        client.get("/", headers={"Authorization": "Basic YTpi"} | cookie(one)).status_code == 200
    )  # a proxy's password


def test_a_cookie_is_judged_as_a_header_is(client: TestClient) -> None:
    assert client.get("/").status_code == 401
    changed = client.get("/", headers=cookie(token()[:-6] + "AAAAAA"))
    assert (changed.status_code, 'error="invalid_token"' in changed.headers["WWW-Authenticate"]) == (401, True)
    assert client.get("/", headers={"Cookie": f"admit-access={token()}"}).status_code == 401
    assert client.get("/", headers={"Cookie": f"{COOKIES.refresh}={token()}"}).status_code == 401


def test_scopes_and_recent_logins_are_asked_of_cookies_too(client: TestClient) -> None:
    assert client.post("/pay", headers=cookie(token(scope="see", auth_time=NOW)) | OWN).status_code == 403
    stale = client.post("/pay", headers=cookie(token(auth_time=NOW - 301)) | OWN)
    assert (stale.status_code, 'max_age="300"' in stale.headers["WWW-Authenticate"]) == (401, True)
    assert client.post("/pay", headers=cookie(token(auth_time=NOW)) | OWN).status_code == 200
    assert client.post("/pay", headers=cookie(token(auth_time=NOW)) | EVIL).status_code == 403


def test_the_document_names_the_header_or_the_cookie() -> None:
    app, bearer = FastAPI(), Bearer(VERIFIER, cookies=COOKIES)

    @app.post("/pay")
    def pay(who: Annotated[Claims[None], Security(bearer, scopes=["pay"])]) -> str:
        return who.sub

    document = app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes["BearerCookie"] == {"type": "apiKey", "in": "cookie", "name": "__Host-admit-access"}
    operation = document["paths"]["/pay"]["post"]
    assert {"Bearer": ["pay"]} in operation["security"]
    assert any("BearerCookie" in way for way in operation["security"])
    assert len(operation["security"]) == 2  # either, not both
    assert "parameters" not in operation


def test_cookies_is_what_it_says() -> None:
    wrong: Any = "https://shop.example"
    with pytest.raises(ConfigurationError, match="Cookies"):
        Bearer(VERIFIER, cookies=wrong)
    with pytest.raises(ConfigurationError, match="Cookies"):
        BearerMiddleware(starlette_door(), VERIFIER, cookies=wrong)
