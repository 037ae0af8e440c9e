"""Tokens in cookies: a page's login, refresh, sessions and logout, and what other sites' pages cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from admit import ConfigurationError, Cookies, TokenService
from admit.errors import InvalidGrant
from admit.server.app import create_app
from admit.server.run import CannotServe, check
from admit.server.settings import Settings

PASSWORD = "correct horse battery staple"
ISSUER = "https://shop.example"
OWN, EVIL = {"Origin": ISSUER}, {"Origin": "https://evil.example"}
ACCESS, REFRESH = "__Host-admit-access", "__Host-admit-refresh"
FOREIGN = [EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Referer": "https://evil.example/"}]


@pytest.fixture(scope="module")
def auth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    path = tmp_path_factory.mktemp("auth") / "auth.db"
    service = TokenService(f"sqlite:///{path}", issuer=ISSUER, audience="orders", scopes=["orders:read"])
    service.users.add("alice", PASSWORD)
    yield service
    service.close()


@pytest.fixture
def page(auth: TokenService) -> Iterator[TestClient]:
    """A browser, which keeps cookies."""
    with TestClient(create_app(auth, cookies=Cookies(ISSUER)), base_url=ISSUER) as client:
        yield client


def login(page: TestClient, headers: dict[str, str] = OWN, **more: str) -> Any:
    return page.post("/login", data={"username": "alice", "password": PASSWORD, **more}, headers=headers)


def refresh(page: TestClient, headers: dict[str, str], **more: str) -> Any:
    return page.post("/token", data={"grant_type": "refresh_token", **more}, headers=headers)


def set_cookies(answer: Any) -> dict[str, Any]:
    return {
        name: morsel for line in answer.headers.get_list("set-cookie") for name, morsel in SimpleCookie(line).items()
    }


def test_a_page_logs_in_refreshes_and_logs_out_and_no_answer_holds_a_token(
    page: TestClient, auth: TokenService
) -> None:
    answer = login(page)
    assert answer.json() == {"expires_in": 600, "scope": "orders:read"}
    assert answer.headers["cache-control"] == "no-store"
    first = set_cookies(answer)
    assert set(first) == {ACCESS, REFRESH}
    for morsel in first.values():
        assert (morsel["path"], morsel["secure"], morsel["httponly"], morsel["domain"]) == ("/", True, True, "")
    assert (first[ACCESS]["samesite"], first[REFRESH]["samesite"]) == ("Lax", "Strict")
    assert (first[ACCESS]["max-age"], first[REFRESH]["max-age"]) == (
        "600",
        str(int(auth.policy.absolute.total_seconds())),
    )
    claims = auth.verifier().verify(first[ACCESS].value)

    page.cookies.delete(REFRESH)
    assert refresh(page, OWN).status_code == 400
    page.cookies.set(REFRESH, first[REFRESH].value, domain="shop.example", path="/")
    answer = refresh(page, OWN)
    assert answer.json().keys() == {"expires_in", "scope"}
    assert auth.verifier().verify(set_cookies(answer)[ACCESS].value).sid == claims.sid

    answer = page.post("/logout", headers=OWN)
    assert answer.status_code == 204
    assert {name: morsel["max-age"] for name, morsel in set_cookies(answer).items()} == {ACCESS: "0", REFRESH: "0"}
    assert not page.cookies
    assert claims.sid not in {session.id for session in auth.sessions(claims.sub)}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_another_sites_page_can_neither_log_in_nor_refresh_nor_log_out(
    page: TestClient, auth: TokenService, foreign: dict[str, str]
) -> None:
    refused = login(page, foreign)  # login CSRF
    assert (refused.status_code, refused.json()["error"]) == (403, "foreign_origin")
    assert not set_cookies(refused)
    login(page)
    sub = auth.verifier().verify(page.cookies[ACCESS]).sub
    before = auth.sessions(sub)
    for answer in (
        refresh(page, foreign),
        page.post("/logout", headers=foreign),
        page.delete("/sessions", headers=foreign),
        page.delete("/sessions?keep=current", headers=foreign),
        page.delete(f"/sessions/{before[0].id}", headers=foreign),
    ):
        assert answer.status_code == 403
        assert not set_cookies(answer)
    assert auth.sessions(sub) == before


def test_cookies_without_a_word_on_their_page_are_refused(page: TestClient) -> None:
    login(page)
    assert refresh(page, {}).status_code == 403
    assert page.post("/logout", headers={}).status_code == 403


def test_a_wrong_password_sets_no_cookie_and_another_sites_page_does_not_learn_whether_it_was_right(
    page: TestClient,
) -> None:
    wrong = login(page, password="wrong")
    assert (wrong.status_code, set_cookies(wrong)) == (401, {})
    assert login(page, EVIL).content == login(page, EVIL, password="wrong").content


def test_a_program_gets_its_tokens_in_json_as_ever(page: TestClient) -> None:
    answer = login(page, {})
    assert {"access_token", "refresh_token"} <= answer.json().keys()
    assert not set_cookies(answer)
    again = refresh(page, {}, refresh_token=answer.json()["refresh_token"])
    assert ("refresh_token" in again.json(), set_cookies(again)) == (True, {})
    assert page.post("/logout", data={"refresh_token": again.json()["refresh_token"]}).status_code == 204


def test_what_came_by_cookie_never_leaves_in_json(page: TestClient) -> None:
    login(page)
    mine = page.cookies[REFRESH]
    answer = refresh(page, OWN, refresh_token=mine)
    assert "access_token" not in answer.json()
    assert refresh(page, OWN, refresh_token="admit_rt_other").status_code == 400


def test_a_page_sees_and_ends_its_sessions_by_the_refresh_cookie_alone(page: TestClient, auth: TokenService) -> None:
    login(page)
    own = next(one for one in page.get("/sessions").json()["sessions"] if one["current"])
    sub = auth.verifier().verify(page.cookies[ACCESS]).sub
    other = auth.login("alice", PASSWORD).session_id
    assert page.delete(f"/sessions/{other}", headers=OWN).status_code == 204
    assert page.cookies
    assert page.delete("/sessions?keep=current", headers=OWN).status_code == 204
    assert [one.id for one in auth.sessions(sub)] == [own["id"]]
    ended = page.delete(f"/sessions/{own['id']}", headers=OWN)
    assert (ended.status_code, dict(page.cookies)) == (204, {})
    login(page)
    assert page.delete("/sessions", headers=OWN).status_code == 204
    assert (auth.sessions(sub), dict(page.cookies)) == ([], {})
    assert page.get("/sessions").status_code == 401


def test_a_page_changes_the_password_with_its_cookie_and_the_old_password(page: TestClient, auth: TokenService) -> None:
    sub = auth.users.add("pat", PASSWORD).id
    login(page, username="pat")
    held = dict(page.cookies)

    def change(old: str, headers: dict[str, str] = OWN) -> Any:
        return page.post(
            "/password", data={"old_password": old, "new_password": f"another {PASSWORD}"}, headers=headers
        )

    for foreign in (*FOREIGN, {}):
        assert change(PASSWORD, foreign).json()["error"] == "foreign_origin"
    assert change("wrong").status_code == 400
    assert (dict(page.cookies), len(auth.sessions(sub))) == (held, 1)
    page.cookies.delete(REFRESH)
    assert change(PASSWORD).status_code == 401  # the access cookie is for APIs
    page.cookies.set(REFRESH, held[REFRESH], domain="shop.example", path="/")
    changed = change(PASSWORD)
    assert (changed.status_code, changed.content) == (204, b"")
    assert {name: morsel["max-age"] for name, morsel in set_cookies(changed).items()} == {ACCESS: "0", REFRESH: "0"}
    assert (dict(page.cookies), auth.sessions(sub)) == ({}, [])
    assert login(page, username="pat").status_code == 401
    assert login(page, username="pat", password=f"another {PASSWORD}").status_code == 200


def test_an_access_cookie_opens_no_sessions_for_apis_see_it(page: TestClient) -> None:
    login(page)
    page.cookies.delete(REFRESH)
    assert page.get("/sessions").status_code == 401
    page.cookies.set(REFRESH, "admit_rt_forged", domain="shop.example", path="/")
    assert page.get("/sessions").status_code == 401


def test_without_the_setting_no_cookie_is_set_or_read(auth: TokenService) -> None:
    with TestClient(create_app(auth), base_url=ISSUER) as client:
        answer = login(client)
        assert ("access_token" in answer.json(), set_cookies(answer)) == (True, {})
        carried = {"Cookie": f"{REFRESH}={answer.json()['refresh_token']}"} | OWN
        assert refresh(client, carried).status_code == 400
        assert client.post("/logout", headers=carried).status_code == 415
        assert client.get("/sessions", headers=carried).status_code == 401


def test_the_document_describes_what_a_page_gets(page: TestClient) -> None:
    document = page.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["cookie"] == {"type": "apiKey", "in": "cookie", "name": REFRESH}
    assert {"cookie": []} in document["paths"]["/sessions"]["get"]["security"]
    assert not document["paths"]["/logout"]["post"]["requestBody"]["required"]
    assert "Set-Cookie" in document["paths"]["/login"]["post"]["responses"]["200"]["headers"]


def test_pages_and_service_are_both_https_or_both_on_loopback(auth: TokenService, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="both be https"):
        create_app(auth, cookies=Cookies("http://localhost:8000"))
    for wrong in (
        {"cookie_origins": ("https://shop.example",)},
        {"cookie_origins": ("http://localhost:8000",), "cookie_same_site": "none"},
        {"cookie_origins": ("*",)},
        {"cors_origins": ("*",)},
    ):
        with pytest.raises(CannotServe):
            check(Settings(data=tmp_path, **wrong))
    check(Settings(data=tmp_path, cookie_origins=("http://localhost:8000",)))


def test_a_refresh_token_that_was_replaced_long_ago_opens_no_sessions(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    service = TokenService(f"sqlite:///{tmp_path}/a.db", issuer=ISSUER, audience="orders", clock=lambda: now[0])
    try:
        service.users.add("alice", PASSWORD)
        first = service.login("alice", PASSWORD)
        now[0] += 60
        second = service.refresh(first.refresh_token)
        assert service.session(first.refresh_token).id == first.session_id  # its answer may have been lost
        now[0] += 3600
        assert service.session(second.refresh_token).id == first.session_id
        with pytest.raises(InvalidGrant):
            service.session(first.refresh_token)
        assert service.session(second.refresh_token)  # nothing was rotated, and no session ended
        service.logout(second.refresh_token)
        with pytest.raises(InvalidGrant):
            service.session(second.refresh_token)
    finally:
        service.close()
