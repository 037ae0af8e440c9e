"""Many callers at once: one generation, one successor; and no cut-off that something slips past."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import update

from admit.errors import AdmitError, InvalidGrant, InvalidToken
from admit.service import schema, sessions
from admit.service.facade import TokenService
from admit.service.results import TokenPair
from tests.service.conftest import PASSWORD, Opener


@pytest.fixture
def two(opened: Opener) -> tuple[TokenService, TokenService]:
    """Two services on one database, as two processes would be: each with its own writer and its own view."""
    one, other = opened(), opened()
    one.users.add("alice", PASSWORD)
    return one, other


def test_sixteen_who_refresh_the_same_token_get_the_same_successor(two: tuple[TokenService, TokenService]) -> None:
    token = two[0].login("alice", PASSWORD).refresh_token
    session_id = two[0].sessions(_alice(two[0]))[0].id
    for generation in range(1, 6):
        start = Barrier(16)

        def one(index: int, token: str = token, start: Barrier = start) -> str:
            start.wait()
            return two[index % 2].refresh(token).refresh_token

        with ThreadPoolExecutor(16) as pool:
            successors = set(pool.map(one, range(16)))
        assert len(successors) == 1
        row = two[0]._core.read(lambda tx: sessions.find(tx, session_id))
        assert row is not None
        assert row.generation == generation
        token = successors.pop()
        _age(two[0], session_id)


def test_sixteen_who_retry_at_once_are_audited_once(two: tuple[TokenService, TokenService]) -> None:
    first = two[0].login("alice", PASSWORD)
    two[0].refresh(first.refresh_token)
    sub = _alice(two[0])
    two[0]._core.write(
        lambda tx: tx.execute(
            update(schema.sessions).values(  # before its grace, and within the retry window
                rotated_at=schema.sessions.c.rotated_at - 30_000, used_at=schema.sessions.c.rotated_at - 30_000
            )
        )
    )
    start = Barrier(16)

    def one(index: int) -> None:
        start.wait()
        two[index % 2].refresh(first.refresh_token)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(16)))
    assert [event.event for event in two[0].audit(sub=sub)].count("session.retry") == 1


@pytest.mark.parametrize("cut", ["logout_everywhere", "disable", "set_password"])
def test_no_login_and_no_refresh_survives_a_cut_off(two: tuple[TokenService, TokenService], cut: str) -> None:
    service, other = two
    sub = _alice(service)
    doors = (service.verifier(), other.verifier())
    for _ in range(4):
        pair = service.login("alice", PASSWORD)
        start = Barrier(9)

        def attempt(index: int, pair: TokenPair = pair, start: Barrier = start) -> TokenPair | None:
            start.wait()
            try:
                return (
                    two[index % 2].login("alice", PASSWORD) if index < 4 else two[index % 2].refresh(pair.refresh_token)
                )
            except InvalidGrant:
                return None

        with ThreadPoolExecutor(9) as pool:
            won = [pool.submit(attempt, index) for index in range(8)]
            start.wait()
            {
                "logout_everywhere": lambda: service.logout_everywhere(sub),
                "disable": lambda: service.users.disable(sub),
                "set_password": lambda: service.users.set_password(sub, PASSWORD),
            }[cut]()
            after = {session.id for session in service.sessions(sub)}
            results = [future.result() for future in won]
        epoch = service.users.get(sub).epoch  # type: ignore[union-attr]
        other._core.follower.look()
        for result in filter(None, results):
            claims_epoch = _epoch(result)
            if claims_epoch == epoch:
                assert cut != "disable"  # it began after the cut-off, with the epoch that is in force
                continue
            assert result.session_id not in {session.id for session in service.sessions(sub)}
            with pytest.raises(InvalidGrant):
                service.refresh(result.refresh_token)
            for door in doors:
                with pytest.raises(InvalidToken):
                    door.verify(result.access_token)
        assert pair.session_id not in after
        service.users.enable(sub)


def test_no_refresh_survives_a_logout_of_its_session(two: tuple[TokenService, TokenService]) -> None:
    service, other = two
    for _ in range(5):
        pair = service.login("alice", PASSWORD)
        start = Barrier(5)

        def attempt(index: int, pair: TokenPair = pair, start: Barrier = start) -> TokenPair | None:
            start.wait()
            try:
                return two[index % 2].refresh(pair.refresh_token)
            except InvalidGrant:
                return None

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(attempt, index) for index in range(4)]
            start.wait()
            service.logout(pair.refresh_token)
            results = [future.result() for future in running]
        other._core.follower.look()
        for result in filter(None, results):
            with pytest.raises(InvalidGrant):
                other.refresh(result.refresh_token)
            for door in (service.verifier(), other.verifier()):
                with pytest.raises(InvalidToken):
                    door.verify(result.access_token)


class _Own:
    """An application's own table, with a moment in which somebody else acts while the password is being checked."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def find(self, name: str) -> str | None:
        return "42" if name == "alice" else None

    def check(self, sub: str | None, password: str) -> bool:
        right = sub == "42" and password == PASSWORD
        self.meanwhile()
        return right


def test_a_cut_off_while_the_password_is_checked_wins_even_at_the_first_login(opened: Opener) -> None:
    users = _Own()
    service = opened(users=users)
    users.meanwhile = lambda: service.logout_everywhere("42")
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD)
    assert service.sessions("42") == []
    users.meanwhile = lambda: None
    assert service.login("alice", PASSWORD).sub == "42"


def test_a_disabled_own_user_cannot_log_in_whatever_its_table_says(opened: Opener) -> None:
    service = opened(users=_Own())
    service.users.disable("42")
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD)


def test_own_user_ids_cannot_enter_the_namespace_of_clients(opened: Opener) -> None:
    users = _Own()
    users.find = lambda name: "client.first-party"  # type: ignore[method-assign]
    service = opened(users=users)
    with pytest.raises(AdmitError):
        service.login("alice", PASSWORD)


def _alice(service: TokenService) -> str:
    user = service.users.find("alice")
    assert user is not None
    return user.id


def _epoch(pair: TokenPair) -> int:
    from admit import peek

    return int(peek(pair.access_token).claims["epoch"])


def _age(service: TokenService, session_id: str) -> None:
    """Let the last rotation lie before its grace."""
    from sqlalchemy import update

    from admit.service.schema import sessions as table

    service._core.write(lambda tx: tx.execute(update(table).where(table.c.id == session_id).values(rotated_at=1)))
