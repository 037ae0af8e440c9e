"""The revocation feed's long poll: at once where there is news, bounded otherwise, capped, and no thread held meanwhile."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from admit import KeySet, RemoteIssuer
from admit.errors import RevokedToken
from admit.server.feed import Feed
from admit.service.aio import AsyncTokenService
from admit.service.facade import TokenService
from admit.tokens.revocation import Page
from tests.helpers.waiting import until


def page(service: Any, **query: object) -> Page:
    keys = KeySet.from_jwks(service.http.get(service.url + "/.well-known/revocations-jwks.json").json())
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = httpx2.get(f"{service.url}/revocations?{text}", timeout=40)
    assert answer.status_code == 200, answer.text
    return Page.read(answer.content, keys, service.url)


def new(news: Page, head: Page) -> list[str]:
    """The kinds of what came after a page."""
    return [entry.kind for entry in news.entries if entry.seq > head.to]


def waiting_at(service: Any) -> int:
    """How many wait at this moment."""
    metrics = service.http.get(service.url + "/metrics").text
    return int(float(re.search(r"^admit_feed_followers (\S+)$", metrics, re.MULTILINE)[1]))  # type: ignore[index]


def test_a_follower_at_the_head_waits_and_hears_of_a_logout_at_once(service: Any) -> None:
    tokens, head = service.login(), page(service)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(page, service, since=head.to, epoch=head.feed)
        time.sleep(0.5)
        assert not waiting.done()
        service.post("/logout", refresh_token=tokens["refresh_token"])
        news = waiting.result(15)  # the wait alone would last 25 s
    assert new(news, head) == ["sid"]
    assert news.since <= head.to < news.to


def test_an_empty_answer_is_signed_too_and_comes_after_the_wait_asked_for(service: Any) -> None:
    head = page(service)
    begun = time.monotonic()
    empty = page(service, since=head.to, epoch=head.feed, wait="0.4")
    assert 0.35 < time.monotonic() - begun < 15
    assert new(empty, head) == []
    assert empty.iat >= head.iat


def test_another_epoch_or_a_number_beyond_the_head_brings_everything_at_once(service: Any) -> None:
    head = page(service)
    begun = time.monotonic()
    for query in ({"since": head.to, "epoch": "another"}, {"since": head.to + 1000, "epoch": head.feed}):
        assert page(service, **query).full
    assert time.monotonic() - begun < 20  # one that waited would take 25 s


def body_of(connection: socket.socket) -> bytes:
    """The body of one answer, however many packets it comes in."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        if end and len(body) >= int(re.search(rb"(?i)content-length: (\d+)", head)[1]):  # type: ignore[index]
            return body
        more = connection.recv(65536)
        assert more, "the connection ended within the answer"
        data += more


def test_a_hundred_followers_wait_while_refreshes_go_on(serve: Callable[..., Any]) -> None:
    service = serve("--followers-per-address", "100", "--grace", "0s")
    service.add_user()
    tokens, head = service.login(), page(service)
    request = f"GET /revocations?since={head.to}&epoch={head.feed} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    host, port = service.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        followers = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(100)]
        for follower in followers:
            follower.sendall(request)
        until(lambda: waiting_at(service) == 100)
        begun = time.monotonic()  # one more is answered, but may not wait
        assert new(page(service, since=head.to, epoch=head.feed), head) == []
        assert time.monotonic() - begun < 20

        begun = time.monotonic()
        for _ in range(20):
            answer = service.refresh(tokens["refresh_token"])
            assert answer.status_code == 200
            tokens = answer.json()
        assert time.monotonic() - begun < 60  # a hundred waiting threads made one refresh wait for 9.8 s

        service.post("/logout", refresh_token=tokens["refresh_token"])
        bodies = {body_of(follower) for follower in followers}
        assert len(bodies) == 1  # the same bytes for all of them
    until(lambda: waiting_at(service) == 0)


def test_followers_are_capped_in_all_too(serve: Callable[..., Any]) -> None:
    service = serve("--followers", "2", "--followers-per-address", "50")
    head = page(service)

    def follow(_: int = 0) -> int:
        query = f"since={head.to}&epoch={head.feed}&wait=25"
        return httpx2.get(f"{service.url}/revocations?{query}", timeout=40, trust_env=False).status_code

    with ThreadPoolExecutor() as pool:
        waiting = pool.map(follow, range(2))
        until(lambda: waiting_at(service) == 2)
        assert follow() == 200  # at once: the two still wait
        assert waiting_at(service) == 2
        service.stop()  # which lets the others go
        assert [*waiting] == [200, 200]


