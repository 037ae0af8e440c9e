"""A PostgreSQL that neither answers nor goes away holds up who needs it, for a bounded time, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from admit.service.facade import TokenService
from admit.service.policy import Policy
from tests.server.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds PostgreSQL's processes in /proc")


@pytest.fixture
def service(serve: Callable[..., Any], postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One whose keys and revocations may be two seconds old."""
    url = postgres.database()
    monkeypatch.setenv("ADMIT_DATABASE", url)
    served = serve(start=False)
    reload_ = timedelta(seconds=2)
    served.data.mkdir(mode=0o700)
    (served.data / "master.key").write_bytes(bytes(range(32)))
    (served.data / "master.key").chmod(0o600)
    own = TokenService(
        url,
        issuer="https://auth.example",
        audience="orders",
        master_key=bytes(range(32)),
        policy=Policy(key_reload=reload_),
    )
    own.users.add("alice", PASSWORD)
    own.close()
    served.flags = ("--database", url, "--issuer", "https://auth.example", "--key-reload", "2s", "--feed-limit", "2s")
    served.start()
    return served


def ask(service: Any, path: str, **headers: str) -> int:
    return httpx2.get(service.url + path, headers=headers, timeout=40, trust_env=False).status_code


def test_whoever_needs_no_database_is_answered_at_once_and_the_others_with_503(
    service: Any, postgres: Postgres
) -> None:
    bearer = {"Authorization": "Bearer " + service.login(audience="https://auth.example")["access_token"]}
    assert ask(service, "/sessions", **bearer) == 200
    with ThreadPoolExecutor(8) as pool, postgres.silent():
        time.sleep(2.5)  # what is in memory is too old by now
        asked = [
            pool.submit(ask, service, "/revocations"),
            pool.submit(ask, service, "/revocations?since=0&wait=25"),
            pool.submit(ask, service, "/sessions", **bearer),
            pool.submit(ask, service, "/.well-known/jwks.json"),
        ]
        begun = time.monotonic()
        for _ in range(10):
            assert ask(service, "/healthz") == 200
            time.sleep(0.1)
        assert not any(each.done() for each in asked)
        assert [each.result(30) for each in asked] == [503] * 4
    while ask(service, "/readyz") != 200:
        assert time.monotonic() - begun < 60
    assert ask(service, "/revocations") == ask(service, "/sessions", **bearer) == 200


def test_the_end_comes_in_time_while_threads_wait_for_the_database(service: Any, postgres: Postgres) -> None:
    with ThreadPoolExecutor(8) as pool, postgres.silent():
        time.sleep(0.5)
        for _ in range(4):
            pool.submit(ask, service, "/readyz")
        time.sleep(0.5)
        begun = time.monotonic()
        code, stderr = service.stop()
        assert time.monotonic() - begun < 12  # the threads wait for eleven, and then for a new connection
    assert code == 0
    assert "ends without it" in stderr
