"""PostgreSQL away under load: refreshes are told to come again, nobody is logged out, all heals without a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from tests.helpers.postgres import Postgres, missing

SESSIONS = 6
ADMIT = [sys.executable, "-m", "admit.cli"]
PASSWORD = "correct horse battery staple"


class Client:
    """Refreshes one session over HTTP, again and again, with what it was last given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: list[int] = []
        self.http = httpx2.Client(timeout=30, trust_env=False)
        answer = self.http.post(url + "/login", data={"username": "alice", "password": PASSWORD})
        self.token: str = answer.json()["refresh_token"]

    def work(self, stopped: Callable[[], bool]) -> None:
        while not stopped():
            form = {"grant_type": "refresh_token", "refresh_token": self.token}
            answer = self.http.post(self.url + "/token", data=form)
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                self.token = answer.json()["refresh_token"]
            else:
                assert answer.headers["Retry-After"]
                time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[Postgres]:
    if why := missing():
        pytest.skip(why)
    server = Postgres()
    server.start()
    yield server
    server.close()


@pytest.mark.once
@pytest.mark.parametrize("seconds", [0.5, pytest.param(30, marks=pytest.mark.soak)])
def test_a_database_away_logs_nobody_out(server: Postgres, tmp_path: Path, seconds: float) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")}
    environment |= {
        "ADMIT_LOG_LEVEL": "error",
        "ADMIT_DATABASE": server.database(),
        "ADMIT_DATA": str(tmp_path / "d"),
        "ADMIT_GRACE": "0s",
    }
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen([*ADMIT, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        add = [*ADMIT, "admin", "users", "add", "alice", "--password-stdin"]
        subprocess.run(add, input=PASSWORD, text=True, check=True, capture_output=True, env=environment)
        clients = [Client(url) for _ in range(SESSIONS)]
        ended: list[bool] = []
        threads = [Thread(target=client.work, args=(lambda: bool(ended),)) for client in clients]
        for client, thread in zip(clients, threads, strict=True):
            stack.callback(client.http.close)
            thread.start()
            stack.callback(thread.join, 60)
        stack.callback(ended.append, True)
        until(clients, lambda statuses: 200 in statuses)
        server.stop()
        away = [len(client.statuses) for client in clients]
        time.sleep(seconds)
        until(clients, lambda statuses: 503 in statuses)
        with httpx2.Client(trust_env=False, timeout=30) as http:
            assert http.get(url + "/readyz").status_code == 503
        server.start()
        until(clients, lambda statuses: statuses[-1:] == [200])
        refused = sum(client.statuses[before:].count(503) for client, before in zip(clients, away, strict=True))
        print(
            f"{sum(len(client.statuses) for client in clients)} refreshes, of them {refused} refused for the time being"
        )
        assert {status for client in clients for status in client.statuses} == {200, 503}


def until(clients: list[Client], holds: Callable[[list[int]], bool]) -> None:
    ends = time.monotonic() + 30
    while not all(holds(client.statuses) for client in clients):
        assert time.monotonic() < ends, [client.statuses[-3:] for client in clients]
        time.sleep(0.01)
