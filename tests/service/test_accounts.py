"""Users: names, passwords, epochs."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher

from admit.errors import ConfigurationError, InvalidGrant, InvalidRequest
from admit.service.accounts import normalized
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from admit.service.passwords import Passwords
from admit.service.storage import Storage
from tests.service.conftest import PASSWORD, MovableClock, Opener

RIGHT = [
    (name, name)
    for name in ("\u05d0\u05d1", "\u0645\u0631\u064a\u0645", "\u05d0\u05d17", "\u05d0\u05b0", "한글", "กรุง")
]


@pytest.mark.parametrize(
    ("name", "normal"), [("Alice", "alice"), ("ＡＬＩＣＥ", "alice"), ("é", "é"), ("ÄÖ", "äö"), *RIGHT]
)
def test_a_name_has_one_spelling(name: str, normal: str) -> None:
    assert normalized(name) == normal
    assert normalized(normal) == normal


UNSEEN = [f"ali{chr(point)}ce" for point in (0x34F, 0x115F, 0x1160, 0x17B4, 0x180B, 0xFE0F, 0xE0101, 0x3164, 0xFFA0)]
TWO_WAYS = ["\u05d0alice", "alice\u05d0", "1\u05d0", "\u05d0-", "\u05d01\u0661", "\u0661"]


@pytest.mark.parametrize(
    "name", ["", "a b", "a\0b", "a\nb", "ﬁ", "a\u200bb", "x" * 256, "\ud800", "a\u202eb", *UNSEEN, *TWO_WAYS]
)
def test_what_cannot_be_a_name_is_nobody_at_login_and_refused_when_added(service: TokenService, name: str) -> None:
    with pytest.raises(InvalidRequest):
        service.users.add(name, PASSWORD)
    with pytest.raises(InvalidGrant):
        service.login(name, PASSWORD)


def test_a_name_can_be_taken_once(service: TokenService, alice: str) -> None:
    with pytest.raises(InvalidRequest):
        service.users.add("ALICE", "another password")
    assert [user.id for user in service.users.list()] == [alice]


def test_wrong_password_unknown_user_and_disabled_user_are_refused_alike(service: TokenService, alice: str) -> None:
    bob = service.users.add("bob", PASSWORD)
    service.users.disable(bob.id)
    answers = set()
    for name, password in (("alice", "wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD), ("alice", "")):
        with pytest.raises(InvalidGrant) as refused:
            service.login(name, password)
        answers.add((str(refused.value), refused.value.public, refused.value.code))
    assert len(answers) == 1


def test_an_unknown_user_costs_as_much_as_a_wrong_password(
    opened: Opener, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = opened(clock=clock)
    service.users.add("alice", PASSWORD)
    service.users.disable(service.users.add("bob", PASSWORD).id)
    work: list[str] = []
    verify, write = PasswordHasher.verify, Storage.write

    def verified(hasher: PasswordHasher, stored: str, password: bytes) -> bool:
        work.append("hash " + stored.rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, stored, password)

    def written(storage: Storage, *args: Any, **rest: Any) -> Any:
        work.append("commit")
        return write(storage, *args, **rest)

    monkeypatch.setattr(PasswordHasher, "verify", verified)
    monkeypatch.setattr(Storage, "write", written)
    costs = []
    for name in ("alice", "nobody", "bob", "not a name"):
        work.clear()
        with pytest.raises(InvalidGrant):
            service.login(name, "wrong password")
        costs.append(tuple(work))
    assert set(costs) == {("commit", "hash $argon2id$v=19$m=19456,t=2,p=1", "commit")}


def test_the_hash_of_nobody_has_the_parameters_of_everybody() -> None:
    for policy in (LoginPolicy(), LoginPolicy(argon2_memory=20480, argon2_passes=3, argon2_lanes=2)):
        passwords = Passwords(policy)
        assert not passwords.outdated(passwords.nobody)
        assert not passwords.check(None, PASSWORD)


def test_neither_nobody_nor_an_impossible_password_is_ever_right() -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    passwords = Passwords(LoginPolicy())
    passwords.nobody = hasher.hash(PASSWORD)
    assert not passwords.check(None, PASSWORD)
    assert not passwords.check(hasher.hash(b"\0"), "")


def test_a_hash_of_older_parameters_is_renewed_at_login(opened: Opener, clock: MovableClock) -> None:
    from sqlalchemy import select, update

    from admit.service.schema import users

    service = opened(clock=clock)
    service.users.add("alice", PASSWORD)
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    service._core.write(lambda tx: tx.execute(update(users).values(password_hash=weak)))
    service.login("alice", PASSWORD)
    stored = service._core.read(lambda tx: tx.execute(select(users.c.password_hash)).scalar_one())
    assert "m=19456,t=2,p=1" in stored
    service.login("alice", PASSWORD)


def test_a_short_password_is_refused_and_a_new_one_ends_every_session(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    with pytest.raises(InvalidRequest):
        service.users.set_password(alice, "short")
    assert len(service.sessions(alice)) == 1
    service.users.set_password(alice, "a longer password")
    assert service.sessions(alice) == []
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token)
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD)
    assert service.login("alice", "a longer password").sub == alice


def test_enabling_a_user_does_not_bring_old_sessions_back(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    service.users.disable(alice)
    service.users.enable(alice)
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token)
    service.login("alice", PASSWORD)


def test_nobody_can_be_disabled_enabled_or_given_a_password(service: TokenService) -> None:
    for change in (service.users.disable, service.users.enable, lambda sub: service.users.set_password(sub, PASSWORD)):
        for sub in ("nobody", "", "a\0b"):
            with pytest.raises(InvalidRequest):
                change(sub)
    service.logout_everywhere("nobody")
    assert service.users.list() == []


def test_users_of_an_own_table_are_not_changed_here(opened: Opener) -> None:
    class Own:
        def find(self, name: str) -> str | None:
            return "42"

        def check(self, sub: str | None, password: str) -> bool:
            return sub == "42"

    service = opened(users=Own())
    with pytest.raises(ConfigurationError):
        service.users.add("alice", PASSWORD)
    with pytest.raises(ConfigurationError):
        service.users.set_password("42", PASSWORD)
