"""Hashes made by real Django, Werkzeug and passlib, checked here, and replaced at the next login."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import django
import pytest
from django.conf import settings
from django.contrib.auth import hashers
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from werkzeug.security import generate_password_hash

from admit.errors import InvalidGrant, InvalidRequest
from admit.service import hashes, schema, throttle
from admit.service.facade import TokenService
from tests.helpers.ranks import APART, apart
from tests.service.conftest import PASSWORD, MovableClock, Opener

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from passlib import hash as passlib

SPOKEN = "pässword ünder two"


class FastPBKDF2(hashers.PBKDF2PasswordHasher):  # type: ignore[misc]
    """Django's own, with few rounds: their number stands in the hash."""

    iterations = 1000


class FastSHA1(hashers.PBKDF2SHA1PasswordHasher):  # type: ignore[misc]
    iterations = 1000


class FastBcrypt(hashers.BCryptPasswordHasher):  # type: ignore[misc]
    rounds = 4


class FastBcryptSHA256(hashers.BCryptSHA256PasswordHasher):  # type: ignore[misc]
    rounds = 4


class FastArgon2(hashers.Argon2PasswordHasher):  # type: ignore[misc]
    time_cost, memory_cost, parallelism = 1, 1024, 1


class FastScrypt(hashers.ScryptPasswordHasher):  # type: ignore[misc]
    work_factor = 2**10


def by_django(hasher: hashers.BasePasswordHasher) -> Callable[[str], str]:
    def make(password: str) -> str:
        if not settings.configured:
            settings.configure()
            django.setup()
        return str(hasher.encode(password, hasher.salt()))

    return make


MADE: dict[str, Callable[[str], str]] = {
    "Django pbkdf2_sha256": by_django(FastPBKDF2()),
    "Django pbkdf2_sha1": by_django(FastSHA1()),
    "Django argon2": by_django(FastArgon2()),
    "Django bcrypt": by_django(FastBcrypt()),
    "Django bcrypt_sha256": by_django(FastBcryptSHA256()),
    "Django scrypt": by_django(FastScrypt()),
    "Werkzeug pbkdf2:sha256": lambda password: generate_password_hash(password, "pbkdf2:sha256:1000"),
    "Werkzeug pbkdf2:sha512": lambda password: generate_password_hash(password, "pbkdf2:sha512:1000"),
    "Werkzeug scrypt": lambda password: generate_password_hash(password, "scrypt:1024:8:1"),
    "passlib pbkdf2_sha1": lambda password: passlib.pbkdf2_sha1.using(rounds=1000).hash(password),
    "passlib pbkdf2_sha256": lambda password: passlib.pbkdf2_sha256.using(rounds=1000).hash(password),
    "passlib pbkdf2_sha512": lambda password: passlib.pbkdf2_sha512.using(rounds=1000).hash(password),
    "passlib bcrypt": lambda password: passlib.bcrypt.using(rounds=4).hash(password),
    "passlib bcrypt_sha256": lambda password: passlib.bcrypt_sha256.using(rounds=4).hash(password),
    "passlib bcrypt_sha256 v1": lambda password: passlib.bcrypt_sha256.using(rounds=4, version=1).hash(password),
    "passlib scrypt": lambda password: passlib.scrypt.using(rounds=10).hash(password),
    "passlib argon2": lambda password: passlib.argon2.using(rounds=1, memory_cost=1024).hash(password),
}


@pytest.mark.parametrize("source", MADE)
def test_a_hash_made_elsewhere_opens_with_its_password_only(source: str) -> None:
    stored = hashes.usable(MADE[source](SPOKEN))
    assert hashes.check(stored, SPOKEN)
    for wrong in (SPOKEN + "x", SPOKEN[:-1], "", SPOKEN.upper(), "\0", "\ud800", SPOKEN * 1000):
        assert not hashes.check(stored, wrong)
    assert hashes.usable(stored) == stored


@pytest.mark.parametrize("source", ["Django pbkdf2_sha256", "Werkzeug scrypt", "passlib bcrypt", "Django argon2"])
def test_the_first_login_makes_it_argon2id_and_the_password_stays(
    opened: Opener, clock: MovableClock, source: str
) -> None:
    service = opened(clock=clock)
    user = service.users.add("dora", password_hash=MADE[source](SPOKEN))
    with pytest.raises(InvalidGrant):
        service.login("dora", "another password")
    assert not stored_of(service).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert service.login("dora", SPOKEN).sub == user.id
    assert stored_of(service).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert service.login("dora", SPOKEN).sub == user.id


def test_a_right_password_of_a_disabled_user_renews_nothing(service: TokenService) -> None:
    user = service.users.add("dora", password_hash=MADE["passlib bcrypt"](SPOKEN))
    service.users.disable(user.id)
    before = stored_of(service)
    with pytest.raises(InvalidGrant):
        service.login("dora", SPOKEN)
    assert stored_of(service) == before


