"""A real `jwt serve`, in a process of its own, on a free port of loopback, over a database file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.helpers.command import environment, run
from tests.helpers.leaks import leaks

PASSWORD = "correct horse battery staple"


@dataclass
class Served:
    """A running service, and what a test does with it."""

    data: Path
    flags: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    url: str = ""
    port: int = 0
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=20, trust_env=False))

    def start(self, *module: str) -> None:
        """module: what runs instead of the command itself, and its first arguments."""
        command = ["serve", "--data", str(self.data), "--port", str(self.port), "--audience", "orders"]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                *(module or ("admit.cli",)),
                *command,
                "--scopes",
                "orders:read",
                "--scopes",
                "orders:write",
                *self.flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit code and all that it wrote on stderr."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, stderr = self.process.communicate(timeout=20)
        assert leaks(stderr) == []
        return self.process.returncode, stderr

    def admin(self, *arguments: str, given: str = "") -> str:
        done = run("admin", *arguments, "--data", str(self.data), given=given, env=environment())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_user(self, name: str = "alice") -> dict[str, Any]:
        user: dict[str, Any] = json.loads(
            self.admin("users", "add", name, "--password-stdin", "--json", given=PASSWORD)
        )
        return user

    def post(self, path: str, **form: str) -> httpx2.Response:
        return self.http.post(self.url + path, data=form)

    def login(self, name: str = "alice", **more: str) -> dict[str, Any]:
        answer = self.post("/login", username=name, password=PASSWORD, **more)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def refresh(self, refresh_token: str, **more: str) -> httpx2.Response:
        return self.post("/token", grant_type="refresh_token", refresh_token=refresh_token, **more)

    def counts(self) -> tuple[int, ...]:
        """Sessions, revocations, users: what a refused request must not change."""
        import sqlite3

        with sqlite3.connect(f"file:{self.data / 'admit.db'}?mode=ro", uri=True) as connection:
            tables = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'admit_%' ORDER BY name"
                )
            ]
            return tuple(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Starts services that end with the test run."""
    with ExitStack() as stack:

        def start(*flags: str, data: Path | None = None, start: bool = True) -> Served:
            served = Served(data or tmp_path_factory.mktemp("data") / "admit", flags)
            stack.callback(served.http.close)
            stack.callback(end, served)
            if start:
                served.start()
            return served

        yield start


def end(served: Served) -> None:
    if served.process is not None:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait(20)
        for pipe in (served.process.stdout, served.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="session")
def service(serve: Callable[..., Served]) -> Served:
    """One service for all tests that change nothing for each other, with its user alice."""
    served = serve()
    served.add_user()
    return served
