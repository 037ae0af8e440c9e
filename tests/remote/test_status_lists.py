"""StatusLists: an issuer's status lists as a verifier reads them, and that nothing passes unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from admit import Key, KeySet, Signer, Verifier
from admit.errors import ConfigurationError, InvalidClaim, RevocationsUnavailable, RevokedToken
from admit.remote import status_list
from admit.remote.jwks import JWKSClient
from admit.remote.status_list import StatusLists
from admit.server.loop import memory_only
from admit.tokens.status_list import Reference, StatusList, StatusListToken
from admit.tokens.waiting import WouldWait
from tests.helpers.waiting import until

PATH = "/status/0"


class Published:
    """What the issuer's list says now, and how it is signed."""

    def __init__(self, issuer: Any) -> None:
        self.issuer, self.statuses, self.bits, self.size = issuer, dict[int, int](), 2, 64
        self.key: Key = issuer.key
        self.sub, self.iss = issuer.url + PATH, issuer.url
        self.iat, self.ttl = 0, 60
        self.exp: int | None = 3600
        self.accepted: list[str] = []
        issuer.answers[PATH] = self.answer

    def answer(self, handler: Any) -> tuple[int, dict[str, str], bytes]:
        self.accepted.append(handler.headers["Accept"])
        now = int(time.time())
        statuses = StatusList.of(self.statuses, self.size, self.bits)
        exp = None if self.exp is None else now + self.exp
        token = StatusListToken(self.sub, now + self.iat, statuses, exp, self.ttl)
        return 200, {"Content-Type": "application/statuslist+jwt"}, token.sign(self.key, self.iss).encode()


@pytest.fixture
def published(issuer: Any) -> Published:
    return Published(issuer)


Opener = Callable[..., StatusLists]


@pytest.fixture
def opened(issuer: Any, ticker: Any) -> Iterator[Opener]:
    made: list[StatusLists] = []

    def build(**settings: Any) -> StatusLists:
        keys = KeySet([issuer.key.public()])
        defaults: dict[str, Any] = {"issuer": issuer.url, "timeout": 2.0, "now": ticker}
        made.append(StatusLists(settings.pop("keys", keys), **defaults | settings))
        return made[-1]

    yield build
    for lists in made:
        lists.close()


@pytest.fixture
def lists(opened: Opener) -> StatusLists:
    return opened()


def checked(issuer: Any, lists: StatusLists, idx: int = 7, uri: str = "", status: Any = None) -> Any:
    """The claims of a token whose status is at `idx`, verified."""
    claim = Reference(idx, uri or issuer.url + PATH).claim() if status is None else status
    claims = {} if claim == "none" else {"status": claim}
    token = Signer(issuer.key, issuer=issuer.url, audience="orders").sign(sub="alice", client_id="web", claims=claims)
    keys = KeySet([issuer.key.public()])
    return Verifier(keys, issuer=issuer.url, audience="orders", revocations=lists).verify(token)


def test_a_token_passes_while_its_status_is_valid_and_the_list_is_fetched_once(
    issuer: Any, published: Published, lists: StatusLists
) -> None:
    for _ in range(5):
        assert checked(issuer, lists).sub == "alice"
    assert issuer.asked[PATH] == 1
    assert published.accepted == ["application/statuslist+jwt"]


@pytest.mark.parametrize(("status", "said"), [(1, "status is 1"), (2, "suspended"), (3, "status is 3")])
def test_every_status_but_valid_is_refused(
    issuer: Any, published: Published, lists: StatusLists, status: int, said: str
) -> None:
    published.statuses[7] = status
    with pytest.raises(RevokedToken, match=said):
        checked(issuer, lists)
    assert checked(issuer, lists, 8).sub == "alice"


def test_a_token_without_a_status_is_refused_unless_its_owner_said_otherwise(issuer: Any, opened: Opener) -> None:
    without: list[Any] = ["none", {"other": {}}]
    for status in without:
        with pytest.raises(InvalidClaim, match="one is required"):
            checked(issuer, opened(), status=status)
        assert checked(issuer, opened(missing="accept"), status=status)
    with pytest.raises(InvalidClaim):
        checked(issuer, opened(missing="accept"), status={"status_list": {"idx": "7"}})


