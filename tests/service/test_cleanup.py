"""What is over goes, in small steps beside normal work; and refreshes leave nothing behind."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import delete, func, select, text

from admit.errors import InvalidGrant, StorageUnavailable
from admit.service import cleanup, follower, schema
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.storage import Tx
from tests.helpers.postgres import Postgres
from tests.service.conftest import PASSWORD, MovableClock, Opener


def test_tables_do_not_grow_with_refreshes(service: TokenService, alice: str, clock: MovableClock) -> None:
    pair = service.login("alice", PASSWORD)

    counts = [select(func.count()).select_from(table) for table in schema.metadata.tables.values()]

    def rows() -> int:
        return service._core.read(lambda tx: sum(tx.execute(count).scalar_one() for count in counts))

    before = rows()
    for _ in range(20):
        clock.forward(10_000)
        pair = service.refresh(pair.refresh_token)
    assert rows() == before


def test_cleanup_removes_what_is_over_in_bounded_steps_and_clears_sealed_successors(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    pairs = [service.login("alice", PASSWORD) for _ in range(3)]
    service._core.write(lambda tx: tx.execute(delete(schema.throttle)))  # those have their own test
    service.refresh(pairs[0].refresh_token)
    clock.forward(10 * 60 * 1000 - 1)
    assert service.cleanup() == 0
    clock.forward(1)
    assert service.cleanup() == 1  # the sealed successor
    clock.forward(32 * 24 * 3600 * 1000)
    assert service.cleanup(limit=2) == 2
    assert service.cleanup(limit=2) == 1
    assert service.cleanup() == 0
    clock.forward(90 * 24 * 3600 * 1000)
    assert service.cleanup() > 0  # the audit trail
    with pytest.raises(InvalidGrant):
        service.refresh(pairs[0].refresh_token)


def test_every_step_finds_its_rows_by_an_index(service: TokenService) -> None:
    def plans(tx: Tx) -> list[str]:
        on_sqlite = tx.connection.dialect.name == "sqlite"
        if not on_sqlite:
            tx.execute(text("SET LOCAL enable_seqscan = off"))  # it reads small tables as a whole otherwise
        explain = "EXPLAIN QUERY PLAN " if on_sqlite else "EXPLAIN "
        found = []
        for query in cleanup.due(tx.now, Policy().retry_window, Policy().kept, 10):
            statement = str(query.compile(dialect=tx.connection.dialect, compile_kwargs={"literal_binds": True}))
            found.append("\n".join(str(row) for row in tx.connection.exec_driver_sql(explain + statement)))
        return found

    names = (
        "admit_sessions_sealed",
        "admit_sessions_idle",
        "admit_revocations_exp",
        "admit_audit_at",
        "admit_devices_seen",
        "admit_assertions_exp",
        "admit_throttle_expires",
    )
    for name, plan in zip(names, service._core.write(plans), strict=True):
        assert name in plan
        assert "Seq Scan" not in plan


def test_a_backlog_is_swept_in_one_spell_a_step_at_a_time() -> None:
    left = [3 * cleanup.LIMIT + 7]

    def step(limit: int) -> int:
        done = min(limit, left[0])
        left[0] -= done
        return done

    assert cleanup.sweep(step) is False
    assert left == [0]


def test_a_row_that_somebody_works_on_is_left_for_the_next_step(
    postgres: Postgres, opened: Opener, clock: MovableClock
) -> None:
    service = opened(database=postgres.database(), clock=clock)
    service.users.add("alice", PASSWORD)
    pairs = [service.login("alice", PASSWORD) for _ in range(2)]
    service._core.write(lambda tx: tx.execute(delete(schema.throttle)))
    clock.forward(32 * 24 * 3600 * 1000)

    def busy(tx: Tx) -> int:
        at_work = select(schema.sessions.c.id).where(schema.sessions.c.id == pairs[0].session_id).with_for_update()
        tx.execute(at_work).one()
        return service.cleanup()

    assert service._core.write(busy) == 1
    assert service.cleanup() == 1


def test_chores_that_fail_are_not_tried_again_at_every_look(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_PERIOD", 0.01)
    monkeypatch.setattr(follower, "_CHORES", 0.0)
    own, calls, looks = opened()._core.follower, list[int](), set[float]()

    def fails() -> bool:
        monkeypatch.setattr(follower, "_CHORES", 60.0)
        calls.append(1)
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(own, "_chores", fails)
    own.start()
    ends = time.monotonic() + 20
    while not calls or len(looks) < 10:
        assert time.monotonic() < ends
        time.sleep(0.005)
        if calls:
            looks.add(own._tried)
    assert len(calls) <= 2  # the first one set when the next one is due by the old setting
