"""Step-up: a door that asks for a recent login (RFC 9470)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient as StarletteClient

from admit import Claims, Key, KeySet, Signer, Verifier
from admit.errors import ConfigurationError
from admit.tokens.several import Verifiers
from admit.web.bearer import Door, presented
from admit.web.fastapi import Bearer
from admit.web.starlette import BearerMiddleware, requires

KEY = Key.generate("ES256")
NOW = 1_800_000_000
SIGNER = Signer(KEY, issuer="https://auth.example", audience="orders", clock=lambda: NOW)
VERIFIER = Verifier(KeySet([KEY.public()]), issuer="https://auth.example", audience="orders", clock=lambda: NOW)
RECENT = timedelta(minutes=5)


def fastapi_app() -> Any:
    app = FastAPI()
    recent = Bearer(VERIFIER, max_age=RECENT)

    @app.get("/pay")
    def pay(who: Annotated[Claims[None], Security(recent, scopes=["pay"])]) -> str:
        return who.sub

    return TestClient(app)


@requires("pay", max_age=RECENT)
def paid(request: Request) -> Response:
    return PlainTextResponse("paid")


def plain(request: Request) -> Response:
    return PlainTextResponse("seen")


def decorated_app() -> Any:
    routes = [Route("/pay", paid), Route("/see", plain)]
    return StarletteClient(Starlette(routes=routes, middleware=[Middleware(BearerMiddleware, verifier=VERIFIER)]))


def guarded_app() -> Any:
    guard = Middleware(BearerMiddleware, verifier=VERIFIER, scopes=["pay"], max_age=RECENT)
    return StarletteClient(Starlette(routes=[Route("/pay", plain)], middleware=[guard]))


APPS = pytest.mark.parametrize("build", [fastapi_app, decorated_app, guarded_app])


def bearer(scope: str, claims: dict[str, object]) -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGNER.sign(sub='alice', client_id='web', scope=scope, claims=claims)}"}


@APPS
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"auth_time": NOW}, 200),
        ({"auth_time": NOW - 300}, 200),
        ({"auth_time": NOW - 301}, 401),
        ({"auth_time": 0}, 401),
        ({}, 401),
    ],
)
def test_a_route_asks_for_a_login_younger_than_five_minutes(
    build: Callable[[], Any], claims: dict[str, object], status: int
) -> None:
    answer = build().get("/pay", headers=bearer("pay", claims))
    assert answer.status_code == status
    if status == 401:
        challenge = answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'max_age="300"' in challenge


@APPS
def test_a_recent_login_is_no_scope(build: Callable[[], Any]) -> None:
    assert build().get("/pay", headers=bearer("see", {"auth_time": NOW})).status_code == 403


def test_other_routes_let_the_same_token_in() -> None:
    assert decorated_app().get("/see", headers=bearer("pay", {"auth_time": NOW - 301})).status_code == 200


def test_the_synchronous_door_asks_too() -> None:
    from admit.errors import StaleAuthentication

    value = bearer("pay", {"auth_time": NOW - 301})["Authorization"].encode()
    request = presented([(b"authorization", value)])
    for door in (Door(VERIFIER), Door(Verifiers([VERIFIER]))):
        assert door.admit_sync(request).sub == "alice"
        with pytest.raises(StaleAuthentication, match="301 s ago"):
            door.admit_sync(request, (), 300)


@pytest.mark.parametrize("wrong", [300, 0, timedelta(), timedelta(seconds=-1), "5m"])
def test_an_age_is_a_length_of_time(wrong: Any) -> None:
    for build in (lambda: Bearer(VERIFIER, max_age=wrong), lambda: requires(max_age=wrong)):
        with pytest.raises(ConfigurationError, match="max_age"):
            build()
