"""The revocation feed from a reader's side: what cuts off, what counts as news, and what is refused."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from admit import Key, KeySet, Verifier
from admit.errors import InvalidToken, RevocationsUnavailable, RevokedToken, ServiceUnreachable, UnknownKey
from admit.remote.issuer import RemoteIssuer
from admit.tokens.revocation import Entry, Page
from tests.helpers.waiting import until, until_refused
from tests.remote.conftest import FEED, FEED_JWKS, document


class Wall:
    """The system's clock, moved by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def remote(issuer: Any, wall: Wall, ticker: Any) -> Iterator[RemoteIssuer]:
    remote = RemoteIssuer(issuer.url, revocations="required", clock=wall, now=ticker, timeout=2.0)
    yield remote
    remote.close()


@pytest.fixture
def verifier(remote: RemoteIssuer) -> Verifier[None]:
    return remote.verifier(audience="orders")


def poll(remote: RemoteIssuer) -> None:
    """One poll, in this thread, as the background would."""
    assert remote.revocations is not None
    remote.revocations._poll()


@pytest.mark.parametrize(
    ("kind", "value", "epoch"),
    [("jti", "j1", None), ("sid", "s1", None), ("sub", "alice", 2), ("client", "web", None), ("kid", None, None)],
)
def test_what_is_cut_off_is_refused_without_a_request_and_nothing_else(
    issuer: Any, verifier: Verifier[None], kind: str, value: str | None, epoch: int | None
) -> None:
    signer_claims = {"sid": "s1"}
    token = issuer.token(jti="j1", **signer_claims)
    verifier.verify(token)
    issuer.cut_off(kind, "of somebody else", epoch)
    issuer.cut_off(kind, value or issuer.key.kid, epoch)
    until_refused(lambda: verifier.verify(token))


def test_a_token_of_another_session_stays_good(issuer: Any, verifier: Verifier[None]) -> None:
    ended, other = issuer.token(sid="s1"), issuer.token(sid="s2")
    verifier.verify(ended)
    issuer.cut_off("sid", "s1")
    until_refused(lambda: verifier.verify(ended))
    assert verifier.verify(other).sid == "s2"


def test_a_cached_token_is_refused_as_soon_as_any_other(issuer: Any, remote: RemoteIssuer) -> None:
    cached, token = remote.verifier(audience="orders", cache=10), issuer.token(jti="j1")
    cached.verify(token)
    cached.verify(token)
    issuer.cut_off("jti", "j1")
    until_refused(lambda: cached.verify(token))


def test_a_feed_that_was_never_heard_means_nothing_is_judged(issuer: Any, verifier: Verifier[None]) -> None:
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    with pytest.raises(RevocationsUnavailable, match="never"):
        verifier.verify(issuer.token())


@pytest.mark.parametrize("which", ["wall", "monotonic"])
def test_a_feed_older_than_its_limit_means_nothing_is_judged(
    issuer: Any, remote: RemoteIssuer, wall: Wall, ticker: Any, which: str
) -> None:
    verifier = remote.verifier(audience="orders", max_lifetime=timedelta(hours=1))
    token = issuer.token()
    verifier.verify(token)
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    asked = issuer.asked[FEED]
    until(lambda: issuer.asked[FEED] > asked)  # the long poll under way has ended

    def move(seconds: float) -> None:
        if which == "wall":
            wall.ahead += seconds
        else:
            ticker.now += seconds
            time.sleep(0.02)  # so soon at the latest it is seen

    move(290)
    verifier.verify(token)
    move(15)
    with pytest.raises(RevocationsUnavailable):
        verifier.verify(token)


def test_a_verifiers_clock_that_stands_still_keeps_no_old_news_young(issuer: Any, ticker: Any) -> None:
    with closing(RemoteIssuer(issuer.url, revocations="required", now=ticker, timeout=2.0)) as remote:
        feed, token = remote.revocations, issuer.token()
        assert feed is not None
        remote.verifier(audience="orders").verify(token)
        stopped = feed._set._window[0]
        keys = KeySet([issuer.key.public()])
        verifier = Verifier(
            keys, issuer=issuer.url, audience="orders", revocations=feed, clock=lambda: stopped, cache=10
        )
        verifier.verify(token)
        issuer.answers[FEED] = lambda _: (503, {}, b"")
        asked = issuer.asked[FEED]
        until(lambda: issuer.asked[FEED] > asked)
        ticker.now += 305
        time.sleep(0.02)
        with pytest.raises(RevocationsUnavailable):
            verifier.verify(token)


