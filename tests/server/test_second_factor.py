"""/second-factor: a user's own authenticator app and recovery codes, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from starlette.testclient import TestClient

from admit import Cookies, TokenService
from admit.server.app import create_app
from admit.server.second_factor import RECENT
from admit.service.clients import FIRST_PARTY
from tests.service.conftest import cheap

PASSWORD = "correct horse battery staple"
ISSUER = "https://shop.example"
CHANGES = ("", "/confirm", "/recovery-codes", "/remove")


class Alice:
    """A user with a program, an authenticator app and a watch."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        url = f"sqlite:///{folder}/auth.db"
        self.service = cheap(TokenService(url, issuer=ISSUER, audience="orders", clock=lambda: self.now))
        self.sub = self.service.users.add("alice", PASSWORD).id
        self.http = TestClient(create_app(self.service, cookies=Cookies(ISSUER)), base_url=ISSUER)
        self.secret = ""
        self.headers: dict[str, str] = {}

    def login(self, audience: str = ISSUER, **more: str) -> Any:
        form = {"username": "alice", "password": PASSWORD, "audience": audience, **more}
        answer = self.http.post("/login", data=form)
        if answer.status_code == 200:
            self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return answer

    def ask(self, path: str = "", **form: str) -> Any:
        return self.http.post(f"/second-factor{path}", json=form, headers=self.headers)

    def begin(self) -> Any:
        answer = self.ask()
        self.secret = parse_qs(urlsplit(answer.json()["uri"]).query)["secret"][0]
        return answer

    def code(self) -> str:
        """The next one: none is good twice."""
        self.now += 30
        return pyotp.TOTP(self.secret).at(int(self.now))

    def enrolled(self) -> list[str]:
        self.login()
        self.begin()
        codes: list[str] = self.ask("/confirm", otp=self.code()).json()["recovery_codes"]
        return codes


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Alice]:
    alice = Alice(tmp_path)
    yield alice
    alice.service.close()


def test_a_user_enrolls_an_app_gets_recovery_codes_once_and_takes_it_all_away(alice: Alice) -> None:
    alice.login()
    assert alice.http.get("/second-factor", headers=alice.headers).json() == {"enrolled": False}
    begun = alice.begin()
    assert begun.json().keys() == {"uri", "svg"}
    assert begun.json()["svg"].startswith("<svg")
    assert begun.headers["cache-control"] == "no-store"
    assert alice.login().status_code == 200  # not asked for yet
    confirmed = alice.ask("/confirm", otp=alice.code())
    codes = confirmed.json()["recovery_codes"]
    assert (len(codes), confirmed.headers["cache-control"]) == (10, "no-store")
    assert alice.http.get("/second-factor", headers=alice.headers).json() == {"enrolled": True}

    assert alice.login().json()["error"] == "mfa_required"
    assert alice.login(otp=codes[0]).status_code == 200
    fresh = alice.ask("/recovery-codes", otp=alice.code()).json()["recovery_codes"]
    assert not {*fresh} & {*codes}
    assert alice.login(otp=codes[1]).status_code == 401
    assert alice.ask("/remove", otp=fresh[0]).status_code == 204
    assert alice.login().status_code == 200
    told = [each.event for each in alice.service.audit(sub=alice.sub) if each.event.startswith("totp")]
    assert told == ["totp.confirmed", "totp.recovery_codes", "totp.removed"]


@pytest.mark.parametrize("path", CHANGES)
def test_each_change_needs_a_login_a_moment_ago_whatever_was_refreshed_since(alice: Alice, path: str) -> None:
    codes = alice.enrolled()
    pair = alice.login(otp=codes[0]).json()
    alice.now += RECENT + 1
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "audience": ISSUER}
    alice.headers = {"Authorization": f"Bearer {alice.http.post('/token', data=form).json()['access_token']}"}
    refused = alice.ask(path, otp=alice.code())
    assert (refused.status_code, refused.json()["error"]) == (401, "insufficient_user_authentication")
    assert f'max_age="{RECENT}"' in refused.headers["www-authenticate"]
    assert alice.http.get("/second-factor", headers=alice.headers).json() == {"enrolled": True}


