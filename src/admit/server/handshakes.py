"""Handshakes: takes connections from a socket and shakes hands (TLS). Each counts from when it was accepted, and can be closed.

An event loop's own server tells nobody of a connection before: strangers who never shake hands would have every handle.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from admit.server.connections import HEAD_SECONDS
from admit.server.logs import seldom

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import uvicorn

    from admit.server.connections import Connection

_PAUSE: Final = 1.0  # seconds until another try, where the system has no handle left: it would be refused at once

log = logging.getLogger("admit.server")


class Handshakes:
    """A server, as those of the running loop are."""

    def __init__(self, listener: socket.socket, config: uvicorn.Config, make: Callable[[], Connection]) -> None:
        self._listener, self._config, self._make = listener, config, make
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Accept nobody else. A socket that stays open would take in who comes, for nobody."""
        if self._listener.fileno() >= 0:  # it may be called again
            self._loop.remove_reader(self._listener)
            self._listener.close()
        if self._pause is not None:
            self._pause.cancel()

    async def wait_closed(self) -> None:
        """It is, at once."""

    def take(self, accepted: socket.socket) -> None:
        """Shake hands with who was accepted, unless there is no place."""
        accepted.setblocking(False)
        connection = self._make()
        state = connection.server_state
        state.add(connection)
        if connection in state.connections:
            untouched = [accepted]
            connection.handshake = self._loop.create_task(self._shake(connection, untouched))
            connection.handshake.add_done_callback(lambda _: self._shaken(connection, untouched))
        else:
            accepted.close()

    async def _shake(self, connection: Connection, untouched: list[socket.socket]) -> None:
        accepted = untouched.pop()  # from now on the loop closes it
        with suppress(OSError):  # as ssl.SSLError is: no TLS, or gone
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._config.ssl, ssl_handshake_timeout=HEAD_SECONDS
            )

    @staticmethod
    def _shaken(connection: Connection, untouched: list[socket.socket]) -> None:
        if not connection.transport:
            connection.server_state.discard(connection)
        for accepted in untouched:
            accepted.close()

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # another worker was faster, or it is gone
            return
        except OSError as error:
            log.warning("no connection can be accepted: %s", error.strerror, extra=seldom("accept"))
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(_PAUSE, self._watch)
            return
        self.take(accepted)
