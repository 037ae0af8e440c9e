"""What outlives a request: WebSockets and event streams end when the token that opened them does."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from anyio import CancelScope, create_task_group, sleep
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from admit.errors import AdmitError, ConfigurationError, Unavailable
from admit.web.bearer import log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admit.tokens.claims import Claims
    from admit.tokens.presented import Presented
    from admit.web.bearer import Door

T = TypeVar("T")

RECHECK: Final = timedelta(seconds=2)
"""How long after it reached this process a revocation closes what is open."""
UNAUTHORIZED: Final = 4401
"""The close code: the token expired or was revoked. 4000 to 4999 are an application's own (RFC 6455 7.4.2)."""
TRY_AGAIN: Final = 1013
"""The close code where nobody knows any more whether the token was revoked: come again, the session may well live."""
EVENT_STREAM: Final = b"text/event-stream"
_GONE: Final = (OSError, RuntimeError, ClientDisconnect, WebSocketDisconnect)
"""What an application raises that was told of a disconnect, or (Starlette's RuntimeError) that sends after a close."""


class Watch(NamedTuple):
    """One token, the door that let it in, and the request that brought it. every: seconds between two looks; its expiry is
    awaited exactly."""

    door: Door[Any]
    claims: Claims[Any]
    every: float
    request: Presented | None = None

    async def verdict(self) -> AdmitError | None:
        """Why the token would be refused by now; None while it would not."""
        try:
            await self.door.recheck(self.claims, self.request)
        except AdmitError as error:
            log.info("closed: %s: %s", error.code, error)
            return error
        return None

    async def end(self) -> AdmitError:
        """Returns when the token would be refused, and why."""
        while (error := await self.verdict()) is None:
            left = self.claims.exp - self.door.verifier.clock()
            await sleep(min(left, self.every) if left > 0 else self.every)  # below 0 the verifier gives leeway
        return error

    async def while_good(self, source: AsyncIterable[T]) -> AsyncIterator[T]:
        """What `source` yields, until the token ends; nothing that is ready later leaves."""
        items = aiter(source)
        try:
            while found := await self._next(items):
                yield found[0]
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    async def _next(self, items: AsyncIterator[T]) -> list[T]:
        """The next item, or nothing. No scope stays open across a yield: it would be whoever iterates who owns it."""
        found: list[T] = []
        async with until_end(self, _give_up):
            with suppress(StopAsyncIteration):
                found.append(await anext(items))
        return [] if await self.verdict() is not None else found


class Socket:
    """An ASGI WebSocket whose application is told of a disconnect when the token ends, and whose client of a close."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._closed = False
        self._code: int | None = None
        self._pending: CancelScope | None = None

    async def receive(self) -> Message:
        """The client's next message, or the disconnect."""
        if self._code is None:
            with CancelScope() as self._pending:
                return await self._receive()
        return {"type": "websocket.disconnect", "code": self._code or UNAUTHORIZED, "reason": ""}

    async def send(self, message: Message) -> None:
        """As the server's. Raises OSError, as for a client that is gone, where the token has ended."""
        closing = message["type"] == "websocket.close"
        if self._code is not None:
            if closing:
                return
            raise OSError("the token of this WebSocket has ended")
        self._closed = self._closed or closing
        await self._send(message)

    async def end(self, error: AdmitError) -> bool:
        """Close it; the application lives on to see that."""
        if not self._closed:
            self._code = close_code(error)
            with suppress(*_GONE):  # the client may have been faster
                await self._send({"type": "websocket.close", "code": self._code, "reason": error.public})
        if self._pending is not None:
            self._pending.cancel()
        return False


class EventStream:
    """An ASGI response that, where it is an event stream, ends with the token. Other responses, such as downloads, are let be."""

    def __init__(self, send: Send, watch: Watch) -> None:
        self._send, self._watch = send, watch
        self._is_stream = self.finished = False

    async def send(self, message: Message) -> None:
        """As the server's. Raises OSError, as for a client that is gone, where the token has ended."""
        if message["type"] == "http.response.start":
            kinds = (value for name, value in message["headers"] if name.lower() == b"content-type")
            self._is_stream = any(value.lower().startswith(EVENT_STREAM) for value in kinds)
        elif self._is_stream and (self.finished or await self._watch.verdict() is not None):
            await self.end(None)
            raise OSError("the token of this event stream has ended")
        await self._send(message)

    async def end(self, _: AdmitError | None) -> bool:
        """End it, if it is an event stream; then what it still waits for is in vain."""
        if self._is_stream and not self.finished:
            self.finished = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return self._is_stream


async def guard_socket(app: ASGIApp, scope: Scope, receive: Receive, send: Send, watch: Watch) -> None:
    """Run an application for one WebSocket, which closes when its token ends."""
    socket = Socket(receive, send)
    async with until_end(watch, socket.end):
        await app(scope, socket.receive, socket.send)


async def guard_stream(app: ASGIApp, scope: Scope, receive: Receive, send: Send, watch: Watch) -> None:
    """Run an application for one request. Where it answers an event stream, that ends when the token does.

    What asks for one (EventSource does) is ended on time; whatever else turns out to be one, at the next event.
    """
    stream = EventStream(send, watch)
    try:
        if any(name == b"accept" and EVENT_STREAM in value.lower() for name, value in scope["headers"]):
            async with until_end(watch, stream.end):
                await app(scope, receive, stream.send)
        else:
            await app(scope, receive, stream.send)
    except _GONE:
        if not stream.finished:  # or it is how the application heard of the end, which is no error
            raise


def close_code(error: AdmitError) -> int:
    """With which code a WebSocket is closed for an error."""
    return TRY_AGAIN if isinstance(error, Unavailable) else UNAUTHORIZED


async def _give_up(_: AdmitError) -> bool:
    return True


@asynccontextmanager
async def until_end(watch: Watch, end: Callable[[AdmitError], Awaitable[bool]]) -> AsyncIterator[None]:
    """Within it, the token is watched. Where it ends, `end` is told why, and says whether to cancel what is being done."""
    failure: Exception | None = None
    ended = False
    async with create_task_group() as group:

        async def wait() -> None:
            nonlocal ended
            error = await watch.end()
            ended = True
            if await end(error):
                group.cancel_scope.cancel()

        group.start_soon(wait)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it into another
            failure = error
        group.cancel_scope.cancel()
    if failure is not None and not (ended and isinstance(failure, _GONE)):
        raise failure


def checked_every(recheck: timedelta) -> float:
    """The seconds between two looks. Raises ConfigurationError."""
    if not isinstance(recheck, timedelta) or not timedelta(milliseconds=50) <= recheck <= timedelta(minutes=5):
        raise ConfigurationError("recheck is a timedelta between 50 ms and 5 minutes")
    return recheck.total_seconds()
