"""PostgreSQL's notices: they wake other processes at once, and without them nothing is lost but some milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from admit.service import follower, revocation
from admit.service.facade import TokenService
from tests.service.conftest import MASTER

LONG = 30.0  # seconds between looks, so that only a notice can be what woke a process


@pytest.fixture
def two(request: pytest.FixtureRequest) -> Iterator[Callable[[], tuple[TokenService, TokenService]]]:
    services: list[TokenService] = []

    def build() -> tuple[TokenService, TokenService]:
        url = request.getfixturevalue("postgres").database()
        for _ in range(2):
            services.append(TokenService(url, issuer="https://a.example", audience="orders", master_key=MASTER))
        return services[0], services[1]

    yield build
    for service in services:
        service.close()


def hears(one: TokenService, other: TokenService) -> float:
    """Seconds until the other one has an entry of the first."""
    begun = time.monotonic()
    one._core.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("jti", "x")))
    wanted = one.feed_head()
    while other._core.follower._view is None or other._core.follower._view.head[:2] != wanted:
        assert time.monotonic() - begun < 20, "it was never heard"
        time.sleep(0.001)
    return time.monotonic() - begun


def listeners(service: TokenService) -> int:
    query = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
    return int(service._core.read(lambda tx: tx.execute(query).scalar_one()))


def until_listening(service: TokenService, count: int) -> None:
    ends = time.monotonic() + 20
    while listeners(service) != count:
        assert time.monotonic() < ends, f"not {count} listen"
        time.sleep(0.01)


def test_a_notice_wakes_the_other_process(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_PERIOD", LONG / 10)
    one, other = two()
    for service in (one, other):
        service.start()
    until_listening(one, 2)
    time.sleep(0.1)
    assert min(hears(one, other) for _ in range(5)) < 1.0  # of three seconds


def test_a_lost_listener_costs_nothing_but_the_period_and_comes_back(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admit.service.notices._AGAIN", 0.5)
    one, other = two()
    for service in (one, other):
        service.start()
    until_listening(one, 2)
    end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    one._core.write(lambda tx: tx.execute(end))
    for _ in range(3):
        hears(one, other)
    until_listening(one, 2)
    hears(one, other)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_of_what_nobody_expected_closes_its_connection(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two()
    for service in (one, other):
        service.start()
    until_listening(one, 2)

    def broken(query: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(other._core.storage, "read", broken)
    other._core.follower._here().thread.join(20)
    assert not other._core.follower.follows()  # callers look for themselves, and readiness says so
    until_listening(one, 1)


def test_a_notice_is_sent_after_the_commit_and_never_for_what_was_rolled_back(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = two()
    sent: list[bool] = []
    monkeypatch.setattr(
        "admit.service.storage.notify", lambda engine: sent.append(one._core.read(revocation.head).seq > 0)
    )

    def change(tx: Any) -> None:
        revocation.cut_off(tx, revocation.CutOff("jti", "x"))
        raise LookupError

    with pytest.raises(LookupError):
        one._core.write(change)
    assert sent == []
    one._core.write(lambda tx: revocation.cut_off(tx, revocation.CutOff("jti", "x")))
    assert sent == [True]


def test_where_nobody_can_listen_the_period_remains(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admit.service.notices._CHANNEL", "not a name")  # a syntax error for LISTEN and for NOTIFY
    one, other = two()
    for service in (one, other):
        service.start()
    hears(one, other)
    hears(one, other)


def test_the_connection_that_listens_gives_up_a_server_that_has_fallen_silent(two: Any) -> None:
    from admit.service.postgres import Bounded

    one, _ = two()
    notices = one._storage.notices()
    assert not notices.wait(Event(), 0.01)
    assert isinstance(notices._listening, Bounded)
    notices.close()
