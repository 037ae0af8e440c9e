"""What a service does while PostgreSQL neither answers nor goes away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from admit.errors import StorageUnavailable
from admit.service import follower
from admit.service.facade import TokenService
from admit.service.storage import Storage
from admit.tokens.waiting import WouldWait, may_wait
from tests.service.conftest import MASTER

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds PostgreSQL's processes in /proc")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("admit.service.postgres")
    monkeypatch.setattr(module.Bounded, "silence", 0.5)
    monkeypatch.setattr(follower, "_PATIENCE", 0.5)


@pytest.fixture
def service(postgres: Postgres, impatient: None) -> Iterator[TokenService]:
    # two seconds to connect, the least that libpq knows
    service = TokenService(
        postgres.database() + "&connect_timeout=2", issuer="https://a.example", audience="orders", master_key=MASTER
    )
    service.start()
    yield service
    service.close()


def test_a_statement_that_is_not_answered_ends_and_its_connection_is_given_up(
    postgres: Postgres, service: TokenService
) -> None:
    storage = service._storage
    storage.read(lambda tx: tx.execute(text("SELECT 1")))
    begun = time.monotonic()
    with postgres.silent(), pytest.raises(StorageUnavailable):
        storage.read(lambda tx: tx.execute(text("SELECT 1")))
    assert time.monotonic() - begun < 10
    assert storage.read(lambda tx: tx.execute(text("SELECT 1")).scalar_one()) == 1


def test_callers_do_not_wait_one_after_the_other_behind_a_silent_database(
    postgres: Postgres, service: TokenService
) -> None:
    def look() -> None:
        with suppress(StorageUnavailable):
            service._core.follower.look()

    with postgres.silent(), ThreadPoolExecutor(30) as pool:
        begun = time.monotonic()
        for each in [pool.submit(look) for _ in range(30)]:
            each.result(30)
        assert time.monotonic() - begun < 10  # 30 times 2.5 s in a row


def test_who_may_not_wait_is_told_so_instead_of_asking_the_database(service: TokenService) -> None:
    service._core.follower.close()
    service._core.follower._heard = time.monotonic() - 61
    before = may_wait.set(False)
    try:
        for call in (service.feed_head, service.feed_due, service.jwks):
            with pytest.raises(WouldWait):
                call()
    finally:
        may_wait.reset(before)
    assert service.feed_head()[1] >= 0


def test_the_end_does_not_wait_for_a_silent_database(
    postgres: Postgres, service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admit.service.postgres.Bounded.silence", 20.0)
    follower_, read = service._core.follower, service._core.follower._heard
    while follower_._heard == read:  # by then its thread has connected
        time.sleep(0.02)
    with postgres.silent():
        time.sleep(0.5)  # the background thread asks by now
        begun = time.monotonic()
        follower_.close()
        assert time.monotonic() - begun < 12


def test_a_migration_may_take_longer_than_a_request(postgres: Postgres, impatient: None) -> None:
    from admit.service import migrations

    storage = Storage(postgres.database())
    try:

        def slow(connection: object) -> None:
            migrations.upgrade(connection)  # type: ignore[arg-type]
            connection.execute(text("SELECT pg_sleep(1.5)"))  # type: ignore[attr-defined]

        storage.write(lambda tx: slow(tx.connection))
    finally:
        storage.close()
    other = Storage(postgres.database())
    try:
        with pytest.raises(StorageUnavailable):
            other.read(lambda tx: tx.execute(text("SELECT pg_sleep(1.5)")))
    finally:
        other.close()


def test_a_host_that_is_gone_is_noticed_unless_the_url_says_otherwise(postgres: Postgres) -> None:
    for more, expected in (("", "10000"), ("&tcp_user_timeout=3000", "3000")):
        storage = Storage(postgres.database() + more)
        try:

            def told(tx: object) -> dict[str, str]:
                driver = tx.connection.connection.driver_connection  # type: ignore[attr-defined]
                parameters: dict[str, str] = driver.info.get_parameters()
                return parameters

            parameters = storage.read(told)
            assert (parameters["tcp_user_timeout"], parameters["connect_timeout"]) == (expected, "5")
            assert parameters["keepalives_idle"] == "10"
        finally:
            storage.close()