@pytest.mark.parametrize(
    "uri",
    [
        "https://other.example/status/0",
        "http://other.example/status/0",
        "http://127.0.0.1:1/status/0",
        "file:///etc/passwd",
        "status/0",
        "https://user@auth.example/",
    ],
)
def test_a_token_does_not_choose_which_hosts_are_asked(
    issuer: Any, published: Published, lists: StatusLists, uri: str
) -> None:
    with pytest.raises(InvalidClaim):
        checked(issuer, lists, uri=uri)
    assert len(lists) == 0


def test_another_origin_is_asked_where_it_was_named(issuer: Any, published: Published, opened: Opener) -> None:
    lists = opened(issuer="https://auth.example", origins=[issuer.url])
    published.iss = "https://auth.example"
    assert checked(issuer, lists)


BREAKS: dict[str, Callable[[Any], object]] = {
    "another list": lambda it: setattr(it, "sub", it.sub + "0"),
    "another issuer": lambda it: setattr(it, "iss", "https://other.example"),
    "another key": lambda it: setattr(it, "key", Key.generate("ES256")),
    "a forged key": lambda it: setattr(it, "key", Key.generate("ES256", kid=it.key.kid)),
    "the future": lambda it: setattr(it, "iat", 120),
    "expired": lambda it: setattr(it, "exp", 0),
    "too large": lambda it: setattr(it, "size", 8 * 2_000_000),
    "not found": lambda it: it.issuer.answers.pop(PATH),
    "no token": lambda it: it.issuer.answers.update({PATH: lambda _: (200, {}, b"x")}),
    "a redirect": lambda it: it.issuer.answers.update({PATH: lambda _: (302, {"Location": "/elsewhere"}, b"")}),
    "an endless answer": lambda it: it.issuer.answers.update({PATH: lambda _: (200, {}, b"A" * 4_000_000)}),
}


@pytest.mark.parametrize("what", BREAKS)
def test_without_a_list_that_can_be_believed_nothing_is_judged(
    issuer: Any, published: Published, lists: StatusLists, what: str
) -> None:
    BREAKS[what](published)
    with pytest.raises(RevocationsUnavailable):
        checked(issuer, lists)


def test_the_list_is_fetched_anew_once_its_ttl_is_over(
    issuer: Any, published: Published, lists: StatusLists, ticker: Any
) -> None:
    assert checked(issuer, lists)
    published.statuses[7] = 1
    ticker.now += 44  # three quarters of the ttl are the earliest that the background thinks of it
    assert checked(issuer, lists)
    assert issuer.asked[PATH] == 1
    ticker.now += 17
    with pytest.raises(RevokedToken):
        checked(issuer, lists)


def test_ahead_of_its_ttl_the_list_is_fetched_in_the_background(
    issuer: Any, published: Published, lists: StatusLists, ticker: Any
) -> None:
    assert checked(issuer, lists)
    ticker.now += 58
    assert checked(issuer, lists)
    deadline = time.monotonic() + 10
    while issuer.asked[PATH] < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert issuer.asked[PATH] == 2


def test_while_fetching_fails_a_list_is_believed_until_its_end_and_no_longer(
    issuer: Any, published: Published, opened: Opener, ticker: Any
) -> None:
    lists = opened(max_age=timedelta(minutes=10))
    assert checked(issuer, lists)
    del issuer.answers[PATH]
    ticker.now += 599
    assert checked(issuer, lists)
    ticker.now += 1
    with pytest.raises(RevocationsUnavailable):
        checked(issuer, lists)


def test_nobody_waits_for_a_host_that_hangs_while_the_last_list_counts(
    issuer: Any, published: Published, opened: Opener, ticker: Any
) -> None:
    lists = opened(timeout=1.0)
    assert checked(issuer, lists)
    issuer.slow(PATH, 3.0)
    ticker.now += 61
    assert checked(issuer, lists)  # the first waits: it may be only slow
    until(lambda: issuer.asked[PATH] >= 3)
    with memory_only():
        assert checked(issuer, lists)


