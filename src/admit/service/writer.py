"""SQLite: one writer thread in each process, which commits whatever is waiting together.

One commit costs a disk flush whether it holds one call or sixty, and SQLite has one write lock: threads that fight over
it wait in sleeps. Each call runs behind a savepoint of its own, and is answered only after the COMMIT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from admit.errors import StorageUnavailable

T = TypeVar("T")
_GROUP: Final = 64  # calls in one commit: past some thirty the flush is already a small part of each
_Call = tuple[Callable[[Connection], Any], Future[Any]]


class Writer:
    """Runs calls one after the other on one connection, in grouped transactions. The first call starts its thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._calls: SimpleQueue[_Call | None] | None = None
        """Of the thread at work; each has its own, or one that is to end would leave the end to another."""
        self._thread: Thread | None = None
        self._connection: Connection | None = None

    def run(self, call: Callable[[Connection], T], timeout: float) -> T:
        """What `call` answers, once it is committed. Raises what it raised, a database error, or TimeoutError."""
        future: Future[T] = Future()
        with self._lock:
            calls = self._calls or self._start()
            calls.put((call, future))
        return future.result(timeout)

    def close(self) -> None:
        """End the thread after the calls already waiting."""
        with self._lock:
            calls, self._calls, thread = self._calls, None, self._thread
            if calls is not None:
                calls.put(None)
        if thread is not None:
            thread.join()

    def _start(self) -> SimpleQueue[_Call | None]:
        calls: SimpleQueue[_Call | None] = SimpleQueue()
        thread = Thread(target=self._work, args=(calls, self._thread), name="admit-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            raise StorageUnavailable("no thread can be started: the process is ending or at its limit") from None
        self._calls, self._thread = calls, thread
        return calls

    def _work(self, calls: SimpleQueue[_Call | None], before: Thread | None) -> None:
        if before is not None:
            before.join()  # it has the connection until its end
        while (first := calls.get()) is not None:
            group = [first]
            last = False
            try:
                while len(group) < _GROUP and not last:
                    call = calls.get_nowait()
                    if call is None:
                        last = True
                    else:
                        group.append(call)
            except Empty:
                pass
            self._commit(group)
            if last:
                break
        self._drop()

    def _commit(self, group: list[_Call]) -> None:
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection = self._connected()
            driver: Any = connection.connection.dbapi_connection
            driver.execute("BEGIN IMMEDIATE")
            for call, future in group:
                driver.execute("SAVEPOINT one_call")
                try:
                    answers.append((future, call(connection), None))
                except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who gets it
                    driver.execute("ROLLBACK TO one_call")
                    answers.append((future, None, error))
                driver.execute("RELEASE one_call")
            driver.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - theirs too, or they would wait for a thread that is dead
            self._drop()  # closing rolls back: nothing of this group is in the database
            answers = [(future, None, error) for _, future in group]
        for future, value, failure in answers:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except (SQLAlchemyError, sqlite3.Error):
                pass
