"""WebSockets and event streams, over real sockets: who gets in, and that they end when their token does."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Annotated, Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Security, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from admit import Claims, ConfigurationError, Cookies, Key, KeySet, Signer, Verifier, Verifiers
from admit.errors import ExpiredToken, RevocationsUnavailable, UnknownKey, WrongIssuer
from admit.tokens.revocation import Entry
from admit.tokens.revocation_set import RevocationSet
from admit.web.bearer import Door
from admit.web.fastapi import Bearer
from admit.web.starlette import BearerMiddleware, claims_of
from admit.web.streams import Socket, Watch, guard_socket

KEY = Key.generate("ES256")
OWN, EVIL = "http://localhost:1", "http://localhost:2"
COOKIES = Cookies(OWN)
SOON = timedelta(milliseconds=100)
BOTH = pytest.mark.parametrize("door", ["starlette", "fastapi"])


class Feed:
    """A set of revocations whose feed can go silent."""

    def __init__(self) -> None:
        self.silent, self._set = False, RevocationSet()
        self.apply = self._set.apply

    def check(self, claims: Claims[Any], /) -> None:
        if self.silent:
            raise RevocationsUnavailable("the feed is old")
        self._set.check(claims)


class Clock:
    """The time, or a while later: so that tokens expire when a test says so, however slow the machine."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


FEED, CLOCK = Feed(), Clock()
VERIFIER = Verifier(
    KeySet([KEY.public()]), issuer="https://auth.example", audience="orders", revocations=FEED, clock=CLOCK
)
SEEN: list[str] = []
CLOSED = threading.Event()
"""What the applications saw of the end."""