def test_what_failed_before_a_fork_makes_no_old_list_count(
    issuer: Any, published: Published, lists: StatusLists, ticker: Any
) -> None:
    assert checked(issuer, lists)
    issuer.answers[PATH] = lambda _: (503, {}, b"")
    ticker.now += 61
    assert checked(issuer, lists)
    background = lists._followed(issuer.url + PATH).background
    background.close()  # as in a child of fork, its thread is gone
    until(lambda: not background.alive)
    background.open()
    published.statuses[7], issuer.answers[PATH] = 1, published.answer
    ticker.now += 600
    with pytest.raises(RevokedToken):
        checked(issuer, lists)


def test_a_list_that_says_no_end_counts_for_a_day_from_its_signature(
    issuer: Any, published: Published, opened: Opener
) -> None:
    published.exp, published.iat = None, -86_300
    ahead = [0.0]
    lists = opened(clock=lambda: time.time() + ahead[0])
    assert checked(issuer, lists)
    published.iat = -86_500
    with pytest.raises(RevocationsUnavailable, match="more than a day ago"):
        checked(issuer, opened())
    ahead[0] = 200  # nor does the copy that was young enough count any longer
    del issuer.answers[PATH]
    with pytest.raises(RevocationsUnavailable):
        checked(issuer, lists)


def test_an_expired_list_is_not_believed_however_young_its_copy_is(
    issuer: Any, published: Published, opened: Opener
) -> None:
    ahead = [0.0]
    lists = opened(clock=lambda: time.time() + ahead[0])
    assert checked(issuer, lists)
    del issuer.answers[PATH]
    ahead[0] = 3601
    with pytest.raises(RevocationsUnavailable):
        checked(issuer, lists)


def test_an_older_list_does_not_take_the_place_of_a_newer_one(
    issuer: Any, published: Published, lists: StatusLists, ticker: Any
) -> None:
    published.statuses[7] = 1
    with pytest.raises(RevokedToken):
        checked(issuer, lists)
    published.statuses, published.iat = {}, -30
    ticker.now += 61
    with pytest.raises(RevokedToken):
        checked(issuer, lists)
    ticker.now += 3600
    with pytest.raises(RevocationsUnavailable, match="older"):
        checked(issuer, lists)


def test_a_place_beyond_the_end_is_looked_for_once_in_a_while(
    issuer: Any, published: Published, lists: StatusLists, ticker: Any
) -> None:
    assert checked(issuer, lists)
    published.size = 128
    assert checked(issuer, lists, 100)
    for _ in range(5):
        with pytest.raises(InvalidClaim, match="outside"):
            checked(issuer, lists, 200)
    assert issuer.asked[PATH] == 2
    published.size = 256
    ticker.now += 31
    assert checked(issuer, lists, 200)


def test_a_place_beyond_the_end_is_not_judged_while_it_cannot_be_looked_for(
    issuer: Any, published: Published, lists: StatusLists
) -> None:
    assert checked(issuer, lists)
    published.size, issuer.answers[PATH] = 128, lambda _: (500, {}, b"")
    for _ in range(3):
        with pytest.raises(RevocationsUnavailable, match="500"):
            checked(issuer, lists, 100)
    assert checked(issuer, lists)
    issuer.answers[PATH] = published.answer
    ends = time.monotonic() + 5
    while lists._followed(issuer.url + PATH).background.error is not None:
        assert time.monotonic() < ends
        time.sleep(0.005)
    assert checked(issuer, lists, 100)


