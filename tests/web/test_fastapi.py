"""The FastAPI door: Security with scopes, typed claims, the Authorize button, overrides."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from fastapi.testclient import TestClient

from admit import Claims, Key, KeySet, Signer, Verifier
from admit.errors import RevocationsUnavailable
from admit.web.fastapi import Bearer

KEY = Key.generate("ES256")
KEYS = KeySet([KEY.public()])
SIGNER = Signer(KEY, issuer="https://auth.example", audience="orders")


@dataclass(frozen=True)
class Mine:
    tenant: str


BEARER = Bearer(Verifier(KEYS, issuer="https://auth.example", audience="orders", extra=Mine, cache=100))
APP = FastAPI(responses=BEARER.responses)


@APP.get("/orders")
async def orders(who: Annotated[Claims[Mine], Security(BEARER, scopes=["orders:read"])]) -> str:
    return who.extra.tenant


@APP.get("/orders/audit")
def audit(
    reader: Annotated[Claims[Mine], Security(BEARER, scopes=["orders:read"])],
    auditor: Annotated[Claims[Mine], Security(BEARER, scopes=["orders:audit"])],
) -> str:
    return auditor.sub


@pytest.fixture
def client() -> TestClient:
    return TestClient(APP)


def token(scope: str = "orders:read", **claims: object) -> dict[str, str]:
    signed = SIGNER.sign(sub="alice", client_id="web", scope=scope, claims={"tenant": "acme", **claims})
    return {"Authorization": f"Bearer {signed}"}


def test_a_handler_gets_typed_claims(client: TestClient) -> None:
    headers = token()
    for _ in range(3):  # from the cache, too
        answer = client.get("/orders", headers=headers)
        assert (answer.status_code, answer.json()) == (200, "acme")


def test_no_token_a_bad_one_and_one_without_the_scope_get_different_answers(client: TestClient) -> None:
    nothing = client.get("/orders")
    assert (nothing.status_code, nothing.headers["WWW-Authenticate"]) == (401, 'Bearer scope="orders:read"')
    bad = client.get("/orders", headers={"Authorization": "Bearer x.y.z"})
    assert bad.status_code == 401
    assert 'error="invalid_token"' in bad.headers["WWW-Authenticate"]
    narrow = client.get("/orders", headers=token("orders:write"))
    assert narrow.status_code == 403
    assert 'error="insufficient_scope"' in narrow.headers["WWW-Authenticate"]
    assert 'scope="orders:read"' in narrow.headers["WWW-Authenticate"]
    twice = client.get("/orders", headers=[*token().items(), *token().items()])
    assert twice.status_code == 400


def test_a_token_in_the_query_is_refused_and_one_in_a_cookie_not_looked_at(client: TestClient) -> None:
    value = token()["Authorization"].removeprefix("Bearer ")
    asked = client.get("/orders", params={"access_token": value})
    assert (asked.status_code, "never in a URL" in asked.json()["detail"]) == (400, True)
    assert client.get("/orders", headers={"Cookie": f"access_token={value}"}).status_code == 401


def test_scopes_of_several_dependencies_are_each_needed(client: TestClient) -> None:
    assert client.get("/orders/audit", headers=token("orders:read")).status_code == 403
    assert client.get("/orders/audit", headers=token("orders:audit")).status_code == 403
    assert client.get("/orders/audit", headers=token("orders:read orders:audit")).status_code == 200


def test_where_nothing_can_be_judged_the_answer_is_503_and_nobody_logs_out() -> None:
    class Away:
        def check(self, claims: Claims[Any], /) -> None:
            raise RevocationsUnavailable("the feed is old", retry_after=3)

    bearer = Bearer(Verifier(KEYS, issuer="https://auth.example", audience="orders", revocations=Away()))
    app = FastAPI()

    @app.get("/")
    async def index(who: Annotated[Claims[None], Security(bearer)]) -> str:
        return who.sub

    answer = TestClient(app).get("/", headers=token())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert "WWW-Authenticate" not in answer.headers


def test_a_test_can_override_it() -> None:
    claims = BEARER.door.verifier.verify(token(tenant="other")["Authorization"].removeprefix("Bearer "))
    APP.dependency_overrides[BEARER] = lambda: claims
    try:
        assert TestClient(APP).get("/orders").json() == "other"
    finally:
        APP.dependency_overrides.clear()


def test_the_openapi_document_has_the_authorize_button_and_every_refusal(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["Bearer"] == {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
    }  # fmt: skip
    operation = document["paths"]["/orders"]["get"]
    assert operation["security"] == [{"Bearer": ["orders:read"]}]
    assert {"400", "401", "403", "503"} <= operation["responses"].keys()


def test_with_a_token_url_the_button_gets_the_token_itself() -> None:
    bearer = Bearer(BEARER.door.verifier, token_url="https://auth.example/token", scopes={"orders:read": "Read orders"})
    app = FastAPI()

    @app.get("/")
    async def index(who: Annotated[Claims[Mine], Security(bearer)]) -> str:
        return who.sub

    scheme = app.openapi()["components"]["securitySchemes"]["Bearer"]
    assert scheme["flows"]["clientCredentials"]["tokenUrl"] == "https://auth.example/token"