async def talk(websocket: WebSocket, sub: str) -> None:
    """Echo until the client, or the token, is gone."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="admit" if "admit" in offered else None)
    await websocket.send_text(sub)
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as gone:
        SEEN.append(f"disconnect {gone.code}")


async def tick(websocket: WebSocket) -> None:
    """Send without ever listening."""
    await websocket.accept()
    while True:
        await websocket.send_text("tick")
        await asyncio.sleep(0.02)


async def told(websocket: WebSocket, how: str) -> None:
    """Look elsewhere until the client has seen the end of the token; then send or receive."""
    await websocket.accept()
    await websocket.send_text("busy")
    while not CLOSED.is_set():
        await asyncio.sleep(0.01)
    try:
        await (websocket.send_text("late") if how == "sends" else websocket.receive_text())
    except WebSocketDisconnect:
        SEEN.append(f"told while it {how}")


async def heedless(websocket: WebSocket) -> None:
    """Receive, whatever comes."""
    await websocket.accept()
    await websocket.send_text("open")
    try:
        for _ in range(100):
            SEEN.append((await websocket.receive())["type"])
    except RuntimeError:
        SEEN.append("stopped")


async def events() -> AsyncIterator[str]:
    """One event, and then silence."""
    try:
        yield "data: first\n\n"
        await asyncio.sleep(60)
    finally:
        SEEN.append("stream over")


async def many() -> AsyncIterator[str]:
    while True:
        yield "data: tick\n\n"
        await asyncio.sleep(0.02)


async def slow() -> AsyncIterator[str]:
    for _ in range(12):
        yield "part,"
        await asyncio.sleep(0.05)


def starlette_app() -> Any:
    async def echo(websocket: WebSocket) -> None:
        SEEN.append(f"offered {websocket.scope['subprotocols']}")
        await talk(websocket, claims_of(websocket).sub)

    async def late(websocket: WebSocket) -> None:
        await told(websocket, websocket.path_params["how"])

    async def stream(request: Request) -> Response:
        source = {"/quiet": events, "/many": many}[request.url.path]
        return StreamingResponse(source(), media_type="text/event-stream")

    async def download(request: Request) -> Response:
        return StreamingResponse(slow(), media_type="text/csv")

    return Starlette(
        routes=[
            WebSocketRoute("/ws", echo),
            WebSocketRoute("/tick", tick),
            WebSocketRoute("/heedless", heedless),
            WebSocketRoute("/{how}/late", late),
            Route("/quiet", stream),
            Route("/many", stream),
            Route("/download", download),
        ],
        middleware=[Middleware(BearerMiddleware, verifier=VERIFIER, cookies=COOKIES, recheck=SOON)],
    )


def fastapi_app() -> Any:
    app, bearer = FastAPI(), Bearer(VERIFIER, cookies=COOKIES, recheck=SOON)

    @app.websocket("/ws")
    async def echo(websocket: WebSocket, who: Annotated[Claims[None], Security(bearer.socket)]) -> None:
        await talk(websocket, who.sub)

    @app.websocket("/tick")
    async def ticker(websocket: WebSocket, who: Annotated[Claims[None], Security(bearer.socket)]) -> None:
        await tick(websocket)

    @app.websocket("/heedless")
    async def deaf(websocket: WebSocket, who: Annotated[Claims[None], Security(bearer.socket)]) -> None:
        await heedless(websocket)

    @app.websocket("/{how}/late")
    async def late(websocket: WebSocket, how: str, who: Annotated[Claims[None], Security(bearer.socket)]) -> None:
        await told(websocket, how)

    @app.websocket("/scoped")
    async def scoped(
        websocket: WebSocket, who: Annotated[Claims[None], Security(bearer.socket, scopes=["chat"])]
    ) -> None:
        await talk(websocket, who.sub)

    @app.websocket("/mistake")
    async def mistake(websocket: WebSocket, who: Annotated[Claims[None], Security(bearer)]) -> None:
        await talk(websocket, who.sub)

    @app.get("/quiet")
    async def quiet(who: Annotated[Claims[None], Security(bearer)]) -> StreamingResponse:
        return StreamingResponse(bearer.while_good(who, events()), media_type="text/event-stream")

    @app.get("/many")
    async def often(who: Annotated[Claims[None], Security(bearer)]) -> StreamingResponse:
        return StreamingResponse(bearer.while_good(who, many()), media_type="text/event-stream")

    @app.get("/download")
    async def download(who: Annotated[Claims[None], Security(bearer)]) -> StreamingResponse:
        return StreamingResponse(slow(), media_type="text/csv")

    return app


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The host and port of an application on a server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, log_level="error", lifespan="off", ws="websockets-sansio")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {
            "starlette": stack.enter_context(served(starlette_app())),
            "fastapi": stack.enter_context(served(fastapi_app())),
        }


@pytest.fixture
def later() -> Iterator[Callable[[], None]]:
    """An hour passes."""

    def pass_by() -> None:
        CLOCK.ahead = 3600

    yield pass_by
    CLOCK.ahead = 0.0


def token(seconds: int = 600, sub: str = "alice", **claims: object) -> str:
    signer = Signer(KEY, issuer="https://auth.example", audience="orders", lifetime=timedelta(seconds=seconds))
    return signer.sign(sub=sub, client_id="web", claims=claims)


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIES.access}={value}"}


def opened(host: str, path: str = "/ws", headers: dict[str, str] | None = None, **more: Any) -> ClientConnection:
    connection: ClientConnection = connect(f"ws://{host}{path}", additional_headers=headers, proxy=None, **more)
    return connection


def refused(host: str, path: str = "/ws", headers: dict[str, str] | None = None, **more: Any) -> int:
    with pytest.raises(InvalidStatus) as error, opened(host, path, headers, **more):
        pass
    status: int = error.value.response.status_code
    return status


def closing(websocket: ClientConnection) -> int:
    """The code with which the server closes."""
    try:
        while True:
            websocket.recv(timeout=20)
    except ConnectionClosed as closed:
        code: int = closed.rcvd.code if closed.rcvd is not None else 1006
        return code


@BOTH
def test_a_socket_opens_with_a_token_in_the_header(hosts: dict[str, str], door: str) -> None:
    with opened(hosts[door], headers=bearer(token())) as websocket:
        assert websocket.recv() == "alice"
        websocket.send("hello")
        assert websocket.recv() == "hello"
    assert refused(hosts[door]) == 401
    assert refused(hosts[door], headers=bearer(token()[:-6] + "AAAAAA")) == 401


@BOTH
def test_a_socket_opens_with_a_cookie_from_a_page_of_ours_alone(hosts: dict[str, str], door: str) -> None:
    with opened(hosts[door], headers=cookie(token()), origin=OWN) as websocket:
        assert websocket.recv() == "alice"
    assert refused(hosts[door], headers=cookie(token()), origin=EVIL) == 403  # cross-site WebSocket hijacking
    assert refused(hosts[door], headers=cookie(token())) == 403
    assert refused(hosts[door], headers=cookie(token()) | {"Sec-Fetch-Site": "same-origin"}) == 403
    with opened(hosts[door], headers=bearer(token()), origin=EVIL) as websocket:  # a header is no browser's doing
        assert websocket.recv() == "alice"


@BOTH
def test_a_page_sends_its_token_as_a_subprotocol_that_is_never_echoed(hosts: dict[str, str], door: str) -> None:
    SEEN.clear()
    with opened(hosts[door], subprotocols=["admit", f"bearer.{token()}"], origin=EVIL) as websocket:
        assert websocket.recv() == "alice"
        assert websocket.subprotocol == "admit"
    if door == "starlette":
        assert "offered ['admit']" in SEEN
    assert refused(hosts[door], subprotocols=["admit", "bearer.x.y.z"]) == 401
    assert refused(hosts[door], subprotocols=[f"bearer.{token()}", f"bearer.{token(sub='bob')}"]) == 400
    assert refused(hosts[door], headers=bearer(token(sub="bob")), subprotocols=[f"bearer.{token()}"]) == 400


@BOTH
@pytest.mark.parametrize("name", ["access_token", "token", "auth"])
def test_a_token_in_the_url_is_refused_with_the_reason(hosts: dict[str, str], door: str, name: str) -> None:
    with pytest.raises(InvalidStatus) as error, opened(hosts[door], f"/ws?{name}={token()}"):
        pass
    assert error.value.response.status_code == 400
    assert b"never in a URL" in error.value.response.body


def test_sockets_close_when_their_tokens_expire(
    hosts: dict[str, str], later: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    SEEN.clear()
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(opened(host, path, bearer(token())))
            for host in hosts.values()
            for path in ("/ws", "/tick")
        ]
        for websocket in sockets:
            websocket.recv(timeout=20)
        later()
        assert [closing(websocket) for websocket in sockets] == [4401] * 4
    settled(lambda: SEEN.count("disconnect 4401") == 2)
    assert "Exception" not in caplog.text  # the end of a token is no error of the application


@pytest.mark.parametrize("how", ["sends", "receives"])
@pytest.mark.parametrize("door", ["starlette", "fastapi"])
def test_a_handler_sees_a_disconnect_in_whatever_it_does_after_the_end(
    hosts: dict[str, str], door: str, how: str, later: Callable[[], None]
) -> None:
    SEEN.clear()
    CLOSED.clear()
    try:
        with opened(hosts[door], f"/{how}/late", bearer(token())) as websocket:
            assert websocket.recv(timeout=20) == "busy"
            later()
            assert closing(websocket) == 4401
    finally:
        CLOSED.set()
    settled(lambda: f"told while it {how}" in SEEN)


@BOTH
def test_a_handler_that_heeds_no_disconnect_is_told_once_and_then_stopped(
    hosts: dict[str, str], door: str, later: Callable[[], None]
) -> None:
    SEEN.clear()
    with opened(hosts[door], "/heedless", bearer(token())) as websocket:
        assert websocket.recv(timeout=20) == "open"
        later()
        assert closing(websocket) == 4401
    settled(lambda: SEEN == ["websocket.disconnect", "stopped"])


@pytest.mark.parametrize("gone", [OSError(), RuntimeError(), WebSocketDisconnect(1006)])
def test_a_client_that_left_before_the_close_is_no_error(gone: Exception) -> None:
    async def receive() -> Any:
        raise AssertionError("nobody asked")

    async def send(_: Any) -> None:
        raise gone

    assert asyncio.run(Socket(receive, send).end(ExpiredToken("over"))) is False


def test_an_expiry_is_awaited_and_not_only_met_at_the_next_look() -> None:
    begun = time.time()
    watch = Watch(Door(VERIFIER), VERIFIER.verify(token(2)), every=300)
    assert isinstance(asyncio.run(watch.end()), ExpiredToken)
    assert 0.9 < time.time() - begun < 20  # exp is in whole seconds


@BOTH
def test_a_socket_closes_when_its_session_is_cut_off(hosts: dict[str, str], door: str) -> None:
    sid = f"session-{door}"
    with (
        opened(hosts[door], headers=bearer(token(sid=sid))) as websocket,
        opened(hosts[door], headers=bearer(token())) as other,
    ):
        websocket.send("hello")
        assert [websocket.recv(), websocket.recv()] == ["alice", "hello"]
        FEED.apply([Entry.of("sid", sid, seq=1, exp=None)])
        assert closing(websocket) == 4401
        other.send("hello")
        assert [other.recv(), other.recv()] == ["alice", "hello"]


@BOTH
def test_where_nobody_knows_any_more_it_closes_to_try_again(hosts: dict[str, str], door: str) -> None:
    with opened(hosts[door], headers=bearer(token())) as websocket:
        FEED.silent = True
        try:
            assert closing(websocket) == 1013
            assert refused(hosts[door], headers=bearer(token())) == 503
        finally:
            FEED.silent = False


def test_a_websocket_that_depends_on_the_plain_door_opens_for_nobody(hosts: dict[str, str]) -> None:
    assert refused(hosts["fastapi"], "/mistake", bearer(token())) == 500
    assert refused(hosts["fastapi"], "/scoped", bearer(token())) == 403


@BOTH
@pytest.mark.parametrize(("path", "accept"), [("/quiet", "text/event-stream"), ("/many", "*/*")])
@pytest.mark.parametrize("how", ["expiry", "revocation"])
def test_an_event_stream_ends_with_its_token(
    hosts: dict[str, str],
    later: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    door: str,
    path: str,
    accept: str,
    how: str,
) -> None:
    SEEN.clear()
    sid, got = f"{door}{path}{how}", ""
    headers = bearer(token(sid=sid)) | {"Accept": accept}
    with httpx2.stream("GET", f"http://{hosts[door]}{path}", headers=headers, timeout=20) as answer:
        for text in answer.iter_text():
            if not got:
                later() if how == "expiry" else FEED.apply([Entry.of("sid", sid, seq=1, exp=None)])
            got += text
    assert got.startswith("data: ")
    if path == "/quiet":
        settled(lambda: "stream over" in SEEN)
    assert "Exception" not in caplog.text  # the end of a token is no error of the application


@BOTH
def test_a_download_that_takes_longer_than_its_token_is_not_cut(
    hosts: dict[str, str], later: Callable[[], None], door: str
) -> None:
    headers, got = bearer(token()) | {"Accept": "text/event-stream, */*"}, ""
    with httpx2.stream("GET", f"http://{hosts[door]}/download", headers=headers, timeout=20) as answer:
        for text in answer.iter_text():
            later()
            got += text
    assert got == "part," * 12


@pytest.mark.parametrize("recheck", [0, timedelta(), timedelta(hours=1), None])
def test_how_often_to_look_again_is_a_sensible_length_of_time(recheck: Any) -> None:
    async def app(*_: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="recheck"):
        Bearer(VERIFIER, recheck=recheck)
    with pytest.raises(ConfigurationError, match="recheck"):
        BearerMiddleware(app, VERIFIER, recheck=recheck)


def settled(done: Any) -> None:
    for _ in range(200):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError(SEEN)


def test_an_application_hears_of_the_end_from_a_server_that_never_says_so() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(600)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.disconnect", "code": 4401, "reason": ""}
        assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(OSError, match="has ended"):
            await send({"type": "websocket.send", "text": "late"})

    claims = VERIFIER.verify(token(2))
    asyncio.run(guard_socket(app, {}, receive, send, Watch(Door(VERIFIER), claims, every=300)))
    assert [message["code"] for message in sent] == [4401]


def test_what_is_open_ends_when_the_key_of_its_token_is_gone() -> None:
    class Keys:
        now = KeySet([KEY.public()])

        def current(self) -> KeySet:
            return self.now

        def missing(self, kid: str | None) -> KeySet:
            return self.now

    keys = Keys()
    one = Verifier(keys, issuer="https://auth.example", audience="orders")
    for verifier in (one, Verifiers([one])):
        keys.now = KeySet([KEY.public()])
        claims = verifier.verify(token())
        verifier.recheck(claims)
        keys.now = KeySet([Key.generate("ES256").public()])
        with pytest.raises(UnknownKey):
            verifier.recheck(claims)
    other = Verifier(keys, issuer="https://other.example", audience="orders")
    with pytest.raises(WrongIssuer):
        Verifiers([other]).recheck(claims)
