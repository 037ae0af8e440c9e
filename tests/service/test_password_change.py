"""A user's own change of password."""

from __future__ import annotations

import pytest

from admit.errors import ConfigurationError, InvalidGrant, InvalidRequest, InvalidToken, TooManyRequests
from admit.service.common_passwords import is_common
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from tests.service.conftest import PASSWORD, MovableClock, Opener

NEW = "a staple of horses"


def test_the_old_password_is_needed_and_every_session_ends(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD)
    with pytest.raises(InvalidGrant):
        service.change_password(alice, "not the password", NEW)
    service.refresh(pair.refresh_token)
    service.change_password(alice, PASSWORD, NEW)
    assert service.sessions(alice) == []
    with pytest.raises(InvalidGrant):
        service.refresh(pair.refresh_token)
    with pytest.raises(InvalidToken):
        service.verifier().verify(pair.access_token)
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD)
    assert service.login("alice", NEW).sub == alice
    assert [each.event for each in service.audit(sub=alice) if "password" in each.event] == [
        "user.password_refused",
        "user.password",
    ]


def test_the_old_password_written_in_another_way_is_no_new_one(service: TokenService) -> None:
    sub = service.users.add("dora", "pr\u00e9s de la fontaine").id
    with pytest.raises(InvalidRequest, match="is the old one"):
        service.change_password(sub, "pr\u00e9s de la fontaine", "pre\u0301s de la fontaine")


def test_who_is_cut_off_while_changing_the_password_does_not_change_it(
    service: TokenService, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = service._core.passwords.check

    def cut_off(stored: str | None, password: str) -> bool:
        right = judge(stored, password)
        service.logout_everywhere(alice)
        return right

    monkeypatch.setattr(service._core.passwords, "check", cut_off)
    with pytest.raises(InvalidGrant):
        service.change_password(alice, PASSWORD, NEW)
    monkeypatch.undo()
    assert service.login("alice", PASSWORD).sub == alice


def test_guessing_the_old_password_is_slowed(service: TokenService, alice: str) -> None:
    for _ in range(10):
        with pytest.raises(InvalidGrant):
            service.change_password(alice, "not the password", NEW, address="192.0.2.1")
    with pytest.raises(TooManyRequests):
        service.change_password(alice, PASSWORD, NEW, address="192.0.2.1")


def test_a_new_password_that_cannot_be_is_no_guess_at_the_old_one(service: TokenService, alice: str) -> None:
    for new in (PASSWORD, "fourteen chars"):
        for _ in range(20):
            with pytest.raises(InvalidRequest):
                service.change_password(alice, PASSWORD, new, address="192.0.2.1")
    service.change_password(alice, PASSWORD, NEW, address="192.0.2.1")


@pytest.mark.parametrize(
    "poor", ["", "fourteen chars", PASSWORD, "p" * 15, "passwordpassword", "qwerty123456789", "x\0" * 10, "x" * 1025]
)
def test_a_poor_new_password_changes_nothing(service: TokenService, alice: str, poor: str) -> None:
    with pytest.raises(InvalidRequest):
        service.change_password(alice, PASSWORD, poor)
    service.login("alice", PASSWORD)


def test_the_users_own_name_is_no_password(service: TokenService) -> None:
    with pytest.raises(InvalidRequest):
        service.users.add("alexandra.smith", "Alexandra.Smith")
    with pytest.raises(InvalidRequest):
        service.users.add("alexandra", "alexandraalexandra")


def test_the_length_is_a_setting_and_old_passwords_still_open(opened: Opener, clock: MovableClock) -> None:
    short = opened(clock=clock, logins=LoginPolicy(password_length=8))
    short.users.add("alice", "8 chars.")
    with pytest.raises(InvalidRequest):
        short.users.add("bob", "iloveyou")  # among the most common ones
    opened(clock=clock).login("alice", "8 chars.")


def test_long_passphrases_in_any_alphabet_are_good(service: TokenService) -> None:
    for index, good in enumerate(("пароль из многих слов", "a" * 40 + "b" * 41 + "c" * 43, "🐎🔋📎 correct horse")):
        service.users.add(f"user{index}", good)
        service.login(f"user{index}", good)


def test_nobody_and_the_disabled_change_nothing(service: TokenService, alice: str) -> None:
    service.users.disable(alice)
    for sub in (alice, "nobody", "", "a\0b"):
        with pytest.raises(InvalidGrant):
            service.change_password(sub, PASSWORD, NEW)


def test_users_of_an_own_table_are_changed_there(opened: Opener) -> None:
    class Own:
        def find(self, name: str) -> str | None:
            return "42"

        def check(self, sub: str | None, password: str) -> bool:
            return sub == "42"

    with pytest.raises(ConfigurationError):
        opened(users=Own()).change_password("42", PASSWORD, NEW)


@pytest.mark.parametrize(
    ("password", "common"),
    [
        ("password", True),
        ("PassWord", True),
        ("123123123123123", True),
        ("correct horse", False),
        ("password of mine", False),
        ("", True),
    ],
)
def test_what_is_common_is_the_whole_password(password: str, common: bool) -> None:
    assert is_common(password, None) is common
