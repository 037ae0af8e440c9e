"""Both doors in front of a followed issuer, over real sockets: 401 once a token is cut off, 503 while nobody can know."""

# No postponed annotations here: FastAPI resolves those of its handlers.

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

import httpx2
import pytest
from fastapi import FastAPI, Security
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from admit import Claims, Verifier
from admit.remote.issuer import RemoteIssuer
from admit.service.clients import FIRST_PARTY
from admit.web.fastapi import Bearer
from admit.web.starlette import BearerMiddleware, claims_of
from tests.helpers.serving import serving
from tests.server.conftest import Served, end


class Issuer(NamedTuple):
    served: Served
    client_id: str
    client_secret: str

    def tokens(self) -> dict[str, Any]:
        return self.served.login()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """A service whose feed only its clients may follow."""
    import json

    served = Served(tmp_path_factory.mktemp("doors") / "admit", ("--feed-readers", "clients"))
    with ExitStack() as stack:
        stack.callback(served.http.close)
        stack.callback(end, served)
        served.start()
        served.add_user()
        added = json.loads(served.admin("clients", "add", "orders-api", "--audience", "orders", "--json"))
        yield Issuer(served, added["client_id"], added["client_secret"])


SOON = timedelta(milliseconds=100)


async def ticks() -> AsyncIterator[str]:
    while True:
        yield "data: tick\n\n"
        await asyncio.sleep(0.05)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def starlette_app(verifier: Verifier[None]) -> Any:
    async def who(request: Request) -> Response:
        return PlainTextResponse(claims_of(request).sub)

    async def stream(_: Request) -> Response:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    return Starlette(
        routes=[Route("/", who), Route("/stream", stream), WebSocketRoute("/ws", echo)],
        middleware=[Middleware(BearerMiddleware, verifier=verifier, recheck=SOON)],
    )


def fastapi_app(verifier: Verifier[None]) -> Any:
    bearer, app = Bearer(verifier, recheck=SOON), FastAPI()

    @app.get("/")
    async def who(claims: Annotated[Claims[None], Security(bearer)]) -> str:
        return claims.sub

    @app.get("/stream")
    async def stream(request: Request, claims: Annotated[Claims[None], Security(bearer)]) -> StreamingResponse:
        return StreamingResponse(bearer.while_good(claims, ticks(), request), media_type="text/event-stream")

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, claims: Annotated[Claims[None], Security(bearer.socket)]) -> None:
        await echo(websocket)

    return app


def follow(issuer: Issuer, poll: float = 25, **more: Any) -> RemoteIssuer:
    """poll: seconds of one long poll; a door that finds its page too old waits for the one that is under way."""
    remote = RemoteIssuer(
        issuer.served.url,
        revocations="required",
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
        timeout=5.0,
        **more,
    )
    assert remote.revocations is not None
    remote.revocations._wait = poll
    return remote


DOORS = pytest.mark.parametrize("door", [starlette_app, fastapi_app])


def get(url: str, tokens: dict[str, Any]) -> httpx2.Response:
    return httpx2.get(url, headers={"Authorization": f"Bearer {tokens['access_token']}"}, trust_env=False, timeout=30)


@DOORS
def test_a_token_is_good_then_cut_off_then_nobody_can_know(issuer: Issuer, door: Any) -> None:
    wall = [0.0]
    ended, other = issuer.tokens(), issuer.tokens()
    remote = follow(issuer, 0.5, clock=lambda: time.time() + wall[0], max_revocation_age=timedelta(minutes=2))
    with serving(door(remote.verifier(audience="orders", max_lifetime=timedelta(hours=1)))) as url, remote:
        assert get(url, ended).status_code == get(url, other).status_code == 200
        issuer.served.post("/logout", refresh_token=ended["refresh_token"])
        ends = time.monotonic() + 20
        while (answer := get(url, ended)).status_code == 200:
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert (answer.status_code, answer.headers["WWW-Authenticate"].startswith("Bearer ")) == (401, True)
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert get(url, other).status_code == 200
        wall[0] = 200  # the newest page is too old by now, and every one that comes
        for tokens in (ended, other):
            answer = get(url, tokens)
            assert answer.status_code == 503
            assert 1 <= int(answer.headers["Retry-After"]) <= 9
            assert "WWW-Authenticate" not in answer.headers


