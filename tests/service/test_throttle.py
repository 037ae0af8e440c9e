"""What wrong passwords cost whoever sends them, and nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, text

from admit.errors import InvalidGrant, TooManyRequests
from admit.service import schema, throttle
from admit.service.facade import TokenService
from admit.service.login_policy import LoginPolicy
from admit.service.throttle import Count, Counts, Rule
from admit.service.turns import Lane
from tests.service.conftest import PASSWORD, MovableClock, Opener, cheap

pytestmark = pytest.mark.once

HERE, THERE = "192.0.2.1", "198.51.100.7"
FEW = LoginPolicy(failures_per_user=3, failures_per_address=6, failures_everywhere=5)
RULES = throttle.rules(FEW)
HOUR = 3_600_000


@pytest.fixture
def service(opened: Opener, clock: MovableClock) -> TokenService:
    service = cheap(opened(clock=clock, logins=FEW))
    service.users.add("alice", PASSWORD)
    return service


def attempt(service: TokenService, name: str = "alice", password: str = "wrong", address: str = HERE) -> int:
    """The seconds to wait, 0 where the password was judged and wrong, -1 where it was right."""
    try:
        service.login(name, password, address=address)
    except TooManyRequests as error:
        return error.retry_after
    except InvalidGrant:
        return 0
    return -1


def hashes(service: TokenService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    check = service._core.passwords.check

    def counted(stored: str | None, password: str) -> bool:
        done.append(password)
        return check(stored, password)

    monkeypatch.setattr(service._core.passwords, "check", counted)
    return done


@pytest.mark.parametrize("name", ["alice", "nobody", "no name at all"])
def test_after_some_failures_each_further_one_doubles_the_wait_whether_the_user_exists_or_not(
    opened: Opener, clock: MovableClock, name: str
) -> None:
    service = cheap(opened(clock=clock, logins=LoginPolicy(failures_per_user=3)))
    service.users.add("alice", PASSWORD)
    assert [attempt(service, name) for _ in range(3)] == [0, 0, 0]
    for seconds in (1, 2, 4):
        assert attempt(service, name) == seconds
        clock.forward(seconds * 1000 - 1)
        assert attempt(service, name) == 1
        clock.forward(1)
        assert attempt(service, name) == 0
    assert attempt(service, name, PASSWORD) == 8


def test_logins_that_overlap_are_not_made_to_wait_for_each_others_clocks(
    service: TokenService, clock: MovableClock
) -> None:
    assert attempt(service) == 0
    clock.forward(-5)  # another process's transaction, which took its time first and its lock second
    assert attempt(service, password=PASSWORD) == -1


def test_a_clock_that_goes_back_makes_nobody_wait_longer_than_the_longest_wait(
    service: TokenService, clock: MovableClock
) -> None:
    service.login("alice", PASSWORD, address=THERE)
    for index in range(9):
        attempt(service, f"user{index}")  # the address has to wait
    for _ in range(3):
        attempt(service, address=THERE)  # and whoever logged in from the other one
    clock.forward(-30 * HOUR)
    for name, address in (("nobody", HERE), ("alice", THERE)):
        assert attempt(service, name, address=address) == 900
    clock.forward(900_000 - 1)
    for name, address in (("nobody", HERE), ("alice", THERE)):
        assert attempt(service, name, address=address) == 1
    clock.forward(1)
    for name, address in (("nobody", HERE), ("alice", THERE)):
        assert attempt(service, name, address=address) == 0


def test_a_right_password_is_no_failure_where_the_user_was_cut_off_meanwhile(
    opened: Opener, clock: MovableClock
) -> None:
    def cut_off(sub: str) -> dict[str, object]:
        auth.logout_everywhere(sub)
        return {}

    auth = cheap(opened(clock=clock, logins=FEW, claims=cut_off))
    auth.users.add("alice", PASSWORD)
    assert [attempt(auth, password=PASSWORD) for _ in range(5)] == [0] * 5


def test_strangers_stand_apart_once_several_failures_are_held_against_their_address_or_the_user(
    service: TokenService,
) -> None:
    def lane(name: str, address: str) -> Lane:
        return throttle.line(service._core, f"name {name}", address).lane

    for _ in range(2):
        attempt(service, "bob")
    assert lane("bob", THERE) is lane("carol", HERE) is Lane.NEW  # people mistype
    attempt(service, "bob")
    assert lane("bob", THERE) is lane("carol", HERE) is Lane.MARKED
    assert lane("carol", THERE) is Lane.NEW
    assert attempt(service, password=PASSWORD) == -1
    assert lane("alice", HERE) is Lane.KNOWN


def test_other_spellings_of_a_name_that_an_own_table_finds_give_no_more_guesses(
    opened: Opener, clock: MovableClock
) -> None:
    class Own:
        def find(self, name: str) -> str | None:
            return "42" if name.strip().lower() in ("alice", "alice smith") else None

        def check(self, sub: str | None, password: str) -> bool:
            return False

    service = opened(clock=clock, users=Own(), logins=FEW)
    assert [attempt(service, name) for name in ("alice", " Alice", "ALICE ", "alice\u3000", "ａｌｉｃｅ ")] == [
        0,
        0,
        0,
        1,
        1,
    ]
    names = ("alice smith", "Alice Smith", " alice  smith", "ALICE SMITH ", " " * 300 + "alice smith")
    assert [attempt(service, name, address=THERE) for name in names] == [0, 0, 0, 1, 1]


def test_who_does_not_exist_costs_the_database_the_same_questions_as_who_does(service: TokenService) -> None:
    asked: list[str] = []

    @event.listens_for(service._core.storage._process().engine, "before_cursor_execute")
    def note(*given: object) -> None:
        asked.append(str(given[2]))

    kinds: list[list[str]] = []
    for name in ("alice", "nobody"):
        asked.clear()
        assert attempt(service, name, address=f"2001:db8:0:{len(kinds)}::1") == 0
        kinds.append([each.partition("WHERE")[0] for each in asked if "admit_feed" not in each])
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) > 5


def test_what_is_over_the_limit_is_refused_before_any_hash_and_any_write(
    service: TokenService, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = hashes(service, monkeypatch)
    for _ in range(3):
        attempt(service)
    before = service._core.read(lambda tx: tx.execute(select(schema.throttle)).all()), len(service.audit())
    assert [attempt(service, password=PASSWORD) for _ in range(20)] == [1] * 20
    assert len(done) == 3
    assert (service._core.read(lambda tx: tx.execute(select(schema.throttle)).all()), len(service.audit())) == before


def test_a_right_password_clears_the_count_and_was_never_a_failure(service: TokenService, clock: MovableClock) -> None:
    for _ in range(4):
        assert [attempt(service), attempt(service), attempt(service, password=PASSWORD)] == [0, 0, -1]
        clock.forward(2 * HOUR)
    assert [attempt(service, password=PASSWORD) for _ in range(30)] == [-1] * 30


def test_parallel_guesses_are_no_more_than_the_budget(
    opened: Opener, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = LoginPolicy(failures_per_user=3, password_hashes=8)
    services = [cheap(opened(logins=policy)) for _ in range(2)]
    services[0].users.add("alice", PASSWORD)
    done = [hashes(each, monkeypatch) for each in services]
    start = Barrier(24)

    def one(index: int) -> int:
        start.wait()
        return attempt(services[index % 2], password=f"guess {index}")

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(one, range(24)))
    assert sum(map(len, done)) == answers.count(0) == 3


def test_nobody_locks_another_out(service: TokenService, clock: MovableClock) -> None:
    assert attempt(service, password=PASSWORD, address=THERE) == -1  # alice was there before
    for index in range(40):
        attempt(service, address=f"203.0.113.{index}")
        attempt(service, address=f"203.0.113.{index}")
    assert attempt(service, password=PASSWORD, address=THERE) == -1
    assert attempt(service, address=THERE) == 0
    assert attempt(service, password=PASSWORD, address=THERE) == -1


def test_an_address_new_to_a_user_under_attack_waits_once_for_itself_whatever_the_others_do(
    service: TokenService, clock: MovableClock
) -> None:
    for index in range(5):
        assert attempt(service, address=f"203.0.113.{index}") == 0
    seconds = attempt(service, password=PASSWORD, address=HERE)
    assert seconds == 30
    for _ in range(seconds):
        for index in range(5):
            attempt(service, address=f"203.0.113.{index}")
        clock.forward(1000)
    assert attempt(service, password=PASSWORD, address=HERE) == -1


def test_an_address_that_failed_before_the_attack_waits_as_one_that_never_tried(
    service: TokenService, clock: MovableClock
) -> None:
    assert [attempt(service, address=f"203.0.113.{index}") for index in range(5)] == [0] * 5
    assert [attempt(service, address=f"203.0.113.{index}") for index in range(5)] == [30] * 5
    clock.forward(30_000)
    assert [attempt(service, address=f"203.0.113.{index}") for index in range(5)] == [0] * 5
    assert attempt(service, password=PASSWORD, address="203.0.113.0") == 60


def test_the_wait_of_a_user_under_attack_is_not_served_by_having_waited_for_ones_other_guesses(
    service: TokenService, clock: MovableClock
) -> None:
    for index in range(6):
        attempt(service, f"user{index}")
    assert attempt(service) == 1  # the address has to wait; alice is not under attack yet
    for index in range(5):
        attempt(service, address=f"203.0.113.{index}")
    clock.forward(1000)
    assert attempt(service) == 30


def test_one_address_that_tries_many_users_is_slowed_but_not_those_who_logged_in_from_there(
    service: TokenService, clock: MovableClock
) -> None:
    service.users.add("bob", PASSWORD)
    assert attempt(service, "bob", PASSWORD) == -1
    assert [attempt(service, f"user{index}") for index in range(8)] == [0] * 6 + [1, 1]
    clock.forward(1000)
    assert [attempt(service, f"user{index}") for index in (8, 9)] == [0, 2]
    assert attempt(service, "bob", PASSWORD) == -1
    assert attempt(service, "alice", PASSWORD) == 2
    assert attempt(service, "alice", PASSWORD, THERE) == -1


def test_a_valid_account_of_ones_own_does_not_clear_the_count_of_the_address(
    service: TokenService, clock: MovableClock
) -> None:
    service.users.add("mallory", PASSWORD)
    judged = 0
    for index in range(20):
        judged += attempt(service, f"user{index}") == 0
        attempt(service, "mallory", PASSWORD)
    assert judged == 6


def test_an_ipv6_customer_is_one_address(service: TokenService) -> None:
    assert [attempt(service, address=f"2001:db8:1:2::{index:x}") for index in range(4)] == [0, 0, 0, 1]
    assert attempt(service, address="2001:db8:1:3::1") == 0
    assert throttle.network("::ffff:192.0.2.1") == throttle.network("192.0.2.1") == "192.0.2.1"
    assert throttle.network("testclient") == "testclient"


def test_the_rows_show_neither_names_nor_addresses_and_expire(service: TokenService, clock: MovableClock) -> None:
    for name in ("alice", "nobody"):
        for _ in range(4):
            attempt(service, name)
    rows = service._core.read(lambda tx: tx.execute(select(schema.throttle)).all())
    assert len(rows) == 5
    assert not any(word in str(rows) for word in ("alice", "nobody", HERE))
    assert throttle._digest(bytes(32), "pair", "alice", HERE) != throttle._digest(b"1" * 32, "pair", "alice", HERE)
    assert throttle._digest(bytes(32), "pair", "alice", HERE) != throttle._digest(bytes(32), "pair", "alic", "e" + HERE)
    clock.forward(25 * HOUR)
    assert [attempt(service) for _ in range(3)] == [0, 0, 0]
    clock.forward(25 * HOUR)
    while service.cleanup():
        pass
    assert service._core.read(lambda tx: tx.execute(select(schema.throttle)).all()) == []


def test_waiting_as_a_newcomer_costs_a_row_for_an_hour_and_not_for_a_day(
    service: TokenService, clock: MovableClock
) -> None:
    def rows() -> int:
        while service.cleanup():
            pass
        return service._core.read(lambda tx: len(tx.execute(select(schema.throttle)).all()))

    for index in range(5):
        attempt(service, address=f"203.0.113.{index}")
    before = rows()
    for index in range(20):  # no hash bounds how many there are
        assert attempt(service, address=f"2001:db8:0:{index}::1") == 30
    assert rows() == before + 20
    clock.forward(30_000)
    assert attempt(service, address="2001:db8:0:1::1") == 0
    clock.forward(HOUR + 1000)
    assert rows() == 3  # of the user, and of two who failed when there was a wait


def test_where_a_slowdown_begins_the_audit_trail_says_so_once(service: TokenService, clock: MovableClock) -> None:
    for _ in range(3):
        attempt(service)
    clock.forward(1000)
    attempt(service)
    told = [(event.event, event.address, event.detail) for event in service.audit() if event.event == "login.slowed"]
    assert told == [("login.slowed", HERE, "one user from one address")]


def test_a_refresh_touches_no_count(
    service: TokenService, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = service.login("alice", PASSWORD, address=HERE)
    service._core.write(lambda tx: tx.execute(text("DROP TABLE admit_throttle")))
    service.refresh(pair.refresh_token, address=HERE)


@given(st.integers(0, 10**6), st.integers(1, 100), st.integers(1, 10**6), st.integers(1, 10**9))
def test_a_wait_never_shrinks_with_failures_and_never_passes_the_longest(
    failures: int, free: int, first: int, longest: int
) -> None:
    rule = Rule(free, first, longest)
    assert 0 <= rule.wait(failures) <= rule.wait(failures + 1) <= longest
    assert (rule.wait(failures) > 0) == (failures >= free)


COUNTS = st.builds(Count, st.integers(0, 200), st.integers(0, 10**6), st.just(10**9))


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 10**6))
def test_whoever_logged_in_from_an_address_waits_only_for_his_own_failures(
    pair: Count, address: Count, user: Count, now: int
) -> None:
    known = Counts(pair, address, user, known=True)
    assert throttle.wait(known, now, RULES) == max(0, min(pair.next_at - now, RULES.pair.longest))
    assert set(throttle.failed(known, now, RULES)) == {"pair"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures_per_user": 0},
        {"failures_per_user": 101},
        {"failures_per_address": True},
        {"password_length": 7},
        {"password_length": 65},
        {"argon2_memory": 7168, "argon2_passes": 1},
        {"argon2_memory": 7000},
        {"argon2_lanes": 0},
        {"password_hashes": -1},
        {"password_queue": 0},
        {"longest_wait": timedelta(0)},
        {"password_wait": 5},
    ],
)
def test_a_limit_that_would_be_none_is_refused(wrong: dict[str, int]) -> None:
    from admit.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        LoginPolicy(**wrong)  # type: ignore[arg-type]
