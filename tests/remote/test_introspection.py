"""A verifier whose feed is stale asks the issuer: bounded in time and number, never while the feed is fresh."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest

from admit import Verifier
from admit.errors import ConfigurationError, RevocationsUnavailable, RevokedToken, Unavailable
from admit.remote import introspection
from admit.remote.credentials import Credentials
from admit.remote.fetch import Fetcher
from admit.remote.introspection import Introspection
from admit.remote.issuer import RemoteIssuer
from admit.tokens.waiting import WouldWait, may_wait
from tests.helpers.waiting import until
from tests.remote.conftest import FEED, JWKS, METADATA, document

ASK = "/introspect"


@pytest.fixture
def remote(issuer: Any, ticker: Any) -> Iterator[RemoteIssuer]:
    remote = RemoteIssuer(
        issuer.url,
        revocations="required",
        on_stale="introspect",
        client_id="orders service",
        client_secret="s:e+c/r et",
        now=ticker,
        timeout=2.0,
    )
    yield remote
    remote.close()


@pytest.fixture
def verifier(remote: RemoteIssuer) -> Verifier[None]:
    return remote.verifier(audience="orders")


def stale(issuer: Any, ticker: Any, remote: RemoteIssuer) -> None:
    """Let the feed be heard, fall silent, and grow too old."""
    assert remote.revocations is not None
    remote.revocations.start()
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    asked = issuer.asked[FEED]
    ticker.now += 400
    time.sleep(0.02)  # so soon at the latest it is seen
    until(lambda: issuer.asked[FEED] > asked or _refused(remote, issuer))


def _refused(remote: RemoteIssuer, issuer: Any) -> bool:
    assert remote.revocations is not None
    try:
        remote.revocations.start()
    except RevocationsUnavailable:
        return True
    return False


def test_nothing_is_asked_while_the_feed_is_fresh(issuer: Any, verifier: Verifier[None]) -> None:
    for _ in range(5):
        verifier.verify(issuer.token())
    assert issuer.asked[ASK] == 0


@pytest.mark.parametrize("place", ["https://127.0.0.1:1/introspect", "https://evil.example/introspect"])
def test_neither_token_nor_secret_is_sent_to_another_origin_whatever_the_metadata_say(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None], place: str
) -> None:
    body = json.dumps({"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, "introspection_endpoint": place}).encode()
    issuer.answers[METADATA] = lambda _: (200, {}, body)
    stale(issuer, ticker, remote)
    with pytest.raises(RevocationsUnavailable, match="another origin"):
        verifier.verify(issuer.token())


def test_a_stale_verifier_asks_with_its_credentials_and_believes_the_answer(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    headers: list[str] = []

    def answer(active: bool) -> Any:
        def answered(handler: Any) -> Any:
            headers.append(handler.headers["Authorization"])
            return document({"active": active})

        return answered

    good, bad = issuer.token(), issuer.token()
    issuer.answers[ASK] = answer(True)
    assert verifier.verify(good).sub == "alice"
    assert parse_qs(issuer.posted[0]) == {"token": [good], "token_type_hint": ["access_token"]}
    assert base64.b64decode(headers[0].removeprefix("Basic ")) == b"orders+service:s%3Ae%2Bc%2Fr+et"
    issuer.answers[ASK] = answer(False)
    with pytest.raises(RevokedToken):
        verifier.verify(bad)


def test_what_is_known_to_be_cut_off_is_refused_whatever_the_issuer_says(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    issuer.cut_off("jti", "j1")
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": True})
    with pytest.raises(RevokedToken):
        verifier.verify(issuer.token(jti="j1"))
    assert issuer.asked[ASK] == 0


def test_a_token_that_fails_any_other_check_is_never_asked_about(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": True})
    head, body, signature = issuer.token().split(".")
    with pytest.raises(Exception, match="signature"):
        verifier.verify(f"{head}.{body}.{signature[:-8]}AAAAAAAA")
    assert issuer.asked[ASK] == 0


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b""), (401, {}, b"{}"), (302, {"Location": "/"}, b""), (200, {}, b""), (200, {}, b"[]"),
        (200, {}, b'{"active": "true"}'), (200, {}, b'{"active": 1}'), (200, {}, b'{"active": null}'), (200, {}, b"{}"),
        (200, {}, b'{"active": true, "active": true}'), (200, {}, b'{"active": true' + b" " * 70_000 + b"}"),
        (204, {}, b""),
    ],
)  # fmt: skip
def test_a_question_that_fails_is_unavailable_and_never_a_pass(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None], answer: Any
) -> None:
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: answer
    for _ in range(3):
        with pytest.raises(RevocationsUnavailable):
            verifier.verify(issuer.token())
    assert issuer.asked[ASK] == 1  # nobody asks again in the second after a failure
    ticker.now += 1.5
    issuer.answers[ASK] = lambda _: document({"active": True})
    verifier.verify(issuer.token())


def test_one_token_is_asked_about_once_for_many_and_again_when_the_answer_is_old(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": True})
    issuer.slow(ASK, 0.3)
    token = issuer.token()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(verifier.verify, [token] * 10))
    verifier.verify(token)
    assert issuer.asked[ASK] == 1
    ticker.now += 6
    verifier.verify(token)
    assert issuer.asked[ASK] == 2


def test_at_most_eight_questions_are_under_way(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    lock, under_way, most = threading.Lock(), 0, 0

    def answer(_: object) -> Any:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        return document({"active": True})

    issuer.answers[ASK] = answer
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(verifier.verify, [issuer.token() for _ in range(24)]))
    assert 1 < most <= 8


def test_an_event_loop_is_not_kept_waiting(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": True})
    token = issuer.token()
    before = may_wait.set(False)
    try:
        with pytest.raises(WouldWait):
            verifier.verify(token)
    finally:
        may_wait.reset(before)
    assert issuer.asked[ASK] == 0
    verifier.verify(token)
    before = may_wait.set(False)
    try:
        verifier.verify(token)  # the answer is there
    finally:
        may_wait.reset(before)


def test_the_question_itself_keeps_no_event_loop_waiting_whatever_was_found_out_before(
    issuer: Any, ticker: Any
) -> None:
    asked = Introspection(lambda: issuer.url + ASK, Fetcher(), Credentials("orders", "secret"), ticker)
    issuer.answers[ASK] = lambda _: document({"active": True})
    before = may_wait.set(False)
    try:
        with pytest.raises(WouldWait):
            asked.ask(issuer.token())
    finally:
        may_wait.reset(before)
    assert issuer.asked[ASK] == 0


def test_answers_are_kept_up_to_a_number(issuer: Any, ticker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "_MOST", 3)
    asked = Introspection(lambda: issuer.url + ASK, Fetcher(), Credentials("orders", "secret"), ticker)
    issuer.answers[ASK] = lambda _: document({"active": True})
    for number in range(7):
        asked.ask(f"token {number}")
        assert len(asked._processes[os.getpid()].answers) <= 3


def test_whoever_waits_for_a_question_that_is_broken_off_is_told_at_once(ticker: Any) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def url() -> str:
        begun.set()
        go_on.wait(20)
        raise KeyboardInterrupt

    asked = Introspection(url, Fetcher(), Credentials("orders", "secret"), ticker)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asked.ask, "token")
        assert begun.wait(20)
        flight = asked._processes[os.getpid()].flights["token"]
        go_on.set()
        assert isinstance(asking.exception(), KeyboardInterrupt)
    assert isinstance(flight.exception(0), Unavailable)


def test_whoever_waits_for_somebody_elses_question_in_vain_is_told_so(
    ticker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "_SECONDS", 0.05)
    asked = Introspection(lambda: "", Fetcher(), Credentials("orders", "secret"), ticker)
    here = asked._processes[os.getpid()] = introspection._Here()
    here.flights["token"] = Future()  # of one who never comes back
    with pytest.raises(RevocationsUnavailable, match="either: no answer in time"):
        asked.ask("token")


def test_a_cached_token_is_asked_about_too(issuer: Any, ticker: Any, remote: RemoteIssuer) -> None:
    cached, token = remote.verifier(audience="orders", cache=10), issuer.token()
    cached.verify(token)
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": False})
    with pytest.raises(RevokedToken):
        cached.verify(token)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_asks_although_a_question_was_under_way(
    issuer: Any, ticker: Any, remote: RemoteIssuer, verifier: Verifier[None]
) -> None:
    stale(issuer, ticker, remote)
    issuer.answers[ASK] = lambda _: document({"active": True})
    issuer.slow(ASK, 1.0)
    token = issuer.token()
    asking = threading.Thread(target=verifier.verify, args=(token,))
    asking.start()
    until(lambda: issuer.asked[ASK] == 1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            verifier.verify(token)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asking.join()
    assert issuer.asked[ASK] == 2


@pytest.mark.parametrize(
    "given",
    [
        {"on_stale": "introspect"},
        {"on_stale": "introspect", "client_id": "x"},
        {"on_stale": "introspect", "client_id": "x", "client_secret": ""},
        {"client_secret": "x"},
        {"on_stale": "introspect", "client_id": "x", "client_secret": "y", "revocations": "none"},
        {"on_stale": "pass"},
    ],
)
def test_half_a_configuration_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RemoteIssuer("https://auth.example", **{"revocations": "required", **given})


def test_no_secret_shows_in_a_repr(remote: RemoteIssuer) -> None:
    assert remote.revocations is not None
    for thing in (remote, remote.revocations, remote.revocations._credentials, remote.revocations._introspection):
        assert "c/r" not in repr(thing)


def test_whoever_accepts_a_stale_feed_is_warned(issuer: Any, ticker: Any, caplog: pytest.LogCaptureFixture) -> None:
    remote = RemoteIssuer(issuer.url, revocations="required", on_stale="accept", now=ticker, timeout=2.0)
    verifier = remote.verifier(audience="orders")
    verifier.verify(issuer.token())
    assert not [record for record in caplog.records if "accepted all the same" in record.message]
    issuer.answers[FEED] = lambda _: (503, {}, b"")
    ticker.now += 1000
    until(lambda: _accepted(verifier, issuer, caplog) == 1)
    for _ in range(5):
        assert _accepted(verifier, issuer, caplog) == 1  # not for every token
    remote.close()


def _accepted(verifier: Verifier[None], issuer: Any, caplog: pytest.LogCaptureFixture) -> int:
    verifier.verify(issuer.token())
    return len([record for record in caplog.records if "accepted all the same" in record.message])