def test_many_callers_cause_one_fetch(issuer: Any, published: Published, lists: StatusLists) -> None:
    issuer.slow(PATH, 0.2)
    passed: list[str] = []
    threads = [threading.Thread(target=lambda: passed.append(checked(issuer, lists).sub)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert passed == ["alice"] * 8
    assert issuer.asked[PATH] == 1


def test_who_may_not_wait_is_told_so(issuer: Any, published: Published, lists: StatusLists) -> None:
    issuer.slow(PATH, 0.2)
    with memory_only(), pytest.raises(WouldWait):
        checked(issuer, lists)
    assert checked(issuer, lists)


def test_a_new_key_of_the_issuer_is_looked_for(issuer: Any, published: Published, opened: Opener, ticker: Any) -> None:
    keys = JWKSClient(issuer.url + "/jwks", now=ticker)
    lists = opened(keys=keys)
    try:
        assert checked(issuer, lists)
        published.key = Key.generate("ES256")
        issuer.keys.append(published.key.public())
        ticker.now += 61
        published.statuses[7] = 1
        with pytest.raises(RevokedToken):
            checked(issuer, lists)
    finally:
        keys.close()


def test_a_key_that_is_nowhere_does_not_keep_another_one_from_being_looked_for(
    issuer: Any, published: Published, opened: Opener, ticker: Any
) -> None:
    keys = JWKSClient(issuer.url + "/jwks", now=ticker)
    lists = opened(keys=keys)
    try:
        published.key = Key.generate("ES256")
        with pytest.raises(RevocationsUnavailable, match="kid"):
            checked(issuer, lists)
        published.key = Key.generate("ES256")
        issuer.keys.append(published.key.public())
        ticker.now += 31
        assert checked(issuer, lists)
    finally:
        keys.close()


class Rotated:
    """Keys as a source has them that changes."""

    def __init__(self, *keys: Key) -> None:
        self.keys = KeySet([key.public() for key in keys])

    def current(self) -> KeySet:
        return self.keys

    def missing(self, kid: str | None) -> KeySet:
        return self.keys


def test_a_list_ends_with_the_key_that_signed_it(issuer: Any, published: Published, opened: Opener) -> None:
    stolen = Key.generate("ES256")
    source = Rotated(issuer.key, stolen)
    lists = opened(keys=source)
    published.key, published.iat, published.ttl = stolen, 50, 3600  # by a thief, who shows what he likes for long
    assert checked(issuer, lists)
    published.key, published.iat, published.statuses[7] = issuer.key, 0, 1
    source.keys = KeySet([*source.keys, Key.generate("ES256").public()])  # one more takes nothing away
    assert checked(issuer, lists)
    assert issuer.asked[PATH] == 1
    source.keys = KeySet([issuer.key.public()])
    with pytest.raises(RevokedToken):
        checked(issuer, lists)


def test_a_list_whose_key_is_gone_is_not_believed_though_there_is_no_other(
    issuer: Any, published: Published, opened: Opener
) -> None:
    old = published.key = Key.generate("ES256", kid="1")
    source = Rotated(issuer.key, old)
    lists = opened(keys=source)
    assert checked(issuer, lists)
    del issuer.answers[PATH]
    source.keys = Rotated(issuer.key, Key.generate("ES256", kid="1")).keys
    for _ in range(2):
        with pytest.raises(RevocationsUnavailable):
            checked(issuer, lists)


def test_lists_are_bounded_in_number(
    issuer: Any, published: Published, lists: StatusLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_list, "MAX_LISTS", 3)
    for number in range(5):
        path = f"/status/{number}"
        issuer.answers[path] = published.answer
        published.sub = issuer.url + path
        assert checked(issuer, lists, uri=published.sub)
    assert len(lists) == 3
    assert sum(thread.name == "admit-status-list" for thread in threading.enumerate()) <= 5
    lists.close()
    assert len(lists) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"missing": "pass"},
        {"max_age": timedelta()},
        {"max_age": 60},
        {"max_bytes": 0},
        {"issuer": "auth.example"},
        {"issuer": "http://auth.example"},
        {"origins": "https://status.example"},
        {"origins": ["http://status.example"]},
        {"clock": 7},
        {"now": 7},
    ],
)
def test_what_would_leave_something_unchecked_is_a_configuration_error(opened: Opener, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        opened(**wrong)