@DOORS
def test_a_door_that_asks_instead_lets_in_and_refuses_as_the_service_says(issuer: Issuer, door: Any) -> None:
    wall = [0.0]
    ended, other = issuer.tokens(), issuer.tokens()
    remote = follow(issuer, 0.5, on_stale="introspect", clock=lambda: time.time() + wall[0])
    with remote:
        wall[0] = 400
        issuer.served.post("/logout", refresh_token=ended["refresh_token"])
        with serving(door(remote.verifier(audience="orders", max_lifetime=timedelta(hours=1)))) as url:
            assert get(url, other).status_code == 200
            assert get(url, ended).status_code == 401


@DOORS
def test_what_outlives_its_request_is_asked_about_too(issuer: Issuer, door: Any) -> None:
    wall, tokens = [0.0], issuer.tokens()
    remote = follow(issuer, 0.5, on_stale="introspect", clock=lambda: time.time() + wall[0])
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    with (
        remote,
        serving(door(remote.verifier(audience="orders", max_lifetime=timedelta(hours=1)))) as url,
        ExitStack() as open_,
    ):
        wall[0] = 400
        client = open_.enter_context(httpx2.Client(trust_env=False, timeout=30))
        stream = open_.enter_context(client.stream("GET", url + "/stream", headers=headers))
        events = stream.iter_lines()
        socket = open_.enter_context(
            connect(f"ws{url.removeprefix('http')}/ws", additional_headers=headers, proxy=None)
        )
        ends = time.monotonic() + 1  # ten looks
        while time.monotonic() < ends:
            assert next(events) in ("data: tick", "")
            socket.send("hello")
            assert socket.recv(10) == "hello"
        issuer.served.post("/logout", refresh_token=tokens["refresh_token"])
        with pytest.raises(ConnectionClosed):  # once the answer is asked for anew: it counts for 5 s
            socket.recv(20)
        assert socket.close_code == 4401
        for _ in events:  # it ends, too
            pass


def test_a_feed_for_clients_refuses_everybody_else(issuer: Issuer) -> None:
    url = issuer.served.url + "/revocations"
    good, wrong = (issuer.client_id, issuer.client_secret), (issuer.client_id, "wrong")
    assert httpx2.get(url, auth=good, trust_env=False).status_code == 200
    for answer in (
        httpx2.get(url, trust_env=False),
        httpx2.get(url, auth=wrong, trust_env=False),
        httpx2.get(url, auth=(FIRST_PARTY, ""), trust_env=False),  # which has no secret: anybody could say that
        httpx2.get(url, headers={"Authorization": "Bearer x"}, trust_env=False),
        httpx2.get(url, params={"client_id": good[0], "client_secret": good[1]}, trust_env=False),
        httpx2.get(url, params={"client_id": "first-party"}, trust_env=False),
    ):
        assert answer.status_code in (400, 401)
        assert "revocations" not in answer.headers["Content-Type"]


def test_an_event_loop_never_waits_for_the_issuer(issuer: Issuer) -> None:
    tokens = issuer.tokens()

    async def main() -> tuple[float, str]:
        slowest, ended = 0.0, False

        async def heartbeat() -> None:
            nonlocal slowest
            while not ended:
                begun = time.thread_time()
                before = time.monotonic()
                await asyncio.sleep(0.01)
                # What this thread worked meanwhile is not waiting.
                slowest = max(slowest, time.monotonic() - before - 0.01 - (time.thread_time() - begun))

        beating = asyncio.create_task(heartbeat())
        async with follow(issuer) as remote:
            sub = remote.verifier(audience="orders").verify(tokens["access_token"]).sub
            await asyncio.sleep(0.5)
        ended = True
        await beating
        return slowest, sub

    slowest, sub = asyncio.run(main())
    assert sub
    assert slowest < 5  # the feed's own long poll lasts 25 s, a blocked loop as long
