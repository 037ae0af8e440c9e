"""The token service in process, on SQLite with synchronous=FULL and on PostgreSQL as it comes: calls a second with 1, 8
and 16 clients. Both are durable: an answered call survives a power cut. PostgreSQL runs on the same cores as the service.

Logins are shown apart from Argon2, which costs them nearly everything: "login, no hash" has users of an application's own
whose password check is free. Every refresh is a rotation: the grace is set to nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from itertools import count

import psycopg
from _load import rate  # type: ignore[import-not-found]  # beside this script
from _postgres import MEMORY, Postgres, postgres  # type: ignore[import-not-found]  # beside this script
from _simplejwt import refresher  # type: ignore[import-not-found]  # beside this script

from admit.service.accounts import UserStore
from admit.service.facade import TokenService
from admit.service.policy import Policy

SECONDS = 2.0 if "--quick" not in sys.argv else 0.3
CLIENTS = (1, 8, 16)
PASSWORD = "correct horse battery"
BARE = (
    "UPDATE admit_sessions SET rotated_at = rotated_at + 1, idle_until = idle_until + 1 WHERE id = %(id)s RETURNING 1"
)


class Free:
    """A user table whose password check costs nothing."""

    def find(self, name: str) -> str | None:
        return name

    def check(self, sub: str | None, password: str) -> bool:
        return sub is not None


def refresh(service: TokenService) -> Callable[[int], Callable[[], object]]:
    """Clients that each refresh a session of their own."""

    def make(_: int) -> Callable[[], object]:
        token = service.login("alice", PASSWORD).refresh_token

        def call() -> None:
            nonlocal token
            token = service.refresh(token).refresh_token

        return call

    return make


def opened(url: str, users: UserStore | None = None) -> TokenService:
    """A service whose every refresh is a rotation."""
    service = TokenService(
        url,
        issuer="https://auth.example",
        audience="orders",
        users=users,
        master_key=bytes(range(32)),
        policy=Policy(grace=timedelta()),
    )
    if users is None:
        service.users.add("alice", PASSWORD)
    return service


def show(name: str, make: Callable[[int], Callable[[], object]], clients: tuple[int, ...] = CLIENTS) -> None:
    """Measure one row, and print it."""
    cells = []
    for each in clients:
        indexes = count()
        cells.append(rate(each, lambda: make(next(indexes)), SECONDS))  # noqa: B023 - called before the next
    print(f"{name:34}" + "".join(f"{f'{each:,.0f} ({slow:.1f})':>18}" for each, slow in cells), flush=True)


def on_sqlite(folder: str) -> None:
    """Every sort of call; and simplejwt's refresh."""
    service, own = opened(f"sqlite:///{folder}/a.db"), opened(f"sqlite:///{folder}/b.db", Free())
    batch = service.clients.add("batch", grants=["client_credentials"], audiences=["orders"])
    show("refresh (a rotation each)", refresh(service))
    show("login, no hash", lambda index: lambda: own.login(f"user{index}", PASSWORD))
    show("login, Argon2id", lambda _: lambda: service.login("alice", PASSWORD))
    show("client_credentials", lambda _: lambda: service.client_credentials(batch.client.id, batch.secret or ""))
    # One client: with more, SQLite answers simplejwt "database is locked".
    show("simplejwt, refresh", refresher(folder), (1,))
    service.close()
    own.close()


def on_postgresql(server: Postgres) -> None:
    """Refresh and login, beside the one UPDATE alone on connections of its own."""
    url = server.database()
    service, own = opened(url), opened(server.database(), Free())
    show("refresh (a rotation each)", refresh(service))
    show("login, no hash", lambda index: lambda: own.login(f"user{index}", PASSWORD))
    with ExitStack() as stack:

        def bare(_: int) -> Callable[[], object]:
            connection = stack.enter_context(psycopg.connect(server.dsn(server.name(url)), autocommit=True))
            session = service.login("alice", PASSWORD).session_id
            return lambda: connection.execute(BARE, {"id": session}).fetchone()

        show("bare UPDATE ... RETURNING", bare)
    service.close()
    own.close()


def main() -> None:
    """Measure and print."""
    print(f"{'calls a second (p99 ms)':34}" + "".join(f"{f'{count} clients':>18}" for count in CLIENTS))
    print("SQLite, on disk")
    with tempfile.TemporaryDirectory() as folder:
        on_sqlite(folder)
    for where, parent in (("on disk", None), ("in memory", MEMORY)):
        with postgres(parent) as server:
            if server is not None:
                print(f"PostgreSQL, {where}")
                on_postgresql(server)


if __name__ == "__main__":
    main()
