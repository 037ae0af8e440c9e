"""Session policy: of the service, of a client, by profile; the cap, and devices."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from admit.errors import ConfigurationError, InvalidGrant, InvalidRequest, RevokedToken
from admit.service import refresh, sessions
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.results import AuditEvent
from admit.service.session_policy import PROFILES, SessionPolicy
from tests.service.conftest import PASSWORD, MovableClock, Opener

SECOND = 1000
MINUTE = 60 * SECOND
STEADY = SessionPolicy(rotate=False, idle=timedelta(minutes=30), absolute=timedelta(hours=2))


class Desk:
    """A confidential client that logs users in, with a policy of its own."""

    def __init__(self, service: TokenService, policy: SessionPolicy | None) -> None:
        new = service.clients.add(
            "desk", grants=["password", "refresh_token"], audiences=["orders"], scopes=["orders:read"], policy=policy
        )
        assert new.secret is not None
        self.service = service
        self.client = {"client_id": new.client.id, "client_secret": new.secret}

    def login(self, **more: str) -> Any:
        return self.service.login("alice", PASSWORD, **self.client, **more)

    def refresh(self, token: str) -> Any:
        return self.service.refresh(token, **self.client)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotate": 1},
        {"reuse": "nothing"},
        {"grace": 10},
        {"idle": timedelta(seconds=-1)},
        {"grace": timedelta(minutes=11)},
        {"retry_window": timedelta(days=30)},
        {"idle": timedelta(days=91)},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SessionPolicy(**wrong)
    if "rotate" not in wrong:
        with pytest.raises(ConfigurationError):
            Policy(**wrong)


@pytest.mark.parametrize("most", [0, -1, "3", 2.5])
def test_a_cap_is_a_whole_number(most: Any) -> None:
    with pytest.raises(ConfigurationError):
        Policy(sessions_per_user=most)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_survives_a_clients_row_and_fits_a_service(name: str) -> None:
    profile = PROFILES[name]
    assert SessionPolicy.load(profile.dump()) == profile
    named: dict[str, Any] = {
        each.name: getattr(profile, each.name) for each in fields(profile) if each.name != "rotate"
    }
    assert Policy(**named, access_lifetime=timedelta(minutes=5)).of_sessions() == profile


def test_the_defaults_of_a_service_and_of_a_policy_are_the_same() -> None:
    assert Policy().of_sessions() == SessionPolicy()


def test_a_clients_policy_decides_over_its_sessions_and_only_over_them(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    desk = Desk(service, replace(SessionPolicy(), grace=timedelta(seconds=1), retry_window=timedelta(seconds=2)))
    theirs, ours = desk.login(), service.login("alice", PASSWORD)
    after, ours_after = desk.refresh(theirs.refresh_token), service.refresh(ours.refresh_token)
    clock.forward(2 * SECOND)
    assert service.refresh(ours.refresh_token).refresh_token == ours_after.refresh_token
    with pytest.raises(InvalidGrant):
        desk.refresh(theirs.refresh_token)
    with pytest.raises(InvalidGrant):
        desk.refresh(after.refresh_token)
    assert [session.id for session in service.sessions(alice)] == [ours.session_id]


def test_a_client_without_a_policy_follows_the_services(opened: Opener, clock: MovableClock) -> None:
    short = opened(clock=clock, policy=Policy(idle=timedelta(minutes=20), absolute=timedelta(hours=1)))
    short.users.add("alice", PASSWORD)
    desk = Desk(short, None)
    pair = desk.login()
    (session,) = short.sessions(pair.sub)
    assert session.expires_at - session.created_at == 20 * 60
    assert short.clients.list()[1].policy == short.policy.of_sessions()


def test_a_clients_limits_are_its_sessions_limits(service: TokenService, alice: str, clock: MovableClock) -> None:
    desk = Desk(service, replace(PROFILES["nist-aal2"], retry_window=timedelta(minutes=1)))
    pair = desk.login()
    for _ in range(3):
        clock.forward(59 * MINUTE)
        pair = desk.refresh(pair.refresh_token)
    clock.forward(60 * MINUTE)
    with pytest.raises(InvalidGrant):
        desk.refresh(pair.refresh_token)
    pair = desk.login()
    for _ in range(48):
        clock.forward(29 * MINUTE)
        pair = desk.refresh(pair.refresh_token)
    clock.forward(48 * MINUTE)
    with pytest.raises(InvalidGrant):
        desk.refresh(pair.refresh_token)


def test_a_token_that_does_not_rotate_stays_and_its_use_extends_the_session(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    desk = Desk(service, STEADY)
    pair = desk.login()
    for _ in range(4):
        clock.forward(29 * MINUTE)
        again = desk.refresh(pair.refresh_token)
        assert again.refresh_token == pair.refresh_token
        assert service.verifier().verify(again.access_token).sid == pair.session_id
    clock.forward(4 * MINUTE)
    with pytest.raises(InvalidGrant):  # the absolute limit
        desk.refresh(pair.refresh_token)


def test_a_session_that_ended_is_not_extended(service: TokenService, alice: str, clock: MovableClock) -> None:
    desk = Desk(service, STEADY)
    pair = desk.login()
    clock.forward(30 * MINUTE)
    with pytest.raises(InvalidGrant):
        desk.refresh(pair.refresh_token)
    pair = desk.login()
    service.logout(pair.refresh_token)
    with pytest.raises(InvalidGrant):
        desk.refresh(pair.refresh_token)
    pair = desk.login()
    service.logout_everywhere(alice)
    with pytest.raises(InvalidGrant):
        desk.refresh(pair.refresh_token)


def test_a_logout_between_the_look_and_the_extension_wins(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    desk = Desk(service, STEADY)
    pair = desk.login()
    token = refresh.parse(service._core, pair.refresh_token)
    extend = lambda tx: sessions.extend(tx, token, tx.now, tx.now + MINUTE)  # noqa: E731
    assert service._core.write(extend, single=True)
    service.logout(pair.refresh_token)
    assert not service._core.write(extend, single=True)


def test_only_a_confidential_client_goes_without_rotation(service: TokenService) -> None:
    with pytest.raises(InvalidRequest, match="9700"):
        service.clients.add(
            "app",
            grants=["refresh_token"],
            audiences=["orders"],
            confidential=False,
            policy=SessionPolicy(rotate=False),
        )


def test_reuse_ends_everything_of_a_user_where_the_policy_says_so(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    desk = Desk(service, replace(PROFILES["rfc9700"], reuse="user"))
    other, first = service.login("alice", PASSWORD), desk.login()
    desk.refresh(first.refresh_token)
    with pytest.raises(InvalidGrant):
        desk.refresh(first.refresh_token)
    assert service.sessions(alice) == []
    with pytest.raises(RevokedToken):
        service.verifier().verify(other.access_token)
    assert [event.event for event in service.audit(sub=alice)][-2:] == ["session.reuse", "user.reuse"]
    again = service.login("alice", PASSWORD)
    with pytest.raises(InvalidGrant):
        desk.refresh(first.refresh_token)  # the session is over: a thief cannot end later ones with it
    assert [session.id for session in service.sessions(alice)] == [again.session_id]


def test_a_sealed_successor_is_kept_for_the_longest_window_of_any_client(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    desk = Desk(service, SessionPolicy(retry_window=timedelta(hours=1)))
    first = desk.login()
    second = desk.refresh(first.refresh_token)
    clock.forward(59 * MINUTE)
    service.cleanup()
    assert desk.refresh(first.refresh_token).refresh_token == second.refresh_token
    clock.forward(MINUTE)
    assert service.cleanup() == 1


def test_a_login_beyond_the_cap_ends_the_oldest_session(opened: Opener, clock: MovableClock) -> None:
    service = opened(clock=clock, policy=Policy(sessions_per_user=3))
    alice = service.users.add("alice", PASSWORD).id
    service.users.add("bob", PASSWORD)
    bob = service.login("bob", PASSWORD)
    pairs = []
    for _ in range(5):
        clock.forward(SECOND)
        pairs.append(service.login("alice", PASSWORD))
    assert [session.id for session in service.sessions(alice)] == [pair.session_id for pair in reversed(pairs[2:])]
    with pytest.raises(RevokedToken):
        service.verifier().verify(pairs[1].access_token)
    with pytest.raises(InvalidGrant):
        service.refresh(pairs[1].refresh_token)
    assert [event.session_id for event in service.audit(sub=alice) if event.event == "session.cap"] == [
        pair.session_id for pair in pairs[:2]
    ]
    service.refresh(bob.refresh_token)


def test_a_user_can_end_all_sessions_but_one(service: TokenService, alice: str) -> None:
    pairs = [service.login("alice", PASSWORD) for _ in range(3)]
    assert service.end_other_sessions(alice, pairs[1].session_id) == 2
    assert [session.id for session in service.sessions(alice)] == [pairs[1].session_id]
    with pytest.raises(RevokedToken):
        service.verifier().verify(pairs[0].access_token)
    service.verifier().verify(pairs[1].access_token)


def test_a_login_from_a_new_device_is_told_to_the_hook_and_the_trail(opened: Opener, clock: MovableClock) -> None:
    heard: list[AuditEvent] = []
    service = opened(clock=clock, on_event=heard.append)
    service.users.add("alice", PASSWORD)
    service.users.add("bob", PASSWORD)

    def told(name: str, device: str) -> list[str | None]:
        heard.clear()
        pair = service.login(name, PASSWORD, device=device)
        news = [event for event in heard if event.event == "login.new_device"]
        assert all(event.session_id == pair.session_id for event in news)
        return [event.detail for event in news]

    assert told("alice", "phone") == []  # the first one ever is no news
    assert told("alice", "laptop") == ["laptop"]
    assert told("alice", "phone") == []
    assert told("bob", "laptop") == []  # not alice's
    clock.forward(milliseconds_of(service.policy.kept) // 2)
    assert told("alice", "laptop") == []
    clock.forward(milliseconds_of(service.policy.kept) // 2 + SECOND)
    service.cleanup()
    assert told("alice", "laptop") == []
    assert told("alice", "phone") == ["phone"]  # not used for as long as the trail is kept


def milliseconds_of(value: timedelta) -> int:
    return value // timedelta(milliseconds=1)
