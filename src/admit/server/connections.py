"""Connections: how many one process holds, and how long and how large the head of a request may be.

uvicorn has a setting for the first alone, and under it turns away health checks as well: see `limit_concurrency` below.
Whoever has no request in flight *waits*, from before the handshake of TLS on, and can be closed without harm; the one that has
waited longest goes first. Where nobody waits, it is who has held up a request the longest, by not sending the rest of its body or
not reading the answer: strangers who do would take every place.
"""

from __future__ import annotations

import logging
from itertools import takewhile
from math import inf
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from admit.clock import monotonic
from admit.server.logs import AGAIN
from admit.server.parsing import BODY_SECONDS

if TYPE_CHECKING:
    from asyncio import Task, Transport

HEAD_SECONDS: Final = BODY_SECONDS
"""How long a connection may wait until a head is complete: one that sends a byte a second would be held for ever."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of a head that is not complete, beyond one read: as large as a body (parsing.MAX_BODY)."""
_PIPELINED: Final = 64  # requests that wait for the one before them on the same connection
QUIET: Final = 1.0
"""Seconds without a request on a connection: whoever keeps it does not send one at this moment."""
ROOM: Final = 64
"""Connections beyond the most, for health checks, and for saying 503 to the others."""
_PROBES: Final = frozenset((b"/healthz", b"/readyz"))
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

log = logging.getLogger("admit.server")


class Connections(ServerState):
    """Those of one process. most: how many may have a request in flight."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.waiting: dict[Connection, float] = {}
        """Since when each waits, in seconds of the monotonic clock; the longest first."""
        self.holding: dict[Connection, None] = {}
        """Those whose request waits for its client: for the rest of its body, or until the answer is read; the longest first."""
        self._told = -inf

    def add(self, connection: Connection) -> None:
        """It waits for what its client has to send; another one, or itself, is closed where there is no place."""
        self.connections.add(connection)
        self.waiting.pop(connection, None)
        self.waiting[connection] = monotonic()
        self._make_room(connection)

    def discard(self, connection: Connection) -> None:
        """It is gone."""
        self.connections.discard(connection)
        self.forget(connection)

    def _make_room(self, newcomer: Connection) -> None:
        """Close whoever has waited longest, where there are too many, or held up; the newcomer itself where nobody does."""
        count = len(self.connections)
        if count <= self.most:
            return
        longest = next(iter(self.waiting))
        if longest is newcomer:
            longest = next(iter(self.holding), newcomer)
        if longest is newcomer and count <= self.most + ROOM:
            return
        self.discard(longest)  # now: until the loop tells of its end, whoever asks would get 503
        longest.abort()
        if monotonic() - self._told > AGAIN:
            self._told = monotonic()
            log.warning("more than %d connections: those that have waited longest are closed", self.most)

    def forget(self, connection: Connection) -> None:
        """It neither waits nor holds up."""
        self.waiting.pop(connection, None)
        self.holding.pop(connection, None)

    def sweep(self) -> None:
        """Close those whose handshake or head did not come in time."""
        late = monotonic() - HEAD_SECONDS
        for connection, _ in [*takewhile(lambda item: item[1] <= late, self.waiting.items())]:
            del self.waiting[connection]
            connection.abort()

    def quiet(self) -> bool:
        """Whether nobody is about to ask, having had an answer, or connected, a moment ago."""
        return next(reversed(self.waiting.values()), -inf) < monotonic() - QUIET


class Connection(HttpToolsProtocol):
    """uvicorn's, within bounds."""

    server_state: Connections
    handshake: Task[None] | None = None
    """TLS's, before there is a transport."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._head = True, 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """It waits for its first request."""
        super().connection_made(transport)
        self.server_state.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.server_state.discard(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close it at once, whatever it waits for."""
        if self.transport:
            self.transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def shutdown(self) -> None:
        """Close it once its request is answered."""
        if self.transport:
            super().shutdown()
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Whatever comes. The parser keeps what is not complete, however much it is."""
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > MAX_HEAD and not self.transport.is_closing():
            if self in self.server_state.waiting:  # else an answer is being written
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A request is in flight, or stands behind another one. Raises OverflowError, which ends the connection."""
        self._in_head = False
        if len(self.pipeline) >= _PIPELINED:
            raise OverflowError("too many requests at once on one connection")
        self.server_state.waiting.pop(self, None)
        self.server_state.holding[self] = None
        probe = self.url.partition(b"?")[0] in _PROBES
        self.limit_concurrency = None if probe else self.server_state.most + 1
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client does not read what it is answered."""
        super().pause_writing()
        if self not in self.server_state.waiting:
            self.server_state.holding[self] = None

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._go_on()

    def _go_on(self) -> None:
        if not self.flow.write_paused:
            self.server_state.holding.pop(self, None)

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        self._in_head, self._head = True, 0
        self._go_on()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It waits, unless the next request is here already."""
        if not self.pipeline:
            self.server_state.holding.pop(self, None)  # what follows of a body is in vain
            self.server_state.waiting[self] = monotonic()
        super().on_response_complete()
