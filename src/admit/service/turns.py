"""Turns: a few places at once, and a bounded queue for them in which the addresses take turns.

A flood from one address waits behind itself: whoever comes from another address is next but one. Where the queue is
full, the newest of the address that fills it gives way.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, contextmanager
from threading import Event, Lock
from typing import TYPE_CHECKING

import anyio

from admit.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class _Turn:
    """One who waits. `wake` is called once: its place is there, or it has to give way."""

    __slots__ = ("address", "granted", "wake")

    def __init__(self, address: str, wake: Callable[[], None]) -> None:
        self.address, self.wake, self.granted = address, wake, False


class Turns:
    """places: how many at once. waiting: how many more may wait; seconds: for how long."""

    def __init__(self, places: int, waiting: int, seconds: float) -> None:
        self._free, self._most, self._seconds = places, waiting, seconds
        self._lock = Lock()
        self._lines: dict[str, deque[_Turn]] = {}  # in the order in which the addresses are next
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """A place, in a thread. Raises Overloaded where the queue is full, or the wait too long."""
        event = Event()
        turn = self._join(address, event.set)
        try:
            event.wait(self._seconds)
            self._end_wait(turn)
            yield
        finally:
            self._release(turn)

    @asynccontextmanager
    async def awaited(self, address: str) -> AsyncIterator[None]:
        """The same, for tasks of one event loop."""
        event = anyio.Event()
        turn = self._join(address, event.set)
        try:
            with anyio.move_on_after(self._seconds):
                await event.wait()
            self._end_wait(turn)
            yield
        finally:
            self._release(turn)

    def _join(self, address: str, wake: Callable[[], None]) -> _Turn:
        turn = _Turn(address, wake)
        with self._lock:
            if self._free:
                self._free -= 1
                turn.granted = True
                wake()
                return turn
            if self._waiting >= self._most:
                longest = max(self._lines.values(), key=len)
                if len(longest) <= len(self._lines.get(address, ())) + 1:
                    raise Overloaded("too many passwords are being checked", retry_after=1)
                given_up = longest.pop()
                self._waiting -= 1
                given_up.wake()
            self._lines.setdefault(address, deque()).append(turn)
            self._waiting += 1
        return turn

    def _end_wait(self, turn: _Turn) -> None:
        with self._lock:
            if turn.granted:
                return
            self._forget(turn)
        raise Overloaded("too many passwords are being checked", retry_after=1)

    def _release(self, turn: _Turn) -> None:
        """Whatever became of it, also while it waited: its place goes to the first of the address that is next."""
        with self._lock:
            if not turn.granted:
                self._forget(turn)
                return
            address = next(iter(self._lines), None)
            if address is None:
                self._free += 1
                return
            line = self._lines.pop(address)
            following = line.popleft()
            if line:
                self._lines[address] = line  # at the end: the others come first
            self._waiting -= 1
            following.granted = True
            following.wake()

    def _forget(self, turn: _Turn) -> None:
        line = self._lines.get(turn.address)
        if line is not None and turn in line:
            line.remove(turn)
            self._waiting -= 1
            if not line:
                del self._lines[turn.address]
