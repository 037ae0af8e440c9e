"""The token service over HTTP, one `jwt serve` on one core, SQLite with synchronous=FULL: 1, 8 and 16 clients.

The clients are threads with raw keep-alive sockets in this process, on the other core, so that they cost the service
nothing. Every refresh is a rotation: the grace is set to nothing. "nothing" is the same app answering /healthz: what
uvicorn and Starlette alone cost. Beside each rate stand the slowest hundredth and the share of its core that the service used.
Then refresh with one and two processes over one database, SQLite and PostgreSQL (which has the same two cores to run on).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle, product

from _load import Connection, apart, rate  # type: ignore[import-not-found]  # beside this script
from _postgres import postgres  # type: ignore[import-not-found]  # beside this script

SECONDS = 3.0 if "--quick" not in sys.argv else 0.5
ROUNDS = 90 if "--quick" not in sys.argv else 10
CLIENTS = (1, 8, 16)
PASSWORD = "correct horse battery"
ADMIT = [sys.executable, "-m", "admit.cli"]
LENIENT = ["--failures-per-user", "100", "--failures-per-address", "100000", "--failures-everywhere", "100000"]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data", f"{folder}/d"]
        serve = [*ADMIT, "serve", *data, "--port", "0", "--grace", "0s", *LENIENT]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
                for name in ("alice", "disabled"):
                    admin(data, "add", name, "--password-stdin")
                admin(data, "disable", "disabled")
                with apart(process.pid):
                    measure(process.pid, port)
                    refusals(port)
            finally:
                process.terminate()
        workers(folder)


def workers(folder: str) -> None:
    """Refresh with one and two service processes on one database; nobody is bound to a core here."""
    print(f"{'refresh, processes on any core':28}" + "".join(f"{f'{count} clients':>24}" for count in CLIENTS))
    databases = {"SQLite": f"sqlite:///{folder}/workers.db"}
    with postgres() as server:
        if server is not None:
            databases["PostgreSQL"] = server.database()
        for (name, url), count in product(databases.items(), (1, 2)):
            environment = {
                **os.environ,
                "ADMIT_DATABASE": url,
                "ADMIT_ISSUER": "http://127.0.0.1:1",
                "ADMIT_GRACE": "0s",
            }
            data = ["--data", f"{folder}/workers"]
            with ExitStack() as stack:
                ports = []
                for _ in range(count):
                    serve = [*ADMIT, "serve", *data, "--port", "0"]
                    process = stack.enter_context(
                        subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment)
                    )
                    stack.callback(process.terminate)
                    assert process.stdout is not None
                    ports.append(int(json.loads(process.stdout.readline())["url"].rpartition(":")[2]))
                if count == 1:
                    admin(data, "add", "alice", "--password-stdin", env=environment)
                cells = [rate(clients, refreshers(ports), SECONDS) for clients in CLIENTS]
            print(f"{f'{name}, {count}':28}" + "".join(f"{f'{each:,.0f} ({slow:.1f})':>24}" for each, slow in cells))


def refreshers(ports: list[int]) -> Callable[[], Callable[[], object]]:
    """Clients that each refresh a session of their own, dealt out to the ports in turn."""
    turn = cycle(ports)

    def make() -> Callable[[], object]:
        connection = Connection(next(turn))
        token = connection.post("/login", username="alice", password=PASSWORD)["refresh_token"]

        def call() -> None:
            nonlocal token
            token = connection.post("/token", grant_type="refresh_token", refresh_token=token)["refresh_token"]

        return call

    return make


def admin(data: list[str], *arguments: str, env: dict[str, str] | None = None) -> None:
    """`jwt admin users ...`"""
    command = [*ADMIT, "admin", "users", *arguments, *data]
    subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True, env=env)


def refusals(port: int) -> None:
    """How long a refused login takes, by its cause, in turn: whoever measures must not learn who exists."""
    causes = {
        "wrong password": ("alice", "wrong"),
        "unknown user": ("nobody", "wrong"),
        "disabled": ("disabled", PASSWORD),
    }
    times: dict[str, list[float]] = {name: [] for name in causes}
    connection = Connection(port)
    for _ in range(ROUNDS):
        for name, (user, password) in causes.items():
            began = time.perf_counter()
            connection.post("/login", 401, username=user, password=password)
            times[name].append((time.perf_counter() - began) * 1000)
    print(f"{'a refused login, ms':28}" + "".join(f"{column:>12}" for column in ("10 %", "median", "90 %")))
    for name, taken in times.items():
        ordered = sorted(taken)
        cells = [ordered[len(ordered) * tenth // 10] for tenth in (1, 5, 9)]
        print(f"{name:28}" + "".join(f"{cell:>12.1f}" for cell in cells))


def measure(pid: int, port: int) -> None:
    """The table, with the share of its core that the service used beside each rate."""

    def nothing() -> Callable[[], object]:
        connection = Connection(port)
        return lambda: connection.get("/healthz")

    def keys() -> Callable[[], object]:
        connection = Connection(port)
        return lambda: connection.get("/.well-known/jwks.json")

    def login() -> Callable[[], object]:
        connection = Connection(port)
        return lambda: connection.post("/login", username="alice", password=PASSWORD)

    rows = {
        "nothing (/healthz)": nothing,
        "jwks.json": keys,
        "refresh (a rotation each)": refreshers([port]),
        "login, Argon2id": login,
    }
    print(f"{'requests/s (p99 ms, core)':28}" + "".join(f"{f'{count} clients':>24}" for count in CLIENTS))
    for name, make in rows.items():
        cells = []
        for count in CLIENTS:
            before, begun = used(pid), time.perf_counter()
            each, slow = rate(count, make, SECONDS)
            share = (used(pid) - before) / (time.perf_counter() - begun)
            cells.append(f"{each:,.0f} ({slow:.1f}, {share:.0%})")
        print(f"{name:28}" + "".join(f"{cell:>24}" for cell in cells))


def used(pid: int) -> float:
    """Processor seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
