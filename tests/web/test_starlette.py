"""The Starlette door: nothing passes without a token unless its exact path is public."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from admit import ConfigurationError, Key, KeySet, Signer, Verifier
from admit.web.starlette import BearerMiddleware, claims_of, requires

KEY = Key.generate("ES256")
VERIFIER = Verifier(KeySet([KEY.public()]), issuer="https://auth.example", audience="orders")
SIGNER = Signer(KEY, issuer="https://auth.example", audience="orders")


async def who(request: Request) -> Response:
    return PlainTextResponse(claims_of(request).sub)


@requires("orders:write")
async def write(request: Request) -> Response:
    return PlainTextResponse("written")


@requires("orders:write")
def write_in_a_thread(request: Request) -> Response:
    return PlainTextResponse("written")


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(claims_of(websocket).sub)
    await websocket.close()


ROUTES = [
    Route("/who", who),
    Route("/write", write),
    Route("/thread", write_in_a_thread),
    Route("/healthz", health),
    Route("/healthz/write", write),
    WebSocketRoute("/ws", socket),
]
APP = Starlette(
    routes=ROUTES,
    middleware=[Middleware(BearerMiddleware, verifier=VERIFIER, scopes=["orders:read"], public=["/healthz"])],
)


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGNER.sign(sub='alice', client_id='web', scope=scope)}"}


@pytest.fixture
def client() -> TestClient:
    return TestClient(APP)


def test_a_good_token_reaches_the_endpoint_with_its_claims(client: TestClient) -> None:
    answer = client.get("/who", headers=bearer("orders:read"))
    assert (answer.status_code, answer.text) == (200, "alice")


@pytest.mark.parametrize("path", ["/who", "/nowhere", "/healthz/", "/HEALTHZ", "/healthz/write", "//healthz"])
def test_without_a_token_only_exact_public_paths_answer(client: TestClient, path: str) -> None:
    assert client.get(path, follow_redirects=False).status_code == 401
    assert client.get("/healthz").status_code == 200


def test_the_middlewares_scope_and_the_endpoints_are_both_needed(client: TestClient) -> None:
    assert client.get("/who", headers=bearer("orders:write")).status_code == 403
    for path in ("/write", "/thread"):
        answer = client.get(path, headers=bearer("orders:read"))
        assert answer.status_code == 403
        assert 'scope="orders:write"' in answer.headers["WWW-Authenticate"]
        assert client.get(path, headers=bearer("orders:read orders:write")).text == "written"


def test_one_byte_changed_is_refused(client: TestClient) -> None:
    headers = bearer("orders:read")
    headers["Authorization"] = headers["Authorization"][:-10] + "AAAA" + headers["Authorization"][-6:]
    answer = client.get("/who", headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_websocket_is_judged_before_it_is_accepted(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers=bearer("orders:read")) as websocket:
        assert websocket.receive_text() == "alice"
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
        pass
    assert denied.value.status_code == 401


def test_requires_without_the_middleware_is_a_mistake_and_lets_nobody_in() -> None:
    with pytest.raises(ConfigurationError):
        TestClient(Starlette(routes=ROUTES)).get("/write", headers=bearer("orders:write"))


def test_one_string_is_no_collection_of_paths_or_scopes() -> None:
    for wrong in ({"public": "/"}, {"scopes": "orders:read"}):
        with pytest.raises(ConfigurationError):
            BearerMiddleware(APP, VERIFIER, **wrong)  # type: ignore[arg-type]
