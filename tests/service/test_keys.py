"""Keys of a service: standby, rotation, emergency, at rest."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from admit.errors import ConfigurationError, InvalidRequest, KeysUnavailable, RevokedToken, UnknownKey
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from tests.service.conftest import MASTER, PASSWORD, MovableClock, Opener

_RETIRED_AFTER = Policy().key_reload + Policy().clock_skew + Policy().leeway + Policy().access_lifetime


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
    assert sorted(os.listdir(tmp_path))[-1] == "auth.db.key" or "auth.db.key" in os.listdir(tmp_path)


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
