"""The service's own status lists: who has a place, what the lists say and when, and when a place is free again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from admit import KeySet, clock, peek
from admit.errors import ConfigurationError
from admit.service import status_lists
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.schema import sessions
from admit.service.status_lists import SIZE
from admit.tokens.status_list import Reference, StatusListToken
from tests.service.conftest import PASSWORD, START, MovableClock, Opener

ISSUER = "https://auth.example"
DAY = 24 * 3600 * 1000
ON = Policy(status_list_ttl=timedelta(minutes=1))


@pytest.fixture
def service(opened: Opener, clock: MovableClock) -> TokenService:
    return opened(clock=clock, policy=ON)


def place(token: str) -> Reference:
    found = Reference.of(peek(token).claims)
    assert found is not None
    return found


def anew(service: TokenService, clock: MovableClock) -> StatusListToken:
    """The first list as it is made now, not as it is shared for a moment."""
    service._status_lists._held.clear()
    published = service.status_list(0)
    assert published is not None
    keys = KeySet.from_jwks(service.jwks())
    return StatusListToken.read(
        published.token.encode(), keys, uri=f"{ISSUER}/status-lists/0", issuer=ISSUER, now=clock()
    )


def status(service: TokenService, clock: MovableClock, token: str) -> int:
    return anew(service, clock).statuses.status(place(token).idx)


def test_without_the_setting_there_are_no_lists_and_tokens_say_nothing_of_them(opened: Opener) -> None:
    service = opened()
    service.users.add("alice", PASSWORD)
    pair = service.login("alice", PASSWORD)
    for each in (pair, service.refresh(pair.refresh_token)):
        assert "status" not in peek(each.access_token).claims
    assert service.status_list(0) is None
    assert service.status_list_uris() == []
    assert service._core.read(lambda tx: tx.execute(select(sessions.c.status_idx)).scalars().all()) == [None]


def test_a_session_has_one_place_and_each_of_its_tokens_names_it(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    again = service.refresh(pair.refresh_token)
    assert place(pair.access_token) == place(again.access_token)
    assert place(pair.access_token).uri == f"{ISSUER}/status-lists/0"
    assert service.status_list_uris() == [f"{ISSUER}/status-lists/0"]
    service.verifier().verify(pair.access_token)


def test_places_are_drawn_at_random_and_never_twice(service: TokenService, alice: str) -> None:
    drawn = [place(service.login("alice", PASSWORD).access_token).idx for _ in range(8)]
    assert len(set(drawn)) == 8
    assert sorted(drawn) != drawn
    assert max(drawn) - min(drawn) > 1000


def test_an_ended_session_is_invalid_and_the_others_are_not(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    one, two = (service.login("alice", PASSWORD) for _ in range(2))
    assert status(service, clock, one.access_token) == 0
    service.logout(one.refresh_token)
    assert status(service, clock, one.access_token) == 1
    assert status(service, clock, two.access_token) == 0
    assert sum(byte.bit_count() for byte in anew(service, clock).statuses.data) == 1
    assert sum(byte.bit_count() for byte in anew(service, clock).statuses.data) == 1


def test_a_user_that_is_cut_off_is_invalid_in_every_session(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    service.users.add("bob", PASSWORD)
    mine, others = service.login("alice", PASSWORD), service.login("bob", PASSWORD)
    service.logout_everywhere(alice)
    assert status(service, clock, mine.access_token) == 1
    later = service.login("alice", PASSWORD)
    assert status(service, clock, later.access_token) == 0
    service.users.disable(alice)
    assert status(service, clock, later.access_token) == 1
    assert status(service, clock, others.access_token) == 0


def test_a_client_that_is_removed_is_invalid_with_its_sessions(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    new = service.clients.add("web", grants=["password"], audiences=["orders"])
    pair = service.login("alice", PASSWORD, client_id=new.client.id, client_secret=new.secret)
    assert status(service, clock, pair.access_token) == 0
    service.clients.disable(new.client.id)
    assert status(service, clock, pair.access_token) == 1


def test_a_list_says_when_it_was_made_and_how_long_it_is_good(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    token = anew(service, clock)
    assert (token.iat, token.ttl, token.exp) == (START, 60, START + 120)
    assert len(token.statuses) == SIZE


def test_a_list_is_made_once_for_all_who_ask_at_the_same_time(service: TokenService, alice: str) -> None:
    first = service.status_list(0)
    pair = service.login("alice", PASSWORD)
    service.logout(pair.refresh_token)
    assert first is not None
    second = service.status_list(0)
    assert second is not None
    assert second.token == first.token
    assert first.token not in repr(first)


def test_a_cache_keeps_a_list_no_longer_than_the_service_itself(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = [1000.0], []
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    for seconds in (0, 0.5, 4, 5.9, 6):
        now[0] = 1000.0 + seconds
        published = service.status_list(0)
        assert published is not None
        told.append(published.max_age)
    assert told == [6, 6, 2, 1, 6]  # a tenth of the ttl, and then another one
    service._status_lists._busy.add(0)  # by another caller, who makes the next one
    now[0] += 7
    last = service.status_list(0)
    assert last is not None
    assert last.max_age == 0


def test_a_list_is_signed_anew_at_once_when_its_key_is_revoked(service: TokenService) -> None:
    first = service.status_list(0)
    assert first is not None
    service.keys.rotate(force=True)
    same = service.status_list(0)
    assert same is not None
    assert same.token == first.token  # its key is still published
    service.keys.revoke(first.kid)
    second = service.status_list(0)
    assert second is not None
    assert second.kid in KeySet.from_jwks(service.jwks())
    assert peek(second.token).header["kid"] == second.kid != first.kid


def test_there_are_only_the_lists_that_have_places(service: TokenService, alice: str) -> None:
    service.login("alice", PASSWORD)
    for number in (1, 2, 10**9):
        assert service.status_list(number) is None


def test_a_place_is_free_again_only_when_no_token_names_it(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    pair = service.login("alice", PASSWORD)
    row = service._core.read(lambda tx: tx.execute(select(sessions)).mappings().one())
    service.logout(pair.refresh_token)
    until = row["idle_until"] - clock.milliseconds
    clock.forward(until + DAY // 2 - 1)
    service.cleanup()
    assert status(service, clock, pair.access_token) == 1  # long after its last token
    clock.forward(1)
    assert status(service, clock, pair.access_token) == 0  # so that copies forget it ...
    clock.forward(DAY // 2)
    service.cleanup()
    assert service._core.read(lambda tx: tx.execute(select(func.count(sessions.c.id))).scalar()) == 1
    clock.forward(1)
    service.cleanup()  # ... before the place is free
    assert service._core.read(lambda tx: tx.execute(select(func.count(sessions.c.id))).scalar()) == 0


def test_where_the_lists_fill_up_another_one_begins(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    monkeypatch.setattr(status_lists, "SIZE", 8)
    tokens = [service.login("alice", PASSWORD).access_token for _ in range(12)]
    assert len({place(token) for token in tokens}) == 12
    uris = service.status_list_uris()
    assert {place(token).uri for token in tokens} <= set(uris)
    assert len(uris) >= 2
    service.logout_everywhere(alice)
    for number, uri in enumerate(uris):
        published = service.status_list(number)
        assert published is not None
        found = StatusListToken.read(
            published.token.encode(), KeySet.from_jwks(service.jwks()), uri=uri, issuer=ISSUER, now=clock()
        )
        for token in tokens:
            if place(token).uri == uri:
                assert found.statuses.status(place(token).idx) == 1


def test_a_session_from_before_there_were_lists_is_given_a_place_when_it_refreshes(
    opened: Opener, clock: MovableClock
) -> None:
    before = opened(clock=clock)
    before.users.add("alice", PASSWORD)
    pair = before.login("alice", PASSWORD)
    after = opened(clock=clock, policy=ON)
    one = after.refresh(pair.refresh_token)
    two = after.refresh(one.refresh_token)
    assert place(one.access_token) == place(two.access_token)
    after.logout(two.refresh_token)
    assert status(after, clock, one.access_token) == 1


def test_two_sessions_never_share_a_place(service: TokenService, alice: str) -> None:
    from admit.errors import StorageUnavailable

    for _ in range(2):
        service.login("alice", PASSWORD)
    with pytest.raises(StorageUnavailable):
        service._core.write(lambda tx: tx.execute(update(sessions).values(status_idx=7)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status_list_ttl": timedelta(hours=2)},
        {"status_list_ttl": timedelta(milliseconds=999)},
        {"status_list_ttl": timedelta(minutes=1), "access_lifetime": timedelta(hours=13)},
    ],
)
def test_a_ttl_that_would_outlast_a_place_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Policy(**wrong)