def test_strangers_who_take_every_place_make_no_follower_deaf(serve: Callable[..., Any]) -> None:
    service = serve("--followers", "1")
    service.add_user()
    tokens, head = service.login(audience="orders"), page(service)
    with ThreadPoolExecutor() as pool:
        stranger = pool.submit(page, service, since=head.to, epoch=head.feed)
        until(lambda: waiting_at(service) == 1)
        with closing(RemoteIssuer(service.url, revocations="required")) as remote:
            verifier, feed = remote.verifier(audience="orders"), remote.revocations
            assert verifier.verify(tokens["access_token"]).sid
            assert feed is not None
            heard = feed._iat
            until(lambda: feed._iat > heard + 1)
            assert not stranger.done()  # it hears without a place
            service.post("/logout", refresh_token=tokens["refresh_token"])
            until(lambda: len(feed) > 0)
            with pytest.raises(RevokedToken):
                verifier.verify(tokens["access_token"])
        stranger.result(30)


def test_a_follower_that_hangs_up_frees_its_place(serve: Callable[..., Any]) -> None:
    service = serve("--followers-per-address", "1")
    head = page(service)
    host, port = service.url.removeprefix("http://").split(":")
    line = f"GET /revocations?since={head.to}&epoch={head.feed}"
    with socket.create_connection((host, int(port)), timeout=20) as follower:
        follower.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: waiting_at(service) == 1)
    until(lambda: waiting_at(service) == 0)
    assert new(page(service, since=head.to, epoch=head.feed, wait="0.1"), head) == []


def test_a_customers_ipv6_addresses_have_one_place_and_who_left_is_not_remembered(tmp_path: Path) -> None:
    service = TokenService(
        f"sqlite:///{tmp_path}/auth.db", issuer="http://127.0.0.1", audience="orders", master_key=bytes(32)
    )

    async def play() -> None:
        feed, left = Feed(AsyncTokenService(service), per_address=1), asyncio.Event()
        epoch, seq = service.feed_head()

        def follow(address: str) -> asyncio.Future[None]:
            return asyncio.ensure_future(feed.wait(seq, epoch, 20, address, left.wait))

        first = follow("2001:db8::1")
        while feed.followers < 1:
            await asyncio.sleep(0.001)
        await follow("2001:db8::2")  # it may not wait
        other = follow("2001:db8:0:1::1")
        while feed.followers < 2:
            await asyncio.sleep(0.001)
        left.set()
        await asyncio.gather(first, other)
        assert not feed._by_address

    asyncio.run(asyncio.wait_for(play(), 15))
    service.close()


def test_no_thread_waits_for_a_signature_where_another_request_was_faster(tmp_path: Path) -> None:
    """Threads are for all calls together: a few hundred requests for odd places made logins wait for many seconds."""
    service = TokenService(
        f"sqlite:///{tmp_path}/auth.db", issuer="http://127.0.0.1", audience="orders", master_key=bytes(32)
    )

    async def play() -> None:
        calls = AsyncTokenService(service)
        answers = Feed(calls)
        signer = service._feed
        with signer._lock:  # nobody can say yet when a signature is due
            asked = asyncio.ensure_future(answers.answer(None, None))
            await asyncio.sleep(0.3)
            signer._edition, signer._paid = None, time.monotonic() + 10 + 3
        await asyncio.sleep(0.5)
        assert not asked.done()
        assert calls._threads.here().running.borrowed_tokens == 0
        assert await asked

    asyncio.run(play())
    service.close()


def test_what_another_process_revokes_reaches_the_followers(service: Any) -> None:
    service.add_user("heidi")
    service.login("heidi")
    head = page(service)
    heard: list[Page] = []
    follower = threading.Thread(target=lambda: heard.append(page(service, since=head.to, epoch=head.feed)))
    follower.start()
    service.admin("users", "disable", "heidi")
    follower.join(20)
    assert new(heard[0], head) == ["sub"]
