"""Second factors and slowed logins over HTTP, and from the command line."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from urllib.parse import parse_qs, urlsplit

import pyotp

from admit import peek
from tests.helpers.command import environment
from tests.server.conftest import PASSWORD, Served


def test_a_second_factor_is_enrolled_asked_for_and_taken_away(service: Served) -> None:
    service.add_user("tina")
    uri = json.loads(service.admin("users", "totp", "enroll", "tina"))["uri"]
    totp = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
    service.login("tina")
    codes = json.loads(service.admin("users", "totp", "confirm", "tina", totp.now()))["recovery_codes"]
    asked = service.post("/login", username="tina", password=PASSWORD)
    assert (asked.status_code, asked.json()["error"]) == (401, "mfa_required")
    assert asked.headers["www-authenticate"].startswith("Bearer")
    wrong = service.post("/login", username="tina", password="wrong " + PASSWORD)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_grant")
    assert service.post("/login", username="tina", password=PASSWORD, otp="000000").json() == wrong.json()
    pair = service.login("tina", otp=codes[0])
    assert peek(pair["access_token"]).claims["amr"] == ["pwd", "otp"]
    own = {"Authorization": f"Bearer {service.login('tina', audience=service.url, otp=codes[1])['access_token']}"}
    renewed = {"old_password": PASSWORD, "new_password": f"another {PASSWORD}"}
    asked = service.http.post(f"{service.url}/password", json=renewed, headers=own)
    assert (asked.status_code, asked.json()["error"]) == (401, "mfa_required")
    assert asked.headers["www-authenticate"].startswith("Bearer")
    wrong = service.http.post(f"{service.url}/password", json=renewed | {"otp": "000000"}, headers=own)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    back = renewed | {"new_password": PASSWORD + "!", "otp": codes[2]}
    assert service.http.post(f"{service.url}/password", json=back, headers=own).status_code == 204
    service.admin("users", "passwd", "tina", "--password-stdin", given=PASSWORD)
    fresh = json.loads(service.admin("users", "totp", "recovery-codes", "tina"))["recovery_codes"]
    assert _typed(service, fresh[0]) == ["pwd", "otp"]
    service.admin("users", "totp", "remove", "tina")
    service.login("tina")


def _typed(service: Served, code: str) -> list[str]:
    """`jwt login` at a terminal, which asks for the code."""
    command = [sys.executable, "-m", "admit.cli", "login", service.url, "--user", "tina", "--password-env", "SECRET"]
    leader, follower = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    try:
        process = subprocess.Popen(
            [*command, "--print", "--tokens", str(service.data / "tokens.json")],
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=follower,
            text=True,
            env={**environment(), "SECRET": PASSWORD},
            preexec_fn=own_terminal,
        )
        shown = b""
        while b"Code:" not in shown:
            shown += os.read(leader, 1000)
        os.write(leader, code.encode() + b"\n")
        token, _ = process.communicate(timeout=30)
        return list(peek(token.strip()).claims["amr"])
    finally:
        os.close(leader)
        os.close(follower)


def test_a_slowed_login_is_429_with_the_seconds_to_wait(service: Served) -> None:
    name = f"nobody{time.time_ns()}"
    answers = [service.post("/login", username=name, password="wrong") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert answers[-1].json()["error"] == "temporarily_unavailable"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_where_too_many_logins_wait_the_answer_is_503_with_the_seconds_to_wait_and_refreshes_go_on(
    serve: Callable[..., Served],
) -> None:
    tiny = serve("--password-hashes", "1", "--password-queue", "1", "--argon2-passes", "12")
    tiny.add_user()
    pair = tiny.login()
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(tiny.post, "/login", username=f"user{index}", password="wrong") for index in range(12)]
        wait(calls, return_when=FIRST_COMPLETED)
        assert tiny.refresh(pair["refresh_token"]).status_code == 200
        answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} == {401, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["error"] == "temporarily_unavailable"
    assert int(refused.headers["retry-after"]) >= 1
    tiny.login()


def test_a_user_changes_the_password_and_logs_in_again(service: Served) -> None:
    service.add_user("pat")
    token = service.login("pat", audience=service.url)["access_token"]

    def change(old: str, new: str, token: str = token) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = service.http.post(
            f"{service.url}/password", json={"old_password": old, "new_password": new}, headers=headers
        )
        return answer.status_code, answer.json().get("error_description", "") if answer.content else ""

    assert change("wrong " + PASSWORD, "another " + PASSWORD)[0] == 400
    assert "at least 15 characters" in change(PASSWORD, "short")[1]
    assert change(PASSWORD, "another " + PASSWORD, service.login("pat")["access_token"])[0] in (
        401,
        403,
    )  # an API's token
    assert change(PASSWORD, "another " + PASSWORD) == (204, "")
    assert change("another " + PASSWORD, PASSWORD)[0] == 401  # that token was cut off
    assert service.post("/login", username="pat", password=PASSWORD).status_code == 401
    assert service.post("/login", username="pat", password="another " + PASSWORD).status_code == 200
