"""The second factor: codes by time, used up; recovery codes; throttled; asked for only after the right password."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from sqlalchemy import select

from admit import peek
from admit.errors import AdmitError, InvalidGrant, InvalidRequest, MfaRequired, TooManyRequests
from admit.service import schema, throttle
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from tests.service.conftest import MASTER, PASSWORD, MovableClock, Opener, cheap


@pytest.fixture
def service(opened: Opener, clock: MovableClock) -> TokenService:
    return cheap(opened(clock=clock, logins=LoginPolicy(failures_per_user=3)))


class App:
    """An authenticator app that was shown the QR code."""

    def __init__(self, uri: str, clock: MovableClock) -> None:
        self.query = parse_qs(urlsplit(uri).query)
        self.totp, self.clock = pyotp.TOTP(self.query["secret"][0]), clock

    def code(self, steps: int = 0) -> str:
        return self.totp.generate_otp(int(self.clock()) // 30 + steps)


@pytest.fixture
def app(service: TokenService, alice: str, clock: MovableClock) -> App:
    app = App(service.totp.enroll(alice).uri, clock)
    service.totp.confirm(alice, app.code())
    clock.forward(30_000)
    return app


def test_a_login_needs_the_code_and_says_so_only_to_the_right_password(service: TokenService, app: App) -> None:
    with pytest.raises(MfaRequired):
        service.login("alice", PASSWORD)
    with pytest.raises(InvalidGrant):
        service.login("alice", "wrong password")
    with pytest.raises(InvalidGrant):
        service.login("alice", "wrong password", otp=app.code())
    pair = service.login("alice", PASSWORD, otp=app.code())
    assert peek(pair.access_token).claims["amr"] == ["pwd", "otp"]
    assert [each.auth_method for each in service.sessions(pair.sub)] == ["pwd otp"]
    assert peek(service.refresh(pair.refresh_token).access_token).claims["amr"] == ["pwd", "otp"]


def test_a_second_factor_that_is_turned_on_during_a_login_is_not_passed_by(opened: Opener, clock: MovableClock) -> None:
    def turned_on(sub: str) -> dict[str, object]:  # called after the password was right, before anything is written
        if not ours.totp.enrolled(sub):
            ours.totp.confirm(sub, App(ours.totp.enroll(sub).uri, clock).code())
        return {}

    ours = cheap(opened(clock=clock, claims=turned_on))
    sub = ours.users.add("alice", PASSWORD).id
    with pytest.raises(InvalidGrant):
        ours.login("alice", PASSWORD)
    assert ours.sessions(sub) == []


def test_a_session_by_password_alone_says_so(service: TokenService, alice: str) -> None:
    pair = service.login("alice", PASSWORD, otp="123456")  # nobody asked for it
    assert peek(pair.access_token).claims["amr"] == ["pwd"]
    assert peek(service.refresh(pair.refresh_token).access_token).claims["amr"] == ["pwd"]


def test_a_code_is_good_once_and_none_before_it_is_good_after(
    service: TokenService, app: App, clock: MovableClock
) -> None:
    code = app.code()
    service.login("alice", PASSWORD, otp=code[:3] + " " + code[3:])
    for used in (code, app.code(-1)):
        with pytest.raises(InvalidGrant):
            service.login("alice", PASSWORD, otp=used)
    service.login("alice", PASSWORD, otp=app.code(1))


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_neighboring_steps_are_good_too(
    service: TokenService, app: App, clock: MovableClock, steps: int, good: bool
) -> None:
    clock.forward(300_000)
    try:
        service.login("alice", PASSWORD, otp=app.code(steps))
    except InvalidGrant:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_of_parallel_logins_with_one_code_one_gets_in(opened: Opener, clock: MovableClock, url: str) -> None:
    services = [cheap(opened(clock=clock, logins=LoginPolicy(failures_per_user=20))) for _ in range(2)]
    alice = services[0].users.add("alice", PASSWORD).id
    app = App(services[0].totp.enroll(alice).uri, clock)
    recovery = services[0].totp.confirm(alice, app.code())[0]
    clock.forward(30_000)
    for code in (app.code(), recovery):
        start = Barrier(6)

        def one(index: int, code: str = code, start: Barrier = start) -> bool:
            start.wait()
            try:
                services[index % 2].login("alice", PASSWORD, otp=code)
            except InvalidGrant:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(one, range(6))) == 1


def test_wrong_codes_are_throttled_for_the_user_from_wherever_they_come(
    service: TokenService, app: App, clock: MovableClock
) -> None:
    for index in range(3):
        with pytest.raises(InvalidGrant):
            service.login("alice", PASSWORD, otp="000000", address=f"192.0.2.{index}")
    with pytest.raises(TooManyRequests) as slowed:
        service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.1")
    assert slowed.value.retry_after == 1
    clock.forward(1000)
    service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.1")


@pytest.mark.parametrize("patience", [0, 3 * 86_400_000])
def test_whoever_guesses_codes_for_a_year_has_a_chance_in_hundreds(
    service: TokenService, app: App, clock: MovableClock, patience: int
) -> None:
    """patience: milliseconds of a pause once the waits have grown, for them to be forgotten."""
    core, tries, until = service._core, 0, clock() + 365 * 86_400
    while clock() < until and tries < 1000:
        left = core.write(lambda tx: throttle.second_factor(tx, core, "alice", "login"))
        tries += left == 0
        clock.forward(left or (patience if tries % 20 == 0 else 0))
    assert tries * 3 / 10**6 < 1 / 700


def test_a_clock_that_goes_back_makes_nobody_wait_for_a_code_longer_than_a_day(
    service: TokenService, clock: MovableClock
) -> None:
    def waited() -> int:
        return service._core.write(lambda tx: throttle.second_factor(tx, service._core, "alice", "login"))

    day = 86_400_000
    assert [waited() for _ in range(4)] == [0, 0, 0, 1000]
    clock.forward(-10 * day)
    assert waited() == day
    clock.forward(day - 1)
    assert waited() == 1
    clock.forward(1)
    assert waited() == 0


def test_tries_that_overlap_do_not_wait_for_each_others_clocks(
    service: TokenService, app: App, clock: MovableClock
) -> None:
    clock.forward(10_000)
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD, otp="000000")
    clock.forward(-5)
    service.login("alice", PASSWORD, otp=app.code())


def test_a_new_password_needs_the_code_too_whatever_others_guess_at_the_login(
    service: TokenService, app: App, alice: str, clock: MovableClock
) -> None:
    for index in range(5):
        with pytest.raises((InvalidGrant, TooManyRequests)):
            service.login("alice", PASSWORD, otp="000000", address=f"192.0.2.{index}")
    with pytest.raises(TooManyRequests):
        service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.1")
    new = PASSWORD + " too"
    with pytest.raises(MfaRequired):
        service.change_password(alice, PASSWORD, new)
    with pytest.raises(InvalidGrant):
        service.change_password(alice, PASSWORD, new, otp="000000")
    with pytest.raises(InvalidGrant):
        service.change_password(alice, "wrong", new, otp=app.code())
    service.change_password(alice, PASSWORD, new, otp=app.code())
    with pytest.raises(InvalidGrant):  # the code is used up, and nobody has to wait for those who had the old password
        service.login("alice", new, otp=app.code(), address="198.51.100.1")
    service.login("alice", new, otp=app.code(1), address="198.51.100.1")
    told = [(each.event, each.detail) for each in service.audit(sub=alice) if each.event.startswith("user.password")]
    assert told == [
        ("user.password_refused", "second factor"),
        ("user.password_refused", None),
        ("user.password", None),
    ]


def test_whoever_guesses_codes_elsewhere_delays_no_login_from_home(
    service: TokenService, app: App, clock: MovableClock
) -> None:
    service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.1")
    clock.forward(30_000)
    for index in range(3):
        with pytest.raises(InvalidGrant):
            service.login("alice", PASSWORD, otp="000000", address=f"192.0.2.{index}")
    with pytest.raises(TooManyRequests):
        service.login("alice", PASSWORD, otp=app.code(), address="203.0.113.1")
    service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.1")
    for _ in range(3):
        with pytest.raises(InvalidGrant):
            service.login("alice", PASSWORD, otp="000000", address="198.51.100.1")
    with pytest.raises(TooManyRequests):  # at home, too, guesses are counted
        service.login("alice", PASSWORD, otp=app.code(1), address="198.51.100.1")


def test_wrong_codes_for_a_new_password_are_throttled(service: TokenService, app: App, alice: str) -> None:
    for index in range(3):
        with pytest.raises(InvalidGrant):
            service.change_password(alice, PASSWORD, PASSWORD + " too", otp="000000", address=f"192.0.2.{index}")
    with pytest.raises(TooManyRequests):
        service.change_password(alice, PASSWORD, PASSWORD + " too", otp=app.code(), address="198.51.100.1")
    service.login("alice", PASSWORD, otp=app.code(), address="198.51.100.2")


def test_the_audit_trail_tells_each_code_that_was_tried_and_once_that_tries_are_slowed(
    service: TokenService, app: App, alice: str, clock: MovableClock
) -> None:
    def told() -> list[tuple[str, str | None]]:
        return [(each.event, each.detail) for each in service.audit(sub=alice) if each.event.startswith("totp.")][1:]

    for _ in range(20):
        with pytest.raises((InvalidGrant, TooManyRequests)):
            service.totp.remove_by(alice, "000000")
    refused = ("totp.refused", None)
    assert told() == [refused, refused, ("totp.slowed", "at changes of the second factor"), refused]
    clock.forward(1000)
    with pytest.raises(InvalidGrant):
        service.totp.remove_by(alice, "000000")
    assert told()[4:] == [refused]


def test_a_password_that_an_administrator_sets_ends_the_wait_too(service: TokenService, app: App, alice: str) -> None:
    for index in range(3):
        with pytest.raises(InvalidGrant):
            service.login("alice", PASSWORD, otp="000000", address=f"192.0.2.{index}")
    service.users.set_password(alice, PASSWORD + " too")
    service.login("alice", PASSWORD + " too", otp=app.code(), address="198.51.100.1")


def test_asking_without_a_code_gives_no_new_guesses(service: TokenService, app: App) -> None:
    judged = 0
    for _ in range(12):
        with pytest.raises((MfaRequired, TooManyRequests)):
            service.login("alice", PASSWORD, address="192.0.2.1")
        try:
            service.login("alice", PASSWORD, otp="000000", address="192.0.2.1")
        except InvalidGrant:
            judged += 1
        except TooManyRequests:
            pass
    assert judged == 3


def test_recovery_codes_work_once_each_in_any_casing_and_end_with_new_ones(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    app = App(service.totp.enroll(alice).uri, clock)
    codes = service.totp.confirm(alice, app.code())
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 16 for code in codes)  # 80 bits
    assert service.login("alice", PASSWORD, otp=codes[0].upper().replace("-", " ")).sub == alice
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD, otp=codes[0])
    fresh = service.totp.recovery_codes(alice)
    with pytest.raises(InvalidGrant):
        service.login("alice", PASSWORD, otp=codes[1])
    service.login("alice", PASSWORD, otp=fresh[0])
    assert [event.event for event in service.audit(sub=alice)].count("login.recovery_code") == 2
    bob = service.users.add("bob", PASSWORD).id
    service.totp.confirm(bob, App(service.totp.enroll(bob).uri, clock).code())
    with pytest.raises(InvalidGrant):
        service.login("bob", PASSWORD, otp=fresh[1])


def test_the_seed_and_the_recovery_codes_cannot_be_read_from_the_database(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    enrollment = service.totp.enroll(alice)
    app = App(enrollment.uri, clock)
    codes = service.totp.confirm(alice, app.code())
    rows = service._core.read(lambda tx: [*tx.execute(select(schema.totp)), *tx.execute(select(schema.recovery_codes))])
    secret = app.query["secret"][0]
    for hidden in (secret, app.totp.byte_secret().hex(), *codes, codes[0].replace("-", "")):
        assert hidden not in str(rows) + repr(enrollment)
    assert app.totp.byte_secret() not in rows[0].seed
    assert app.query["issuer"] == ["auth.example"]


def test_a_seed_moves_to_a_new_master_key(opened: Opener, clock: MovableClock, service: TokenService, app: App) -> None:
    both = opened(clock=clock, master_key={1: MASTER, 2: bytes(32)})
    both.keys.rewrap()
    only = opened(clock=clock, master_key={2: bytes(32)})
    only.login("alice", PASSWORD, otp=app.code())


def test_an_unconfirmed_seed_asks_nobody_for_a_code_and_a_confirmed_one_stays(
    service: TokenService, alice: str, clock: MovableClock
) -> None:
    first = App(service.totp.enroll(alice).uri, clock)
    assert not service.totp.enrolled(alice)
    service.login("alice", PASSWORD)
    second = App(service.totp.enroll(alice).uri, clock)
    for wrong in (first.code(), "", "000000x", "x" * 100):
        clock.forward(2_000)
        with pytest.raises(InvalidRequest):
            service.totp.confirm(alice, wrong)
    with pytest.raises(TooManyRequests):  # not everybody who may ask has seen the seed
        service.totp.confirm(alice, second.code())
    clock.forward(2_000)
    service.totp.confirm(alice, second.code())
    with pytest.raises(InvalidRequest):
        service.totp.enroll(alice)
    with pytest.raises(InvalidRequest):
        service.totp.confirm(alice, second.code(1))
    service.totp.remove(alice)
    service.login("alice", PASSWORD)


def test_nobody_has_a_second_factor(service: TokenService, alice: str) -> None:
    for call in (service.totp.enroll, service.totp.recovery_codes, service.totp.remove):
        for sub in ("nobody", "", "a\0b"):
            with pytest.raises(InvalidRequest):
                call(sub)
    with pytest.raises(InvalidRequest):
        service.totp.confirm("nobody", "123456")


def test_an_applications_own_users_have_second_factors_too(opened: Opener, clock: MovableClock) -> None:
    class Own:
        def find(self, name: str) -> str | None:
            return "42"

        def check(self, sub: str | None, password: str) -> bool:
            return sub == "42"

    service = opened(users=Own(), clock=clock)
    app = App(service.totp.enroll("42").uri, clock)
    service.totp.confirm("42", app.code())
    with pytest.raises(MfaRequired):
        service.login("anybody", "anything")
    service.login("anybody", "anything", otp=app.code(1))


def test_the_qr_code_is_a_picture_and_text(service: TokenService, alice: str) -> None:
    enrollment = service.totp.enroll(alice)
    assert enrollment.svg().startswith("<svg")
    assert enrollment.png().startswith(b"\x89PNG")
    assert len(enrollment.text().splitlines()) > 15


@pytest.mark.parametrize("code", ["", " ", "12345", "1234567", "１２３４５６", "\0", "\ud800", "-" * 16, "a" * 10**5])
def test_what_is_no_code_is_a_wrong_one(service: TokenService, app: App, code: str) -> None:
    with pytest.raises(AdmitError) as refused:
        service.login("alice", PASSWORD, otp=code)
    assert isinstance(refused.value, InvalidGrant)
