"""A real service on a real SQLite file or a real PostgreSQL, and a clock that a test moves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from admit import clock as clock_module
from admit.service.facade import TokenService
from tests.helpers.postgres import Postgres

MASTER = bytes(range(32))
START = 1_800_000_000.0
PASSWORD = "correct horse battery"


class MovableClock:
    """Seconds since 1970, moved by hand; kept in milliseconds, as the service counts."""

    def __init__(self) -> None:
        self.milliseconds = int(START * 1000)

    def __call__(self) -> float:
        return self.milliseconds / 1000

    def forward(self, milliseconds: int) -> None:
        self.milliseconds += milliseconds


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


ON_BOTH = (
    *("test_cleanup", "test_races", "test_refresh_table", "test_revocation", "test_session_policy", "test_swap"),
    *("test_status_lists", "test_throttle"),
)
"""The files whose tests run on both databases, but for those that look into SQLite's file by the name of `url`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    own = inspect.signature(metafunc.function).parameters
    if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH and "url" in set(metafunc.fixturenames) - set(own):
        metafunc.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()
    return f"sqlite:///{tmp_path}/auth.db"


Opener = Callable[..., TokenService]


@pytest.fixture
def opened(url: str) -> Iterator[Opener]:
    """Opens services on one database; closes them all."""
    services: list[TokenService] = []

    def build(**settings: Any) -> TokenService:
        defaults: dict[str, Any] = {
            "issuer": "https://auth.example",
            "audience": ("orders", "billing"),
            "scopes": ("orders:read", "orders:write"),
            "master_key": MASTER,
        }
        service = TokenService(settings.pop("database", url), **defaults | settings)
        services.append(service)
        return service

    yield build
    for service in services:
        service.close()


@pytest.fixture
def service(opened: Opener, clock: MovableClock) -> TokenService:
    return cheap(opened(clock=clock))


_CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
_NOBODY = _CHEAP.hash(clock_module.random_bytes(32))


def cheap(service: TokenService) -> TokenService:
    """The service with hashes that cost nearly nothing, for tests whose point is not their cost."""
    passwords = service._core.passwords
    passwords._hasher = _CHEAP
    passwords.nobody = _NOBODY
    return service


@pytest.fixture
def alice(service: TokenService) -> str:
    return service.users.add("alice", PASSWORD).id
