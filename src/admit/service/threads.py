"""Threads: where AsyncTokenService runs its calls, so many at once and in their turn."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar
from weakref import WeakSet

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from admit.service.throttle import network
from admit.service.turns import Lane, Line, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.service.login_policy import LoginPolicy

P = ParamSpec("P")
T = TypeVar("T")
_NO_TURN: Final = nullcontext()
_LOOKS: Final = 2
"""At once, to see in which lane a login waits: a read each, some hundred times shorter than a hash."""
_LOOKING: Final = 16
"""So many times `password_queue` may wait for it, since that queue is emptied so much faster."""


class _InLoop:
    """What belongs to one event loop: only its own thread can wake who waits there."""

    def __init__(self, threads: int, policy: LoginPolicy) -> None:
        self.running = CapacityLimiter(threads)
        # Calls that hash a password have threads of their own, so that a flood of logins leaves refreshes theirs; and
        # somewhat more than there are places, since a login also waits for the database.
        hashing = 2 * policy.places + 2
        self.hashing = CapacityLimiter(hashing)
        seconds = policy.password_wait.total_seconds()
        self.turns = Turns(hashing, policy.password_queue, seconds)
        self.looking = CapacityLimiter(_LOOKS)
        self.looks = Turns(_LOOKS, _LOOKING * policy.password_queue, seconds)


class Threads:
    """The worker threads of one AsyncTokenService, `threads` at once for most calls in each event loop."""

    def __init__(self, threads: int, policy: LoginPolicy) -> None:
        self._threads, self._policy = threads, policy
        self._here: RunVar[_InLoop] = RunVar(f"admit_threads_{id(self)}")
        self._loops = WeakSet[_InLoop]()

    def here(self) -> _InLoop:
        """Those of the event loop that runs."""
        own = self._here.get(None)
        if own is None:
            own = _InLoop(self._threads, self._policy)
            self._here.set(own)
            self._loops.add(own)
        return own

    def hashes(self) -> tuple[int, int]:
        """How many calls hash a password now, and how many wait for that."""
        loops = tuple(self._loops)
        return sum(each.hashing.borrowed_tokens for each in loops), sum(each.turns.waiting for each in loops)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call answers."""
        return await _through(partial(call, *args, **kwargs), self.here().running, _NO_TURN)

    async def apart(self, call: Callable[[], T]) -> T:
        """The same, not behind calls that wait for the database."""
        return await _through(call, CapacityLimiter(1), _NO_TURN)

    async def look(self, address: str, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, for a short look at how an address stands; in turn with those of other addresses. Raises Overloaded."""
        here = self.here()
        turn = here.looks.awaited(Line(Lane.NEW, network(address)))
        return await _through(partial(call, *args, **kwargs), here.looking, turn)

    async def hash(self, line: Line, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, for a call that hashes a password, in its line. Raises Overloaded."""
        here = self.here()
        return await _through(partial(call, *args, **kwargs), here.hashing, here.turns.awaited(line))


async def _through(call: Callable[[], T], limiter: CapacityLimiter, turn: AbstractAsyncContextManager[None]) -> T:
    """What `call` answers in a thread. Whoever is cancelled leaves at once, and the thread keeps its places until its end:
    given to others while it waits for the database, they would let in any number of threads."""
    begun = Event()

    def work() -> T:
        begun.set()
        return call()

    async def places() -> T:
        async with turn:
            return await to_thread.run_sync(work, limiter=limiter)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await places()  # trio, which waits for its threads
    task = asyncio.ensure_future(places())
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        if not begun.is_set():
            task.cancel()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody is left to hear of it
        raise
    return task.result()
