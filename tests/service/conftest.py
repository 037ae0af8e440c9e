"""A real service on a real SQLite file, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admit.service.facade import TokenService

MASTER = bytes(range(32))
START = 1_800_000_000.0
PASSWORD = "correct horse"


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


@pytest.fixture
def url(tmp_path: Path) -> str:
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
    return opened(clock=clock)


@pytest.fixture
def alice(service: TokenService) -> str:
    return service.users.add("alice", PASSWORD).id