def test_a_feed_is_asked_often_enough_for_its_limit(issuer: Any) -> None:
    """A page is as old as the question: one poll after another must end within the limit."""
    waits = list[str]()
    plain = issuer.answers[FEED]

    def noting(handler: Any) -> Any:
        waits.append(parse_qs(urlsplit(handler.path).query)["wait"][0])
        return plain(handler)

    issuer.answers[FEED] = noting
    for seconds in (15, 300):
        with closing(
            RemoteIssuer(issuer.url, revocations="required", max_revocation_age=timedelta(seconds=seconds))
        ) as remote:
            poll(remote)
            poll(remote)
    assert waits == ["0", "5", "0", "25"]


def test_after_a_long_outage_callers_are_told_when_the_next_try_is(issuer: Any, remote: RemoteIssuer) -> None:
    feed = remote.revocations
    assert feed is not None
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    for _ in range(8):
        feed._background._once(feed._poll)
    with pytest.raises(RevocationsUnavailable, match="never") as caught:
        feed.start()
    assert 6 <= caught.value.retry_after <= 9


def test_only_its_owner_can_decide_that_an_old_feed_is_accepted(issuer: Any, ticker: Any) -> None:
    remote = RemoteIssuer(issuer.url, revocations="required", on_stale="accept", now=ticker)
    verifier = remote.verifier(audience="orders")
    plain, issuer.answers[FEED] = issuer.answers[FEED], lambda _: (503, {}, b"")
    with pytest.raises(RevocationsUnavailable):  # never heard is not old
        verifier.verify(issuer.token())
    issuer.answers[FEED] = plain
    ticker.now += 100
    verifier.verify(issuer.token())
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    ticker.now += 10_000
    verifier.verify(issuer.token())
    remote.close()


@pytest.mark.parametrize(
    "otherwise",
    [{"on_stale": "accept"}, {"on_stale": "introspect", "client_id": "orders", "client_secret": "secret"}],
    ids=["accept", "introspect"],
)
def test_where_there_is_another_way_nobody_waits_for_a_feed_that_failed_and_then_hangs(
    issuer: Any, ticker: Any, otherwise: dict[str, Any]
) -> None:
    remote = RemoteIssuer(issuer.url, revocations="required", now=ticker, **otherwise)
    verifier, feed, go_on = remote.verifier(audience="orders"), remote.revocations, threading.Event()
    assert feed is not None
    remote.keys.current()
    feed.start()
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    until(lambda: feed._background.error is not None)
    issuer.answers[FEED] = lambda _: go_on.wait(60) and None
    issuer.answers["/introspect"] = lambda _: document({"active": True})
    ticker.now += 310
    asked = issuer.asked[FEED]
    until(lambda: issuer.asked[FEED] > asked)
    for _ in range(3):
        assert verifier.verify(issuer.token()).sub == "alice"
    assert feed._background._runs[os.getpid()].given_up == 0, "nobody waited in vain"
    go_on.set()
    remote.close()


def test_a_child_of_fork_asks_once_before_it_accepts_what_its_parent_heard(issuer: Any, ticker: Any) -> None:
    remote = RemoteIssuer(issuer.url, revocations="required", on_stale="accept", now=ticker)
    verifier, feed, plain = remote.verifier(audience="orders"), remote.revocations, issuer.answers[FEED]
    assert feed is not None
    feed.start()
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    until(lambda: feed._background.error is not None)
    feed._background.close()  # as there, its thread is gone
    until(lambda: not feed._background.alive)
    feed._background.open()
    issuer.answers[FEED] = plain
    issuer.cut_off("jti", "j1")
    ticker.now += 310
    with pytest.raises(RevokedToken):
        verifier.verify(issuer.token(jti="j1"))
    remote.close()