@pytest.mark.parametrize("path", CHANGES)
def test_nobody_else_may(alice: Alice, path: str) -> None:
    assert alice.ask(path, otp="123456").status_code == 401
    alice.login("orders")  # an API could replay it
    assert alice.ask(path, otp="123456").status_code == 401
    page = {"Origin": "https://evil.example"}
    form = {"username": "alice", "password": PASSWORD}
    alice.http.post("/login", data=form, headers={"Origin": ISSUER})
    answer = alice.http.post(f"/second-factor{path}", json={"otp": "123456"}, headers=page)
    assert (answer.status_code, answer.json()["error"]) == (403, "foreign_origin")
    assert not alice.service.totp.enrolled(alice.sub)


def test_a_page_enrolls_with_its_cookie(alice: Alice) -> None:
    alice.headers = {"Origin": ISSUER}
    alice.http.post("/login", data={"username": "alice", "password": PASSWORD}, headers=alice.headers)
    alice.begin()
    assert alice.ask("/confirm", otp=alice.code()).status_code == 200
    alice.now += RECENT
    assert alice.ask("/remove", otp=alice.code()).json()["error"] == "insufficient_user_authentication"


def test_a_confirmed_factor_is_neither_replaced_nor_confirmed_again(alice: Alice) -> None:
    alice.enrolled()
    assert alice.ask().status_code == 400
    assert alice.ask("/confirm", otp=alice.code()).status_code == 400
    assert alice.service.totp.enrolled(alice.sub)


@pytest.mark.parametrize("path", ["/recovery-codes", "/remove"])
def test_a_code_is_used_up_and_a_wrong_or_absent_one_changes_nothing(alice: Alice, path: str) -> None:
    codes = alice.enrolled()
    used = alice.code()
    alice.login(otp=used)
    for wrong in (used, "000000", "x" * 1000, codes[0] + "a"):
        refused = alice.ask(path, otp=wrong)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert alice.ask(path).status_code == 400
    assert alice.login(otp=codes[0]).status_code == 200  # neither gone nor renewed
    assert alice.ask(path, otp=codes[0]).status_code == 400  # but used up


@pytest.mark.parametrize("path", ["/confirm", "/recovery-codes", "/remove"])
def test_guesses_are_slowed_and_delay_no_login(alice: Alice, path: str) -> None:
    codes = [] if path == "/confirm" else alice.enrolled()
    alice.login(**({"otp": codes[0]} if codes else {}))
    if path == "/confirm":
        alice.begin()
    answers = [alice.ask(path, otp="000000").status_code for _ in range(12)]
    assert answers == [400] * 10 + [429] * 2
    refused = alice.ask(path, otp=pyotp.TOTP(alice.secret).at(int(alice.now)))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert alice.login(**({"otp": codes[1]} if codes else {})).status_code == 200
    alice.now += 1
    assert alice.ask(path, otp=alice.code()).status_code in (200, 204)


def test_nothing_of_it_is_logged_or_audited(alice: Alice, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        codes = alice.enrolled()
        alice.ask("/remove", otp="000000")
        alice.ask("/remove", otp=codes[0])
    written = caplog.text + str(alice.service.audit())
    for secret in (alice.secret, *codes, "otpauth"):
        assert secret not in written


def test_somebody_without_one_has_none_to_take_away(alice: Alice) -> None:
    alice.login()
    for path in ("/recovery-codes", "/remove"):
        refused = alice.ask(path, otp="123456")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_a_token_that_does_not_say_when_its_user_logged_in_changes_nothing(alice: Alice) -> None:
    now = int(alice.now * 1000)
    claims = {"sid": "s", "epoch": 0}
    token, _ = alice.service._core.sign(
        now=now, sub=alice.sub, client_id=FIRST_PARTY, audience=ISSUER, scope="", ends_at=now + 60_000, claims=claims
    )
    alice.headers = {"Authorization": f"Bearer {token}"}
    assert alice.http.get("/second-factor", headers=alice.headers).status_code == 200
    for path in CHANGES:
        answer = alice.ask(path, otp="000000")
        assert answer.status_code == 401, path
        assert f'max_age="{RECENT}"' in answer.headers["www-authenticate"]
