"""Rotation under load: a service rotates every few seconds, and a resource server in another process refuses no token."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import httpx2
import pytest

from tests.server.conftest import Served

RESOURCE = Path(__file__).parents[1] / "helpers" / "resource.py"
CLIENTS = 3
AGE = 3.0  # seconds: a token is shown once more when it is so old; it lives for 6
FAST = "60"  # so that the minute for which a verifier keeps a key set is a second


class Seen:
    """What the resource server answered."""

    def __init__(self) -> None:
        self.lock, self.statuses, self.kids, self.tokens = Lock(), Counter[int](), dict[str, None](), 0
        self.refusals: list[str] = []

    def note(self, answer: httpx2.Response, *, new: bool) -> None:
        with self.lock:
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.kids[answer.text] = None
            else:
                self.refusals.append(answer.headers.get("www-authenticate", answer.text))
            self.tokens += new

    def enough(self, tokens: int, rotations: int) -> bool:
        return self.tokens >= tokens and len(self.kids) > rotations


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    short = {
        "access-lifetime": "6s",
        "key-lifetime": "3s",
        "key-published": "3s",
        "key-reload": "500ms",
        "clock-skew": "500ms",
    }
    flags = [word for name, value in short.items() for word in (f"--{name}", value)]
    service = Served(tmp_path / "d", tuple(flags))
    service.start()
    yield service
    service.stop()
    service.http.close()


def client(service: Served, refresh_token: str, resource: str, seen: Seen, tokens: int, rotations: int) -> None:
    """Gets a token, shows it, and shows it once more when it is old; again and again."""
    ends = time.monotonic() + 600
    held: deque[tuple[float, str]] = deque()
    with httpx2.Client(timeout=30, trust_env=False) as http:

        def show(token: str, *, new: bool) -> None:
            seen.note(http.get(resource, headers={"Authorization": f"Bearer {token}"}), new=new)

        while not seen.enough(tokens, rotations) and time.monotonic() < ends:
            form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
            body = http.post(service.url + "/token", data=form).json()
            refresh_token = body["refresh_token"]
            held.append((time.monotonic(), body["access_token"]))
            show(body["access_token"], new=True)
            while held and held[0][0] + AGE < time.monotonic():
                made, token = held.popleft()
                if time.monotonic() < made + AGE + 1:  # a busy machine may have slept through its life
                    show(token, new=False)


@pytest.mark.parametrize(("tokens", "rotations"), [(100, 2), pytest.param(10_000, 5, marks=pytest.mark.soak)])
def test_no_token_is_refused_while_keys_rotate(served: Served, tokens: int, rotations: int) -> None:
    served.add_user()
    sessions = [served.login()["refresh_token"] for _ in range(CLIENTS)]
    seen = Seen()
    command = [sys.executable, str(RESOURCE), served.url, FAST]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with ThreadPoolExecutor(CLIENTS) as pool:
                for each in [pool.submit(client, served, one, url, seen, tokens, rotations) for one in sessions]:
                    each.result()
        finally:
            process.terminate()
    print(f"{seen.tokens} tokens, shown {seen.statuses.total()} times, across {len(seen.kids) - 1} rotations")
    assert set(seen.statuses) == {200}, seen.refusals[:3]
    assert seen.enough(tokens, rotations)