def test_an_issuer_that_knows_nothing_new_is_not_asked_for_each_token(
    issuer: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    issuer.iat_offset = -310  # its own database is away
    for _ in range(100):
        with pytest.raises(RevocationsUnavailable, match="too old"):
            verifier.verify(issuer.token())
    assert issuer.asked[FEED] < 10


def test_a_replayed_answer_never_renews_freshness(issuer: Any, remote: RemoteIssuer, wall: Wall, ticker: Any) -> None:
    page = issuer.page(None, None).sign(issuer.feed_key).encode()
    issuer.answers[FEED] = lambda _: (200, {}, page)
    assert remote.revocations is not None
    remote.revocations.start()
    for _ in range(29):
        wall.ahead, ticker.now = wall.ahead + 10, ticker.now + 10
        poll(remote)
    wall.ahead, ticker.now = wall.ahead + 20, ticker.now + 20
    with pytest.raises(ServiceUnreachable, match="too old"):
        poll(remote)
    with pytest.raises(RevocationsUnavailable):
        remote.revocations.start()
    wall.ahead = 0  # nor does a clock that is set back
    with pytest.raises(RevocationsUnavailable):
        remote.revocations.start()


def test_a_clock_that_was_ahead_for_a_while_lets_go_of_nothing(
    issuer: Any, remote: RemoteIssuer, verifier: Verifier[None], wall: Wall
) -> None:
    token = issuer.token(jti="j1")
    issuer.cut_off("jti", "j1")
    poll(remote)
    wall.ahead = 3600
    with pytest.raises(ServiceUnreachable, match="too old"):
        poll(remote)
    wall.ahead = 0
    with pytest.raises(RevokedToken):
        verifier.verify(token)


def test_an_answer_that_took_long_is_as_old_as_the_question(issuer: Any, remote: RemoteIssuer, ticker: Any) -> None:
    assert remote.revocations is not None
    plain = issuer.answers[FEED]

    def late(handler: Any) -> Any:
        ticker.now += 290
        return plain(handler)

    issuer.answers[FEED] = late
    poll(remote)
    assert remote.revocations._left() == 10


def test_an_old_answer_is_not_fresh_to_one_who_has_just_started(
    issuer: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    issuer.iat_offset = -3600
    with pytest.raises(RevocationsUnavailable):
        verifier.verify(issuer.token())


def test_a_page_from_the_future_is_refused(issuer: Any, verifier: Verifier[None]) -> None:
    issuer.iat_offset = 3600
    with pytest.raises(RevocationsUnavailable, match="future"):
        verifier.verify(issuer.token())


def _signed(issuer: Any, **changes: Any) -> Callable[[object], tuple[int, dict[str, str], bytes]]:
    key = changes.pop("key", issuer.feed_key)

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, msgspec.structs.replace(issuer.page(None, None), **changes).sign(key).encode()

    return answer


def test_pages_that_are_not_the_issuers_own_are_refused(issuer: Any, verifier: Verifier[None], ticker: Any) -> None:
    stray = Entry.of("jti", "x", seq=9, exp=1)
    refused: list[Callable[[object], tuple[int, dict[str, str], bytes]]] = [
        _signed(issuer, iss="https://evil.example"),
        _signed(issuer, key=Key.generate("ES256")),
        _signed(issuer, key=issuer.key),
        _signed(issuer, since=5, to=2, full=False),
        _signed(issuer, entries=(stray,)),
        lambda _: (200, {}, issuer.token().encode()),
        lambda _: (200, {}, b"[]"),
        lambda _: (200, {}, b""),
    ]
    for answer in refused:
        issuer.answers[FEED] = answer
        ticker.now += 100
        with pytest.raises(RevocationsUnavailable):
            verifier.verify(issuer.token())


def test_an_access_token_signed_by_the_feeds_key_is_refused(issuer: Any, verifier: Verifier[None]) -> None:
    verifier.verify(issuer.token())
    with pytest.raises(InvalidToken):
        verifier.verify(issuer.token(issuer.feed_key))


def test_a_feed_key_that_the_feed_itself_cut_off_signs_no_further_page(issuer: Any, remote: RemoteIssuer) -> None:
    assert remote.revocations is not None
    stolen, issuer.feed_key = issuer.feed_key, Key.generate("ES256")
    issuer.answers[FEED_JWKS] = lambda _: document(KeySet([stolen.public(), issuer.feed_key.public()]).to_jwks())
    issuer.cut_off("kid", stolen.kid)
    remote.revocations.start()
    issuer.cut_off("jti", "what a thief would hide")
    issuer.answers[FEED] = _signed(issuer, key=stolen, entries=(), to=issuer.seq, full=True)
    with pytest.raises(ServiceUnreachable, match="refused"):
        poll(remote)
    issuer.answers[FEED] = _signed(issuer)
    poll(remote)
    assert len(remote.revocations) == 2


def test_the_successor_of_a_key_that_was_cut_off_is_looked_for_at_once_whatever_was_looked_for_before(
    issuer: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    assert remote.revocations is not None
    remote.warm()
    young = Key.generate("ES256")
    for stranger in (young, Key.generate("ES256")):  # the one look in 30 s, and one that finds no look left
        with pytest.raises(UnknownKey):
            verifier.verify(issuer.token(stranger))
    issuer.keys = [young.public()]
    issuer.cut_off("jti", "another")
    poll(remote)
    with pytest.raises(UnknownKey):
        verifier.verify(issuer.token(young))
    issuer.cut_off("kid", issuer.key.kid)
    poll(remote)
    assert verifier.verify(issuer.token(young)).sub == "alice"


def test_where_every_key_of_the_feed_was_cut_off_no_page_is_believed(issuer: Any, remote: RemoteIssuer) -> None:
    assert remote.revocations is not None
    issuer.cut_off("kid", issuer.feed_key.kid)
    remote.revocations.start()
    with pytest.raises(ServiceUnreachable, match="every key"):
        poll(remote)


def test_numbers_that_go_back_or_leave_a_gap_are_refused(issuer: Any, remote: RemoteIssuer) -> None:
    assert remote.revocations is not None
    issuer.cut_off("jti", "a")
    issuer.cut_off("jti", "b")
    remote.revocations.start()
    feed = remote.revocations
    page = issuer.page(2, issuer.feed)
    feed._take(page, 0)
    for changes in ({"since": 3, "to": 4}, {"since": 1, "to": 1}, {"feed": "other"}):
        with pytest.raises(Exception, match="goes back"):
            feed._take(msgspec.structs.replace(page, **changes), 0)
    with pytest.raises(Exception, match="older"):
        feed._take(msgspec.structs.replace(page, iat=page.iat - 5, full=True, since=0), 0)
    assert len(feed) == 2


def test_what_has_expired_is_forgotten_but_for_keys(issuer: Any, remote: RemoteIssuer, wall: Wall) -> None:
    assert remote.revocations is not None
    for kind in ("jti", "kid"):
        issuer.cut_off(kind, "a")
    poll(remote)
    assert len(remote.revocations) == 2
    wall.ahead = issuer.iat_offset = 800
    poll(remote)
    assert len(remote.revocations) == 1


def test_a_restored_issuer_begins_anew_and_what_was_cut_off_stays_so(
    issuer: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    old, new = issuer.token(jti="old"), issuer.token(jti="new")
    issuer.cut_off("jti", "old")
    with pytest.raises(RevokedToken):
        verifier.verify(old)
    issuer.feed, issuer.entries, issuer.seq = "second", [], 0
    issuer.cut_off("jti", "new")
    until_refused(lambda: verifier.verify(new))
    with pytest.raises(RevokedToken):
        verifier.verify(old)


def test_a_page_of_another_feed_that_does_not_begin_it_is_asked_for_from_its_beginning(
    issuer: Any, remote: RemoteIssuer
) -> None:
    assert remote.revocations is not None
    issuer.cut_off("jti", "a")
    poll(remote)
    issuer.feed = "second"
    issuer.cut_off("jti", "b")

    def answer(handler: Any) -> tuple[int, dict[str, str], bytes]:
        page = issuer.page(1 if "since=1" in handler.path else None, issuer.feed)  # whatever epoch was asked for
        return 200, {}, page.sign(issuer.feed_key).encode()

    issuer.answers[FEED] = answer
    poll(remote)
    assert (remote.revocations._feed, len(remote.revocations)) == ("second", 2)


def test_what_is_known_is_not_complete_before_the_last_page(issuer: Any, verifier: Verifier[None]) -> None:
    token = issuer.token(jti="late")
    issuer.cut_off("jti", "early")
    issuer.cut_off("jti", "late")
    whole = issuer.page(None, None)
    pages = {
        None: Page(**{**msgspec.structs.asdict(whole), "to": 1, "entries": whole.entries[:1], "more": True}),
        "1": Page(**{**msgspec.structs.asdict(whole), "since": 1, "entries": whole.entries[1:], "full": False}),
    }

    def answer(handler: Any) -> tuple[int, dict[str, str], bytes]:
        since = "1" if "since=1" in handler.path else None
        time.sleep(0.2)
        return 200, {}, pages[since].sign(issuer.feed_key).encode()

    issuer.answers[FEED] = answer
    with pytest.raises((RevokedToken, RevocationsUnavailable)):
        verifier.verify(token)
    until_refused(lambda: _ignoring_unavailable(verifier, token))


def test_a_start_waits_for_all_pages_while_they_come(issuer: Any, remote: RemoteIssuer) -> None:
    for number in range(8):
        issuer.cut_off("jti", f"j{number}")
    whole = issuer.page(None, None)

    def answer(handler: Any) -> tuple[int, dict[str, str], bytes]:
        query = parse_qs(urlsplit(handler.path).query)
        since = int(query.get("since", ["0"])[0])
        page = msgspec.structs.replace(
            whole, since=since, to=since + 1, entries=whole.entries[since : since + 1], full=since == 0, more=since < 7
        )
        return 200, {}, page.sign(issuer.feed_key).encode()

    issuer.answers[FEED] = answer
    remote.warm()
    assert remote.revocations is not None
    assert len(remote.revocations) == 8


def _ignoring_unavailable(verifier: Verifier[None], token: str) -> None:
    try:
        verifier.verify(token)
    except RevocationsUnavailable:
        return


def test_whoever_is_behind_asks_for_what_there_is_and_waits_for_no_news(
    issuer: Any, remote: RemoteIssuer, wall: Wall
) -> None:
    feed, waits = remote.revocations, list[str]()
    assert feed is not None

    def asked(answer: int = 200) -> str:
        def noted(handler: Any) -> Any:
            query = parse_qs(urlsplit(handler.path).query)
            waits.append(query["wait"][0])
            since = int(query["since"][0]) if "since" in query else None
            return answer, {}, issuer.page(since, issuer.feed).sign(issuer.feed_key).encode()

        issuer.answers[FEED] = noted
        feed._background._once(feed._poll)
        return waits[-1]

    assert asked() == "0", "nothing is known yet"
    assert asked() == "25"
    assert asked(answer=503) == "25"
    assert asked() == "0", "the issuer is back"
    assert asked() == "25"
    wall.ahead = 301
    assert asked() == "0", "this machine was suspended"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_follows_the_feed_itself(issuer: Any, verifier: Verifier[None]) -> None:
    token = issuer.token(jti="j1")
    verifier.verify(token)
    accepted, accept = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            verifier.verify(token)
            os.write(accept, b"!")
            until_refused(lambda: verifier.verify(token))
            status = 0
        finally:
            os._exit(status)
    os.close(accept)
    assert os.read(accepted, 1) == b"!"
    os.close(accepted)
    issuer.cut_off("jti", "j1")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_feed_that_falls_silent_is_warned_of_from_thirty_seconds_on(
    issuer: Any, remote: RemoteIssuer, wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    assert remote.revocations is not None
    remote.revocations.start()
    remote.revocations.close()
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    for ahead, warned in ((20, False), (40, True)):
        wall.ahead = ahead
        with pytest.raises(ServiceUnreachable):
            poll(remote)
        assert any("s old" in record.message for record in caplog.records) is warned
