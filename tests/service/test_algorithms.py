"""Several algorithms side by side: chosen by audience, published before they sign, and given up."""

from __future__ import annotations

import pytest

from admit import KeySet, Verifier, peek
from admit.errors import ConfigurationError, InvalidRequest, RevokedToken, UnknownKey, UnsupportedAlgorithm
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from tests.service.conftest import PASSWORD, MovableClock, Opener

PUBLISHED = milliseconds(Policy().key_published)
LIFETIME = milliseconds(Policy().key_lifetime)


def alg_for(service: TokenService, audience: str) -> object:
    return peek(service.login("alice", PASSWORD, audience=audience).access_token).header["alg"]


def states(service: TokenService, alg: str) -> list[str]:
    return [key.state for key in service.keys.list() if (key.use, key.alg) == ("access", alg)]


def stepped(service: TokenService) -> int:
    """How many steps were due."""
    return next(count for count in range(100) if not service.keys.step())


def test_each_audience_has_its_algorithm_and_all_stand_in_one_jwks_with_a_standby_each(
    opened: Opener, clock: MovableClock
) -> None:
    service = opened(algorithms={"billing": "Ed25519"}, clock=clock)
    service.users.add("alice", PASSWORD)
    assert (alg_for(service, "orders"), alg_for(service, "billing")) == ("ES256", "Ed25519")
    assert sorted(key["alg"] for key in service.jwks()["keys"]) == ["ES256", "ES256", "Ed25519", "Ed25519"]
    assert [key["alg"] for key in service.feed_jwks()["keys"]] == ["ES256", "ES256"]
    feed = {key["kid"] for key in service.feed_jwks()["keys"]}
    assert feed.isdisjoint(key["kid"] for key in service.jwks()["keys"])
    for audience in ("orders", "billing"):
        service.verifier(audience=audience).verify(service.login("alice", PASSWORD, audience=audience).access_token)


def test_an_algorithm_that_is_added_signs_once_every_verifier_can_hold_its_key(
    opened: Opener, clock: MovableClock
) -> None:
    opened(clock=clock).users.add("alice", PASSWORD)
    clock.forward(1)
    service = opened(clock=clock, algorithms={"billing": "Ed25519"})
    assert stepped(service) == 1
    before = KeySet.from_jwks(service.jwks(), algorithms=("ES256", "Ed25519"))
    assert states(service, "Ed25519") == ["pending"]
    clock.forward(PUBLISHED - 1)
    assert stepped(service) == 0
    assert alg_for(service, "billing") == "ES256"  # what its verifiers got until now
    clock.forward(1)
    assert stepped(service) == 2
    assert states(service, "Ed25519") == ["active", "pending"]
    token = service.login("alice", PASSWORD, audience="billing").access_token
    assert peek(token).header["alg"] == "Ed25519"
    Verifier(before, issuer=service.issuer, audience="billing", clock=clock).verify(token)
    assert alg_for(service, "orders") == "ES256"


def test_another_default_takes_over_without_a_gap(opened: Opener, clock: MovableClock) -> None:
    old = opened(clock=clock)
    old.users.add("alice", PASSWORD)
    new = opened(clock=clock, algorithm="Ed25519")
    stepped(new)
    assert alg_for(new, "orders") == "ES256"
    clock.forward(PUBLISHED)
    stepped(new)
    assert alg_for(new, "orders") == "Ed25519"
    assert alg_for(old, "orders") == "ES256"  # a process that was not restarted yet
    stepped(old)
    assert states(new, "ES256") == ["active", "pending"]
    assert states(new, "Ed25519") == ["active", "pending"]


