"""Mixed load for half an hour: logins, refreshes, revocations, rotations, workers that are killed and replaced.

No answer is an error, but for what a killed worker leaves behind in the second after; memory and file handles stay flat.
ADMIT_SOAK_SECONDS says how long the long form takes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from admit.service.facade import TokenService

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="samples memory and handles from /proc")

ADMIT = [sys.executable, "-m", "admit.cli"]
LONG = float(os.environ.get("ADMIT_SOAK_SECONDS", "1800"))
PASSWORD = "correct horse battery staple"
EXCUSED = 10.0  # seconds after a kill in which a connection may break, or 503 be answered
SETTINGS = {
    "ADMIT_WORKERS": "2",
    "ADMIT_AUDIENCE": "orders",
    "ADMIT_GRACE": "0s",
    "ADMIT_ACCESS_LIFETIME": "30s",
    "ADMIT_KEY_RELOAD": "5s",
    "ADMIT_LEEWAY": "5s",
}


class Soak:
    """The clients of one service, and what they were answered."""

    def __init__(self, url: str, process: subprocess.Popen[str], service: TokenService) -> None:
        self.url, self.process, self.service = url, process, service
        self.ended = Event()
        self.done: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.errors: list[str] = []
        self.killed_at = 0.0
        self.watched = min(children(process.pid))
        self.samples: dict[int, list[tuple[int, int]]] = {}

    def ask(self, http: httpx2.Client, method: str, path: str, expected: int, **more: Any) -> httpx2.Response:
        """Asks until it is answered as expected; what else it is answered counts as an error, unless a kill excuses it."""
        while True:
            answer, said = None, ""
            try:
                answer = http.request(method, self.url + path, **more)
                said = str(answer.status_code)
            except httpx2.HTTPError as error:
                said = type(error).__name__
            if answer is not None and answer.status_code == expected:
                return answer
            if time.monotonic() - self.killed_at < EXCUSED and (answer is None or answer.status_code == 503):
                self.excused[said] += 1
            else:
                self.errors.append(f"{method} {path} {said} {answer.text[:200] if answer is not None else ''}")
                if len(self.errors) > 20:
                    raise AssertionError(self.errors)
            time.sleep(0.05)

    def login(self, http: httpx2.Client, name: str, **more: str) -> dict[str, Any]:
        form = {"username": name, "password": PASSWORD, **more}
        body: dict[str, Any] = self.ask(http, "POST", "/login", 200, data=form).json()
        self.done["login"] += 1
        return body

    def refresh(self, http: httpx2.Client) -> Iterator[None]:
        token = self.login(http, "alice")["refresh_token"]
        while True:
            form = {"grant_type": "refresh_token", "refresh_token": token}
            token = self.ask(http, "POST", "/token", 200, data=form).json()["refresh_token"]
            self.done["refresh"] += 1
            yield

    def in_and_out(self, http: httpx2.Client) -> Iterator[None]:
        """A login, its session's list, a logout; then the access token passes no more, whichever worker is asked."""
        while True:
            pair = self.login(http, "bob", audience=self.url)
            shown = {"headers": {"Authorization": f"Bearer {pair['access_token']}"}}
            self.ask(http, "GET", "/sessions", 200, **shown)
            self.ask(http, "POST", "/logout", 204, data={"refresh_token": pair["refresh_token"]})
            time.sleep(1)  # another worker hears of it within 200 ms
            self.ask(http, "GET", "/sessions", 401, **shown)
            self.done["logout"] += 1
            yield

    def revoke(self, http: httpx2.Client) -> Iterator[None]:
        while True:
            pair = self.login(http, "carol")
            self.ask(http, "POST", "/revoke", 200, data={"token": pair["access_token"]})
            self.ask(http, "POST", "/revoke", 200, data={"token": pair["refresh_token"]})
            self.done["revoke"] += 2
            yield

    def follow(self, http: httpx2.Client) -> Iterator[None]:
        """As a resource server does: a long poll from where the last page ended."""
        place: dict[str, str] = {}
        while True:
            page = self.ask(http, "GET", "/revocations", 200, params={"wait": "1", **place}).text.split(".")[1]
            said = json.loads(urlsafe_b64decode(page + "=" * (-len(page) % 4)))
            place = {"since": str(said["to"]), "epoch": said["feed"]}
            self.done["feed page"] += 1
            yield

    def rotate(self, _: httpx2.Client) -> Iterator[None]:
        while True:
            self.service.keys.rotate(force=True)
            self.done["rotation"] += 1
            yield

    def restart(self, _: httpx2.Client) -> Iterator[None]:
        """One worker, never the one that is watched, is killed or told to end; the other's memory is watched all along."""
        number = 0
        while True:
            newest = next(iter(children(self.process.pid) - {self.watched}))
            number += 1
            if number % 2:
                self.killed_at = time.monotonic()
            os.kill(newest, signal.SIGKILL if number % 2 else signal.SIGTERM)
            ends = time.monotonic() + 60
            while newest in (now := children(self.process.pid)) or len(now) != 2:
                assert time.monotonic() < ends, "no worker took the place of one that ended"
                time.sleep(0.05)
            if number % 2:
                self.killed_at = time.monotonic()
            self.done["killed" if number % 2 else "told to end"] += 1
            yield

    def sample(self, _: httpx2.Client) -> Iterator[None]:
        while True:
            for pid in (self.process.pid, self.watched):
                self.samples.setdefault(pid, []).append((resident(pid), handles(pid)))
            yield

    def work(self, task: Callable[[httpx2.Client], Iterator[None]], pause: float) -> None:
        with httpx2.Client(timeout=30, trust_env=False) as http:
            try:
                for _ in task(http):
                    if self.ended.wait(pause):
                        return
            except Exception as error:  # noqa: BLE001 - told by the test
                if not self.ended.is_set():
                    self.errors.append(repr(error))