def test_a_long_password_that_bcrypt_cut_off_still_opens_and_then_counts_whole(service: TokenService) -> None:
    long = "correct horse battery staple " * 4
    service.users.add("dora", password_hash=passlib.bcrypt.using(rounds=4).hash(long.encode()[:72]))
    service.login("dora", long)
    with pytest.raises(InvalidGrant):
        service.login("dora", long[:72])


B = "$2b$12$aZbALlovZOkIsp9Jo/StM.j8lMk0CvWMGGi./MiVeBf6Uu0vq7XMy"


@pytest.mark.parametrize(
    "refused",
    [
        "",
        "hunter2",
        "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
        "pbkdf2_sha256$2000001$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$999999999$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$1000$salt$" + "A" * 42,
        "pbkdf2:sha256:10000000$salt$" + "0" * 64,
        "pbkdf2:md5:1000$salt$" + "0" * 32,
        "pbkdf2:sha256:1000$salt$" + "0" * 63,
        "$pbkdf2-sha256$2000001$c2FsdA$" + "A" * 43,
        "pbkdf2_sha256$1000$salt$" + "AA==",
        "$pbkdf2-sha256$1000$c2FsdA$" + "AA",
        "scrypt$1024$salt$8$1$" + "AA==",
        "$scrypt$ln=10,r=8,p=1$c2FsdA$" + "AA",
        B.replace("$12$", "$16$"),
        B.replace("$12$", "$31$"),
        B[:-1],
        "scrypt:1048576:8:1$salt$" + "0" * 128,
        "scrypt:32768:8:999$salt$" + "0" * 128,
        "$scrypt$ln=99,r=8,p=1$c2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2id$v=19$m=65536,t=999,p=1$c2FsdHNhbHQ$" + "A" * 43,
        B + "\n",
    ],
)
def test_an_unknown_a_damaged_and_an_expensive_hash_is_refused_at_import_and_never_worked_through(
    service: TokenService, refused: str
) -> None:
    with pytest.raises(InvalidRequest):
        service.users.add("dora", password_hash=refused)
    begun = time.process_time()
    assert not hashes.check(refused, PASSWORD)
    assert time.process_time() - begun < 0.5
    assert service.users.list() == []


def test_a_user_has_a_password_or_a_hash(service: TokenService) -> None:
    for given_ in ({}, {"password": PASSWORD, "password_hash": B}):
        with pytest.raises(InvalidRequest):
            service.users.add("dora", **given_)


@given(st.text(alphabet="$:=,./+2abdixypbkdf_sha256crgonmtlv0919AZ", max_size=120))
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    try:
        hashes.usable(text)
    except InvalidRequest:
        return


def test_who_does_not_exist_takes_the_time_of_somebody_who_does_and_of_the_same_one_each_time(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the users have an imported hash: half of those who do not exist take its time, too."""
    for index in range(40):
        service.users.add(
            f"user{index}", password_hash=MADE["passlib bcrypt" if index % 2 else "Django scrypt"]("x" * 15)
        )
    seen: list[str] = []

    def check(stored: str | None, password: str) -> bool:
        seen.append("" if stored is None else stored[:6])
        return False

    monkeypatch.setattr(service._core.passwords, "check", check)
    for name in ("nobody", "NOBODY", "ＮＯＢＯＤＹ"):
        with pytest.raises(InvalidGrant):
            service.login(name, PASSWORD)
    assert len(set(seen)) == 1
    seen.clear()
    for index in range(60):
        decoy = throttle.digest(service._core, "decoy", f"nobody{index}")
        assert not service._core.users.judge(None, PASSWORD, decoy=decoy, renew=True)  # type: ignore[attr-defined]
    assert all(sum(each == kind for each in seen) >= 8 for kind in ("$2b$04", "scrypt"))


def test_the_time_does_not_tell_who_exists_among_users_with_imported_hashes(
    opened: Opener, clock: MovableClock
) -> None:
    """Two schemes, far apart in time; every name is asked for once, since its time is always the same."""
    service = opened(clock=clock)
    slow, fast = passlib.bcrypt.using(rounds=8).hash(SPOKEN), MADE["passlib pbkdf2_sha256"](SPOKEN)
    for index in range(30):
        service.users.add(f"user{index}", password_hash=slow if index % 2 else fast)
    times: dict[str, list[float]] = {"user": [], "nobody": []}
    for index in range(30):
        for kind in times if index % 2 else reversed(times):
            begun = time.perf_counter()
            with pytest.raises(InvalidGrant):
                service.login(f"{kind}{index}", "a guess", address=f"10.0.{index}.1")
            times[kind].append(time.perf_counter() - begun)
    assert apart(*times.values()) < APART


def stored_of(service: TokenService) -> str:
    return str(service._core.read(lambda tx: tx.execute(select(schema.users.c.password_hash)).scalar_one()))
