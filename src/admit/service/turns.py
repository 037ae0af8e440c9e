"""Turns: a few places at once, and three bounded lanes that are served in turn; in each, the lines take turns.

A flood that stands in one line waits behind itself: whoever comes in another is next but one. A flood of many lines fills
its own lane, and delays the others by one turn. Where a lane is full, the newest of its longest line gives way.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from threading import Event, Lock
from typing import TYPE_CHECKING, NamedTuple

import anyio

from admit.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class Lane(Enum):
    """Who waits among whom, in the order in which they are served where nobody was served yet."""

    KNOWN = "known"
    """Whoever has been in from there: strangers cannot fill this lane."""
    NEW = "new"
    """Strangers against whom nothing is held."""
    MARKED = "marked"
    """Strangers who failed, or want in where others failed. An attack is here once its addresses, or its users, are used up."""


class Line(NamedTuple):
    """Where one waits: in which lane, and who share one line there."""

    lane: Lane
    name: str


class _Turn:
    """One who waits. `wake` is called once: its place is there, or it has to give way."""

    __slots__ = ("granted", "line", "wake")

    def __init__(self, line: Line, wake: Callable[[], None]) -> None:
        self.line, self.wake, self.granted = line, wake, False


class _Lines:
    """Lines, in the order in which they are next."""

    def __init__(self) -> None:
        self.lines: dict[str, deque[_Turn]] = {}
        self.waiting = 0

    def join(self, turn: _Turn, most: int) -> None:
        """Raises Overloaded where the lane is full, and the line not shorter than the longest."""
        name = turn.line.name
        if self.waiting >= most:
            longest = max(self.lines.values(), key=len)
            if len(longest) <= len(self.lines.get(name, ())) + 1:
                raise Overloaded("too many passwords are being checked", retry_after=1)
            given_up = longest.pop()
            self.waiting -= 1
            given_up.wake()
        self.lines.setdefault(name, deque()).append(turn)
        self.waiting += 1

    def following(self) -> _Turn:
        """The first of the line that is next."""
        name = next(iter(self.lines))
        line = self.lines.pop(name)
        first = line.popleft()
        if line:
            self.lines[name] = line  # at the end: the others come first
        self.waiting -= 1
        return first

    def forget(self, turn: _Turn) -> None:
        """Whoever leaves without having had a turn, if it is still here."""
        line = self.lines.get(turn.line.name)
        if line is not None and turn in line:
            line.remove(turn)
            self.waiting -= 1
            if not line:
                del self.lines[turn.line.name]


class Turns:
    """places: how many at once. waiting: how many more may wait in each lane; seconds: for how long."""

    def __init__(self, places: int, waiting: int, seconds: float) -> None:
        self._free, self._most, self._seconds = places, waiting, seconds
        self._lock = Lock()
        self._lanes = {lane: _Lines() for lane in Lane}  # in the order in which they are next

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(lines.waiting for lines in tuple(self._lanes.values()))

    @contextmanager
    def turn(self, line: Line) -> Iterator[None]:
        """A place, in a thread. Raises Overloaded where the lane is full, or the wait too long."""
        event = Event()
        turn = self._join(line, event.set)
        try:
            event.wait(self._seconds)
            self._end_wait(turn)
            yield
        finally:
            self._release(turn)

    @asynccontextmanager
    async def awaited(self, line: Line) -> AsyncIterator[None]:
        """The same, for tasks of one event loop."""
        event = anyio.Event()
        turn = self._join(line, event.set)
        try:
            with anyio.move_on_after(self._seconds):
                await event.wait()
            self._end_wait(turn)
            yield
        finally:
            self._release(turn)

    def _join(self, line: Line, wake: Callable[[], None]) -> _Turn:
        turn = _Turn(line, wake)
        with self._lock:
            if self._free:
                self._free -= 1
                turn.granted = True
                wake()
            else:
                self._lanes[line.lane].join(turn, self._most)
        return turn

    def _end_wait(self, turn: _Turn) -> None:
        with self._lock:
            if turn.granted:
                return
            self._lanes[turn.line.lane].forget(turn)
        raise Overloaded("too many passwords are being checked", retry_after=1)

    def _release(self, turn: _Turn) -> None:
        """Whatever became of it, also while it waited: its place goes to the first of the lane that is next."""
        with self._lock:
            if not turn.granted:
                self._lanes[turn.line.lane].forget(turn)
                return
            lane = next((lane for lane, lines in self._lanes.items() if lines.waiting), None)
            if lane is None:
                self._free += 1
                return
            lines = self._lanes[lane] = self._lanes.pop(lane)  # at the end: the others come first
            following = lines.following()
            following.granted = True
            following.wake()