ALL = ("login", "refresh", "logout", "revoke", "feed page", "rotation", "killed", "told to end")


def children(pid: int) -> set[int]:
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def resident(pid: int) -> int:
    """MiB, in tenths."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 10 // 1024


def handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.once
@pytest.mark.parametrize("seconds", [30.0, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_under_mixed_load_nothing_fails_and_nothing_grows(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, seconds: float
) -> None:
    long = seconds > 60
    if database == "postgresql" and not long:
        pytest.skip("the long form alone: other tests load PostgreSQL")
    data = tmp_path / "d"
    sqlite = database == "sqlite"
    url = f"sqlite:///{data}/admit.db" if sqlite else request.getfixturevalue("postgres").database()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")}
    environment |= SETTINGS | {"ADMIT_DATA": str(data), "ADMIT_DATABASE": url}
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen([*ADMIT, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        service = TokenService(url, issuer=said["issuer"], audience="orders", master_key=Path(said["master_key_file"]))
        stack.callback(service.close)
        for name in ("alice", "bob", "carol"):
            service.users.add(name, PASSWORD)
        soak = Soak(said["url"], process, service)
        tasks = [
            *([(soak.refresh, 0.02)] * 4),
            (soak.in_and_out, 0.1),
            (soak.revoke, 0.1),
            *([(soak.follow, 0.0)] * 2),
            (soak.rotate, 30 if long else 1),
            (soak.restart, 45 if long else 1),
            (soak.sample, 5 if long else 0.5),
        ]
        threads = [Thread(target=soak.work, args=task) for task in tasks]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not soak.errors and (long or not all(soak.done[each] for each in ALL)):
            time.sleep(0.2)
        soak.ended.set()
        for thread in threads:
            thread.join(60)
        process.terminate()
        code = process.wait(30)
    figures = {
        pid: {"MiB": sixths([each[0] / 10 for each in samples]), "handles": sixths([each[1] for each in samples])}
        for pid, samples in soak.samples.items()
    }
    print(json.dumps({"seconds": seconds, "database": database, "done": soak.done, "excused": soak.excused}))
    print(json.dumps(figures))
    assert soak.errors == []
    assert code == 0
    assert min(soak.done[each] for each in ALL) > 0
    if long:
        for each in figures.values():
            (_, early, *_, late), (_, few, *_, many) = each["MiB"], each["handles"]  # at first pools and caches fill
            assert late <= early * 1.05 + 20, figures
            assert many <= few + 3, figures


def sixths(values: list[float]) -> list[float]:
    """The medians of the six parts of the run, one after the other."""
    size = -(-len(values) // 6)
    return [round(median(values[at : at + size]), 1) for at in range(0, len(values), size)]