def test_an_algorithm_that_nobody_signs_with_goes_when_its_rotation_is_overdue(
    opened: Opener, clock: MovableClock
) -> None:
    opened(clock=clock, algorithms={"billing": "Ed25519"}).users.add("alice", PASSWORD)
    service = opened(clock=clock)
    clock.forward(LIFETIME)
    stepped(service)
    assert states(service, "Ed25519") == ["active", "pending"]  # somebody else may yet rotate it
    clock.forward(PUBLISHED - 1)
    stepped(service)
    assert states(service, "Ed25519") == ["active", "pending"]
    clock.forward(1)
    stepped(service)
    assert states(service, "Ed25519") == ["retiring", "retired"]
    clock.forward(LIFETIME // 2)
    stepped(service)
    assert states(service, "Ed25519") == ["retired", "retired"]
    assert {key["alg"] for key in service.jwks()["keys"]} == {"ES256"}


def test_a_process_that_still_wants_an_algorithm_keeps_it(opened: Opener, clock: MovableClock) -> None:
    both, one = opened(clock=clock, algorithms={"billing": "Ed25519"}), opened(clock=clock)
    both.users.add("alice", PASSWORD)
    for _ in range(40):
        clock.forward(LIFETIME // 10)
        stepped(both)
        assert states(one, "Ed25519")[-2:] == ["active", "pending"]
        stepped(one)
    ended = [event.event for event in both.audit(limit=10_000)]
    assert "key.stop" not in ended
    assert "key.withdraw" not in ended


def test_a_standby_that_another_process_just_added_is_left_alone(opened: Opener, clock: MovableClock) -> None:
    old = opened(clock=clock)
    new = opened(clock=clock, algorithms={"billing": "Ed25519"})
    stepped(new)
    clock.forward(PUBLISHED // 2)
    assert stepped(old) == 0
    assert states(new, "Ed25519") == ["pending"]


def test_an_algorithm_can_be_given_up_at_once(opened: Opener, clock: MovableClock) -> None:
    both = opened(clock=clock, algorithms={"billing": "Ed25519"})
    both.users.add("alice", PASSWORD)
    token = both.login("alice", PASSWORD, audience="billing").access_token
    with pytest.raises(InvalidRequest, match="set to sign"):
        both.keys.retire("Ed25519")
    service = opened(clock=clock)
    service.keys.retire("Ed25519")
    assert states(service, "Ed25519") == ["retiring", "retired"]
    service.verifier(audience="billing").verify(token)
    with pytest.raises(InvalidRequest, match="no Ed25519"):
        service.keys.retire("Ed25519")
    other = opened(clock=clock, algorithm="ES384")
    with pytest.raises(InvalidRequest, match="nothing but ES256"):
        other.keys.retire("ES256")


def test_a_new_algorithm_whose_standby_is_revoked_waits_its_time_with_the_next_one(
    opened: Opener, clock: MovableClock
) -> None:
    opened(clock=clock).users.add("alice", PASSWORD)
    service = opened(clock=clock, algorithms={"billing": "Ed25519"})
    stepped(service)
    (first,) = [key.kid for key in service.keys.list() if key.alg == "Ed25519"]
    clock.forward(PUBLISHED - 1)
    service.keys.revoke(first)
    stepped(service)
    clock.forward(1)
    stepped(service)
    assert states(service, "Ed25519") == ["revoked", "pending"]
    assert alg_for(service, "billing") == "ES256"
    clock.forward(PUBLISHED)
    stepped(service)
    assert alg_for(service, "billing") == "Ed25519"


def test_an_emergency_in_one_algorithm_leaves_the_other_alone(opened: Opener, clock: MovableClock) -> None:
    service = opened(clock=clock, algorithms={"billing": "Ed25519"})
    service.users.add("alice", PASSWORD)
    tokens = {name: service.login("alice", PASSWORD, audience=name).access_token for name in ("orders", "billing")}
    service.keys.revoke(str(peek(tokens["billing"]).header["kid"]))
    door = service.verifier()
    door.verify(tokens["orders"])
    with pytest.raises((RevokedToken, UnknownKey)):
        door.verify(tokens["billing"])
    assert alg_for(service, "billing") == "Ed25519"  # by the standby, which verifiers hold


def test_a_further_algorithm_is_rotated_by_name(opened: Opener, clock: MovableClock) -> None:
    service = opened(clock=clock, algorithms={"billing": "Ed25519"})
    assert service.keys.rotate("Ed25519").alg == "Ed25519"
    assert states(service, "Ed25519") == ["retiring", "active", "pending"]
    assert states(service, "ES256") == ["active", "pending"]


@pytest.mark.parametrize("algorithms", [{"billing": "HS256"}, {"billing": "none"}, {"": "ES256"}])
def test_what_is_no_algorithm_for_an_audience_is_refused(opened: Opener, algorithms: dict[str, str]) -> None:
    with pytest.raises((ConfigurationError, UnsupportedAlgorithm)):
        opened(algorithms=algorithms)
