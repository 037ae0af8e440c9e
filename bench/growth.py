"""Refresh with 1,000 and with 1,000,000 sessions in the table, in turn in one run; and what refreshes leave behind."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from _postgres import postgres  # type: ignore[import-not-found]  # beside this script
from sqlalchemy import create_engine, func, select, text

from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.schema import metadata

FEW, MANY = (1_000, 1_000_000) if "--quick" not in sys.argv else (1_000, 20_000)
LIVE = 100  # sessions that refresh, scattered among the others
ROUNDS = 20 if "--quick" not in sys.argv else 3
PASSWORD = "correct horse battery"
SERIES = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :rows) SELECT n FROM s",
    "postgresql": "SELECT generate_series(1, :rows) AS n",
}
SCATTERED = {"sqlite": "hex(randomblob(12))", "postgresql": "md5(n::text)"}  # as random as real ids
BLOB = {"sqlite": "randomblob(32)", "postgresql": "sha256(n::text::bytea)"}


def fill(service: TokenService, rows: int) -> None:
    """Sessions of ten thousand users, as a year would leave them."""
    kind = "sqlite" if service._storage.sqlite else "postgresql"
    now = int(time.time() * 1000)
    users = f"""INSERT INTO admit_users (id, epoch, created_at)
                SELECT 'u' || n, 0, 0 FROM ({SERIES[kind]}) AS x"""
    sessions = f"""INSERT INTO admit_sessions (id, user_id, client_id, audience, scope, epoch, generation, hash, seen,
        rotated_at, used_at, idle_until, expires_at, created_at, auth_time, auth_method, device, address)
        SELECT {SCATTERED[kind]}, 'u' || (1 + n % 10000), 'client.first-party', 'orders', '', 0, 3, {BLOB[kind]},
        {"1" if kind == "sqlite" else "true"}, {now} - n, {now} - n, {now} + 86400000 + n, {now} + 864000000, {now},
        {now}, 'pwd', 'a phone', '192.0.2.7' FROM ({SERIES[kind]}) AS x"""
    service._core.write(lambda tx: tx.execute(text(users), {"rows": 10_000}))
    _unbounded(service, sessions, rows)


def _unbounded(service: TokenService, statement: str, rows: int) -> None:
    """One long statement, on a connection of its own."""
    engine = create_engine(service._storage.url)
    with engine.begin() as connection:
        connection.execute(text(statement), {"rows": rows})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def rows(service: TokenService) -> dict[str, int]:
    """How many rows each table holds."""
    counts = {name: select(func.count()).select_from(table) for name, table in metadata.tables.items()}
    return {
        name: int(service._core.read(lambda tx, count=count: tx.execute(count).scalar_one()))  # type: ignore[misc]
        for name, count in counts.items()
    }


def compare(name: str, few: TokenService, many: TokenService) -> None:
    """Refresh in both in turn; print medians, their ratio, and what changed in the tables."""
    dice = random.Random(1)
    tokens: dict[TokenService, list[str]] = {}
    for service, count in ((few, FEW), (many, MANY)):
        began = time.perf_counter()
        fill(service, count)
        service.users.add("alice", PASSWORD)
        tokens[service] = [service.login("alice", PASSWORD).refresh_token for _ in range(LIVE)]
        print(f"{name}: {count:,} sessions filled in {time.perf_counter() - began:.0f} s")
    before = rows(many)
    times: dict[TokenService, list[float]] = {few: [], many: []}
    for _ in range(ROUNDS):
        order = dice.sample(range(LIVE), LIVE)
        for index in order:
            for service in dice.sample((few, many), 2):
                began = time.perf_counter()
                tokens[service][index] = service.refresh(tokens[service][index]).refresh_token
                times[service].append(time.perf_counter() - began)
    one, other = (statistics.median(times[service]) * 1e6 for service in (few, many))
    print(
        f"{name}: a refresh takes {one:.0f} us with {FEW:,} and {other:.0f} us with {MANY:,}: ratio {other / one:.2f}"
    )
    grown = {table: count - before[table] for table, count in rows(many).items() if count != before[table]}
    print(f"{name}: rows after {LIVE * ROUNDS:,} refreshes: {grown or 'as many as before'}")


def main() -> None:
    """Measure and print."""
    policy = Policy(grace=timedelta())

    def service(url: str) -> TokenService:
        return TokenService(
            url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)), policy=policy
        )

    with tempfile.TemporaryDirectory() as folder:
        pair = [service(f"sqlite:///{Path(folder)}/{name}.db") for name in ("few", "many")]
        compare("SQLite", *pair)
        for each in pair:
            each.close()
    with postgres() as server:
        if server is not None:
            pair = [service(server.database()) for _ in range(2)]
            compare("PostgreSQL", *pair)
            for each in pair:
                each.close()


if __name__ == "__main__":
    main()
