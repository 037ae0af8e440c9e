"""Keys of a service: standby, rotation, emergency, at rest."""

from __future__ import annotations

import sqlite3
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest

from admit import Key, KeySet, Verifier, peek
from admit.errors import (
    ConfigurationError,
    InvalidGrant,
    InvalidKey,
    InvalidRequest,
    KeysUnavailable,
    RevokedToken,
    StorageUnavailable,
    UnknownKey,
)
from admit.jose.encoding import b64url_decode
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from admit.tokens.revocation import Page, digest
from tests.service.conftest import MASTER, PASSWORD, MovableClock, Opener

_RETIRED_AFTER = Policy().key_reload + 2 * Policy().clock_skew + Policy().leeway + Policy().access_lifetime


def _states(service: TokenService) -> list[str]:
    return [key.state for key in service.keys.list() if key.use == "access"]


def test_a_standby_is_published_from_the_first_moment(service: TokenService) -> None:
    assert _states(service) == ["active", "pending"]
    assert len(service.jwks()["keys"]) == 2


def test_after_a_rotation_old_tokens_pass_and_new_ones_carry_the_standbys_kid(
    service: TokenService, alice: str
) -> None:
    door = service.verifier()
    old = service.login("alice", PASSWORD)
    standby = next(key.kid for key in service.keys.list() if key.use == "access" and key.state == "pending")
    assert service.keys.rotate().kid == standby
    assert door.verify(service.login("alice", PASSWORD).access_token).kid == standby
    door.verify(old.access_token)
    assert _states(service) == ["retiring", "active", "pending"]


def test_a_second_rotation_waits_for_the_young_standby_unless_forced(
    service: TokenService, clock: MovableClock
) -> None:
    clock.forward(1)
    service.keys.rotate()
    wait = milliseconds(Policy().key_published)
    clock.forward(wait - 1)
    with pytest.raises(KeysUnavailable) as early:
        service.keys.rotate()
    assert early.value.retry_after == 1
    clock.forward(1)
    service.keys.rotate()
    service.keys.rotate(force=True)
    assert _states(service) == ["retiring", "retiring", "retiring", "active", "pending"]


def test_in_haste_the_standby_that_verifiers_hold_goes_before_a_key_that_was_just_taken_in(
    service: TokenService, clock: MovableClock
) -> None:
    standby = next(key.kid for key in service.keys.list() if key.use == "access" and key.state == "pending")
    clock.forward(1)
    service.keys.add(Key.generate("ES256", kid="from-before"))
    with pytest.raises(KeysUnavailable):
        service.keys.rotate()
    assert service.keys.rotate(force=True).kid == standby
    clock.forward(milliseconds(Policy().key_published))
    assert service.keys.rotate(force=True).kid == "from-before"


