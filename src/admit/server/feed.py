"""The revocation feed for many followers: one event in memory wakes them all, and they share the same bytes.

No follower holds a thread while it waits: a hundred blocking polls would make each login and refresh queue behind them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from admit.errors import ConfigurationError, shown
from admit.server.loop import memory_only
from admit.service.throttle import network
from admit.tokens.waiting import WouldWait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from admit.service.aio import AsyncTokenService

READERS: Final = ("anyone", "clients")
MAX_WAIT: Final = 25.0
"""Seconds: under the 30 s after which a verifier warns, and under the usual 60 s of proxies."""
_AGAIN: Final = 0.02  # seconds


class Feed:
    """Answers one service's followers. at_most, per_address: how many may wait at once, in all and from one address.
    readers: who may follow, one of READERS."""

    def __init__(
        self,
        service: AsyncTokenService,
        *,
        at_most: int = 1000,
        per_address: int = 64,
        readers: str = "anyone",
    ) -> None:
        if readers not in READERS:
            raise ConfigurationError(f"feed_readers is one of {', '.join(READERS)}, not {shown(readers)}")
        self.readers = readers
        self._service = service
        self._at_most, self._per_address = at_most, per_address
        self._by_address: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moved = asyncio.Event()
        self._unfollow: Callable[[], None] = lambda: None
        self._flights: dict[tuple[int | None, str | None], asyncio.Task[str]] = {}
        self._stopping = False

    @property
    def followers(self) -> int:
        """How many requests wait now."""
        return self._by_address.total()

    def stop(self) -> None:
        """Let every waiting request answer now, and none wait any more: the process ends."""
        self._stopping = True
        self._unfollow()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def answer(self, since: int | None, epoch: str | None) -> str:
        """The signed feed after `since`, made once for all who ask for the same at the same time."""
        flight = self._flights.get((since, epoch))
        if flight is None:
            flight = asyncio.ensure_future(self._signed(since, epoch))
            self._flights[since, epoch] = flight
            flight.add_done_callback(lambda _: self._flights.pop((since, epoch), None))
        return await asyncio.shield(flight)

    async def _signed(self, since: int | None, epoch: str | None) -> str:
        due, least = 0.0, 0.0
        while True:
            with suppress(WouldWait), memory_only():  # else the thread that signs looks first
                due = self._service.feed_due(since, epoch)
            await asyncio.sleep(max(due, least))  # here, where nobody's thread waits
            text = await self._service.feed_now(since, epoch)
            if text is not None:
                return text
            least = _AGAIN  # others were faster

    async def wait(
        self, since: int, epoch: str | None, seconds: float, address: str, gone: Callable[[], Awaitable[object]]
    ) -> None:
        """Returns when the head is no longer `since`, after `seconds`, or when `gone` (the client left) returns.

        Over a cap at once: it is the wait that costs, and whoever was refused would soon trust nothing any more.
        """
        self._follow()
        moved = self._moved
        if self._stopping or seconds <= 0 or self._head_moved(since, epoch):
            return
        with self._counted(address) as may_wait:
            if not may_wait:
                return
            waiting = {asyncio.ensure_future(moved.wait()), asyncio.ensure_future(gone())}
            try:
                await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()

    def _head_moved(self, since: int, epoch: str | None) -> bool:
        """Whether there is news, or nobody knows: the answer then looks for it, once for all who ask."""
        try:
            with memory_only():
                current, newest = self._service.feed_head()
        except WouldWait:
            return True
        return newest != since or epoch not in (None, current)

    def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._unfollow()
        self._loop, self._moved = loop, asyncio.Event()

        def moved() -> None:
            with suppress(RuntimeError):  # the loop ended meanwhile
                loop.call_soon_threadsafe(self._wake)

        self._unfollow = self._service.on_feed(moved)

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    @contextmanager
    def _counted(self, address: str) -> Iterator[bool]:
        place = network(address)
        if self.followers >= self._at_most or self._by_address[place] >= self._per_address:
            yield False
            return
        self._by_address[place] += 1
        try:
            yield True
        finally:
            self._by_address[place] -= 1
            if not self._by_address[place]:
                del self._by_address[place]
