"""Several processes on one listening socket: started by fork, watched, replaced, and ended together.

Each worker is a whole service with its own event loop. The kernel gives a connection to whichever accepts it first, so
that a worker which dies or is replaced takes no connection with it that it had not accepted.
"""

from __future__ import annotations

import logging
import signal
import socket
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final

from admit.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import ForkProcess

    Work = Callable[[int, Callable[[], None]], None]
    """What a worker does: told its number, and what to call once it takes requests. Returns when it has ended well."""

_TOLD: Final = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
_SOONEST: Final = 1.0  # seconds before a worker that died young is started again; doubled each time
_LATEST: Final = 30.0
_YOUNG: Final = 10.0  # seconds of life after which a death is no longer a failure to start
_PATIENCE: Final = 15.0  # seconds from SIGTERM to SIGKILL: more than a worker gives its requests

log = logging.getLogger("admit.server")


class WorkerFailed(Exception):
    """A worker ended before it took requests, and none ever had: trying again would fail alike."""


class _Worker:
    def __init__(self, process: ForkProcess, ready: Connection) -> None:
        self.process, self.ready, self.born, self.serves = process, ready, monotonic(), False


class Supervisor:
    """Keeps `count` workers at work. SIGTERM and SIGINT end them; SIGHUP replaces one after the other.

    serving: called once, when every worker takes requests. stopping: called before they are told to end.
    """

    def __init__(self, count: int, work: Work, *, serving: Callable[[], None], stopping: Callable[[], None]) -> None:
        self._count, self._work, self._serving, self._stopping = count, work, serving, stopping
        self._fork = get_context("fork")
        self._workers: dict[int, _Worker] = {}
        self._leaving: list[_Worker] = []
        self._due: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._to_replace: list[int] = []
        self._replacement: _Worker | None = None
        self._served = self._ends = False
        self._kill_at = 0.0

    def run(self) -> None:
        """Returns when a signal has ended every worker. Raises WorkerFailed where they cannot start."""
        with _signals() as told:
            for number in range(self._count):
                self._workers[number] = self._start(number)
            while not self._ends or self._everyone():
                self._turn(told)
        if not self._served:
            raise WorkerFailed("a worker could not start; its own line says why")

    def _turn(self, told: socket.socket) -> None:
        """Wait until something happens, and act on it."""
        everyone = self._everyone()
        unready = [worker.ready for worker in everyone if not worker.serves]
        wait([told, *unready, *(worker.process.sentinel for worker in everyone)], self._until())
        with suppress(BlockingIOError):
            for number in told.recv(64):
                self._hear(number)
        for worker in everyone:
            if not worker.serves and worker.ready.poll():
                with suppress(EOFError):
                    worker.ready.recv_bytes()
                    worker.serves = True
        self._bury()
        self._replace()
        if not self._served and len(self._workers) == self._count and all(w.serves for w in self._workers.values()):
            self._served = True
            self._serving()
        now = monotonic()
        for number in [number for number, at in self._due.items() if at <= now and not self._ends]:
            del self._due[number]
            self._workers[number] = self._start(number)
        if self._ends and now > self._kill_at:
            for worker in self._everyone():
                worker.process.kill()

    def _hear(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if not self._ends:
                self._ends, self._kill_at = True, monotonic() + _PATIENCE
                self._due.clear()
                self._stopping()
            for worker in self._everyone():
                _end(worker)
        elif number == getattr(signal, "SIGHUP", 0) and not self._to_replace:
            self._to_replace = sorted(self._workers)

    def _bury(self) -> None:
        """Take leave of those that ended, and see to it that others follow."""
        for number, worker in list(self._workers.items()):
            if worker.process.is_alive():
                continue
            del self._workers[number]
            code = _forget(worker)
            if self._ends:
                continue
            if not self._served:
                self._hear(signal.SIGTERM)
                return
            young = code != 0 and monotonic() - worker.born < _YOUNG
            self._failures[number] = self._failures.get(number, 0) + 1 if young else 0
            delay = min(_SOONEST * 2 ** (self._failures[number] - 1), _LATEST) if young else 0.0
            if code:
                log.error("worker %d ended by itself (%s); another one starts in %.0f s", number, _how(code), delay)
            self._due[number] = monotonic() + delay
        for worker in [worker for worker in self._leaving if not worker.process.is_alive()]:
            self._leaving.remove(worker)
            _forget(worker)

    def _replace(self) -> None:
        """One step of SIGHUP's work: the old worker is told to end only once the new one takes requests."""
        new = self._replacement
        if new is not None and not new.process.is_alive():
            log.error("a new worker could not start; the old ones stay")
            _forget(new)
            self._replacement, self._to_replace = None, []
        elif new is not None and new.serves:
            number = self._to_replace.pop(0)
            if (old := self._workers.get(number)) is not None:
                self._leaving.append(old)
                _end(old)
            self._due.pop(number, None)
            self._workers[number], self._replacement = new, None
        if self._to_replace and self._replacement is None and not self._ends:
            self._replacement = self._start(self._to_replace[0])

    def _start(self, number: int) -> _Worker:
        here, there = self._fork.Pipe(duplex=False)
        process = self._fork.Process(target=self._child, args=(number, there), name=f"admit-worker-{number}")
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)  # what the child is sent must not be written into our socket
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
        there.close()
        return _Worker(process, here)

    def _child(self, number: int, ready: Connection) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it serves, nothing is in flight
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor tells
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
        self._work(number, lambda: ready.send_bytes(b"1"))

    def _everyone(self) -> list[_Worker]:
        return [*self._workers.values(), *self._leaving, *([self._replacement] if self._replacement else [])]

    def _until(self) -> float | None:
        times = [*self._due.values(), *([self._kill_at] if self._ends else [])]
        return max(0.0, min(times) - monotonic()) + 0.01 if times else None


def _end(worker: _Worker) -> None:
    if worker.process.is_alive():
        worker.process.terminate()


def _forget(worker: _Worker) -> int:
    worker.process.join()
    code = worker.process.exitcode or 0
    worker.process.close()
    worker.ready.close()
    return code


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """What signals arrive, as bytes on a socket that can be waited for beside the workers."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        wakeup = signal.set_wakeup_fd(writer.fileno())
        before = {name: signal.signal(name, lambda *_: None) for name in _TOLD}
        try:
            yield reader
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)
            signal.set_wakeup_fd(wakeup)
