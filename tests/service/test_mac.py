"""A new MAC key for refresh tokens: accepted everywhere before it is used anywhere, and nobody is logged out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from admit.errors import InvalidGrant
from admit.service import token_secrets
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.refresh_token import parse
from admit.service.session_policy import SessionPolicy, milliseconds
from tests.service.conftest import PASSWORD, MovableClock, Opener

SPREAD = milliseconds(Policy().key_reload + Policy().clock_skew)
ABSOLUTE = milliseconds(Policy().absolute)


def secrets(service: TokenService) -> token_secrets.Secrets:
    core = service._core
    return core.read(lambda tx: token_secrets.read(tx, core.master, core.policy))


def number_of(service: TokenService, token: str) -> int:
    """Which MAC key a refresh token is of."""
    macs = secrets(service).macs
    return next(number for number in macs if _reads(token, {number: macs[number]}))


def _reads(token: str, macs: dict[int, bytes]) -> bool:
    try:
        parse(token, macs)
    except InvalidGrant:
        return False
    return True


def test_a_new_key_is_used_once_every_process_accepts_it_and_old_tokens_go_on(
    opened: Opener, clock: MovableClock
) -> None:
    one, other = opened(clock=clock), opened(clock=clock)
    one.users.add("alice", PASSWORD)
    before = one.login("alice", PASSWORD)
    one.keys.rotate_mac()
    other._core.follower.look()  # as late as it may, by its own clock
    clock.forward(SPREAD - 1)
    one._core.follower.look()
    early = one.login("alice", PASSWORD)
    assert number_of(one, early.refresh_token) == 1
    clock.forward(1)
    one._core.follower._view.turns = 0.0  # type: ignore[union-attr]  # the monotonic clock is not the test's to move
    one._core.follower.look()
    late = one.login("alice", PASSWORD)
    assert number_of(one, late.refresh_token) == 2
    for pair in (before, early, late):
        assert other.refresh(pair.refresh_token).session_id == pair.session_id
        assert one.refresh(pair.refresh_token).session_id == pair.session_id


def test_a_process_turns_to_the_new_key_by_itself(opened: Opener, clock: MovableClock) -> None:
    policy = Policy(key_reload=timedelta(milliseconds=100), clock_skew=timedelta(milliseconds=100))
    service = opened(policy=policy)
    service.users.add("alice", PASSWORD)
    service.keys.rotate_mac()
    tokens = (service.login("alice", PASSWORD).refresh_token for _ in range(200))
    assert any(number_of(service, token) == 2 for token in tokens)


def test_a_sealed_successor_opens_across_the_change(opened: Opener, clock: MovableClock) -> None:
    service = opened(clock=clock)
    service.users.add("alice", PASSWORD)
    first = service.login("alice", PASSWORD).refresh_token
    second = service.refresh(first).refresh_token
    service.keys.rotate_mac()
    clock.forward(SPREAD)
    fresh = opened(clock=clock)
    assert secrets(fresh).current == 2
    assert fresh.refresh(first).refresh_token == second  # its answer was lost, and it was sealed under the old secret


def test_the_old_key_goes_when_no_live_session_can_hold_a_token_of_it(opened: Opener, clock: MovableClock) -> None:
    service = opened(clock=clock)
    service.users.add("alice", PASSWORD)
    service.keys.rotate_mac()
    clock.forward(2 * SPREAD)
    held = service.login("alice", PASSWORD)  # of a process that turned as late as it may
    forward = milliseconds(timedelta(days=15))
    token = held.refresh_token
    for _ in range(5):
        clock.forward(forward)
        token = service.refresh(token).refresh_token
        while service.keys.step():
            continue
        assert set(secrets(service).macs) == {1, 2}
    clock.forward(ABSOLUTE - 5 * forward - 1)
    while service.keys.step():
        continue
    assert set(secrets(service).macs) == {1, 2}
    clock.forward(1)
    while service.keys.step():
        continue
    left = secrets(service)
    assert (set(left.macs), set(left.seals), left.current) == ({2}, {2}, 2)
    with pytest.raises(InvalidGrant):
        service.refresh(token)
    again = service.login("alice", PASSWORD)
    assert service.refresh(again.refresh_token).session_id == again.session_id
    assert [event.event for event in service.audit(limit=500) if "mac" in event.event] == ["mac.rotated", "mac.retired"]


def test_a_session_that_an_earlier_setting_lets_live_longer_keeps_the_old_key(
    opened: Opener, clock: MovableClock
) -> None:
    long = opened(clock=clock, policy=Policy(idle=timedelta(days=300), absolute=timedelta(days=300)))
    long.users.add("alice", PASSWORD)
    pair = long.login("alice", PASSWORD)
    service = opened(clock=clock)
    service.keys.rotate_mac()
    clock.forward(milliseconds(timedelta(days=200)))
    while service.keys.step():
        continue
    assert set(secrets(service).macs) == {1, 2}
    assert service.refresh(pair.refresh_token).session_id == pair.session_id


def test_the_old_key_outlasts_the_longest_session_of_any_client_though_none_is_seen_to_live(
    opened: Opener, clock: MovableClock
) -> None:
    longer = timedelta(days=30)
    service = opened(clock=clock)
    policy = SessionPolicy(absolute=Policy().absolute + longer)
    service.clients.add("phone", grants=("password",), audiences=("orders",), policy=policy)
    service.keys.rotate_mac()
    clock.forward(2 * SPREAD + ABSOLUTE)
    while service.keys.step():
        continue
    assert set(secrets(service).macs) == {1, 2}
    clock.forward(milliseconds(longer))
    while service.keys.step():
        continue
    assert set(secrets(service).macs) == {2}
