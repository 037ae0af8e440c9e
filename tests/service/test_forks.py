"""What another thread of the parent was at when it forked, no child waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from admit.service import follower
from admit.service.facade import TokenService
from tests.helpers.fork import succeeds_in_a_child
from tests.service.conftest import MASTER

if TYPE_CHECKING:
    from tests.helpers.postgres import Postgres

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def test_a_child_forked_while_a_page_of_the_feed_was_signed_signs_its_own(service: TokenService) -> None:
    with service._feed._lock:
        assert succeeds_in_a_child(service.feed)


def test_a_child_forked_while_the_database_was_looked_at_looks_itself(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_PATIENCE", 0.01)
    pair = service.login("alice", "correct horse battery")

    def work() -> None:
        service.ready()  # before anything else: it starts no thread
        service.logout(pair.refresh_token)
        assert set(service.readiness().values()) == {"ok"}
        service.close()

    with service._core.follower._here().lock:
        assert succeeds_in_a_child(work)


def test_a_child_shares_no_connection_of_the_hosts_engine_though_the_service_was_closed_before(
    postgres: Postgres,
) -> None:
    engine = create_engine(postgres.database())
    service = TokenService(engine, issuer="https://auth.example", audience="orders", master_key=MASTER)
    session = text("SELECT pg_backend_pid()")
    service.close()
    with engine.connect() as connection:  # it goes back to the pool
        ours = connection.execute(session).scalar_one()

    def work() -> None:
        assert service._storage.read(lambda tx: tx.execute(session).scalar_one()) != ours

    assert succeeds_in_a_child(work)
    engine.dispose()
