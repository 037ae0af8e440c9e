"""Work that repeats in a daemon thread of each process, one run at a time however many ask for it."""

from __future__ import annotations

import os
from math import ceil
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakMethod

from admit import clock
from admit.errors import AdmitError, Unavailable
from admit.tokens.waiting import WouldWait, may_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.clock import Clock

_BACKOFF: Final = (0.5, 1.0, 2.0, 4.0, 6.0)
"""Seconds after the first, second, ... failure in a row; each is spread by up to a half. Requests may be refused until the next
try, so it is never far: one thread of a process asks, however many callers there are."""


class _Runs:
    """What belongs to one process: a thread does not survive a fork, and a lock may be inherited locked."""

    __slots__ = ("changed", "finished", "given_up", "running", "thread", "wanted")

    def __init__(self) -> None:
        self.changed = Condition()
        self.thread: Thread | None = None
        self.wanted = self.running = False
        self.finished = self.given_up = 0


class Ticket(NamedTuple):
    """One run, by its number."""

    runs: _Runs
    number: int
    pid: int

    @property
    def over(self) -> bool:
        """Whether that run has ended, or belonged to the process that this one was forked from."""
        return self.runs.finished >= self.number or self.pid != os.getpid()


class Background:
    """Repeats `work`, which answers after how many seconds it wants to run again, or raises an AdmitError.

    The thread starts when it is first asked for, in each process anew, and ends when the owner of `work` is gone.
    """

    def __init__(self, work: Callable[[], float], name: str, now: Clock = clock.monotonic) -> None:
        self._work, self._name, self._now = WeakMethod(work), name, now
        self._runs: dict[int, _Runs] = {}  # by process id
        self._closed = False
        self._failures = 0
        self._retry_at = 0.0
        self.error: AdmitError | None = None
        """Why the last run failed; None where it did not."""

    @property
    def alive(self) -> bool:
        """Whether this process's thread runs."""
        runs = self._runs.get(os.getpid())
        return runs is not None and runs.thread is not None and runs.thread.is_alive()

    def wake(self, *, at_once: bool = True) -> None:
        """See that the thread runs; with `at_once`, that it works now unless it has to recover from a failure first."""
        runs = self._here()
        with runs.changed:
            self._ensure(runs)
            if at_once and not runs.running and self._now() >= self._retry_at:
                runs.wanted = True
                runs.changed.notify_all()

    def begin(self) -> Ticket:
        """Join the run under way, or begin one. Raises what the last one raised while it is too early for another."""
        runs = self._here()
        with runs.changed:
            return self._begin(runs)

    def join(self, ticket: Ticket, timeout: float) -> None:
        """Wait for a run, at most `timeout` seconds. Raises WouldWait where the caller may not, or what the run raised.

        Once one caller has waited that long for a run in vain, nobody waits for it any more: an issuer that hangs, or
        is down, does not cost every request its time.
        """
        runs, number = ticket.runs, ticket.number
        with runs.changed:
            if runs.finished < number:
                if not may_wait.get():
                    raise WouldWait("a fetch is under way, and the caller may not wait for it")
                over = runs.given_up < number and runs.changed.wait_for(
                    lambda: runs.finished >= number or self._closed, timeout
                )
                if not over:
                    runs.given_up = max(runs.given_up, number)
                    raise Unavailable(f"no answer within {timeout:g} s")
                if runs.finished < number:
                    raise Unavailable("this client was closed")
            self.settled()

    def settled(self) -> None:
        """Raise what the last run raised, if it did, and when to come again."""
        error = self.error
        if error is not None:
            # An object of its own: one shared by many threads would grow a traceback without end.
            raise Unavailable(str(error), max(ceil(self._retry_at - self._now()), 1))

    def run(self, timeout: float, unless: Callable[[], bool]) -> None:
        """`begin` and `join`, unless somebody else's run has just brought what is needed."""
        runs = self._here()
        with runs.changed:
            if not runs.running and unless():
                return
            ticket = self._begin(runs)
        self.join(ticket, timeout)

    def close(self) -> None:
        """Let the thread end after the run under way, for which nobody waits any more."""
        self._closed = True
        runs = self._here()
        with runs.changed:
            runs.changed.notify_all()

    def open(self) -> None:
        """Undo `close`."""
        self._closed = False

    def _here(self) -> _Runs:
        pid = os.getpid()
        return self._runs.get(pid) or self._runs.setdefault(pid, _Runs())

    def _begin(self, runs: _Runs) -> Ticket:
        self._ensure(runs)
        if not runs.running:
            if self._now() < self._retry_at:
                self.settled()
            runs.wanted = True
            runs.changed.notify_all()
        return Ticket(runs, runs.finished + 1, os.getpid())

    def _ensure(self, runs: _Runs) -> None:
        if self._closed:
            raise Unavailable("this client was closed")
        if runs.thread is None or not runs.thread.is_alive():
            runs.running, runs.wanted = False, True
            self.error = None  # of before a fork, or before `close`: it says nothing of now
            thread = Thread(target=_loop, args=(self, runs), name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                raise Unavailable("no thread can be started: the process is ending or at its limit") from None
            runs.thread = thread

    def _once(self, work: Callable[[], float]) -> float:
        try:
            pause = work()
        except AdmitError as error:
            pause = _BACKOFF[min(self._failures, len(_BACKOFF) - 1)] * (1 + clock.jitter() / 2)
            self._failures += 1
            self._retry_at, self.error = self._now() + pause, error
        else:
            self._failures, self._retry_at, self.error = 0, 0.0, None
        return pause


def _loop(background: Background, runs: _Runs) -> None:
    pause = 0.0
    while True:
        with runs.changed:
            runs.changed.wait_for(lambda: runs.wanted or background._closed, pause)
            work = background._work()
            if work is None or background._closed:
                runs.thread = None  # though it lives a moment longer, in which somebody may open it again
                return
            runs.wanted, runs.running = False, True
        try:
            pause = background._once(work)
        finally:
            del work
            with runs.changed:
                runs.running = False
                runs.finished += 1
                runs.changed.notify_all()
