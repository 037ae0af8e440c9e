"""The token service in process, on SQLite with synchronous=FULL: calls a second with 1, 8 and 16 clients.

Logins are shown apart from Argon2, which costs them nearly everything: "login, no hash" has users of an application's own
whose password check is free. Every refresh is a rotation: the grace is set to nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from _simplejwt import refresher  # type: ignore[import-not-found]  # beside this script

from admit.service.facade import TokenService
from admit.service.policy import Policy

SECONDS = 2.0 if "--quick" not in sys.argv else 0.3
CLIENTS = (1, 8, 16)
PASSWORD = "correct horse"


class Free:
    """A user table whose password check costs nothing."""

    def find(self, name: str) -> str | None:
        return name

    def check(self, sub: str | None, password: str) -> bool:
        return sub is not None


def rate(clients: int, make: Callable[[int], Callable[[], object]]) -> tuple[float, float]:
    """(calls a second, the 99th percentile of one in milliseconds) of `clients` threads that each repeat their own call."""
    calls = [make(index) for index in range(clients)]
    start = Barrier(clients)

    def work(call: Callable[[], object]) -> list[float]:
        taken = []
        start.wait()
        ends = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < ends:
            call()
            taken.append(time.perf_counter() - began)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        times = sorted(taken for part in pool.map(work, calls) for taken in part)
    return len(times) / SECONDS, times[int(len(times) * 0.99)] * 1000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        policy = Policy(grace=timedelta())
        service = TokenService(
            f"sqlite:///{folder}/a.db", issuer="https://auth.example", audience="orders", policy=policy
        )
        own = TokenService(f"sqlite:///{folder}/b.db", issuer="https://auth.example", audience="orders", users=Free())
        service.users.add("alice", PASSWORD)
        batch = service.clients.add("batch", grants=["client_credentials"], audiences=["orders"])

        def refresh(_: int) -> Callable[[], object]:
            token = service.login("alice", PASSWORD).refresh_token

            def call() -> None:
                nonlocal token
                token = service.refresh(token).refresh_token

            return call

        rows: dict[str, Callable[[int], Callable[[], object]]] = {
            "refresh (a rotation each)": refresh,
            "login, no hash": lambda index: lambda: own.login(f"user{index}", PASSWORD),
            "login, Argon2id": lambda _: lambda: service.login("alice", PASSWORD),
            "client_credentials": lambda _: lambda: service.client_credentials(batch.client.id, batch.secret or ""),
        }
        peer = refresher(folder)
        print(f"{'calls a second (p99 ms)':28}" + "".join(f"{f'{count} clients':>20}" for count in CLIENTS))
        for name, make in rows.items():
            cells = [rate(count, make) for count in CLIENTS]
            print(f"{name:28}" + "".join(f"{f'{each:,.0f} ({slow:.1f})':>20}" for each, slow in cells))
        # One client: with more, SQLite answers simplejwt "database is locked".
        each, slow = rate(1, peer)
        print(f"{'simplejwt, refresh':28}{f'{each:,.0f} ({slow:.1f})':>20}")
        service.close()
        own.close()


if __name__ == "__main__":
    main()
