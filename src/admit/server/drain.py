"""Ending without dropping a request: first every client is told to come no more on its connection, then it is closed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from admit.clock import monotonic
from admit.server.connections import HEAD_SECONDS, Connection
from admit.server.handshakes import Handshakes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

    from admit.server.connections import Connections
    from admit.server.requests import Draining

GRACEFUL_SECONDS: Final = 5
"""How long requests in flight may still take after SIGTERM."""
_LAST_CALL: Final = 2.0  # seconds for busy clients to hear that their connection closes
_STEP: Final = 0.02
_AFTER: Final = 1.0  # seconds from when requests are given up to the end of the process, whatever its threads do

log = logging.getLogger("admit.server")


class Server(uvicorn.Server):
    """uvicorn, which says when it takes requests, and ends in steps.

    A request that arrives while its connection is being closed gets no answer, and its client cannot know whether it
    took effect. So: who has connected is accepted, nobody else is; every answer now carries `Connection: close`; and only
    when nobody has just asked, or after two seconds, are the connections left over closed.
    renewing: called on SIGHUP; without it SIGHUP is somebody else's. Where a terminal was closed, SIGHUP ends the process.
    parent: the sentinel of a supervisor; readable once that is dead, and then this process ends too.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        draining: Draining,
        connections: Connections,
        *,
        started: Callable[[], None],
        stopping: Callable[[], None],
        renewing: Callable[[], None] | None = None,
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._connections = self.server_state = connections
        self._draining, self._told, self._stopping = draining, started, stopping
        self._renewing, self._terminal = renewing, os.isatty(0)
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own on sockets that are given, but that connections count before they shake hands (TLS)."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = [await self._server(each) for each in sockets or ()]  # type: ignore[misc]  # as asyncio's
        self.started = True
        loop = asyncio.get_running_loop()
        if self._parent is not None:
            loop.add_reader(self._parent, self._orphaned)
        if self._renewing is not None and hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._hung_up, self._renewing)
        self._told()

    async def on_tick(self, counter: int) -> bool:
        self._connections.sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        last = Timer(_LAST_CALL + GRACEFUL_SECONDS + _AFTER, _give_up)
        last.daemon = True
        last.start()
        await self._accept_the_last(sockets or [])
        ends = monotonic() + _LAST_CALL
        while not (self._connections.quiet() or self.force_exit) and monotonic() < ends:
            await asyncio.sleep(_STEP)
        await super().shutdown(sockets)

    async def _accept_the_last(self, sockets: list[socket.socket]) -> None:
        """Closing a socket that is listened on resets whoever waits in its queue: so the queue is emptied first."""
        loop = asyncio.get_running_loop()
        queues: list[socket.socket] = []
        with suppress(OSError):  # where no handle is left, the queue is reset
            queues += [each.dup() for each in sockets]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        for server, queue in zip(self.servers, queues, strict=False):
            with queue:
                for accepted in _waiting(queue):
                    if isinstance(server, Handshakes):
                        server.take(accepted)
                        await asyncio.sleep(0)
                    else:
                        with suppress(OSError):  # gone
                            await loop.connect_accepted_socket(self._connection, accepted, ssl=self.config.ssl)

    async def _server(self, listener: socket.socket) -> asyncio.Server | Handshakes:
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        if tls is None or sys.platform == "win32":  # there a loop watches no sockets of others
            timeout = None if tls is None else HEAD_SECONDS
            return await loop.create_server(
                self._connection, sock=listener, ssl=tls, ssl_handshake_timeout=timeout, backlog=self.config.backlog
            )
        return Handshakes(listener, self.config, self._connection)

    def _connection(self) -> Connection:
        return Connection(self.config, self._connections, self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._draining.on = True
        self._stopping()
        super().handle_exit(sig, frame)

    def _hung_up(self, renewing: Callable[[], None]) -> None:
        if self._terminal and not os.isatty(0):
            self.handle_exit(signal.SIGTERM, None)
        else:
            renewing()

    def _orphaned(self) -> None:
        assert self._parent is not None  # noqa: S101 - registered for it alone
        asyncio.get_running_loop().remove_reader(self._parent)
        self.handle_exit(signal.SIGTERM, None)


def _waiting(queue: socket.socket) -> Iterator[socket.socket]:
    queue.setblocking(False)
    while True:
        try:
            yield queue.accept()[0]
        except ConnectionError:
            continue  # gone while it waited
        except OSError:  # BlockingIOError: that was all
            return


def _give_up() -> None:
    """A thread cannot be cancelled, and the interpreter would wait for one that waits for the database."""
    log.warning("a thread still waits, probably for the database; the process ends without it")
    logging.shutdown()
    os._exit(0)