def test_keys_rotate_and_retire_by_themselves_one_step_a_run(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    assert service.keys.step() is False
    clock.forward(milliseconds(Policy().key_lifetime))
    for _ in range(4):  # both uses: rotate, add a standby
        assert service.keys.step() is True
    assert service.keys.step() is False
    assert _states(service) == ["retiring", "active", "pending"]
    clock.forward(milliseconds(_RETIRED_AFTER) - 1)
    assert service.keys.step() is False
    clock.forward(1)
    assert service.keys.step() is True
    assert _states(service)[0] == "retired"
    assert len(service.jwks()["keys"]) == 2


def test_a_revoked_keys_tokens_are_refused_for_good_and_its_successor_signs(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    door = service.verifier()
    old = service.login("alice", PASSWORD)
    kid = door.verify(old.access_token).kid
    service.keys.revoke(kid)
    with pytest.raises((RevokedToken, UnknownKey)):
        door.verify(old.access_token)
    assert door.verify(service.login("alice", PASSWORD).access_token).kid != kid
    assert _states(service) == ["revoked", "active", "pending"]
    clock.forward(milliseconds(Policy().absolute) * 10)
    service.cleanup()
    from admit.service import revocation

    assert [entry.kind for entry in service._core.read(lambda tx: revocation.entries_after(tx, 0))] == ["kid"]


@pytest.mark.parametrize("state", ["pending", "retiring", "active"])
def test_a_key_can_be_revoked_in_any_state_and_leaves_a_working_service(
    service: TokenService, alice: str, state: str
) -> None:
    service.keys.rotate()
    kid = next(key.kid for key in service.keys.list() if key.use == "access" and key.state == state)
    service.keys.revoke(kid)
    service.keys.revoke(kid)
    assert kid not in {key["kid"] for key in service.jwks()["keys"]}
    assert _states(service).count("active") == _states(service).count("pending") == 1
    service.verifier().verify(service.login("alice", PASSWORD).access_token)
    with pytest.raises(InvalidRequest):
        service.keys.revoke("nobody's")


def test_private_halves_are_wrapped_and_destroyed_when_a_key_stops_signing(service: TokenService, url: str) -> None:
    service.keys.rotate()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = dict(connection.execute("SELECT state, private FROM admit_keys WHERE use = 'access'").fetchall())
        publics = [public for (public,) in connection.execute("SELECT public FROM admit_keys")]
    connection.close()
    assert rows["retiring"] is None
    assert rows["active"] is not None
    assert b'"d"' not in rows["active"]
    assert all('"d"' not in public for public in publics)


def test_a_wrong_master_key_is_a_clear_error(opened: Opener) -> None:
    opened()
    with pytest.raises(ConfigurationError, match="master key"):
        opened(master_key=bytes(32))


def test_the_master_key_file_is_made_once_for_its_owner_alone(opened: Opener, tmp_path: Path) -> None:
    opened(master_key=None)
    path = tmp_path / "auth.db.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    opened(master_key=None)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.glob("auth.db.key*")] == ["auth.db.key"]  # no draft beside it


def test_a_master_key_is_never_made_up_beside_a_database_that_holds_secrets(opened: Opener, tmp_path: Path) -> None:
    opened()
    with pytest.raises(ConfigurationError, match="not there"):
        opened(master_key=None)
    assert not (tmp_path / "auth.db.key").exists()
    with pytest.raises(ConfigurationError, match="not there"):
        opened(master_key=tmp_path / "elsewhere.key")


def test_a_service_does_not_sign_with_a_shared_secret(opened: Opener) -> None:
    with pytest.raises(ConfigurationError):
        opened(algorithm="HS256")


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256"])
def test_a_service_signs_with_any_key_pair(opened: Opener, algorithm: str) -> None:
    service = opened(algorithm=algorithm)
    service.users.add("alice", PASSWORD)
    service.verifier().verify(service.login("alice", PASSWORD).access_token)


def test_two_services_that_start_together_agree_on_the_keys(opened: Opener) -> None:
    one, other = opened(master_key=MASTER), opened(master_key=MASTER)
    assert one.jwks() == other.jwks()
    one.users.add("alice", PASSWORD)
    token = one.login("alice", PASSWORD)
    other.verifier().verify(token.access_token)
    assert other.refresh(token.refresh_token).session_id == token.session_id


def test_a_rotation_missed_for_months_is_made_up_for_step_by_step(opened: Opener, clock: MovableClock) -> None:
    before = opened(clock=clock)
    before.users.add("alice", PASSWORD)
    pair = before.login("alice", PASSWORD)
    held = KeySet.from_jwks(before.jwks(), algorithms=("ES256",))  # by a verifier, from just before the end
    before.close()
    clock.forward(milliseconds(Policy().key_lifetime) * 5 // 2)
    service = opened(clock=clock)
    door = service.verifier(audience=("orders", "billing"))
    session = service.users.add("bob", PASSWORD)
    seen: list[str] = []
    for _ in range(20):
        for published in (held, KeySet.from_jwks(service.jwks(), algorithms=("ES256",))):
            token = service.login("bob", PASSWORD).access_token
            Verifier(published, issuer=service.issuer, audience="orders", clock=clock).verify(token)
        door.verify(token)
        if not service.keys.step():
            break
        seen = _states(service)
    assert seen == ["retiring", "active", "pending"]
    assert service.sessions(session.id)
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token)  # 75 days unused: its own limit, no matter of keys
    for _ in range(3):
        clock.forward(milliseconds(Policy().key_lifetime) - 60_000)  # a process that wakes up now and then is in time
        while service.keys.step():
            continue
    clock.forward(milliseconds(Policy().key_published))
    assert _states(service)[-2:] == ["active", "pending"]
    assert _states(service)[0] == "retired"


def test_a_revoked_feed_key_leaves_a_feed_that_verifiers_believe(service: TokenService) -> None:
    for state in ("active", "pending", "active"):
        kid = next(key.kid for key in service.keys.list() if key.use == "feed" and key.state == state)
        held = KeySet.from_jwks(service.feed_jwks(), algorithms=("ES256",))
        service.keys.revoke(kid)
        page = service.feed()
        assert peek(page).header["kid"] != kid
        if state == "active":  # the standby signs, which every verifier holds
            read = Page.read(page.encode(), held, service.issuer)
            assert digest("kid", kid) in {b64url_decode(entry.digest.encode()) for entry in read.entries}
        assert kid not in {key["kid"] for key in service.feed_jwks()["keys"]}
        states = [key.state for key in service.keys.list() if key.use == "feed"]
        assert (states.count("active"), states.count("pending")) == (1, 1)


def test_a_key_made_elsewhere_signs_next_and_the_standby_after_it(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    clock.forward(1)
    generated = next(key.kid for key in service.keys.list() if key.use == "access" and key.state == "pending")
    key = Key.generate("ES256", kid="from-before")
    assert service.keys.add(key).state == "pending"
    assert service.jwks()["keys"][-1] == key.to_jwk()
    with pytest.raises(KeysUnavailable):
        service.keys.rotate()
    clock.forward(milliseconds(Policy().key_published))
    assert service.keys.rotate().kid == "from-before"
    token = service.login("alice", PASSWORD).access_token
    Verifier(KeySet([key.public()]), issuer=service.issuer, audience="orders", clock=clock).verify(token)
    assert _states(service) == ["retiring", "pending", "active"]
    assert service.keys.rotate().kid == generated  # in every JWKS since long before


def test_in_an_emergency_the_standby_that_most_verifiers_hold_signs_not_the_one_just_taken_in(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    clock.forward(1)
    keys = {key.state: key.kid for key in service.keys.list() if key.use == "access"}
    service.keys.add(Key.generate("ES256", kid="from-before"))
    service.keys.revoke(keys["active"])
    assert peek(service.login("alice", PASSWORD).access_token).header["kid"] == keys["pending"]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (Key.generate("ES384"), "signs with ES256"),
        (Key.generate("ES256").public(), "private key"),
        (Key.generate("HS256"), "private key"),
        (Key.generate("ECDH-ES"), "private key"),
        ("-----BEGIN PRIVATE KEY-----", "private key"),
    ],
)
def test_a_key_that_could_not_sign_here_is_not_taken_in(service: TokenService, key: Key, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        service.keys.add(key)
    assert _states(service) == ["active", "pending"]


def test_a_key_that_is_known_is_not_taken_in_again_under_any_name_or_after_its_end(service: TokenService) -> None:
    key = Key.generate("ES256", kid="once")
    service.keys.add(key)
    service.keys.revoke("once")
    again = key.to_jwk(private=True) | {"kid": "twice"}
    for known in (key, Key.from_jwk(again)):
        with pytest.raises(InvalidRequest, match=r"already|known"):
            service.keys.add(known)
    other = Key.generate("ES256", kid="once")
    with pytest.raises(InvalidRequest, match="kid already"):
        service.keys.add(other)


def test_a_key_limited_to_verifying_is_not_taken_in(service: TokenService) -> None:
    limited = Key.from_jwk(Key.generate("ES256").to_jwk(private=True) | {"key_ops": ["verify"]})
    with pytest.raises(InvalidKey):
        service.keys.add(limited)


def test_a_key_that_may_only_sign_is_taken_in_and_published_for_verifying(
    service: TokenService, clock: MovableClock
) -> None:
    """As a browser's WebCrypto exports it."""
    key = Key.from_jwk(Key.generate("ES256", kid="from-before").to_jwk(private=True) | {"key_ops": ["sign"]})
    clock.forward(1)
    service.users.add("alice", PASSWORD)
    service.keys.add(key)
    clock.forward(milliseconds(Policy().key_published))
    service.keys.rotate()
    token = service.login("alice", PASSWORD).access_token
    assert peek(token).header["kid"] == "from-before"
    keys = KeySet.from_jwks(service.jwks())
    Verifier(keys, issuer=service.issuer, audience="orders", clock=clock).verify(token)
    service.verifier().verify(token)


def test_the_list_says_when_what_is_next(service: TokenService, clock: MovableClock) -> None:
    def ahead() -> list[tuple[str, str | None, float | None]]:
        rows = [key for key in service.keys.list() if key.use == "access"]
        return [(key.state, key.next_state, None if key.next_at is None else key.next_at - clock()) for key in rows]

    life = Policy().key_lifetime.total_seconds()
    assert ahead() == [("active", "retiring", life), ("pending", "active", life)]
    clock.forward(1000)
    service.keys.rotate()
    assert ahead()[0] == ("retiring", "retired", _RETIRED_AFTER.total_seconds())
    service.keys.revoke(service.keys.list()[0].kid)
    assert ahead()[0] == ("revoked", None, None)
    for _, _, at in ahead()[1:]:
        assert at == life


def test_a_jwks_is_never_handed_out_from_a_view_older_than_the_reload_interval(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = opened(policy=Policy(key_reload=timedelta(milliseconds=1)))
    service._core.follower.close()  # as if its thread hung

    def away(query: object) -> None:
        raise StorageUnavailable("the database is away")

    monkeypatch.setattr(service._storage, "read", away)
    time.sleep(0.01)
    with pytest.raises(StorageUnavailable):
        service.jwks()


def test_a_jwks_is_good_for_no_longer_than_every_key_in_it_is_published_before_it_signs() -> None:
    assert Policy().jwks_max_age == 300
    short = Policy(key_published=timedelta(seconds=100))
    assert short.jwks_max_age == 10
    with pytest.raises(ConfigurationError, match="key_published"):
        Policy(key_published=timedelta(seconds=90))
