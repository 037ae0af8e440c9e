"""kill -9 amid refreshes, then a restart: no session is lost, no rotated token works twice, no revocation is forgotten."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2

from admit import peek


def test_killed_and_restarted_it_forgets_nothing(serve: Callable[..., Any]) -> None:
    service = serve("--grace", "0s", "--retry-window", "1h")
    service.add_user()
    sessions = [[service.login()] for _ in range(6)]  # of each, every answer that arrived
    revoked = service.login(audience=service.url)
    service.post("/logout", refresh_token=revoked["refresh_token"])
    for _ in range(2):
        before = [len(answers) for answers in sessions]
        workers = [threading.Thread(target=refresh_until_gone, args=(service.url, answers)) for answers in sessions]
        for worker in workers:
            worker.start()
        while any(len(answers) < count + 2 for answers, count in zip(sessions, before, strict=True)):
            assert all(worker.is_alive() for worker in workers)
            time.sleep(0.01)
        service.stop(signal.SIGKILL)
        for worker in workers:
            worker.join(20)
        service.start()
        for answers in sessions:  # whoever lost an answer gets it now
            answer = service.refresh(answers[-1]["refresh_token"])
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())

    cut_off = {"Authorization": f"Bearer {revoked['access_token']}"}
    assert service.http.get(service.url + "/sessions", headers=cut_off).status_code == 401
    assert service.refresh(revoked["refresh_token"]).status_code == 400
    for answers in sessions:
        tokens = [each["refresh_token"] for each in answers]
        assert len(set(tokens)) == len(tokens)
        assert len({peek(each["access_token"]).claims["sid"] for each in answers}) == 1
        assert service.refresh(tokens[0]).json()["error"] == "invalid_grant"  # long rotated: reuse, the session ends
        assert service.refresh(tokens[-1]).json()["error"] == "invalid_grant"


def refresh_until_gone(url: str, answers: list[dict[str, Any]]) -> None:
    with httpx2.Client(timeout=10, trust_env=False) as http:
        while True:
            form = {"grant_type": "refresh_token", "refresh_token": answers[-1]["refresh_token"]}
            try:
                answer = http.post(url + "/token", data=form)
            except httpx2.HTTPError:
                return
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
            time.sleep(0.002)  # one clock tick: a rotation is at least that old before the next
